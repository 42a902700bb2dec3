/*
 * link: messages between the keeper and its worker, over a pair of local sockets that keeps their
 * bounds and their order.
 *
 * Both ends are the same program file, so a message is a struct. What one end has sent lies in the
 * system and reaches the other even if the sender dies right behind it. Nobody waits: what the
 * other end does not take yet stays in a queue here, but for descriptors.
 *
 * Thread: the one that runs the event base. Host byte order.
 */
#ifndef KEEPER_LINK_H
#define KEEPER_LINK_H

#include "host/why.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct event_base;

enum link_type {
	/* worker -> keeper */
	LINK_READY,    /* number: pairs; count: connections and calls taken over */
	LINK_FAILED,   /* it cannot start; text says why */
	LINK_KEEP,     /* hold these two descriptors; number: of the connection's record */
	LINK_RELEASE,  /* let go of them */
	LINK_LISTEN,   /* bind addr:port; text: as the user named it */
	LINK_UNLISTEN, /* let go of addr:port */
	LINK_CHECK,    /* may this client connect? number: of the check; see struct link_check */
	LINK_CANCEL,   /* forget the check */
	LINK_CHANGED,  /* the new configuration is in use, or text says why not */
	LINK_ADDRESS,  /* fast path: calls use addr; number 1: ours, 0: a server's */
	LINK_WANT,     /* fast path: room; count and addr: a struct fastpath_request */
	/* both ways */
	LINK_FASTPATH, /* may be opened now; the answer has its descriptors, or there is none */
	LINK_CAPTURE,  /* a new file for --capture; the answer has a descriptor, or says why not */
	/* keeper -> worker */
	LINK_LISTENING, /* with a descriptor, or text says why not */
	LINK_CHECKED,	/* number: of the check; answer; count: which command; text says why */
	LINK_CHANGE,	/* a letter with the new configuration is attached */
	LINK_LOG,	/* the log's new descriptor */
	LINK_GRANTED,	/* fast path: with a descriptor, or text says why not */
	LINK_END,	/* say farewell and end */
	LINK_HAND_OVER, /* end at once: a successor goes on */
};

struct link_check {
	uint64_t connection; /* its number */
	uint32_t pair;	     /* its place in the configuration */
	uint32_t client_addr, listen_addr;
	uint16_t client_port, listen_port;
};

enum { LINK_TEXT_MAX = 512, LINK_DESCRIPTORS_MAX = 4 };

struct link_message {
	enum link_type type;
	uint32_t number;
	uint32_t count[2];
	uint32_t addr;
	uint16_t port;
	int answer;
	struct link_check check;
	char text[LINK_TEXT_MAX]; /* "" where nothing is to be said */
	int fds[LINK_DESCRIPTORS_MAX];
	unsigned fd_count;
};

struct link;

/* Descriptors that came with it are the callee's. May send, and may not close the link. */
typedef void link_received(void *arg, const struct link_message *message);
/* The other end is gone; nothing comes any more. May close the link. */
typedef void link_gone(void *arg);

/* Two connected descriptors; the first is closed on exec, the second is for whoever is executed. 0,
 * or -1 with errno. */
int link_pair(int ends[2]);

/* Takes fd over. Descriptors that come are closed on exec unless inherit. NULL: no memory. */
struct link *link_open(struct event_base *base, int fd, bool inherit, link_received *received,
		       link_gone *gone, void *arg);
void link_close(struct link *link); /* NULL is fine */

/* Descriptors stay the caller's. 0; -1 with errno: it has not been sent and never will, which
 * befalls messages with descriptors where the other end does not read, and any where memory
 * lacks here and in the system. */
int link_send(struct link *link, const struct link_message *message);

size_t link_waiting(const struct link *link); /* messages that the other end has not taken yet */

/* Hands over what has come by now, the end included, without waiting for the event loop: all of it,
 * so the other end must not go on sending. */
void link_drain(struct link *link);

#endif
