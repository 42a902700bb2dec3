/*
 * gre_socket: the two raw sockets of the GRE thread.
 *
 * One receives enhanced GRE and nothing else: a filter in the kernel sees to it. The other sends,
 * and guards: its own filter takes nothing in, so it is never full, and while a raw GRE socket that
 * is not full is open Linux does not answer packets with ICMP protocol unreachable, which PPTP's
 * ends take for the end of the call.
 *
 * Thread: opened by the keeper's main thread, used by the worker's GRE thread.
 */
#ifndef GRE_SOCKET_H
#define GRE_SOCKET_H

#include "host/why.h"

#include <stddef.h>

struct gre_socket {
	int receive_fd, send_fd;
	size_t receive_buffer; /* octets granted by the system */
};

enum { GRE_RECEIVE_BUFFER = 4 << 20 }; /* octets asked for */

#define GRE_SOCKET_NONE ((struct gre_socket){.receive_fd = -1, .send_fd = -1})

/* 0, or -1 with a sentence in why (no right to: it names CAP_NET_RAW). */
int gre_socket_open(struct gre_socket *sockets, struct why *why);
/* Octets that the system grants for what waits to be received. */
size_t gre_socket_receive_buffer(int receive_fd);

void gre_socket_close(struct gre_socket *sockets); /* of any half-open state */

#endif
