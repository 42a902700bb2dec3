/*
 * acl_ask: asks somebody else, who may start processes, whether the access commands let a client
 * in.
 *
 * Questions have numbers; whoever carries them to and fro (see struct acl_ask_config) tells the
 * answers. Thread: control thread. Host byte order.
 */
#ifndef ACL_ASK_H
#define ACL_ASK_H

#include "acl.h"

#include <stddef.h>
#include <stdint.h>

struct acl_ask; /* all who wait */
struct acl_ask_check;

/* A client that has connected: no command line, nothing of a peer's choice. */
struct acl_ask_client {
	uint64_t connection; /* its number, for the log */
	uint32_t pair;	     /* that it came by: its place in the configuration */
	uint32_t addr, listen_addr;
	uint16_t port, listen_port;
};

struct acl_ask_config {
	void (*ask)(void *arg, uint32_t number, const struct acl_ask_client *client);
	void (*cancel)(void *arg, uint32_t number);
	void *arg;
};

/* which, why: as of acl_cmd_done; during the call only. */
typedef void acl_ask_done(void *arg, enum acl_answer answer, size_t which, const char *why);

struct acl_ask *acl_ask_new(const struct acl_ask_config *config); /* NULL: no memory */
void acl_ask_free(struct acl_ask *ask); /* nobody waits any more; NULL is fine */

/* done is called once, by acl_ask_answered, unless cancelled. NULL: no memory. */
struct acl_ask_check *acl_ask_start(struct acl_ask *ask, const struct acl_ask_client *client,
				    acl_ask_done *done, void *arg);
void acl_ask_cancel(struct acl_ask_check *check); /* NULL is fine */

/* An answer has come; of a check that was cancelled meanwhile it is nobody's. */
void acl_ask_answered(struct acl_ask *ask, uint32_t number, enum acl_answer answer, size_t which,
		      const char *why);

#endif
