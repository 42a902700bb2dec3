/*
 * PPTP clients and servers that only make calls: COUNT of them, through whatever stands between two
 * network namespaces, several on a control connection. Writes a row for each (see source.c), says
 * "ready", and keeps them up until its standard input ends.
 *
 *   calls -n COUNT -k A_CONNECTION -r ROWS -c NETNS -s NETNS -a CLIENT ... -d DIALLED:PORT ...
 *
 * -c, -s  where the clients are, and the servers, which listen on all addresses at all the ports
 * dialled -a, -d  clients' addresses and what they dial; connections take them in turn
 *
 * Each call sends a packet as soon as it is up, as PPTP clients do: connection tracking keeps only
 * so many calls that it has seen no packet of.
 *
 * The server end is a process of its own, so that each has its own limit of descriptors. It tells
 * the client end by shared memory what it knows of a call; the call's serial number names it.
 */
#include "wire/bytes.h"

#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	CALLS_MAX = 65536, /* a serial number has 16 bits */
	ADDRESSES_MAX = 8,
	MESSAGE_MAX = 256,
	AT_ONCE = 32, /* connections being made at the same time */
	PATIENCE_MS = 20000,
	COOKIE = 0x1a2b3c4d,
	SCCRQ = 1,
	SCCRP = 2,
	OCRQ = 7,
	OCRP = 8,
};

struct row {
	struct in_addr client, inner, outer, server;
	uint16_t client_sends, server_receives, server_sends, client_receives;
};

struct terms {
	unsigned count, a_connection;
	const char *rows;
	int client_netns, server_netns;
	struct in_addr clients[ADDRESSES_MAX];
	struct sockaddr_in dialled[ADDRESSES_MAX];
	size_t client_count, dialled_count;
};

/* One end of a control connection. */
struct end {
	int fd;
	struct in_addr local, remote;
	unsigned number, waits_for; /* of the client end: which connection, how many replies */
	uint8_t octets[MESSAGE_MAX];
	size_t length;
};

static struct row *rows; /* shared */

/* ---- messages ---- */

static void begin_message(uint8_t *message, size_t length, uint16_t type)
{
	memset(message, 0, length);
	bytes_put16(message, (uint16_t)length);
	bytes_put16(message + 2, 1);
	bytes_put16(message + 4, COOKIE >> 16);
	bytes_put16(message + 6, COOKIE & 0xffff);
	bytes_put16(message + 8, type);
}

static void send_message(const struct end *end, const uint8_t *message, size_t length)
{
	if (send(end->fd, message, length, MSG_NOSIGNAL) != (ssize_t)length)
		err(1, "sending to %s", inet_ntoa(end->remote));
}

static void send_start(const struct end *end, uint16_t type)
{
	uint8_t message[156];
	begin_message(message, sizeof(message), type);
	bytes_put16(message + 12, 0x0100);
	if (type == SCCRP)
		message[14] = 1;
	bytes_put16(message + 18, 3);
	bytes_put16(message + 22, 3);
	send_message(end, message, sizeof(message));
}

static void send_request(const struct end *end, uint16_t call_id, uint16_t serial)
{
	uint8_t message[168];
	begin_message(message, sizeof(message), OCRQ);
	bytes_put16(message + 12, call_id);
	bytes_put16(message + 14, serial);
	bytes_put16(message + 26, 3);
	bytes_put16(message + 30, 3);
	bytes_put16(message + 32, 64);
	send_message(end, message, sizeof(message));
}

static void send_reply(const struct end *end, uint16_t call_id, uint16_t peer_id)
{
	uint8_t message[32];
	begin_message(message, sizeof(message), OCRP);
	bytes_put16(message + 12, call_id);
	bytes_put16(message + 14, peer_id);
	message[16] = 1;
	bytes_put16(message + 24, 64);
	send_message(end, message, sizeof(message));
}

/* Reads what is there and hands each whole message on. */
static void receive(struct end *end, void (*take)(struct end *, const uint8_t *))
{
	for (;;) {
		ssize_t got = recv(end->fd, end->octets + end->length,
				   sizeof(end->octets) - end->length, MSG_DONTWAIT);
		if (got < 0 && errno == EAGAIN)
			return;
		if (got <= 0)
			errx(1, "%s closed a control connection: %s", inet_ntoa(end->remote),
			     got < 0 ? strerror(errno) : "end of file");
		end->length += (size_t)got;
		for (;;) {
			size_t length = end->length < 12 ? 12 : bytes_get16(end->octets);
			if (length < 12 || length > sizeof(end->octets))
				errx(1, "a message of %zu octets", length);
			if (end->length < length || end->length < 12)
				break;
			take(end, end->octets);
			end->length -= length;
			memmove(end->octets, end->octets + length, end->length);
		}
	}
}

/* ---- ends ---- */

static struct end *new_end(int fd)
{
	struct end *end = calloc(1, sizeof(*end));
	struct sockaddr_in address;
	socklen_t length = sizeof(address);
	int one = 1;

	if (!end)
		err(1, "memory");
	end->fd = fd;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (getsockname(fd, (struct sockaddr *)&address, &length) != 0)
		err(1, "getsockname");
	end->local = address.sin_addr;
	if (getpeername(fd, (struct sockaddr *)&address, &length) != 0)
		err(1, "getpeername");
	end->remote = address.sin_addr;
	return end;
}

static void watch(int epoll, int fd, void *what)
{
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = what};
	if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) != 0)
		err(1, "epoll");
}

static void enter(int netns)
{
	if (setns(netns, CLONE_NEWNET) != 0)
		err(1, "setns");
}

/* A number for each call that a host has: distinct, and in no order. */
static uint16_t scattered(unsigned count)
{
	return (uint16_t)(count * 40503U + 11U);
}

/* ---- the servers ---- */

/* Each server address numbers its calls itself. */
static uint16_t next_server_id(struct in_addr server)
{
	static struct {
		struct in_addr address;
		unsigned count;
	} servers[ADDRESSES_MAX];
	for (size_t i = 0; i < ADDRESSES_MAX; i++) {
		if (servers[i].address.s_addr == 0)
			servers[i].address = server;
		if (servers[i].address.s_addr == server.s_addr)
			return scattered(servers[i].count++ + 1000);
	}
	errx(1, "too many servers");
}

static void serve(struct end *end, const uint8_t *message)
{
	uint16_t type = bytes_get16(message + 8), serial, id;
	if (type == SCCRQ) {
		send_start(end, SCCRP);
	} else if (type == OCRQ) {
		serial = bytes_get16(message + 14);
		id = next_server_id(end->local);
		rows[serial].outer = end->remote;
		rows[serial].server = end->local;
		rows[serial].server_sends = bytes_get16(message + 12);
		rows[serial].server_receives = id;
		send_reply(end, id, bytes_get16(message + 12));
	}
}

static int listen_at(in_port_t port_be)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), one = 1;
	struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = port_be};
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (fd < 0 || bind(fd, (struct sockaddr *)&any, sizeof(any)) != 0 || listen(fd, 4096) != 0)
		err(1, "listening at port %u", ntohs(port_be));
	return fd;
}

/* All servers listen at port 1723; a proxy's other ports are its own. */
static void run_servers(int ready)
{
	struct epoll_event events[64];
	int epoll = epoll_create1(EPOLL_CLOEXEC), listener = listen_at(htons(1723));
	watch(epoll, listener, NULL);
	close(ready);
	for (;;) {
		int count = epoll_wait(epoll, events, 64, -1);
		for (int i = 0; i < count; i++) {
			int fd;
			if (events[i].data.ptr) {
				receive(events[i].data.ptr, serve);
				continue;
			}
			while ((fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC)) >= 0)
				watch(epoll, fd, new_end(fd));
		}
	}
}

/* ---- the clients ---- */

static struct terms terms;
static unsigned connections_made, connections_open;
static int raw_sockets[ADDRESSES_MAX]; /* bound to the clients' addresses */

static unsigned calls_of(unsigned connection)
{
	unsigned first = connection * terms.a_connection, left = terms.count - first;
	return left < terms.a_connection ? left : terms.a_connection;
}

static uint16_t client_id(unsigned connection, unsigned call)
{
	return scattered((unsigned)(connection / terms.client_count) * terms.a_connection + call);
}

static void open_raw_sockets(void)
{
	for (size_t i = 0; i < terms.client_count; i++) {
		struct sockaddr_in from = {.sin_family = AF_INET, .sin_addr = terms.clients[i]};
		int fd = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_GRE);
		if (fd < 0 || bind(fd, (struct sockaddr *)&from, sizeof(from)) != 0)
			err(1, "raw socket");
		raw_sockets[i] = fd;
	}
}

/* An acknowledgement: the smallest packet that there is. */
static void send_packet(const struct end *end, uint16_t call_id)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr = end->remote};
	uint8_t packet[12] = {0x20, 0x81, 0x88, 0x0b};
	bytes_put16(packet + 6, call_id);
	if (sendto(raw_sockets[end->number % terms.client_count], packet, sizeof(packet), 0,
		   (struct sockaddr *)&to, sizeof(to)) < 0)
		err(1, "sending a packet to %s", inet_ntoa(end->remote));
}

static void ask(struct end *end, const uint8_t *message)
{
	uint16_t type = bytes_get16(message + 8);
	unsigned first = end->number * terms.a_connection, calls = calls_of(end->number);

	if (type == SCCRP) {
		end->waits_for = calls;
		for (unsigned i = 0; i < calls; i++)
			send_request(end, client_id(end->number, i), (uint16_t)(first + i));
	} else if (type == OCRP) {
		unsigned serial = first;
		if (message[16] != 1)
			errx(1, "a call was refused");
		while (serial < first + calls &&
		       client_id(end->number, serial - first) != bytes_get16(message + 14))
			serial++;
		if (serial == first + calls)
			errx(1, "a reply to no call");
		rows[serial].client = end->local;
		rows[serial].inner = end->remote;
		rows[serial].client_sends = bytes_get16(message + 12);
		rows[serial].client_receives = bytes_get16(message + 14);
		send_packet(end, rows[serial].client_sends);
		connections_made += --end->waits_for == 0;
	}
}

static void dial(int epoll, unsigned number)
{
	size_t to = number / terms.client_count % terms.dialled_count;
	struct sockaddr_in from = {.sin_family = AF_INET,
				   .sin_addr = terms.clients[number % terms.client_count]};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

	setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one));
	if (fd < 0 || bind(fd, (struct sockaddr *)&from, sizeof(from)) != 0 ||
	    connect(fd, (struct sockaddr *)&terms.dialled[to], sizeof(terms.dialled[to])) != 0)
		err(1, "dialling %s", inet_ntoa(terms.dialled[to].sin_addr));
	struct end *end = new_end(fd);
	end->number = number;
	watch(epoll, fd, end);
	send_start(end, SCCRQ);
}

static void run_clients(void)
{
	struct epoll_event events[64];
	unsigned connections = (terms.count + terms.a_connection - 1) / terms.a_connection;
	int epoll = epoll_create1(EPOLL_CLOEXEC);

	while (connections_made < connections) {
		while (connections_open < connections &&
		       connections_open - connections_made < AT_ONCE)
			dial(epoll, connections_open++);
		int count = epoll_wait(epoll, events, 64, PATIENCE_MS);
		if (count == 0)
			errx(1, "no answer: %u of %u connections are up", connections_made,
			     connections);
		for (int i = 0; i < count; i++)
			receive(events[i].data.ptr, ask);
	}
}

static void write_rows(void)
{
	FILE *file = fopen(terms.rows, "we");
	if (!file)
		err(1, "%s", terms.rows);
	for (unsigned i = 0; i < terms.count; i++) {
		const struct row *row = &rows[i];
		fprintf(file, "%s ", inet_ntoa(row->client));
		fprintf(file, "%s ", inet_ntoa(row->inner));
		fprintf(file, "%s ", inet_ntoa(row->outer));
		fprintf(file, "%s %u %u %u %u\n", inet_ntoa(row->server), row->client_sends,
			row->server_receives, row->server_sends, row->client_receives);
	}
	if (fclose(file) != 0)
		err(1, "%s", terms.rows);
}

/* ---- both ---- */

static struct in_addr address_of(const char *text)
{
	struct in_addr address;
	if (!inet_aton(text, &address))
		errx(1, "%s: no address", text);
	return address;
}

static void add_dialled(char *text)
{
	char *colon = strchr(text, ':');
	if (!colon || terms.dialled_count == ADDRESSES_MAX)
		errx(1, "%s: no port, or too many", text);
	*colon = '\0';
	terms.dialled[terms.dialled_count++] = (struct sockaddr_in){
	    .sin_family = AF_INET,
	    .sin_addr = address_of(text),
	    .sin_port = htons((uint16_t)atoi(colon + 1)),
	};
}

static void add_client(const char *text)
{
	if (terms.client_count == ADDRESSES_MAX)
		errx(1, "too many clients");
	terms.clients[terms.client_count++] = address_of(text);
}

static int open_netns(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		err(1, "%s", path);
	return fd;
}

static void read_words(int argc, char **argv)
{
	int option;
	while ((option = getopt(argc, argv, "n:k:r:c:s:a:d:")) != -1) {
		switch (option) {
		case 'n':
			terms.count = (unsigned)atoi(optarg);
			break;
		case 'k':
			terms.a_connection = (unsigned)atoi(optarg);
			break;
		case 'r':
			terms.rows = optarg;
			break;
		case 'c':
			terms.client_netns = open_netns(optarg);
			break;
		case 's':
			terms.server_netns = open_netns(optarg);
			break;
		case 'a':
			add_client(optarg);
			break;
		case 'd':
			add_dialled(optarg);
			break;
		default:
			exit(2);
		}
	}
	if (terms.count == 0 || terms.count > CALLS_MAX || terms.a_connection == 0 || !terms.rows ||
	    terms.client_count == 0 || terms.dialled_count == 0)
		errx(1, "see the top of calls.c");
}

static void start_servers(void)
{
	int ready[2];
	char ignored;
	if (pipe2(ready, O_CLOEXEC) != 0)
		err(1, "pipe");
	switch (fork()) {
	case -1:
		err(1, "fork");
	case 0:
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(ready[0]);
		enter(terms.server_netns);
		run_servers(ready[1]);
	}
	close(ready[1]);
	if (read(ready[0], &ignored, 1) != 0)
		err(1, "servers");
	close(ready[0]);
}

int main(int argc, char **argv)
{
	struct rlimit limit;
	char ignored[64];

	read_words(argc, argv);
	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	rows = mmap(NULL, CALLS_MAX * sizeof(*rows), PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (rows == MAP_FAILED)
		err(1, "memory");
	start_servers();
	enter(terms.client_netns);
	open_raw_sockets();
	run_clients();
	write_rows();
	printf("ready\n");
	fflush(stdout);
	while (read(STDIN_FILENO, ignored, sizeof(ignored)) > 0)
		;
	return 0;
}
