/*
 * One message is one record of the socket: whole or not there at all.
 */
#include "keeper/link.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	/* For as many messages as may be under way while the other end is busy elsewhere. */
	BUFFER = 4 << 20,
	TRIES = 20,	       /* of what the system has no memory for right now */
	MESSAGES_A_TURN = 256, /* then others have theirs, however much the other end says */
};

struct waiting {
	STAILQ_ENTRY(waiting) in_queue;
	struct link_message message;
};

struct link {
	int fd;
	bool inherit, gone_told;
	struct event *readable, *writable;
	STAILQ_HEAD(, waiting) queue; /* without descriptors */
	size_t waiting_count;
	link_received *received;
	link_gone *gone;
	void *arg;
};

union descriptors {
	struct cmsghdr align;
	char octets[CMSG_SPACE(LINK_DESCRIPTORS_MAX * sizeof(int))];
};

int link_pair(int ends[2])
{
	int size = BUFFER;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, ends) != 0)
		return -1;
	for (int i = 0; i < 2; i++) {
		/* The first needs a right that we may not have. */
		if (setsockopt(ends[i], SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)) != 0)
			setsockopt(ends[i], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	}
	fcntl(ends[0], F_SETFD, FD_CLOEXEC);
	return 0;
}

static bool must_wait(int error)
{
	return error == EAGAIN || error == EWOULDBLOCK;
}

/* Of the system, and not of the link. */
static bool is_passing(int error)
{
	return error == EINTR || error == ENOMEM || error == ENOBUFS;
}

/* ---- sending ---- */

static int send_now(const struct link *link, const struct link_message *message)
{
	union descriptors control = {.octets = {0}};
	struct iovec iov = {(void *)(uintptr_t)message, sizeof(*message)};
	struct msghdr header = {.msg_iov = &iov, .msg_iovlen = 1};
	ssize_t sent;
	int tries = TRIES;

	if (message->fd_count > 0) {
		size_t size = message->fd_count * sizeof(int);
		header.msg_control = control.octets;
		header.msg_controllen = CMSG_SPACE(size);
		struct cmsghdr *cmsg = CMSG_FIRSTHDR(&header);
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(size);
		memcpy(CMSG_DATA(cmsg), message->fds, size);
	}
	do
		sent = sendmsg(link->fd, &header, MSG_NOSIGNAL | MSG_DONTWAIT);
	while (sent < 0 && is_passing(errno) && --tries > 0);
	return sent == sizeof(*message) ? 0 : -1;
}

static int enqueue(struct link *link, const struct link_message *message)
{
	struct waiting *waiting = malloc(sizeof(*waiting));
	if (!waiting)
		return -1;
	if (event_add(link->writable, NULL) != 0) {
		free(waiting);
		errno = ENOMEM;
		return -1;
	}
	waiting->message = *message;
	STAILQ_INSERT_TAIL(&link->queue, waiting, in_queue);
	link->waiting_count++;
	return 0;
}

int link_send(struct link *link, const struct link_message *message)
{
	if (STAILQ_EMPTY(&link->queue)) {
		if (send_now(link, message) == 0)
			return 0;
		if (!must_wait(errno) && !is_passing(errno))
			return -1;
	} else {
		errno = EAGAIN;
	}
	return message->fd_count > 0 ? -1 : enqueue(link, message);
}

size_t link_waiting(const struct link *link)
{
	return link->waiting_count;
}

static void remove_first(struct link *link)
{
	struct waiting *waiting = STAILQ_FIRST(&link->queue);
	STAILQ_REMOVE_HEAD(&link->queue, in_queue);
	link->waiting_count--;
	free(waiting);
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
	struct link *link = arg;
	const struct waiting *waiting;
	(void)fd, (void)what;

	while ((waiting = STAILQ_FIRST(&link->queue))) {
		if (send_now(link, &waiting->message) != 0) {
			/* Any other error: the other end is gone, as reading will tell. */
			if (!must_wait(errno) && !is_passing(errno))
				event_del(link->writable);
			return;
		}
		remove_first(link);
	}
	event_del(link->writable);
}

/* ---- receiving ---- */

static void take_descriptors(struct msghdr *header, struct link_message *message)
{
	message->fd_count = 0;
	for (struct cmsghdr *cmsg = CMSG_FIRSTHDR(header); cmsg; cmsg = CMSG_NXTHDR(header, cmsg)) {
		if (cmsg->cmsg_level != SOL_SOCKET || cmsg->cmsg_type != SCM_RIGHTS)
			continue;
		size_t count = (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		memcpy(message->fds, CMSG_DATA(cmsg), count * sizeof(int));
		message->fd_count = (unsigned)count;
	}
}

/* False: nothing is there, or cannot be read now. */
static bool receive(struct link *link, struct link_message *message, bool *ended)
{
	union descriptors control;
	struct iovec iov = {message, sizeof(*message)};
	struct msghdr header = {
	    .msg_iov = &iov,
	    .msg_iovlen = 1,
	    .msg_control = control.octets,
	    .msg_controllen = sizeof(control.octets),
	};
	ssize_t got;
	int tries = TRIES;
	do
		got = recvmsg(link->fd, &header,
			      MSG_DONTWAIT | (link->inherit ? 0 : MSG_CMSG_CLOEXEC));
	while (got < 0 && is_passing(errno) && --tries > 0);
	*ended = got == 0 || (got < 0 && !must_wait(errno) && !is_passing(errno));
	if (got <= 0)
		return false;
	take_descriptors(&header, message);
	message->text[LINK_TEXT_MAX - 1] = '\0';
	if (got == sizeof(*message) && !(header.msg_flags & MSG_TRUNC))
		return true;
	for (unsigned i = 0; i < message->fd_count; i++)
		close(message->fds[i]);
	*ended = true; /* whoever says that is none of us */
	return false;
}

/* What comes behind the most that may be taken is left where it is. */
static void take(struct link *link, size_t most)
{
	struct link_message message;
	bool ended = false;

	while (most-- > 0 && receive(link, &message, &ended))
		link->received(link->arg, &message);
	if (!ended || link->gone_told)
		return;
	link->gone_told = true;
	event_del(link->readable);
	event_del(link->writable);
	link->gone(link->arg);
}

void link_drain(struct link *link)
{
	take(link, SIZE_MAX);
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what;
	take(arg, MESSAGES_A_TURN);
}

/* ---- birth and death ---- */

struct link *link_open(struct event_base *base, int fd, bool inherit, link_received *received,
		       link_gone *gone, void *arg)
{
	struct link *link = calloc(1, sizeof(*link));
	if (!link) {
		close(fd);
		return NULL;
	}
	*link = (struct link){
	    .fd = fd, .inherit = inherit, .received = received, .gone = gone, .arg = arg};
	STAILQ_INIT(&link->queue);
	link->readable = event_new(base, fd, EV_READ | EV_PERSIST, on_readable, link);
	link->writable = event_new(base, fd, EV_WRITE | EV_PERSIST, on_writable, link);
	if (!link->readable || !link->writable || event_add(link->readable, NULL) != 0) {
		link_close(link);
		return NULL;
	}
	return link;
}

void link_close(struct link *link)
{
	if (!link)
		return;
	if (link->readable)
		event_free(link->readable);
	if (link->writable)
		event_free(link->writable);
	while (!STAILQ_EMPTY(&link->queue))
		remove_first(link);
	close(link->fd);
	free(link);
}
