/*
 * status_query: a question to a running instance, from another process: the other end of
 * status_ask.
 *
 * Whoever has taken the socket's name first answers, so what comes is bounded in time and length,
 * and nothing in it is trusted.
 */
#ifndef STATUS_STATUS_QUERY_H
#define STATUS_STATUS_QUERY_H

#include "host/why.h"

#include <stddef.h>

/* Asks at this control socket, "@NAME" or a path. The answer, with a NUL behind it, for the caller
 * to free; or NULL with a sentence: nobody is there, he does not let us, he refuses, he went away.
 * The sentence is printable. */
char *status_query(const char *control, const char *request, struct why *why);

#endif
