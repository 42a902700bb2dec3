/*
 * worker_wishes: what the worker asks of the keeper, by their link.
 *
 * Few answers are waited for, and then the event base runs, so only the main loop may do so; the
 * others come as messages when they come. Thread: control thread.
 */
#ifndef WORKER_WISHES_H
#define WORKER_WISHES_H

#include "host/why.h"
#include "keeper/link.h"

#include <stdbool.h>
#include <stdint.h>

struct acl_ask_client;
struct event_base;

struct worker_wishes {
	struct event_base *base; /* this and the link are the caller's */
	struct link *link;
	struct link_message answer; /* to a wish that is waited for */
	bool answered;
};

void worker_wishes_say(const struct worker_wishes *wishes, const struct link_message *message);

/* Runs the event base until the answer is there, whose descriptors are the caller's then. 0, or -1
 * with a sentence: the loop was broken off, as all is to end. */
int worker_wishes_ask(struct worker_wishes *wishes, const struct link_message *wish,
		      struct link_message *answer, struct why *why);

/* A message is the answer that is waited for. */
void worker_wishes_answered(struct worker_wishes *wishes, const struct link_message *message);

/* For those who only know a function and arg, the wishes: an access command is to be run, is not
 * wanted any more; a capture needs a file. */
void worker_wishes_command(void *arg, uint32_t number, const struct acl_ask_client *client);
void worker_wishes_cancel_command(void *arg, uint32_t number);
void worker_wishes_capture(void *arg);

#endif
