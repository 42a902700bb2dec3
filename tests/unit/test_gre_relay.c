/*
 * The GRE thread itself, between real sockets, in a network namespace of the test's own:
 *
 *   client            proxy                 server
 *   127.0.0.2 -- 127.0.0.3 | 127.0.0.4 -- 127.0.0.5      all on lo
 *
 * As all of them are on one host, whatever the relay sends comes back to its own socket, where it
 * names no call: each packet sent is one more received and one more "no such call".
 */
#include "gre_relay.h"

#include "gre/gre_hold.h"
#include "gre/gre_socket.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <libnet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/ip_icmp.h>
#include <netpacket/packet.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

enum {
	DEADLINE_MS = 10000,
	CLIENT_ADDR = 0x7F000002,
	PROXY_CLIENT_ADDR = 0x7F000003, /* ours, towards the client */
	PROXY_SERVER_ADDR = 0x7F000004,
	SERVER_ADDR = 0x7F000005,
	STRANGER_ADDR = 0x7F000006,
	LO_MTU = 65536,
	TTL_IN = 9,
	CLIENT_ID = 0x0A0B,
	SERVER_ID = 0x0C0D,
	SHOWN_TO_SERVER = 0x0102, /* for the client's, which somebody else holds */
	PACKET_MAX = 65535,
};

static const struct callid_leg legs[2] = {{PROXY_CLIENT_ADDR, CLIENT_ADDR},
					  {PROXY_SERVER_ADDR, SERVER_ADDR}};
static const enum callid_side CLIENT = CALLID_CLIENT, SERVER = CALLID_SERVER;

static char no_right[128]; /* why there is no namespace, or "" */
static libnet_t *net;
static int at_client = -1, at_server = -1, on_wire = -1, icmp = -1;

static struct callid_db *db;
static struct gre_relay *relay;

/* ---- the namespace ---- */

static bool cannot(const char *what)
{
	snprintf(no_right, sizeof(no_right), "%s: %s", what, strerror(errno));
	return false;
}

static int set_lo(unsigned long request, int value)
{
	struct ifreq lo = {.ifr_name = "lo"};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (request == SIOCSIFMTU)
		lo.ifr_mtu = value;
	else
		lo.ifr_flags = (short)value;
	int result = ioctl(fd, request, &lo);
	close(fd);
	return result;
}

static int open_raw(int protocol, uint32_t addr)
{
	int fd = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol);
	struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(addr)};
	int size = 8 << 20;
	if (fd >= 0 && bind(fd, (struct sockaddr *)&name, sizeof(name)) != 0) {
		close(fd);
		return -1;
	}
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	return fd;
}

static bool enter_namespace(void)
{
	char error[LIBNET_ERRBUF_SIZE];
	if (unshare(geteuid() == 0 ? CLONE_NEWNET : CLONE_NEWUSER | CLONE_NEWNET) != 0)
		return cannot("no network namespace of our own");
	if (set_lo(SIOCSIFFLAGS, IFF_UP | IFF_LOOPBACK | IFF_RUNNING) != 0)
		return cannot("lo cannot be brought up");
	at_client = open_raw(IPPROTO_GRE, CLIENT_ADDR);
	at_server = open_raw(IPPROTO_GRE, SERVER_ADDR);
	icmp = open_raw(IPPROTO_ICMP, CLIENT_ADDR);
	on_wire = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, htons(ETHERTYPE_IP));
	if (at_client < 0 || at_server < 0 || icmp < 0 || on_wire < 0)
		return cannot("no raw sockets");
	net = libnet_init(LIBNET_RAW4, NULL, error);
	if (!net)
		snprintf(no_right, sizeof(no_right), "libnet: %.100s", error);
	return net != NULL;
}

static int set_up_group(void **state)
{
	(void)state;
	enter_namespace();
	return 0;
}

static int tear_down_group(void **state)
{
	(void)state;
	const int fds[] = {at_client, at_server, on_wire, icmp};
	for (size_t i = 0; i < COUNT(fds); i++) {
		if (fds[i] >= 0)
			close(fds[i]);
	}
	if (net)
		libnet_destroy(net);
	return 0;
}

static void drain(int fd)
{
	uint8_t octets[64];
	while (recv(fd, octets, sizeof(octets), MSG_DONTWAIT) >= 0)
		;
}

static int set_up(void **state)
{
	(void)state;
	if (no_right[0])
		return 0;
	set_lo(SIOCSIFMTU, LO_MTU);
	drain(at_client);
	drain(at_server);
	drain(on_wire);
	drain(icmp);
	db = callid_db_new(NULL);
	return db ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	gre_relay_close(relay);
	relay = NULL;
	callid_db_free(db);
	db = NULL;
	return 0;
}

#define NEEDS_NAMESPACE()                                                                          \
	do {                                                                                       \
		if (no_right[0]) {                                                                 \
			print_message("# skipped: %s\n", no_right);                                \
			skip();                                                                    \
		}                                                                                  \
	} while (0)

/* ---- calls ---- */

static void open_relay(void)
{
	struct why why = {""};
	relay = gre_relay_open(&(struct gre_relay_config){.db = db}, &why);
	if (!relay)
		fail_msg("%s", why.text);
}

static void start_relay(void)
{
	struct why why = {""};
	if (gre_relay_start(relay, &why) != 0)
		fail_msg("%s", why.text);
}

/* The client's ID is taken towards the server by a filler, so that the server is shown another. */
static callid_ref reserve_call(uint16_t *to_server)
{
	struct callid_request request = {
	    .legs = {legs[0], legs[1]},
	    .caller = CALLID_CLIENT,
	    .caller_id = CLIENT_ID,
	};
	uint16_t ignored;
	assert_int_not_equal(callid_db_reserve(db, &request, 1, &ignored), 0);
	callid_ref call = callid_db_reserve(db, &request, 1, to_server);
	assert_int_not_equal(call, 0);
	assert_int_not_equal(*to_server, CLIENT_ID);
	return call;
}

static callid_ref open_call(uint16_t *to_server, uint16_t *to_client)
{
	struct callid_request filler = {
	    .legs = {legs[0], legs[1]},
	    .caller = CALLID_SERVER,
	    .caller_id = SERVER_ID,
	};
	uint16_t ignored;
	callid_ref call = reserve_call(to_server);
	assert_int_not_equal(callid_db_reserve(db, &filler, 1, &ignored), 0);
	assert_int_equal(callid_db_open(db, call, SERVER_ID, 1, to_client), 0);
	assert_int_not_equal(*to_client, SERVER_ID);
	callid_db_release(db, call);
	return call;
}

/* What sending the next batch fails with, once; 0: it does not. */
static _Atomic int send_error;

int __real_sendmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags);
int __wrap_sendmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags);
int __wrap_sendmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags)
{
	int error = send_error;
	send_error = 0;
	if (error == 0)
		return __real_sendmmsg(fd, messages, count, flags);
	errno = error;
	return -1;
}

static uint64_t now_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static bool totals_are(const struct gre_totals *want, struct gre_totals *got)
{
	gre_relay_totals(relay, got);
	return memcmp(want, got, sizeof(*want)) == 0;
}

/* Waits until the relay's counters are exactly these. */
static void wait_for(struct gre_totals want)
{
	struct gre_totals got;
	uint64_t end = now_ms() + DEADLINE_MS;
	while (!totals_are(&want, &got) && now_ms() < end)
		poll(NULL, 0, 1);
	if (totals_are(&want, &got))
		return;
	for (int i = 0; i < REASON_PACKET_COUNT; i++)
		print_message("# dropped, %s: %llu\n", reason_packet_name((enum reason_packet)i),
			      (unsigned long long)got.drops[i]);
	fail_msg("received %llu, sent %llu", (unsigned long long)got.received,
		 (unsigned long long)got.sent);
}

/* ---- packets ---- */

static void inject_fragment(uint32_t from, uint32_t to, uint8_t tos, uint16_t fragment,
			    const uint8_t *octets, size_t length)
{
	libnet_ptag_t tag = libnet_build_ipv4((uint16_t)(LIBNET_IPV4_H + length), tos, 0x4242,
					      fragment, TTL_IN, IPPROTO_GRE, 0, htonl(from),
					      htonl(to), octets, (uint32_t)length, net, 0);
	if (tag < 0 || libnet_write(net) < 0)
		fail_msg("libnet: %s", libnet_geterror(net));
	libnet_clear_packet(net);
}

static void inject(uint32_t from, uint32_t to, uint8_t tos, const uint8_t *octets, size_t length)
{
	inject_fragment(from, to, tos, IP_DF, octets, length);
}

static void inject_from(enum callid_side side, const uint8_t *octets, size_t length)
{
	inject(legs[side].peer_addr, legs[side].proxy_addr, 0, octets, length);
}

static void put_call_id(uint8_t *octets, uint16_t call_id)
{
	octets[6] = (uint8_t)(call_id >> 8);
	octets[7] = (uint8_t)call_id;
}

/* Data: 24 octets, the sequence number tells them apart. */
static void inject_data(enum callid_side from, uint16_t call_id, uint8_t sequence)
{
	uint8_t octets[24] = {0x30, 0x01, 0x88, 0x0B,	  0x00, 0x0C, 0,    0,
			      0,    0,	  0,	sequence, 0xFF, 0x03, 0xC0, 0x21};
	put_call_id(octets, call_id);
	inject_from(from, octets, sizeof(octets));
}

static struct {
	struct iphdr ip;
	uint8_t octets[PACKET_MAX]; /* behind the IP header */
	size_t length;
} got;

static void receive(int fd)
{
	static uint8_t octets[PACKET_MAX];
	struct pollfd ready = {fd, POLLIN, 0};
	if (poll(&ready, 1, DEADLINE_MS) != 1)
		fail_msg("nothing came");
	ssize_t length = recv(fd, octets, sizeof(octets), 0);
	assert_true(length >= (ssize_t)sizeof(got.ip));
	memcpy(&got.ip, octets, sizeof(got.ip));
	assert_int_equal(got.ip.ihl, 5);
	assert_int_equal(ntohs(got.ip.tot_len), length);
	got.length = (size_t)length - sizeof(got.ip);
	memcpy(got.octets, octets + sizeof(got.ip), got.length);
}

static void check_received(enum callid_side at, uint8_t tos, const uint8_t *octets, size_t length)
{
	receive(at == CALLID_SERVER ? at_server : at_client);
	assert_int_equal(ntohl(got.ip.saddr), legs[at].proxy_addr);
	assert_int_equal(ntohl(got.ip.daddr), legs[at].peer_addr);
	assert_int_equal(got.ip.protocol, IPPROTO_GRE);
	assert_int_equal(got.ip.tos, tos);
	assert_int_not_equal(got.ip.ttl, TTL_IN - 1);
	assert_int_equal(got.ip.ttl, 64);
	assert_int_equal(ntohs(got.ip.frag_off), 0);
	assert_int_equal(got.length, length);
	assert_memory_equal(got.octets, octets, length);
}

static void check_nothing_came(int fd)
{
	uint8_t octets[64];
	assert_int_equal(recv(fd, octets, sizeof(octets), MSG_DONTWAIT), -1);
	assert_int_equal(errno, EAGAIN);
}

/* ---- what passes ---- */

struct golden {
	const char *description;
	uint8_t tos;
	size_t length;
	uint8_t octets[40];
};

/* clang-format off */
static const struct golden packets[] = {
    {"data with both numbers", 0x00, 20, {
	0x30, 0x81, 0x88, 0x0B, /* K S A, Ver=1 */
	0x00, 0x04,             /* Payload Length: 4 */
	0x00, 0x00,             /* Call ID: filled in */
	    0x12, 0x34, 0x56, 0x78, /* Sequence Number */
	    0x9A, 0xBC, 0xDE, 0xF0, /* Acknowledgment Number */
	    0xFF, 0x03, 0xC0, 0x21, /* PPP */
    }},
    {"data, expedited (EF), ECN-capable (ECT(1))", 0xB9, 16, {
	0x30, 0x01, 0x88, 0x0B, /* K S, Ver=1 */
	0x00, 0x04,             /* Payload Length: 4 */
	0x00, 0x00,             /* Call ID */
	    0x00, 0x00, 0x00, 0x00, /* Sequence Number: 0 */
	    0xFF, 0x03, 0xC0, 0x21, /* PPP */
    }},
    {"an acknowledgement only, congestion experienced", 0x03, 12, {
	0x20, 0x81, 0x88, 0x0B, /* K A, Ver=1 */
	0x00, 0x00,             /* Payload Length: 0 */
	0x00, 0x00,             /* Call ID */
	    0xFF, 0xFF, 0xFF, 0xFF, /* Acknowledgment Number */
    }},
    {"an acknowledgement only, with padding behind it", 0x02, 32, {
	0x20, 0x81, 0x88, 0x0B, /* K A, Ver=1 */
	0x00, 0x00,             /* Payload Length: 0 */
	0x00, 0x00,             /* Call ID */
	    0x00, 0x00, 0x00, 0x07, /* Acknowledgment Number */
	    0x55, 0x55, 0x55, 0x55,
    }},
    {"nothing but a header", 0xFF, 8, {
	0x20, 0x01, 0x88, 0x0B, /* K, Ver=1 */
	0x00, 0x00,             /* Payload Length: 0 */
	0x00, 0x00,             /* Call ID */
    }},
    {"unmarked again, behind a marked one", 0x00, 8, {
	0x20, 0x01, 0x88, 0x0B, /* K, Ver=1 */
	0x00, 0x00,             /* Payload Length: 0 */
	0x00, 0x00,             /* Call ID */
    }},
    {"marked again, behind an unmarked one", 0x28, 8, {
	0x20, 0x01, 0x88, 0x0B, /* K, Ver=1 */
	0x00, 0x00,             /* Payload Length: 0 */
	0x00, 0x00,             /* Call ID */
    }},
};
/* clang-format on */

static void packets_pass_with_the_call_id_rewritten(void **state)
{
	(void)state;
	NEEDS_NAMESPACE();
	uint16_t shown[2];
	const uint16_t own[2] = {CLIENT_ID, SERVER_ID};
	callid_ref call = open_call(&shown[SERVER], &shown[CLIENT]);
	open_relay();
	start_relay();
	for (size_t i = 0; i < 2 * COUNT(packets); i++) {
		const struct golden *packet = &packets[i / 2];
		enum callid_side from = i % 2 ? SERVER : CLIENT, to = callid_other(from);
		uint8_t in[40], out[40];
		memcpy(in, packet->octets, sizeof(in));
		memcpy(out, packet->octets, sizeof(out));
		put_call_id(in, shown[from]);
		put_call_id(out, own[to]);
		inject(legs[from].peer_addr, legs[from].proxy_addr, packet->tos, in,
		       packet->length);
		check_received(to, packet->tos, out, packet->length);
	}
	uint64_t each = COUNT(packets);
	wait_for((struct gre_totals){
	    .received = 4 * each, .sent = 2 * each, .drops = {[REASON_NO_CALL] = 2 * each}});
	struct callid_info info;
	assert_true(callid_db_get(db, call, &info));
	for (int side = 0; side < 2; side++) {
		assert_int_equal(info.from[side].packets, each);
		assert_int_equal(info.from[side].octets, each * 20 + 20 + 16 + 12 + 32 + 8 + 8 + 8);
		assert_int_equal(info.from[side].drops, 0);
		assert_int_not_equal(info.from[side].seen_at, 0);
	}
}

/* More than one batch, all there before the thread starts. */
static void a_burst_keeps_its_order(void **state)
{
	(void)state;
	NEEDS_NAMESPACE();
	uint16_t to_server, to_client;
	open_call(&to_server, &to_client);
	open_relay();
	for (unsigned i = 0; i < 250; i++)
		inject_data(CLIENT, to_client, (uint8_t)i);
	start_relay();
	for (unsigned i = 0; i < 250; i++) {
		receive(at_server);
		assert_int_equal(got.octets[11], i);
	}
	wait_for(
	    (struct gre_totals){.received = 500, .sent = 250, .drops = {[REASON_NO_CALL] = 250}});
}

/* ---- sizes ---- */

enum { LARGE = 1400, SMALL_MTU = 576 };

static void make_large(uint8_t octets[LARGE], uint16_t call_id)
{
	for (size_t i = 0; i < LARGE; i++)
		octets[i] = (uint8_t)(i * 13);
	memcpy(octets, "\x30\x01\x88\x0B", 4);
	octets[4] = (LARGE - 12) >> 8;
	octets[5] = (LARGE - 12) & 0xFF;
	put_call_id(octets, call_id);
}

/* Fragments that left, seen on the wire, between the proxy's address and the server's. */
static unsigned count_fragments(size_t mtu)
{
	unsigned count = 0;
	uint8_t octets[2048];
	struct sockaddr_ll link;
	socklen_t size = sizeof(link);
	ssize_t length;
	while ((length = recvfrom(on_wire, octets, sizeof(octets), MSG_DONTWAIT,
				  (struct sockaddr *)&link, &size)) >= 0) {
		struct iphdr ip;
		memcpy(&ip, octets, sizeof(ip));
		size = sizeof(link);
		if (link.sll_pkttype == PACKET_OUTGOING || ip.protocol != IPPROTO_GRE ||
		    ntohl(ip.saddr) != PROXY_SERVER_ADDR)
			continue;
		assert_true(ntohs(ip.tot_len) <= mtu);
		assert_int_equal(ntohs(ip.frag_off) & IP_DF, 0);
		assert_int_equal(ip.tos, 0xB9);
		count++;
	}
	return count;
}

/* It came whole, DF set, and the way out is narrower. */
static void what_is_too_large_leaves_in_fragments(void **state)
{
	(void)state;
	NEEDS_NAMESPACE();
	uint8_t octets[LARGE];
	uint16_t to_server, to_client;
	open_call(&to_server, &to_client);
	open_relay();
	make_large(octets, to_client);
	inject(CLIENT_ADDR, PROXY_CLIENT_ADDR, 0xB9, octets, LARGE);
	assert_int_equal(set_lo(SIOCSIFMTU, SMALL_MTU), 0);
	start_relay();
	put_call_id(octets, SERVER_ID);
	receive(at_server);
	assert_int_equal(got.length, LARGE);
	assert_memory_equal(got.octets, octets, LARGE);
	assert_int_equal(count_fragments(SMALL_MTU), 3);
	wait_for((struct gre_totals){.received = 2, .sent = 1, .drops = {[REASON_NO_CALL] = 1}});
}

static void fragments_are_put_together_first(void **state)
{
	(void)state;
	NEEDS_NAMESPACE();
	uint8_t octets[LARGE];
	uint16_t to_server, to_client;
	open_call(&to_server, &to_client);
	open_relay();
	start_relay();
	make_large(octets, to_client);
	/* The last one first; offsets are in units of eight octets. */
	inject_fragment(CLIENT_ADDR, PROXY_CLIENT_ADDR, 0, 1000 / 8, octets + 1000, LARGE - 1000);
	inject_fragment(CLIENT_ADDR, PROXY_CLIENT_ADDR, 0, IP_MF, octets, 1000);
	put_call_id(octets, SERVER_ID);
	check_received(SERVER, 0, octets, LARGE);
	wait_for((struct gre_totals){.received = 2, .sent = 1, .drops = {[REASON_NO_CALL] = 1}});
}

/* ---- early packets ---- */

static void held_packets_follow_the_release_in_order(void **state)
{
	(void)state;
	NEEDS_NAMESPACE();
	uint16_t to_server, to_client;
	struct callid_info info;
	callid_ref call = reserve_call(&to_server);
	open_relay();
	start_relay();
	for (uint8_t i = 0; i < 4; i++)
		inject_data(SERVER, to_server, i);
	wait_for((struct gre_totals){.received = 4});
	/* The other way opens first, and what is held stays held. */
	assert_int_equal(callid_db_open(db, call, SERVER_ID, 1, &to_client), 0);
	inject_data(CLIENT, to_client, 77);
	receive(at_server);
	assert_int_equal(got.octets[11], 77);
	for (uint8_t i = 4; i < 8; i++)
		inject_data(SERVER, to_server, i);
	wait_for((struct gre_totals){.received = 10, .sent = 1, .drops = {[REASON_NO_CALL] = 1}});
	check_nothing_came(at_client);
	assert_true(callid_db_get(db, call, &info));
	assert_int_equal(info.from[SERVER].packets, 0);
	assert_int_not_equal(info.from[SERVER].seen_at, 0);

	callid_db_release(db, call);
	inject_data(SERVER, to_server, 8);
	for (uint8_t i = 0; i < 9; i++) {
		uint8_t want[24] = {
		    0x30, 0x01, 0x88, 0x0B, 0x00, 0x0C, CLIENT_ID >> 8, CLIENT_ID & 0xFF,
		    0,	  0,	0,    i,    0xFF, 0x03, 0xC0,		0x21};
		check_received(CLIENT, 0, want, sizeof(want));
	}
	wait_for((struct gre_totals){.received = 20, .sent = 10, .drops = {[REASON_NO_CALL] = 10}});
	assert_true(callid_db_get(db, call, &info));
	assert_int_equal(info.from[SERVER].packets, 9);
	assert_int_equal(info.from[SERVER].octets, 9 * 44);
	assert_int_equal(info.from[SERVER].drops, 0);
}

/* Another table and another relay on the same memory and sockets, as another process has them. */
static void open_next(struct kept **kept, int fd, const struct gre_socket *sockets)
{
	struct why why = {""};
	struct gre_socket ours = {dup(sockets->receive_fd), dup(sockets->send_fd),
				  sockets->receive_buffer};
	gre_relay_close(relay);
	callid_db_free(db);
	kept_close(*kept);
	*kept = kept_open(fd, &why);
	db = callid_db_new(*kept);
	struct gre_relay_config config = {.db = db, .kept = *kept, .sockets = &ours};
	relay = gre_relay_open(&config, &why);
	if (!relay)
		fail_msg("%s", why.text);
}

static void the_next_process_sends_held_packets(void **state)
{
	(void)state;
	NEEDS_NAMESPACE();
	struct why why = {""};
	struct kept *kept = NULL;
	struct gre_socket sockets;
	uint16_t to_server, to_client;
	int fd = kept_create(&why);

	assert_int_equal(gre_socket_open(&sockets, &why), 0);
	open_next(&kept, fd, &sockets);
	callid_ref call = reserve_call(&to_server);
	start_relay();
	for (uint8_t i = 0; i < 4; i++)
		inject_data(SERVER, to_server, i);
	wait_for((struct gre_totals){.received = 4});
	open_next(&kept, fd, &sockets);
	/* While no thread looks. */
	assert_int_equal(callid_db_open(db, call, SERVER_ID, 1, &to_client), 0);
	callid_db_release(db, call);
	inject_data(SERVER, to_server, 4);
	open_next(&kept, fd, &sockets);
	start_relay();
	for (uint8_t i = 0; i < 5; i++) {
		receive(at_client);
		assert_int_equal(got.octets[11], i);
	}
	wait_for((struct gre_totals){.received = 10, .sent = 5, .drops = {[REASON_NO_CALL] = 5}});
	gre_relay_close(relay);
	relay = NULL;
	callid_db_free(db);
	db = NULL;
	kept_close(kept);
	close(fd);
	gre_socket_close(&sockets);
}

static void held_packets_keep_their_tos(void **state)
{
	(void)state;
	NEEDS_NAMESPACE();
	uint8_t octets[12] = {0x20, 0x81, 0x88, 0x0B};
	uint16_t to_server, to_client;
	callid_ref call = reserve_call(&to_server);
	open_relay();
	start_relay();
	put_call_id(octets, to_server);
	uint64_t start = now_ms();
	inject(SERVER_ADDR, PROXY_SERVER_ADDR, 0xB9, octets, sizeof(octets));
	wait_for((struct gre_totals){.received = 1});
	assert_int_equal(callid_db_open(db, call, SERVER_ID, 1, &to_client), 0);
	callid_db_release(db, call);
	put_call_id(octets, CLIENT_ID);
	check_received(CLIENT, 0xB9, octets, sizeof(octets));
	/* The release woke the thread; it did not wait for the packet to become stale. */
	assert_true(now_ms() - start < GRE_HOLD_MS);
}

/* Waits until whatever was injected has gone one way or the other, and what was sent come back. */
static void wait_until_idle(uint64_t injected)
{
	struct gre_totals totals;
	uint64_t end = now_ms() + DEADLINE_MS;
	gre_relay_totals(relay, &totals);
	while (totals.received != injected + totals.sent && now_ms() < end) {
		poll(NULL, 0, 1);
		gre_relay_totals(relay, &totals);
	}
	assert_int_equal(totals.received, injected + totals.sent);
}

/* The release comes in the middle of a stream: whatever else of it was dropped, what arrives is in
 * order, the held ones first. */
static void no_packet_overtakes_a_held_one(void **state)
{
	(void)state;
	NEEDS_NAMESPACE();
	enum { ROUNDS = 30, PACKETS = 240 };
	open_relay();
	start_relay();
	for (unsigned round = 1; round <= ROUNDS; round++) {
		uint16_t to_server, to_client;
		callid_ref call = reserve_call(&to_server);
		assert_int_equal(callid_db_open(db, call, SERVER_ID, 1, &to_client), 0);
		for (unsigned i = 0; i < PACKETS; i++) {
			if (i == PACKETS / 2)
				callid_db_release(db, call);
			inject_data(SERVER, to_server, (uint8_t)i);
		}
		wait_until_idle((uint64_t)round * PACKETS);
		for (uint8_t i = 0; i < GRE_HOLD_A_CALL; i++) {
			receive(at_client);
			assert_int_equal(got.octets[11], i);
		}
		uint8_t last = GRE_HOLD_A_CALL - 1;
		while (last != PACKETS - 1) {
			receive(at_client);
			assert_true(got.octets[11] > last);
			last = got.octets[11];
		}
		callid_db_end(db, call, 1, NULL);
	}
}

static void one_held_packet_too_many(void **state)
{
	(void)state;
	NEEDS_NAMESPACE();
	uint16_t to_server, to_client;
	struct callid_info info;
	callid_ref call = reserve_call(&to_server);
	open_relay();
	start_relay();
	for (uint8_t i = 0; i < GRE_HOLD_A_CALL + 3; i++)
		inject_data(SERVER, to_server, i);
	wait_for(
	    (struct gre_totals){.received = GRE_HOLD_A_CALL + 3, .drops = {[REASON_EARLY] = 3}});
	assert_int_equal(callid_db_open(db, call, SERVER_ID, 1, &to_client), 0);
	callid_db_release(db, call);
	for (uint8_t i = 0; i < GRE_HOLD_A_CALL; i++) {
		receive(at_client);
		assert_int_equal(got.octets[11], i);
	}
	assert_true(callid_db_get(db, call, &info));
	assert_int_equal(info.from[SERVER].drops, 3);
	assert_int_equal(info.from[SERVER].packets, GRE_HOLD_A_CALL);
}

static void fewer_are_held_where_it_is_said(void **state)
{
	(void)state;
	NEEDS_NAMESPACE();
	uint16_t to_server;
	reserve_call(&to_server);
	open_relay();
	gre_relay_set_early_max(relay, 2);
	start_relay();
	for (uint8_t i = 0; i < 5; i++)
		inject_data(SERVER, to_server, i);
	wait_for((struct gre_totals){.received = 5, .drops = {[REASON_EARLY] = 3}});
}

/* The Reply takes longer than a second, or never comes: nothing else has to happen. */
static void held_packets_become_stale(void **state)
{
	(void)state;
	NEEDS_NAMESPACE();
	uint16_t to_server, to_client;
	struct callid_info info;
	callid_ref call = reserve_call(&to_server);
	open_relay();
	start_relay();
	uint64_t start = now_ms();
	for (uint8_t i = 0; i < 3; i++)
		inject_data(SERVER, to_server, i);
	wait_for((struct gre_totals){.received = 3, .drops = {[REASON_EARLY] = 3}});
	assert_true(now_ms() - start >= GRE_HOLD_MS - 1);
	assert_true(callid_db_get(db, call, &info));
	assert_int_equal(info.from[SERVER].drops, 3);
	assert_int_equal(callid_db_open(db, call, SERVER_ID, 1, &to_client), 0);
	callid_db_release(db, call);
	inject_data(SERVER, to_server, 9);
	receive(at_client);
	assert_int_equal(got.octets[11], 9);
}

static void held_packets_end_with_their_call(void **state)
{
	(void)state;
	NEEDS_NAMESPACE();
	uint16_t to_server;
	callid_ref call = reserve_call(&to_server);
	open_relay();
	start_relay();
	for (uint8_t i = 0; i < 3; i++)
		inject_data(SERVER, to_server, i);
	wait_for((struct gre_totals){.received = 3});
	uint64_t start = now_ms();
	callid_db_end(db, call, start, NULL);
	wait_for((struct gre_totals){.received = 3, .drops = {[REASON_EARLY] = 3}});
	/* At once, not when they have become stale. */
	assert_true(now_ms() - start < GRE_HOLD_MS);
	inject_data(SERVER, to_server, 4);
	wait_for((struct gre_totals){.received = 4,
				     .drops = {[REASON_EARLY] = 3, [REASON_NO_CALL] = 1}});
	check_nothing_came(at_client);
}

/* ---- what is dropped ---- */

/* clang-format off */
static const struct golden truncated[] = {
    {"four octets", 0, 4, {0x20, 0x01, 0x88, 0x0B}},
    {"seven octets", 0, 7, {0x20, 0x01, 0x88, 0x0B, 0x00, 0x00, 0x12}},
    {"A, but no acknowledgement number", 0, 11, {0x20, 0x81, 0x88, 0x0B}},
    {"payload length one too large", 0, 16, {
	0x30, 0x01, 0x88, 0x0B,
	0x00, 0x05, /* Payload Length: 5, but 4 follow */
    }},
};
/* Stopped in the kernel: the thread never wakes for them. */
static const struct golden strangers[] = {
    {"three octets", 0, 3, {0x20, 0x01, 0x88}},
    {"plain GRE", 0, 28, {0x00, 0x00, 0x08, 0x00, 0x45}},
    {"version 0", 0, 16, {0x30, 0x00, 0x88, 0x0B}},
    {"a checksum", 0, 16, {0xB0, 0x01, 0x88, 0x0B}},
    {"no key", 0, 16, {0x10, 0x01, 0x88, 0x0B}},
    {"a flag bit", 0, 16, {0x30, 0x09, 0x88, 0x0B}},
    {"another protocol type", 0, 16, {0x30, 0x01, 0x08, 0x00}},
};
/* clang-format on */

static void drops_are_counted_by_reason(void **state)
{
	(void)state;
	NEEDS_NAMESPACE();
	uint16_t to_server, to_client;
	callid_ref call = open_call(&to_server, &to_client);
	open_relay();
	start_relay();
	struct gre_totals want = {0};
	for (size_t i = 0; i < COUNT(truncated); i++) {
		uint8_t octets[40];
		memcpy(octets, truncated[i].octets, sizeof(octets));
		if (truncated[i].length > 8)
			put_call_id(octets, to_client);
		inject_from(CLIENT, octets, truncated[i].length);
		want.received++;
		want.drops[REASON_TRUNCATED]++;
	}
	for (size_t i = 0; i < COUNT(strangers); i++) {
		uint8_t octets[40];
		memcpy(octets, strangers[i].octets, sizeof(octets));
		if (strangers[i].length > 8)
			put_call_id(octets, to_client);
		inject_from(CLIENT, octets, strangers[i].length);
	}
	wait_for(want);

	/* No such call: another ID, another address of ours. Wrong source: a stranger's, the other
	 * side's. */
	inject_data(CLIENT, (uint16_t)(to_client + 1), 0);
	uint8_t octets[12] = {0x20, 0x81, 0x88, 0x0B};
	put_call_id(octets, to_client);
	inject(STRANGER_ADDR, PROXY_CLIENT_ADDR, 0, octets, sizeof(octets));
	inject(CLIENT_ADDR, PROXY_SERVER_ADDR, 0, octets, sizeof(octets));
	inject(SERVER_ADDR, PROXY_CLIENT_ADDR, 0, octets, sizeof(octets));
	want.received += 4;
	want.drops[REASON_NO_CALL] += 2;
	want.drops[REASON_WRONG_SOURCE] += 2;
	wait_for(want);

	/* The same packet in the right place, and again after the call's end. */
	inject(CLIENT_ADDR, PROXY_CLIENT_ADDR, 0, octets, sizeof(octets));
	receive(at_server);
	want.received += 2;
	want.sent += 1;
	want.drops[REASON_NO_CALL] += 1;
	wait_for(want);
	struct callid_info info;
	assert_true(callid_db_get(db, call, &info));
	assert_int_equal(info.from[CLIENT].packets, 1);
	assert_int_equal(info.from[CLIENT].drops, 0);
	callid_db_end(db, call, 2, NULL);
	inject(CLIENT_ADDR, PROXY_CLIENT_ADDR, 0, octets, sizeof(octets));
	want.received += 1;
	want.drops[REASON_NO_CALL] += 1;
	wait_for(want);
	check_nothing_came(at_server);
	check_nothing_came(at_client);
}

/* No way to that server: its packets are lost, one by one, the others of the batch are not. */
static void a_send_error_is_a_counted_drop(void **state)
{
	(void)state;
	NEEDS_NAMESPACE();
	struct callid_request request = {
	    .legs = {legs[0], {PROXY_SERVER_ADDR, 0xC6336401}}, /* 198.51.100.1 */
	    .caller = CALLID_CLIENT,
	    .caller_id = 0x5555,
	};
	uint16_t to_server, to_client, ignored, to_lost;
	callid_ref call = open_call(&to_server, &to_client);
	callid_ref lost = callid_db_reserve(db, &request, 1, &ignored);
	assert_int_equal(callid_db_open(db, lost, 0x6666, 1, &to_lost), 0);
	open_relay();
	inject_data(CLIENT, to_lost, 0);
	inject_data(CLIENT, to_client, 1);
	inject_data(CLIENT, to_lost, 2);
	inject_data(CLIENT, to_lost, 3);
	inject_data(CLIENT, to_client, 4);
	inject_data(CLIENT, to_lost, 5);
	start_relay();
	receive(at_server);
	assert_int_equal(got.octets[11], 1);
	receive(at_server);
	assert_int_equal(got.octets[11], 4);
	wait_for((struct gre_totals){
	    .received = 8,
	    .sent = 2,
	    .drops = {[REASON_SEND_ERROR] = 4, [REASON_NO_CALL] = 2},
	});
	struct callid_info info;
	assert_true(callid_db_get(db, lost, &info));
	assert_int_equal(info.from[CLIENT].packets, 4);
	assert_int_equal(info.from[CLIENT].drops, 4);
	assert_true(callid_db_get(db, call, &info));
	assert_int_equal(info.from[CLIENT].drops, 0);
	/* The thread goes on. */
	inject_data(CLIENT, to_client, 6);
	receive(at_server);
	assert_int_equal(got.octets[11], 6);
}

/* An address that is not this host's cannot be asked for. */
static void a_source_that_is_gone_is_a_send_error(void **state)
{
	(void)state;
	NEEDS_NAMESPACE();
	struct callid_request request = {
	    .legs = {legs[0], {0xC6336401, SERVER_ADDR}},
	    .caller = CALLID_CLIENT,
	    .caller_id = 0x5555,
	};
	uint16_t ignored, to_client;
	callid_ref call = callid_db_reserve(db, &request, 1, &ignored);
	assert_int_equal(callid_db_open(db, call, 0x6666, 1, &to_client), 0);
	open_relay();
	start_relay();
	inject_data(CLIENT, to_client, 0);
	wait_for((struct gre_totals){.received = 1, .drops = {[REASON_SEND_ERROR] = 1}});
	check_nothing_came(at_server);
}

/* No packet that comes is too large for what leaves: an interface or a tunnel may say so. */
static void what_the_way_out_does_not_take(void **state)
{
	(void)state;
	NEEDS_NAMESPACE();
	uint16_t to_server, to_client;
	callid_ref call = open_call(&to_server, &to_client);
	open_relay();
	send_error = EMSGSIZE;
	start_relay();
	inject_data(CLIENT, to_client, 0);
	wait_for((struct gre_totals){.received = 1, .drops = {[REASON_TOO_LARGE] = 1}});
	inject_data(CLIENT, to_client, 1);
	receive(at_server);
	assert_int_equal(got.octets[11], 1);
	struct callid_info info;
	assert_true(callid_db_get(db, call, &info));
	assert_int_equal(info.from[CLIENT].drops, 1);
}

/* ---- the guard ---- */

static unsigned protocol_unreachables(void)
{
	unsigned count = 0;
	uint8_t octets[256];
	ssize_t length;
	while ((length = recv(icmp, octets, sizeof(octets), MSG_DONTWAIT)) >= 28)
		count += octets[20] == ICMP_DEST_UNREACH && octets[21] == ICMP_PROT_UNREACH;
	return count;
}

/* Linux answers GRE that nobody takes with ICMP, which ends a call: never while we are there, were
 * our buffer full and the thread asleep. */
static void no_icmp_while_the_sockets_are_open(void **state)
{
	(void)state;
	NEEDS_NAMESPACE();
	inject_data(CLIENT, 1, 0);
	assert_int_equal(protocol_unreachables(), 1);

	open_relay();
	uint8_t plain[28] = {0x00, 0x00, 0x08, 0x00, 0x45};
	inject_from(CLIENT, plain, sizeof(plain));
	static uint8_t large[32768];
	make_large(large, 1);
	for (int i = 0; i < 1000; i++)
		inject_from(CLIENT, large, sizeof(large)); /* 32 MB */
	assert_int_equal(protocol_unreachables(), 0);
	/* It was full indeed: not all of them are there. */
	start_relay();
	struct gre_totals totals;
	uint64_t last = 0, end = now_ms() + DEADLINE_MS;
	for (gre_relay_totals(relay, &totals);
	     totals.received != last || (last == 0 && now_ms() < end);
	     gre_relay_totals(relay, &totals)) {
		last = totals.received;
		poll(NULL, 0, 20);
	}
	assert_in_range(totals.received, 1, 999);
	gre_relay_close(relay);
	relay = NULL;
	inject_data(CLIENT, 1, 0);
	assert_int_equal(protocol_unreachables(), 1);
}

/* ---- life and death ---- */

static void closing_in_any_state(void **state)
{
	(void)state;
	NEEDS_NAMESPACE();
	uint16_t to_server;
	gre_relay_close(NULL);
	open_relay();
	gre_relay_close(relay);
	callid_db_free(db);

	db = callid_db_new(NULL);
	open_relay();
	start_relay();
	gre_relay_close(relay);
	callid_db_free(db);

	/* With packets held, and packets unread. */
	db = callid_db_new(NULL);
	reserve_call(&to_server);
	open_relay();
	start_relay();
	for (uint8_t i = 0; i < 5; i++)
		inject_data(SERVER, to_server, i);
	wait_for((struct gre_totals){.received = 5});
	for (uint8_t i = 0; i < 200; i++)
		inject_data(SERVER, to_server, i);
	gre_relay_close(relay);
	relay = NULL;
}

enum { DESCRIPTORS_MAX = 256 };

static void no_descriptor_is_left(void **state)
{
	(void)state;
	NEEDS_NAMESPACE();
	bool before[DESCRIPTORS_MAX];
	unsigned ours = 0;
	for (int fd = 0; fd < DESCRIPTORS_MAX; fd++)
		before[fd] = fcntl(fd, F_GETFD) >= 0;
	open_relay();
	for (int fd = 0; fd < DESCRIPTORS_MAX; fd++) {
		int flags = fcntl(fd, F_GETFD);
		if (flags < 0 || before[fd])
			continue;
		assert_true(flags & FD_CLOEXEC);
		assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
		ours++;
	}
	assert_int_equal(ours, 3);
	gre_relay_close(relay);
	relay = NULL;
	for (int fd = 0; fd < DESCRIPTORS_MAX; fd++)
		assert_int_equal(fcntl(fd, F_GETFD) >= 0, before[fd]);
}

static void no_right_is_said_so(void **state)
{
	(void)state;
	pid_t child = fork();
	if (child == 0) {
		struct why why = {""};
		struct callid_db *table = callid_db_new(NULL);
		/* Another user, or a user namespace that does not own the network's. */
		bool dropped = geteuid() == 0 ? setresuid(65534, 65534, 65534) == 0
					      : no_right[0] || unshare(CLONE_NEWUSER) == 0;
		if (!dropped)
			_exit(77);
		if (gre_relay_open(&(struct gre_relay_config){.db = table}, &why))
			_exit(1);
		_exit(strstr(why.text, "CAP_NET_RAW") ? 0 : 2);
	}
	int status;
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == 77) {
		print_message("# skipped: the right cannot be given up here\n");
		skip();
	}
	assert_int_equal(WEXITSTATUS(status), 0);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    CASE(packets_pass_with_the_call_id_rewritten),
	    CASE(a_burst_keeps_its_order),
	    CASE(what_is_too_large_leaves_in_fragments),
	    CASE(fragments_are_put_together_first),
	    CASE(held_packets_follow_the_release_in_order),
	    CASE(the_next_process_sends_held_packets),
	    CASE(held_packets_keep_their_tos),
	    CASE(no_packet_overtakes_a_held_one),
	    CASE(one_held_packet_too_many),
	    CASE(fewer_are_held_where_it_is_said),
	    CASE(held_packets_become_stale),
	    CASE(held_packets_end_with_their_call),
	    CASE(drops_are_counted_by_reason),
	    CASE(a_send_error_is_a_counted_drop),
	    CASE(a_source_that_is_gone_is_a_send_error),
	    CASE(what_the_way_out_does_not_take),
	    CASE(no_icmp_while_the_sockets_are_open),
	    CASE(closing_in_any_state),
	    CASE(no_descriptor_is_left),
	    cmocka_unit_test(no_right_is_said_so),
	};
	return cmocka_run_group_tests_name("gre_relay", tests, set_up_group, tear_down_group) != 0;
}
