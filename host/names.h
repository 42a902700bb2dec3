/*
 * names: host names to IPv4 addresses without blocking (libevent's resolver; /etc/hosts and
 * /etc/resolv.conf).
 *
 * The last good answer for each name is kept and serves while the resolver fails or does not answer
 * in time; it is never forgotten, so names come from the configuration, not from the network.
 * Thread: the one that runs the event base.
 */
#ifndef HOST_NAMES_H
#define HOST_NAMES_H

#include "host/name_word.h"
#include "host/why.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct event_base;
struct names;
struct names_query;

enum { NAMES_ADDRESSES_MAX = 16 }; /* of one name; further ones are left out */

/*
 * addresses: host byte order, in the resolver's order, duplicates removed; valid during the call
 * only. count 0: no answer and no earlier one; failure then says why, otherwise failure is NULL, or
 * says why an earlier answer had to serve. done may ask and cancel, and free the resolver.
 */
typedef void names_done(void *arg, const uint32_t *addresses, size_t count, const char *failure);

/* NULL with why set only when memory or the event base fails: a host without resolv.conf still has
 * its hosts file. */
struct names *names_new(struct event_base *base, struct why *why);
/* The same with other files (for tests); the paths must outlive the resolver. */
struct names *names_new_from(struct event_base *base, const char *hosts, const char *resolv_conf,
			     struct why *why);
void names_free(struct names *names); /* cancels what is pending */

/* Reads the hosts file and resolv.conf anew (on SIGHUP). What is kept stays. */
void names_reload(struct names *names);

/* Starts a look-up. done is called exactly once, from the event loop and never from within this
 * call, unless the query is cancelled before. An answer or a failure comes within about 5 s. NULL:
 * no memory, nothing was started. */
struct names_query *names_resolve(struct names *names, const char *name, names_done *done,
				  void *arg);
void names_cancel(struct names_query *query); /* NULL is fine; done is not called any more */

#endif
