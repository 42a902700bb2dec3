/*
 * sessions: many PPTP control connections, as their clients or as their server. One thread, epoll.
 *
 * For measuring what stands between the two: both ends say the same octets whatever that is. It
 * knows as much of RFC 2637 as a control connection needs to come up; results go to standard
 * output, a line each.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/queue.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static const char usage[] =
    "usage: sessions serve ADDRESS PORT\n"
    "           accepts and answers until it is killed; says \"ready\"\n"
    "       sessions rate ADDRESS PORT PARALLEL SECONDS [call]\n"
    "           sets up and ends so many at a time; says \"rate SESSIONS_A_SECOND failures N\"\n"
    "       sessions latency ADDRESS PORT COUNT\n"
    "           one after the other, from connect() to the Outgoing-Call-Reply; says\n"
    "           \"median MICROSECONDS failures N\"\n"
    "       sessions hold ADDRESS PORT COUNT\n"
    "           sets them up and says \"held COUNT failures N\"; then, for each line of standard\n"
    "           input, sends an Echo-Request on each, awaits the replies, and says \"alive "
    "COUNT\";\n"
    "           at its end ends\n";

/* RFC 2637 sections 2.1 to 2.8: types and lengths of what we say. */
enum type {
	START_REQUEST = 1,
	START_REPLY = 2,
	ECHO_REQUEST = 5,
	ECHO_REPLY = 6,
	CALL_REQUEST = 7,
	CALL_REPLY = 8,
	TYPES,
};
static const uint8_t lengths[TYPES] = {
    [START_REQUEST] = 156, [START_REPLY] = 156,	 [ECHO_REQUEST] = 16,
    [ECHO_REPLY] = 20,	   [CALL_REQUEST] = 168, [CALL_REPLY] = 32,
};

enum {
	MESSAGE_MAX = 256,
	TYPE_AT = 9,
	ID_AT = 12,
	PEER_ID_AT = 14,
	HOLD_PARALLEL = 64,
	EVENTS = 256,
	BACKLOG = 4096,
	/* 127.16.0.1 and so on: each has ports of its own, so that none runs out of them. */
	SOURCES = 64,
	FIRST_SOURCE = 0x7f100001,
	LATENCIES_MAX = 100000,
};

enum wish { SET_UP, SET_UP_CALL, HOLD };

struct end {
	LIST_ENTRY(end) in_ends;
	int fd;
	bool server, asked, up, ending;
	uint64_t began;
	size_t have;
	uint8_t in[MESSAGE_MAX];
};

static struct {
	int epoll, listener;
	struct sockaddr_in at;
	enum wish wish;
	LIST_HEAD(, end) ends;
	unsigned long started, up, ended, failed, echoed;
	uint32_t took[LATENCIES_MAX]; /* microseconds */
	size_t took_count;
	uint16_t next_id;
} bench;

static void die(const char *what)
{
	fprintf(stderr, "sessions: %s: %s\n", what, strerror(errno));
	exit(1);
}

static uint64_t now_us(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

/* ---- messages ---- */

static void say(const struct end *end, enum type type, const uint8_t *ids, size_t id_octets)
{
	uint8_t message[MESSAGE_MAX] = {
	    [1] = lengths[type], [3] = 1, [4] = 0x1a, 0x2b, 0x3c, 0x4d, [TYPE_AT] = (uint8_t)type,
	};
	if (type == START_REPLY || type == CALL_REPLY)
		message[type == START_REPLY ? 14 : 16] = 1; /* successful, connected */
	memcpy(message + ID_AT, ids, id_octets);
	/* So little always fits; where the peer has gone, the next event tells. */
	if (send(end->fd, message, lengths[type], MSG_NOSIGNAL) < 0)
		return;
}

static void say_call(const struct end *end, enum type type, const uint8_t *peer_id)
{
	uint16_t id = ++bench.next_id;
	uint8_t ids[4] = {(uint8_t)(id >> 8), (uint8_t)id, peer_id[0], peer_id[1]};
	say(end, type, ids, sizeof(ids));
}

/* ---- ends ---- */

static void watch(struct end *end, uint32_t events)
{
	struct epoll_event event = {.events = events | EPOLLET, .data.ptr = end};
	if (epoll_ctl(bench.epoll, EPOLL_CTL_ADD, end->fd, &event) != 0)
		die("epoll_ctl");
}

static void finish(struct end *end, bool good)
{
	if (!end->server) {
		bench.ended++;
		bench.failed += !good;
	}
	LIST_REMOVE(end, in_ends);
	close(end->fd);
	free(end);
}

static void set_up(struct end *end)
{
	bench.up++;
	end->up = true;
	if (bench.took_count < LATENCIES_MAX)
		bench.took[bench.took_count++] = (uint32_t)(now_us() - end->began);
	if (bench.wish == HOLD)
		return;
	/* The other end closes, too, before this one counts as ended. */
	end->ending = true;
	shutdown(end->fd, SHUT_WR);
}

static void on_message(struct end *end, const uint8_t *message)
{
	static const uint8_t nothing[2];
	switch (message[TYPE_AT]) {
	case START_REQUEST:
		say(end, START_REPLY, NULL, 0);
		break;
	case START_REPLY:
		if (bench.wish == SET_UP_CALL)
			say_call(end, CALL_REQUEST, nothing);
		else
			set_up(end);
		break;
	case CALL_REQUEST:
		say_call(end, CALL_REPLY, message + ID_AT);
		break;
	case CALL_REPLY:
		set_up(end);
		break;
	case ECHO_REQUEST:
		say(end, ECHO_REPLY, message + ID_AT, 4);
		break;
	case ECHO_REPLY:
		bench.echoed++;
		break;
	}
}

static void take_messages(struct end *end)
{
	size_t length;
	while (end->have > 1 && end->have >= (length = end->in[1])) {
		if (length <= TYPE_AT) { /* a lie */
			end->have = 0;
			shutdown(end->fd, SHUT_RDWR);
			return;
		}
		on_message(end, end->in);
		end->have -= length;
		memmove(end->in, end->in + length, end->have);
	}
}

static void on_readable(struct end *end)
{
	for (;;) {
		size_t room = sizeof(end->in) - end->have;
		ssize_t got = recv(end->fd, end->in + end->have, room, 0);
		if (got > 0) {
			end->have += (size_t)got;
			take_messages(end);
			if ((size_t)got < room && !end->ending)
				return; /* an event tells what comes later */
		} else if (got < 0 && errno == EAGAIN) {
			return;
		} else {
			finish(end, got == 0 && end->ending);
			return;
		}
	}
}

static struct end *end_new(int fd, bool server)
{
	struct end *end = calloc(1, sizeof(*end));
	int one = 1;
	if (!end)
		die("end");
	end->fd = fd;
	end->server = server;
	LIST_INSERT_HEAD(&bench.ends, end, in_ends);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	return end;
}

static void start(void)
{
	struct sockaddr_in from = {.sin_family = AF_INET};
	int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		die("socket");
	struct end *end = end_new(fd, false);
	from.sin_addr.s_addr = htonl(FIRST_SOURCE + bench.started++ % SOURCES);
	setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one));
	end->began = now_us();
	if (bind(fd, (struct sockaddr *)&from, sizeof(from)) != 0 ||
	    (connect(fd, (struct sockaddr *)&bench.at, sizeof(bench.at)) != 0 &&
	     errno != EINPROGRESS))
		finish(end, false);
	else
		watch(end, EPOLLOUT | EPOLLIN | EPOLLRDHUP);
}

static void accept_all(void)
{
	int fd;
	while ((fd = accept4(bench.listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0)
		watch(end_new(fd, true), EPOLLIN | EPOLLRDHUP);
	if (errno != EAGAIN && errno != ECONNABORTED)
		die("accept");
}

static void on_event(struct end *end, uint32_t events)
{
	if (!end) {
		accept_all();
		return;
	}
	if (!end->server && !end->asked && !(events & (EPOLLERR | EPOLLHUP))) {
		end->asked = true;
		say(end, START_REQUEST, NULL, 0);
	}
	if (events & (EPOLLIN | EPOLLRDHUP | EPOLLERR | EPOLLHUP))
		on_readable(end);
}

/* Answers whether standard input, where it is watched, has something to say. */
static bool turn(int timeout_ms)
{
	struct epoll_event events[EVENTS];
	bool said = false;
	int count = epoll_wait(bench.epoll, events, EVENTS, timeout_ms);
	for (int i = 0; i < count; i++) {
		if (events[i].data.ptr == &bench)
			said = true;
		else
			on_event(events[i].data.ptr, events[i].events);
	}
	return said;
}

/* ---- what one may ask for ---- */

static void serve(void)
{
	int one = 1;
	bench.listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	setsockopt(bench.listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(bench.listener, (struct sockaddr *)&bench.at, sizeof(bench.at)) != 0 ||
	    listen(bench.listener, BACKLOG) != 0)
		die("listen");
	struct epoll_event event = {.events = EPOLLIN};
	epoll_ctl(bench.epoll, EPOLL_CTL_ADD, bench.listener, &event);
	puts("ready");
	for (;;)
		turn(-1);
}

static int rate(unsigned long parallel, double seconds, bool call)
{
	uint64_t began = now_us(), until = began + (uint64_t)(seconds * 1e6);
	bench.wish = call ? SET_UP_CALL : SET_UP;
	while (now_us() < until) {
		while (bench.started - bench.ended < parallel)
			start();
		turn(10);
	}
	printf("rate %.1f failures %lu\n",
	       (double)(bench.ended - bench.failed) * 1e6 / (double)(now_us() - began),
	       bench.failed);
	return 0;
}

static int compare(const void *a, const void *b)
{
	uint32_t one = *(const uint32_t *)a, other = *(const uint32_t *)b;
	return (one > other) - (one < other);
}

static int latency(unsigned long count)
{
	bench.wish = SET_UP_CALL;
	for (unsigned long i = 0; i < count; i++) {
		start();
		while (bench.ended <= i)
			turn(-1);
	}
	qsort(bench.took, bench.took_count, sizeof(bench.took[0]), compare);
	printf("median %u failures %lu\n", bench.took[bench.took_count / 2], bench.failed);
	return 0;
}

/* On each that is up. */
static void echo_on_all(void)
{
	static const uint8_t identifier[4] = {1, 2, 3, 4};
	struct end *end;
	bench.echoed = 0;
	LIST_FOREACH(end, &bench.ends, in_ends)
	{
		say(end, ECHO_REQUEST, identifier, sizeof(identifier));
	}
}

static int hold(unsigned long count)
{
	struct epoll_event input = {.events = EPOLLIN, .data.ptr = &bench};
	char line[64];

	bench.wish = HOLD;
	while (bench.up + bench.failed < count) {
		while (bench.started < count &&
		       bench.started - bench.up - bench.failed < HOLD_PARALLEL)
			start();
		turn(-1);
	}
	printf("held %lu failures %lu\n", bench.up, bench.failed);
	epoll_ctl(bench.epoll, EPOLL_CTL_ADD, STDIN_FILENO, &input);
	for (;;) {
		while (!turn(-1))
			;
		if (read(STDIN_FILENO, line, sizeof(line)) <= 0)
			return 0;
		echo_on_all();
		while (bench.echoed < bench.started - bench.ended)
			turn(-1);
		printf("alive %lu\n", bench.echoed);
	}
}

static int run(int words, char **word)
{
	const char *mode = words > 3 ? word[1] : "";
	unsigned long count = words > 4 ? strtoul(word[4], NULL, 10) : 0;

	if (strcmp(mode, "serve") == 0)
		serve();
	if (strcmp(mode, "rate") == 0 && words > 5)
		return rate(count, strtod(word[5], NULL), words > 6);
	if (strcmp(mode, "latency") == 0 && count > 0)
		return latency(count);
	if (strcmp(mode, "hold") == 0 && count > 0)
		return hold(count);
	fputs(usage, stderr);
	return 1;
}

int main(int words, char **word)
{
	struct rlimit descriptors;
	setvbuf(stdout, NULL, _IOLBF, 0);
	getrlimit(RLIMIT_NOFILE, &descriptors);
	descriptors.rlim_cur = descriptors.rlim_max;
	setrlimit(RLIMIT_NOFILE, &descriptors);
	bench.epoll = epoll_create1(EPOLL_CLOEXEC);
	if (words > 3) {
		bench.at.sin_family = AF_INET;
		bench.at.sin_port = htons((uint16_t)atoi(word[3]));
		inet_pton(AF_INET, word[2], &bench.at.sin_addr);
	}
	return run(words, word);
}
