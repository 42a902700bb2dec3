/*
 * control_listen: the pairs' listening sockets: names resolved, conflicts and loops found, ports
 * bound.
 *
 * Thread: main, then the control thread (they are one). Host byte order.
 */
#ifndef CONTROL_LISTEN_H
#define CONTROL_LISTEN_H

#include "control/control_leg.h"
#include "host/why.h"
#include "pair.h"

#include <event2/event.h>

struct names;
struct control_listen;

/* An accepted client, the callee's from now on; valid during the call only. loop_check is for
 * control_listen_forbidden. */
typedef void control_listen_accepted(void *arg, const struct pair *pair, void *loop_check,
				     const struct control_socket *client);

/* The system is out of descriptors or memory: nobody can be accepted. The listeners are paused by
 * then. */
typedef void control_listen_exhausted(void *arg, const char *reason);

/* A listening socket at this address, which stays whoever's it is; or -1 with a sentence that
 * starts with name, the address in the user's words. May run the event base. */
typedef int control_listen_open_socket(void *arg, uint32_t addr, uint16_t port, const char *name,
				       struct why *why);

/* At which address an earlier process listened under this name. False: it did not. */
typedef bool control_listen_known(void *arg, const char *name, uint32_t *addr);

struct control_listen_config {
	struct event_base *base; /* runs inside control_listen_open, until names are resolved */
	struct names *names;
	const struct pair *pairs; /* copied */
	size_t pair_count;
	unsigned keepalive_s;
	/* NULL: sockets of our own, by control_listen_bind */
	control_listen_open_socket *open_socket;
	void *open_socket_arg;
	/* Where an earlier process has listened, whose connections go on: what was good for it and
	 * is not any more is a warning. Asked about a listen address that cannot be resolved or
	 * had, with open_socket_arg. NULL: such a thing is an error, and so is a circle. */
	control_listen_known *known;
	control_listen_accepted *accepted;
	control_listen_exhausted *exhausted;
	void *arg;
};

/* Nobody is accepted before control_listen_pause says so: whoever opens them may have more to do
 * that fails. Returns NULL with a sentence that names the address, port or word at fault. Pairs
 * that conflict with an earlier one are ignored, and peers that cannot be resolved kept, each with
 * a warning in the log. */
struct control_listen *control_listen_open(const struct control_listen_config *config,
					   struct why *why);

/* Listens no more. Its memory goes with the last that uses a pair of it (control_listen_use). NULL
 * is fine. */
void control_listen_close(struct control_listen *listen);

/* Somebody holds the pair and the loop_check that control_listen_accepted gave him, or no longer
 * does. */
void control_listen_use(void *loop_check, bool used);

/* Of a configuration that is not to be used now: circles that can be seen without asking for names.
 * 0, or -1 with a sentence. */
int control_listen_check(const struct pair *pairs, size_t count, struct why *why);

/* The same: a warning in the log for each pair that a start would ignore. */
void control_listen_warn(const struct pair *pairs, size_t count);

/* A new listening socket, non-blocking, closed on exec; as control_listen_open_socket. */
int control_listen_bind(uint32_t addr, uint16_t port, const char *name, struct why *why);

/* Whether one of them listens at this address. */
bool control_listen_has(const struct control_listen *listen, uint32_t addr, uint16_t port);

/* Whether the pair of this place conflicts with an earlier one. */
bool control_listen_ignores(const struct control_listen *listen, uint32_t place);

size_t control_listen_pairs(const struct control_listen *listen); /* those that were not ignored */

/* Their addresses as they were resolved at the start: ours (0: any), and the peers'. */
typedef void control_listen_address(void *arg, uint32_t addr, bool ours);
void control_listen_addresses(const struct control_listen *listen, control_listen_address *told,
			      void *arg);

void control_listen_pause(struct control_listen *listen, bool paused);

/* Whether dialling addr:port would come back to the pair that dials, at once or by way of other
 * pairs. */
bool control_listen_forbidden(void *loop_check, uint32_t addr, uint16_t port);

#endif
