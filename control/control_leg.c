/*
 * Sockets of control connections.
 */
#include "control/control_leg.h"

#include "host/tcp_progress.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/*
 * Bounds on what a peer that does not read, or one that floods, takes of the kernel's memory. What
 * is received must hold more than one segment as large as the system may put together (64 KiB,
 * which count double and more while any octet of them is left): we leave a message's first octets
 * there until its last ones come, and they must still find room.
 */
enum { SEND_BUFFER = 32 * 1024, RECEIVE_BUFFER = 256 * 1024 };

/* So many times the keepalive a peer may be silent, or read nothing of what waits for it. */
enum { KEEPALIVES = 3 };

static void set(int fd, int level, int option, int value)
{
	setsockopt(fd, level, option, &value, sizeof(value));
}

void control_leg_tune(int fd, unsigned keepalive_s)
{
	set(fd, SOL_SOCKET, SO_SNDBUF, SEND_BUFFER);
	set(fd, SOL_SOCKET, SO_RCVBUF, RECEIVE_BUFFER);
	/* Peers handle one message a read, so each leaves in a segment of its own, at once. */
	set(fd, IPPROTO_TCP, TCP_NODELAY, 1);
	set(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
	set(fd, IPPROTO_TCP, TCP_KEEPIDLE, (int)keepalive_s);
	set(fd, IPPROTO_TCP, TCP_KEEPINTVL, (int)keepalive_s);
	/* In place of TCP_KEEPCNT, too: with it set, tcp_keepalive_timer() counts no probes. */
	set(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, (int)(KEEPALIVES * keepalive_s * 1000));
}

typedef int ask_name(int fd, struct sockaddr *address, socklen_t *length);

static int learn(int fd, ask_name *ask, struct control_address *address)
{
	struct sockaddr_in at;
	socklen_t length = sizeof(at);
	if (address->port != 0)
		return 0;
	if (ask(fd, (struct sockaddr *)&at, &length) != 0)
		return -1;
	*address = (struct control_address){ntohl(at.sin_addr.s_addr), ntohs(at.sin_port)};
	return 0;
}

int control_leg_open(struct control_leg *leg, const struct control_socket *socket,
		     struct event_base *base, event_callback_fn callback, void *arg)
{
	int fd = socket->fd;

	*leg = CONTROL_LEG_NONE;
	leg->proxy = socket->proxy;
	leg->peer = socket->peer;
	if (learn(fd, getsockname, &leg->proxy) != 0 || learn(fd, getpeername, &leg->peer) != 0)
		goto failed;
	if (event_assign(&leg->event, base, fd, EV_READ | EV_WRITE | EV_CLOSED | EV_ET | EV_PERSIST,
			 callback, arg) != 0 ||
	    event_add(&leg->event, NULL) != 0)
		goto failed;
	leg->fd = fd;
	leg->quiet = true; /* a new event tells what is there already */
	return 0;
failed:
	close(fd);
	return -1;
}

void control_leg_close(struct control_leg *leg)
{
	if (leg->fd >= 0) {
		event_del(&leg->event);
		if (leg->record) {
			/* The duplicate keeps the connection open. */
			shutdown(leg->fd, SHUT_RDWR);
			control_graves_bury(leg->graves, leg->fd);
		} else {
			close(leg->fd);
		}
		leg->fd = -1;
	}
	free(leg->outbox);
	leg->outbox = NULL;
	leg->record = NULL;
}

/* ---- kept ---- */

static void use_record(struct control_leg *leg, struct kept *kept,
		       struct control_leg_record *record, struct control_graves *graves)
{
	leg->kept = kept;
	leg->record = record;
	leg->graves = graves;
}

int control_leg_keep(struct control_leg *leg, struct kept *kept, struct control_leg_record *record,
		     struct control_graves *graves)
{
	struct tcp_progress now;
	assert(!leg->outbox);
	if (tcp_progress_get(leg->fd, &now) != 0)
		return -1;
	record->sent_before = now.sent;
	record->taken_before = now.taken;
	use_record(leg, kept, record, graves);
	return 0;
}

/* What the process before has sent. -1: that cannot be. */
static int find_sent(struct control_leg_record *record, const struct tcp_progress *now)
{
	uint64_t sent = now->sent - record->sent_before;
	if (now->over && sent > record->queued)
		sent = record->queued;
	if (sent < record->start || sent > record->queued) {
		errno = EPROTO;
		return -1;
	}
	record->sent = sent;
	return 0;
}

/* Consumes what it had passed on and not consumed yet. */
static int finish_taking(struct control_leg *leg, const struct tcp_progress *now)
{
	uint64_t taken = now->taken - leg->record->taken_before;
	if (now->over && taken > leg->record->take_to)
		taken = leg->record->take_to;
	while (taken < leg->record->take_to) {
		ssize_t got =
		    recv(leg->fd, NULL, leg->record->take_to - taken, MSG_TRUNC | MSG_DONTWAIT);
		if (got > 0)
			taken += (uint64_t)got;
		else if (got == 0 || errno != EINTR)
			break;
	}
	if (taken == leg->record->take_to || now->over)
		return 0;
	errno = EPROTO;
	return -1;
}

int control_leg_resume(struct control_leg *leg, struct kept *kept,
		       struct control_leg_record *record, bool closing,
		       struct control_graves *graves)
{
	struct tcp_progress now;
	use_record(leg, kept, record, graves);
	if (tcp_progress_get(leg->fd, &now) != 0)
		return -1;
	leg->shut = now.shut;
	if (find_sent(record, &now) != 0)
		return -1;
	return closing ? 0 : finish_taking(leg, &now);
}

void control_leg_leave(struct control_leg *leg)
{
	if (leg->fd >= 0) {
		event_del(&leg->event);
		control_graves_bury(leg->graves, leg->fd);
	}
	*leg = CONTROL_LEG_NONE;
}

/* The positions, which are about to change. */
static struct control_leg_record *change(struct control_leg *leg)
{
	kept_save(leg->kept, leg->record, offsetof(struct control_leg_record, octets));
	return leg->record;
}

void control_leg_take(struct control_leg *leg, size_t length)
{
	if (leg->record)
		change(leg)->take_to += length;
}

/* ---- input ---- */

/* MSG_TRUNC has TCP throw octets away without copying them. 0, or -1 with errno. */
static int let_go(struct control_leg *leg)
{
	ssize_t got;
	if (leg->owed == 0)
		return 0;
	do
		got = recv(leg->fd, NULL, leg->owed, MSG_TRUNC | MSG_DONTWAIT);
	while (got < 0 && errno == EINTR);
	if (got < 0)
		return -1;
	leg->owed -= got > 0 ? (size_t)got : leg->owed; /* 0: a reset has taken them */
	return 0;
}

ssize_t control_leg_peek(struct control_leg *leg, uint8_t *out, size_t size)
{
	ssize_t got;
	if (let_go(leg) != 0)
		return -1;
	do
		got = recv(leg->fd, out, size, MSG_PEEK | MSG_DONTWAIT);
	while (got < 0 && errno == EINTR);
	if (got == 0)
		leg->peer_closed = true;
	leg->seen = got > 0 && (size_t)got < size ? (size_t)got : 0;
	leg->quiet = got == 0 || (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK));
	return got;
}

void control_leg_consume(struct control_leg *leg, size_t length)
{
	leg->owed += length;
	let_go(
	    leg); /* else before the next look: what has been passed on is not to be seen again */
	if (length == leg->seen && !leg->peer_closed)
		leg->quiet = true;
	leg->seen -= length < leg->seen ? length : leg->seen;
}

void control_leg_discard(struct control_leg *leg)
{
	enum { CHUNK = 65536, CHUNKS = 16 };
	for (int i = 0; i < CHUNKS; i++) {
		ssize_t got = recv(leg->fd, NULL, CHUNK, MSG_TRUNC | MSG_DONTWAIT);
		if (got > 0 || (got < 0 && errno == EINTR))
			continue;
		if (got == 0 || (errno != EAGAIN && errno != EWOULDBLOCK))
			leg->peer_closed = true;
		leg->quiet = true;
		return;
	}
	event_active(&leg->event, EV_READ, 0);
}

/* ---- output ---- */

/* How much the system took; 0 where it is full; -1 with errno. */
static ssize_t send_some(int fd, const uint8_t *octets, size_t length)
{
	ssize_t sent;
	do
		sent = send(fd, octets, length, MSG_NOSIGNAL | MSG_DONTWAIT);
	while (sent < 0 && errno == EINTR);
	return sent < 0 && (errno == EAGAIN || errno == EWOULDBLOCK) ? 0 : sent;
}

static int keep(struct control_leg *leg, const uint8_t *octets, size_t length)
{
	if (!leg->outbox)
		leg->outbox = calloc(1, sizeof(*leg->outbox));
	if (!leg->outbox || length > sizeof(leg->outbox->octets) - leg->outbox->length) {
		errno = ENOBUFS;
		return -1;
	}
	memcpy(leg->outbox->octets + leg->outbox->length, octets, length);
	leg->outbox->length += length;
	return 0;
}

/* What lies beyond queued means nothing, so it is not saved. */
static int queue(struct control_leg *leg, const uint8_t *octets, size_t length)
{
	struct control_leg_record *record = change(leg);
	uint64_t start = record->sent == record->queued ? record->queued : record->start;

	if (length > sizeof(record->octets) - (record->queued - start)) {
		errno = ENOBUFS;
		return -1;
	}
	memcpy(record->octets + (record->queued - start), octets, length);
	record->start = start;
	record->queued += length;
	return 0;
}

static int write_kept(struct control_leg *leg, const uint8_t *octets, size_t length)
{
	if (kept_is_open(leg->kept))
		return queue(leg, octets, length);
	kept_begin(leg->kept);
	int result = queue(leg, octets, length);
	kept_commit(leg->kept);
	return result == 0 ? control_leg_flush(leg) : -1;
}

int control_leg_write(struct control_leg *leg, const uint8_t *octets, size_t length)
{
	if (leg->record)
		return write_kept(leg, octets, length);
	ssize_t sent = leg->outbox ? 0 : send_some(leg->fd, octets, length);
	if (sent < 0)
		return -1;
	if ((size_t)sent == length)
		return 0;
	return keep(leg, octets + sent, length - (size_t)sent);
}

size_t control_leg_room(const struct control_leg *leg)
{
	const struct control_leg_record *record = leg->record;
	if (!record)
		return CONTROL_OUTBOX_MAX - (leg->outbox ? leg->outbox->length : 0);
	return record->sent == record->queued
		   ? CONTROL_OUTBOX_MAX
		   : CONTROL_OUTBOX_MAX - (record->queued - record->start);
}

/* How far it has come is one store: a successor asks the system in any case. */
static int flush_kept(struct control_leg *leg)
{
	struct control_leg_record *record = leg->record;
	if (record->sent == record->queued)
		return 0;
	ssize_t sent = send_some(leg->fd, record->octets + (record->sent - record->start),
				 record->queued - record->sent);
	record->sent = sent < 0 ? record->queued : record->sent + (uint64_t)sent;
	return sent < 0 ? -1 : 0;
}

int control_leg_flush(struct control_leg *leg)
{
	struct control_outbox *outbox = leg->outbox;
	if (leg->record)
		return flush_kept(leg);
	if (!outbox)
		return 0;
	ssize_t sent = send_some(leg->fd, outbox->octets, outbox->length);
	if (sent >= 0) {
		outbox->length -= (size_t)sent;
		memmove(outbox->octets, outbox->octets + sent, outbox->length);
	}
	if (sent < 0 || outbox->length == 0) {
		free(outbox);
		leg->outbox = NULL;
	}
	return sent < 0 ? -1 : 0;
}

bool control_leg_peer_is_gone(const struct control_leg *leg)
{
	struct pollfd state = {.fd = leg->fd, .events = POLLRDHUP};
	return leg->peer_closed || (poll(&state, 1, 0) == 1 && state.revents != 0);
}

void control_leg_shut(struct control_leg *leg)
{
	if (!leg->shut)
		shutdown(leg->fd, SHUT_WR);
	leg->shut = true;
}
