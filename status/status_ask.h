/*
 * status_ask: questions at the local socket: one request line a connection, one answer.
 *
 *   caller --> who is it?                     not root, our user, or who started us: one line
 *          --> "show calls\n"                 too long, too slow, no such verb: one line
 *          <-- "OK 1234\n", so many octets    else a line that says why not
 *
 * Root, the user of this process, and the user who has the socket listen (SO_PEERCRED) may ask.
 * Nobody else costs more than an accept. Whoever may ask costs a descriptor, and his answer until
 * he has read it, for DEADLINE_S at most. Knows no verb itself. Needs SIGPIPE ignored.
 *
 * Thread: the one that runs the event base.
 */
#ifndef STATUS_ASK_H
#define STATUS_ASK_H

#include "host/why.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct event_base;
struct evbuffer;
struct status_ask;
struct status_caller; /* one connection */

enum {
	STATUS_ASK_CALLERS_MAX = 8,   /* at once; one more is told that we are busy */
	STATUS_ASK_REQUEST_MAX = 256, /* octets of a request, its newline included */
	STATUS_ASK_WORDS_MAX = 8,     /* of a request */
};

/* What STATUS_ASK_NOT_ALLOWED says is also what a client looks for. */
#define STATUS_ASK_OK	       "OK "
#define STATUS_ASK_NOT_ALLOWED "not allowed: only root, pptpproxy's user and who started it may ask"

/*
 * words are the request's, words[0] is the verb; they are printable ASCII, and the caller's until
 * the handler returns. Before that it calls exactly one of the functions below that take a caller;
 * after status_ask_wait one more, later.
 */
struct status_verb {
	const char *name; /* NULL: the table's end */
	void (*asked)(void *arg, struct status_caller *caller, char *const *words, size_t count);
};

struct status_ask_config {
	struct event_base *base;
	int fd;				 /* listens, non-blocking; stays the caller's, and open */
	const struct status_verb *verbs; /* outlives it */
	void *arg;
};

/* NULL with a sentence. */
struct status_ask *status_ask_open(const struct status_ask_config *config, struct why *why);
void status_ask_close(struct status_ask *ask); /* lets go of all callers; NULL is fine */

/* Root, or who started us: not only whoever else runs as the worker's user. */
bool status_ask_is_owner(const struct status_caller *caller);

/* Who he was when he connected, in our user name space. */
uid_t status_ask_uid(const struct status_caller *caller);

/* In place of an answer, which comes later: the caller lives until then, or until gone, from within
 * which he is not touched any more: he has hung up, or his time is up. */
void status_ask_wait(struct status_caller *caller, void (*gone)(void *arg), void *arg);

/* Sends what is in answer, which is empty then. */
void status_ask_answer(struct status_caller *caller, struct evbuffer *answer);

/* Sends one line; the format has no newline. */
void status_ask_refuse(struct status_caller *caller, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* The connection's descriptor (CLOEXEC, non-blocking), which is the handler's from now on. Nothing
 * has been sent on it. There is no bound on those that were taken: theirs is the taker's. */
int status_ask_take(struct status_caller *caller);

#endif
