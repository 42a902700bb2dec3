/*
 * tcp_progress: how far the two streams of a TCP socket have come, as the system knows it: it
 * survives whoever used the socket last.
 *
 * Counted from a beginning of the system's own; the difference of two answers is what counts. Any
 * thread; nobody may send or receive on the socket meanwhile.
 */
#ifndef HOST_TCP_PROGRESS_H
#define HOST_TCP_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

struct tcp_progress {
	uint64_t sent;	/* octets ever handed to the socket */
	uint64_t taken; /* octets ever taken from it */
	/* The connection is over: either figure may be too great by one, the FIN. */
	bool over;
	bool shut; /* our FIN has been sent, or is to be */
};

/* 0, or -1 with errno. Urgent data, which no user of this has, makes taken wrong. */
int tcp_progress_get(int fd, struct tcp_progress *progress);

#endif
