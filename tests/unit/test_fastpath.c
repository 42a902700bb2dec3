/*
 * The fast path as a whole, in a namespace of the test's own: calls come and go in the table, and
 * packets show what becomes of them. "client" and "server" are devices whose other ends it is
 * attached to.
 */
#include "fastpath/fastpath.h"

#include "host/monotonic.h"
#include "tests/unit/own_net.h"
#include <arpa/inet.h>
#include <net/ethernet.h>
#include <netinet/ip.h>
#include <netpacket/packet.h>
#include <poll.h>
#include <setjmp.h>
#include <stddef.h>
#include <sys/socket.h>

#include <cmocka.h>

enum { GRE_SIZE = 12, IP_SIZE = 20 + GRE_SIZE, FRAME_SIZE = 14 + IP_SIZE, PROTOCOL_GRE = 47 };

static const struct callid_leg legs[2] = {{OWN_NET_INSIDE, OWN_NET_CLIENT},
					  {OWN_NET_OUTSIDE, OWN_NET_SERVER}};
static struct callid_db *db;
static struct fastpath *fastpath;
static int at[2] = {-1, -1}; /* the ends' devices */

struct call {
	callid_ref ref;
	uint16_t id[2], shown[2]; /* by side; as in callid_info */
};

/* ---- around it ---- */

static int open_end(const char *device)
{
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, htons(ETHERTYPE_IP));
	struct sockaddr_ll name = {
	    .sll_family = AF_PACKET,
	    .sll_protocol = htons(ETHERTYPE_IP),
	    .sll_ifindex = (int)if_nametoindex(device),
	};
	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&name, sizeof(name)), 0);
	return fd;
}

static int open_with(enum fastpath_mode mode, uint32_t listen, struct why *why)
{
	static const uint32_t peers[] = {OWN_NET_SERVER};
	struct fastpath_config config = {
	    .db = db,
	    .mode = mode,
	    .listen_addrs = &listen,
	    .listen_count = 1,
	    .peer_addrs = peers,
	    .peer_count = listen == OWN_NET_INSIDE,
	};
	return fastpath_open(&fastpath, &config, why);
}

static int cannot(const struct why *reason)
{
	print_message("# %s\n", reason->text);
	return -1;
}

static int set_up(void **state)
{
	struct why why;
	(void)state;
	db = callid_db_new(NULL);
	if (own_net_lacks[0])
		return 0;
	if (open_with(FASTPATH_GENERIC, OWN_NET_INSIDE, &why) != 0)
		return cannot(&why);
	at[CALLID_CLIENT] = open_end("client");
	at[CALLID_SERVER] = open_end("server");
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	for (int side = 0; side < 2; side++) {
		if (at[side] >= 0)
			close(at[side]);
		at[side] = -1;
	}
	fastpath_close(fastpath);
	fastpath = NULL;
	callid_db_free(db);
	return 0;
}

/* ---- calls ---- */

static struct call reserve(uint16_t client_id, uint16_t server_id)
{
	struct callid_request request = {.caller = CALLID_CLIENT, .caller_id = client_id};
	struct call call = {.id = {client_id, server_id}};
	memcpy(request.legs, legs, sizeof(legs));
	call.ref = callid_db_reserve(db, &request, monotonic_ms(), &call.shown[CALLID_SERVER]);
	assert_true(call.ref != 0);
	return call;
}

static void open_call(struct call *call)
{
	assert_int_equal(callid_db_open(db, call->ref, call->id[CALLID_SERVER], monotonic_ms(),
					&call->shown[CALLID_CLIENT]),
			 0);
}

static struct call make_call(uint16_t client_id, uint16_t server_id)
{
	struct call call = reserve(client_id, server_id);
	open_call(&call);
	callid_db_release(db, call.ref);
	return call;
}

/* ---- packets ---- */

static uint16_t sum_of(const uint8_t *octets, size_t length)
{
	uint32_t sum = 0;
	for (size_t i = 0; i < length; i += 2)
		sum += (uint32_t)octets[i] << 8 | octets[i + 1];
	while (sum >> 16)
		sum = (sum & 0xFFFF) + (sum >> 16);
	return (uint16_t)sum;
}

static void send_from(enum callid_side side, uint16_t call_id)
{
	uint8_t frame[FRAME_SIZE] = {0};
	bool client = side == CALLID_CLIENT;
	struct iphdr ip = {
	    .version = 4,
	    .ihl = 5,
	    .tot_len = htons(IP_SIZE),
	    .ttl = 9,
	    .protocol = PROTOCOL_GRE,
	    .saddr = htonl(legs[side].peer_addr),
	    .daddr = htonl(legs[side].proxy_addr),
	};
	const uint8_t gre[GRE_SIZE] = {0x30, 0x01, 0x88, 0x0B, 0, 0, call_id >> 8, call_id & 0xFF};

	memcpy(frame, client ? own_net_inside_mac : own_net_outside_mac, OWN_NET_MAC);
	memcpy(frame + 6, client ? own_net_client_mac : own_net_server_mac, OWN_NET_MAC);
	frame[12] = 0x08;
	ip.check = htons((uint16_t)~sum_of((const uint8_t *)&ip, sizeof(ip)));
	memcpy(frame + 14, &ip, sizeof(ip));
	memcpy(frame + 34, gre, sizeof(gre));
	assert_int_equal(send(at[side], frame, sizeof(frame), 0), sizeof(frame));
}

/* The packet that comes out for the other end: its call ID, or -1 if none does. */
static int arrives_at(enum callid_side side)
{
	uint8_t frame[FRAME_SIZE + 1];
	struct sockaddr_ll from;
	socklen_t size = sizeof(from);
	struct pollfd fd = {at[side], POLLIN, 0};
	while (poll(&fd, 1, 20) > 0) {
		ssize_t length =
		    recvfrom(at[side], frame, sizeof(frame), 0, (struct sockaddr *)&from, &size);
		if (length != FRAME_SIZE || from.sll_pkttype == PACKET_OUTGOING ||
		    frame[23] != PROTOCOL_GRE)
			continue;
		struct iphdr ip;
		memcpy(&ip, frame + 14, sizeof(ip));
		assert_int_equal(ntohl(ip.saddr), legs[side].proxy_addr);
		assert_int_equal(ntohl(ip.daddr), legs[side].peer_addr);
		assert_int_equal(sum_of(frame + 14, sizeof(ip)), 0xFFFF);
		return frame[40] << 8 | frame[41];
	}
	return -1;
}

static bool carries(const struct call *call, enum callid_side from)
{
	enum callid_side to = callid_other(from);
	send_from(from, call->shown[from]);
	int arrived = arrives_at(to);
	assert_true(arrived == -1 || arrived == call->id[to]);
	return arrived == call->id[to];
}

static struct callid_info info_of(const struct call *call)
{
	struct callid_info info;
	assert_true(callid_db_get(db, call->ref, &info));
	return info;
}

/* ---- opening ---- */

static void off_is_nothing(void **state)
{
	struct why why;
	struct fastpath *none = (void *)state;
	struct fastpath_config config = {.db = db, .mode = FASTPATH_OFF};
	assert_int_equal(fastpath_open(&none, &config, &why), 0);
	assert_null(none);
	fastpath_close(NULL);
}

/* With loopback addresses there is no interface. */
static void what_cannot_be_had(void **state)
{
	static const char *const names[] = {"lo"};
	static const uint32_t loopback = 0x7F000001;
	struct why why;
	(void)state;
	OWN_NET_NEEDED();
	struct fastpath *none = NULL;
	struct fastpath_config config = {
	    .db = db,
	    .mode = FASTPATH_AUTO,
	    .listen_addrs = &loopback,
	    .listen_count = 1,
	};
	assert_int_equal(fastpath_open(&none, &config, &why), 0);
	assert_null(none);
	config.mode = FASTPATH_GENERIC;
	assert_int_equal(fastpath_open(&none, &config, &why), -1);
	assert_string_equal(why.text, "fast path: no interface that calls would use");
	assert_null(none);
	config.mode = FASTPATH_AUTO;
	config.interfaces = names;
	config.interface_count = 1;
	assert_int_equal(fastpath_open(&none, &config, &why), -1);
	assert_string_equal(why.text, "fast path: --fastpath-interface lo: not for the loopback");
}

/* ---- a call's life ---- */

static void only_released_calls_are_carried(void **state)
{
	(void)state;
	OWN_NET_NEEDED();
	struct call other = make_call(5, 7), call = reserve(5, 7);
	assert_int_not_equal(call.shown[CALLID_SERVER], 5);
	OWN_NET_WAIT(carries(&other, CALLID_CLIENT));
	OWN_NET_WAIT(carries(&other, CALLID_SERVER));
	assert_false(carries(&call, CALLID_SERVER));
	open_call(&call);
	assert_int_not_equal(call.shown[CALLID_CLIENT], 7);
	assert_false(carries(&call, CALLID_CLIENT));
	assert_false(carries(&call, CALLID_SERVER));
	callid_db_release(db, call.ref);
	OWN_NET_WAIT(carries(&call, CALLID_CLIENT));
	OWN_NET_WAIT(carries(&call, CALLID_SERVER));
	assert_true(callid_db_end(db, call.ref, monotonic_ms(), NULL));
	assert_false(carries(&call, CALLID_CLIENT));
	assert_false(carries(&call, CALLID_SERVER));
	assert_true(carries(&other, CALLID_CLIENT));
}

/* What the raw way holds at that moment must leave first. */
static void a_new_call_starts_on_the_raw_way(void **state)
{
	(void)state;
	OWN_NET_NEEDED();
	struct call other = make_call(5, 7);
	OWN_NET_WAIT(carries(&other, CALLID_SERVER)); /* the hops are known */
	int raw = 0;
	for (uint16_t id = 10; id < 15; id++) {
		struct call call = make_call(id, id);
		raw += !carries(&call, CALLID_SERVER);
		OWN_NET_WAIT(carries(&call, CALLID_SERVER));
	}
	assert_true(raw > 0); /* we may have been held up for that long, but not each time */
}

static void call_that_never_opened(void **state)
{
	(void)state;
	OWN_NET_NEEDED();
	struct call call = reserve(5, 7);
	struct callid_info last;
	assert_true(callid_db_end(db, call.ref, monotonic_ms(), &last));
	assert_int_equal(fastpath_carried(fastpath), 0);
}

/* ---- counters ---- */

static uint64_t carry(const struct call *call, enum callid_side from, unsigned count)
{
	uint64_t carried = 0;
	for (unsigned i = 0; i < count; i++)
		carried += carries(call, from);
	return carried;
}

static void counts_of_both_ways_add_up(void **state)
{
	struct callid_key key = {OWN_NET_INSIDE, OWN_NET_CLIENT, 0};
	struct callid_route route;
	struct callid_info last;
	(void)state;
	OWN_NET_NEEDED();
	struct call call = make_call(5, 7);
	OWN_NET_WAIT(carries(&call, CALLID_CLIENT));
	OWN_NET_WAIT(carries(&call, CALLID_SERVER));
	struct callid_info before = info_of(&call);
	assert_int_equal(before.from[CALLID_CLIENT].packets, 1);
	assert_int_equal(carry(&call, CALLID_CLIENT, 5), 5);
	assert_int_equal(carry(&call, CALLID_SERVER, 3), 3);
	/* One by the raw way. */
	key.call_id = call.shown[CALLID_CLIENT];
	callid_db_read_begin(db);
	assert_int_equal(callid_db_route(db, &key, 100, monotonic_ms(), &route), CALLID_ROUTE);
	callid_db_read_end(db);
	struct callid_info after = info_of(&call);
	assert_int_equal(after.from[CALLID_CLIENT].packets, 1 + 5 + 1);
	assert_int_equal(after.from[CALLID_CLIENT].octets, 6 * IP_SIZE + 100);
	assert_int_equal(after.from[CALLID_SERVER].packets, 1 + 3);
	assert_true(callid_db_end(db, call.ref, monotonic_ms(), &last));
	assert_int_equal(last.from[CALLID_CLIENT].packets, 7);
	assert_int_equal(last.from[CALLID_SERVER].packets, 4);
	assert_int_equal(fastpath_carried(fastpath), 10);
}

static void last_seen_is_on_the_tables_clock(void **state)
{
	(void)state;
	OWN_NET_NEEDED();
	struct call call = make_call(5, 7);
	uint64_t before = monotonic_ms();
	OWN_NET_WAIT(carries(&call, CALLID_CLIENT));
	struct callid_info info = info_of(&call);
	/* It counts in ticks, and is up to three of them behind; never ahead. */
	assert_in_range(info.from[CALLID_CLIENT].seen_at, before > 30 ? before - 30 : 0,
			monotonic_ms());
	assert_int_equal(info.from[CALLID_SERVER].seen_at, 0);
}

static void the_next_call_in_a_slot_starts_from_zero(void **state)
{
	(void)state;
	OWN_NET_NEEDED();
	struct call call = make_call(5, 7);
	OWN_NET_WAIT(carries(&call, CALLID_CLIENT));
	uint32_t slot = callid_slot(call.ref);
	callid_db_end(db, call.ref, monotonic_ms(), NULL);
	callid_db_expire(db, monotonic_ms() + CALLID_QUARANTINE_MS + 1);
	bool again = false;
	for (uint16_t id = 10; id < 10 + 2 * CALLID_SLOTS_A_CHUNK && !again; id++) {
		struct call next = make_call(id, id);
		again = callid_slot(next.ref) == slot;
		struct callid_info info = info_of(&next);
		assert_int_equal(info.from[CALLID_CLIENT].packets, 0);
		assert_int_equal(info.from[CALLID_CLIENT].seen_at, 0);
	}
	assert_true(again);
}

static void thousands_of_calls(void **state)
{
	enum { CALLS = 3000 };
	static struct call calls[CALLS];
	(void)state;
	OWN_NET_NEEDED();
	for (uint16_t i = 0; i < CALLS; i++)
		calls[i] = make_call(i, (uint16_t)(i + 1));
	for (int i = 0; i < CALLS; i += 251)
		OWN_NET_WAIT(carries(&calls[i], CALLID_CLIENT));
	for (int i = 0; i < CALLS; i += 2)
		callid_db_end(db, calls[i].ref, monotonic_ms(), NULL);
	for (int i = 251; i < CALLS; i += 502) {
		assert_true(carries(&calls[i], CALLID_CLIENT));
		assert_false(carries(&calls[i - 1], CALLID_CLIENT));
	}
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest cases[] = {
	    CASE(off_is_nothing),
	    CASE(what_cannot_be_had),
	    CASE(only_released_calls_are_carried),
	    CASE(a_new_call_starts_on_the_raw_way),
	    CASE(call_that_never_opened),
	    CASE(counts_of_both_ways_add_up),
	    CASE(last_seen_is_on_the_tables_clock),
	    CASE(the_next_call_in_a_slot_starts_from_zero),
	    CASE(thousands_of_calls),
	};
	own_net_enter_for_xdp();
	return cmocka_run_group_tests(cases, NULL, NULL);
}
