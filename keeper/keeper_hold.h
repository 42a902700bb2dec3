/*
 * keeper_hold: the descriptors that outlive a worker: raw sockets, listeners, the control socket,
 * the kept memory, and both legs of every connection that has a call.
 *
 * None is closed on exec: whoever is executed finds them by a letter. Nothing is read from any of
 * them here. Thread: main.
 */
#ifndef KEEPER_HOLD_H
#define KEEPER_HOLD_H

#include "gre/gre_socket.h"
#include "host/why.h"
#include "keeper/letter.h"

#include <stdbool.h>
#include <stdint.h>

enum { KEEPER_HOLD_LEGS_MAX = 1 << 20 }; /* connections that have calls */

struct keeper_hold;

/* Opens the raw sockets, the control socket of this name (copied) and the kept memory. NULL with a
 * sentence in why. */
struct keeper_hold *keeper_hold_open(const char *control, struct why *why);

/* Takes over what the letter names, after an upgrade. NULL with a sentence: no memory, and nothing
 * has been taken over or closed. */
struct keeper_hold *keeper_hold_adopt(const char *control, const struct letter *letter,
				      struct why *why);

/* Closes all, and gives up the control socket. NULL is fine. */
void keeper_hold_close(struct keeper_hold *hold);

/* Enters everything into the letter. 0, or -1 with a sentence: no memory. */
int keeper_hold_tell(const struct keeper_hold *hold, struct letter *letter, struct why *why);

/* The legs of the connection whose record has this index; the descriptors are the hold's. Where
 * they cannot be kept, as they are no TCP sockets, or as there are hardly any free numbers left,
 * they are closed, and the answer is false: the connection ends with its worker then. */
bool keeper_hold_keep(struct keeper_hold *hold, uint32_t index, const int fds[2]);
void keeper_hold_release(struct keeper_hold *hold, uint32_t index);
size_t keeper_hold_legs(const struct keeper_hold *hold); /* of how many connections */

/* A listening socket at this address, made if there is none. Its descriptor, the hold's; -1 with a
 * sentence that starts with name, the address in the user's words, which letters tell. */
int keeper_hold_listen(struct keeper_hold *hold, uint32_t addr, uint16_t port, const char *name,
		       struct why *why);
void keeper_hold_unlisten(struct keeper_hold *hold, uint32_t addr, uint16_t port);
bool keeper_hold_listens(const struct keeper_hold *hold, uint32_t addr, uint16_t port);
size_t keeper_hold_listeners(const struct keeper_hold *hold); /* how many */

#endif
