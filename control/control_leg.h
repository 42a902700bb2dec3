/*
 * control_leg: one TCP leg of a control connection: its descriptor, its addresses, its event, and
 * what its socket did not take yet.
 *
 * Input is peeked at, and consumed only once its message has been passed on. The rest of a short
 * write waits in an outbox. A kept leg's outbox is a record in the kept memory, and all that it
 * sends goes by way of that, so that a successor of this process can go on at exactly the octet
 * where this one stopped (see ARCHITECTURE.md).
 *
 * Knows no PPTP. Thread: control thread. Host byte order.
 */
#ifndef CONTROL_LEG_H
#define CONTROL_LEG_H

#include "control/control_graves.h"
#include "host/kept.h"

#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct control_address {
	uint32_t addr;
	uint16_t port;
};

/* A connected socket. Whoever made it knows one address, or both; port 0: not known. */
struct control_socket {
	int fd;
	struct control_address proxy, peer;
};

enum { CONTROL_OUTBOX_MAX = 2048 }; /* octets kept for a peer that does not read */

struct control_outbox {
	size_t length;
	uint8_t octets[CONTROL_OUTBOX_MAX];
};

/*
 * A kept leg's: how far its two streams have come, as positions (octets since the record was made),
 * and what is to be sent. Of the octets, those between sent and queued are to be; octets[0] has the
 * position start. How far the socket really is the system knows itself, so a successor finds out
 * what its predecessor did last.
 */
struct control_leg_record {
	uint64_t sent_before, taken_before; /* of the socket's octets, when the record was made */
	uint64_t start, sent, queued;
	uint64_t take_to; /* messages up to here have been passed on: to be consumed */
	uint8_t octets[CONTROL_OUTBOX_MAX];
};

struct control_leg {
	int fd; /* -1: none */
	struct event event;
	struct control_address proxy, peer;
	bool peer_closed; /* its FIN, or an error, has been seen; octets before it may still wait */
	bool shut;	  /* we have sent our FIN */
	/* Nothing waits, and an event will tell when something comes, the end included: looking is
	 * in vain. Set here; the callback clears it on EV_READ and EV_CLOSED. */
	bool quiet;
	size_t seen; /* octets that wait, where the last look has seen all; else 0 */
	size_t owed; /* octets that are consumed, and the system has not let go of yet */
	struct control_outbox *outbox;	   /* NULL: all was taken */
	struct control_leg_record *record; /* NULL: not kept; else the outbox is here */
	struct kept *kept;
	struct control_graves *graves; /* a kept leg's: somebody else has a duplicate */
};

#define CONTROL_LEG_NONE ((struct control_leg){.fd = -1})

/*
 * What every control socket of ours has: no delay, keepalive and user timeout that find a vanished
 * peer within three times keepalive_s, and buffers of a bounded size. Set on a listener, its
 * connections inherit them.
 */
void control_leg_tune(int fd, unsigned keepalive_s);

/* Takes the socket over, asks the system for an address that is not known, and has callback(fd,
 * what, arg) called, edge-triggered, on every change. 0, or -1 with errno; the descriptor is closed
 * then. */
int control_leg_open(struct control_leg *leg, const struct control_socket *socket,
		     struct event_base *base, event_callback_fn callback, void *arg);
void control_leg_close(struct control_leg *leg); /* any state; the connection is over */

/* From now on it is kept: record is zero, nothing waits to be sent. 0, or -1 with errno. */
int control_leg_keep(struct control_leg *leg, struct kept *kept, struct control_leg_record *record,
		     struct control_graves *graves);

/* The leg, just opened, goes on from the record of the process before; closing: input had been
 * thrown away. 0, or -1 with errno: EPROTO where the socket does not agree with the record. */
int control_leg_resume(struct control_leg *leg, struct kept *kept,
		       struct control_leg_record *record, bool closing,
		       struct control_graves *graves);

/* Lets go of a kept leg, whose connection goes on in another process. */
void control_leg_leave(struct control_leg *leg);

static inline bool control_leg_is_open(const struct control_leg *leg)
{
	return leg->fd >= 0;
}

/* The octets that wait, without taking them: their number; 0 at the end of the stream; -1 with
 * errno (EAGAIN: none). */
ssize_t control_leg_peek(struct control_leg *leg, uint8_t *out, size_t size);
void control_leg_consume(struct control_leg *leg, size_t length); /* of what was peeked at */
void control_leg_discard(struct control_leg *leg); /* whatever waits; notes the end of the stream */

/* A kept leg's octets up to the end of this message have been passed on: to be said within the
 * transaction that does so, before they are consumed. */
void control_leg_take(struct control_leg *leg, size_t length);

/* Hands octets to the system and keeps what it does not take. 0, or -1 with errno (ENOBUFS: more
 * than the outbox holds). Of a kept leg, within a transaction, it only puts them into the outbox:
 * control_leg_flush is to be called after that. */
int control_leg_write(struct control_leg *leg, const uint8_t *octets, size_t length);

/* So many octets control_leg_write takes in any case. */
size_t control_leg_room(const struct control_leg *leg);

/* Tries again. 0, or -1 with errno: the outbox is forgotten then. Afterwards control_leg_drained
 * tells. */
int control_leg_flush(struct control_leg *leg);
static inline bool control_leg_drained(const struct control_leg *leg)
{
	return leg->record ? leg->record->sent == leg->record->queued : leg->outbox == NULL;
}

/* Whether the peer has closed or reset, also where octets before that still wait. */
bool control_leg_peer_is_gone(const struct control_leg *leg);

/* Sends our FIN, once. */
void control_leg_shut(struct control_leg *leg);

#endif
