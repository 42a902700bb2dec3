/*
 * The fast path as a whole, in a namespace of the test's own: calls come and go in the table, and
 * packets show what becomes of them; so do workers, and the program itself. "client" and "server"
 * are devices whose other ends it is attached to.
 *
 * For what goes over an exec it runs itself, with a word and the letter's descriptor.
 */
#include "fastpath/fastpath.h"
#include "fastpath/fastpath_keeper.h"
#include "fastpath/fastpath_wanted.h"

#include "host/monotonic.h"
#include "tests/unit/own_net.h"
#include <arpa/inet.h>
#include <bpf/libbpf.h>
#include <dirent.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/if_link.h>
#include <linux/seccomp.h>
#include <net/ethernet.h>
#include <netinet/ip.h>
#include <netpacket/packet.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <cmocka.h>

enum { GRE_SIZE = 12, IP_SIZE = 20 + GRE_SIZE, FRAME_SIZE = 14 + IP_SIZE, PROTOCOL_GRE = 47 };

static const struct callid_leg legs[2] = {{OWN_NET_INSIDE, OWN_NET_CLIENT},
					  {OWN_NET_OUTSIDE, OWN_NET_SERVER}};
static struct callid_db *db;
static struct fastpath_keeper *keeper;
static struct fastpath *fastpath;
static uint64_t carried_before;
static bool later; /* requests are answered when the case says so */
enum { REQUESTS_MAX = 8 };
static struct fastpath_request requests[REQUESTS_MAX]; /* without an answer */
static size_t request_count;
static int at[2] = {-1, -1}; /* the ends' devices */

struct call {
	callid_ref ref;
	uint16_t id[2], shown[2]; /* by side; as in callid_info */
	uint32_t peers;		  /* so far from the usual ones */
	bool opened, released, ended;
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

static void answer(const struct fastpath_request *request)
{
	fastpath_granted(fastpath, request, fastpath_keeper_grant(keeper, request));
}

static void want(void *arg, const struct fastpath_request *request)
{
	(void)arg;
	if (!later) {
		answer(request);
		return;
	}
	assert_true(request_count < REQUESTS_MAX);
	requests[request_count++] = *request;
}

static int open_keeper(enum fastpath_mode mode, uint32_t listen, struct why *why)
{
	static const uint32_t peers[] = {OWN_NET_SERVER};
	struct fastpath_keeper_config config = {
	    .mode = mode,
	    .listen_addrs = &listen,
	    .listen_count = 1,
	    .peer_addrs = peers,
	    .peer_count = listen == OWN_NET_INSIDE,
	};
	return fastpath_keeper_open(&keeper, &config, why);
}

static int open_worker(struct why *why)
{
	static struct fastpath_given given;
	struct fastpath_config config = {
	    .db = db,
	    .given = &given,
	    .want = want,
	    .carried = &carried_before,
	};
	fastpath_keeper_give(keeper, &given);
	return fastpath_open(&fastpath, &config, why);
}

static int set_up(void **state)
{
	struct why why;
	(void)state;
	db = callid_db_new(NULL);
	if (own_net_lacks[0])
		return 0;
	carried_before = request_count = 0;
	later = false;
	if (open_keeper(FASTPATH_GENERIC, OWN_NET_INSIDE, &why) != 0 || open_worker(&why) != 0)
		return OWN_NET_CANNOT(&why);
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
	fastpath_keeper_close(keeper);
	keeper = NULL;
	fastpath_close(fastpath);
	fastpath = NULL;
	callid_db_free(db);
	return 0;
}

/* ---- calls ---- */

static void reserve_call(struct call *call)
{
	struct callid_request request = {.caller = CALLID_CLIENT,
					 .caller_id = call->id[CALLID_CLIENT]};
	memcpy(request.legs, legs, sizeof(legs));
	request.legs[CALLID_CLIENT].peer_addr += call->peers;
	request.legs[CALLID_SERVER].peer_addr += call->peers;
	call->ref = callid_db_reserve(db, &request, monotonic_ms(), &call->shown[CALLID_SERVER]);
	assert_true(call->ref != 0);
}

static struct call reserve(uint16_t client_id, uint16_t server_id)
{
	struct call call = {.id = {client_id, server_id}};
	reserve_call(&call);
	return call;
}

static void open_call(struct call *call)
{
	assert_int_equal(callid_db_open(db, call->ref, call->id[CALLID_SERVER], monotonic_ms(),
					&call->shown[CALLID_CLIENT]),
			 0);
	call->opened = true;
}

static void release_call(struct call *call)
{
	callid_db_release(db, call->ref);
	call->released = true;
}

static struct call make_call_of(uint16_t client_id, uint16_t server_id, uint32_t peers)
{
	struct call call = {.id = {client_id, server_id}, .peers = peers};
	reserve_call(&call);
	open_call(&call);
	release_call(&call);
	return call;
}

static struct call make_call(uint16_t client_id, uint16_t server_id)
{
	return make_call_of(client_id, server_id, 0);
}

static void end_call(struct call *call, struct callid_info *last)
{
	assert_true(callid_db_end(db, call->ref, monotonic_ms(), last));
	call->ended = true;
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
	struct fastpath_keeper *none = (void *)state;
	struct fastpath_keeper_config config = {.mode = FASTPATH_OFF};
	assert_int_equal(fastpath_keeper_open(&none, &config, &why), 0);
	assert_null(none);
	fastpath_keeper_close(NULL);
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
	struct fastpath_keeper *none = NULL;
	struct fastpath_keeper_config config = {
	    .mode = FASTPATH_AUTO,
	    .listen_addrs = &loopback,
	    .listen_count = 1,
	};
	assert_int_equal(fastpath_keeper_open(&none, &config, &why), 0);
	assert_null(none);
	config.mode = FASTPATH_GENERIC;
	assert_int_equal(fastpath_keeper_open(&none, &config, &why), -1);
	assert_string_equal(why.text, "fast path: no interface that calls would use");
	assert_null(none);
	config.mode = FASTPATH_AUTO;
	config.interfaces = names;
	config.interface_count = 1;
	assert_int_equal(fastpath_keeper_open(&none, &config, &why), -1);
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
	assert_true(fastpath_has(fastpath, call.ref));
	assert_int_equal(fastpath_carrying(fastpath), 10);
	assert_true(callid_db_end(db, call.ref, monotonic_ms(), &last));
	assert_false(fastpath_has(fastpath, call.ref));
	assert_int_equal(fastpath_carrying(fastpath), 0);
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

/* ---- room that takes its time ---- */

static void a_call_waits_for_its_room(void **state)
{
	(void)state;
	OWN_NET_NEEDED();
	later = true;
	struct call call = make_call(5, 7), other = make_call(6, 8);
	assert_int_equal(request_count, 3); /* both addresses, one chunk: once each */
	for (size_t i = 0; i < request_count; i++) {
		assert_false(carries(&call, CALLID_CLIENT));
		assert_int_equal(info_of(&call).from[CALLID_CLIENT].packets, 0);
		answer(&requests[i]);
	}
	OWN_NET_WAIT(carries(&call, CALLID_CLIENT));
	OWN_NET_WAIT(carries(&call, CALLID_SERVER));
	OWN_NET_WAIT(carries(&other, CALLID_CLIENT));
	assert_int_equal(info_of(&call).from[CALLID_CLIENT].packets, 1);
	struct call third = make_call(7, 9);
	assert_int_equal(request_count, 3);
	OWN_NET_WAIT(carries(&third, CALLID_CLIENT));
}

static void a_call_ends_before_its_room_comes(void **state)
{
	(void)state;
	OWN_NET_NEEDED();
	later = true;
	struct call call = make_call(5, 7), other = make_call(6, 8);
	end_call(&call, NULL);
	callid_db_expire(db, monotonic_ms() + CALLID_QUARANTINE_MS + 1);
	struct call next = make_call(9, 10);
	assert_int_equal(callid_slot(next.ref), callid_slot(call.ref));
	for (size_t i = 0; i < request_count; i++)
		answer(&requests[i]);
	OWN_NET_WAIT(carries(&other, CALLID_CLIENT));
	OWN_NET_WAIT(carries(&next, CALLID_CLIENT));
	assert_false(carries(&call, CALLID_CLIENT));
	end_call(&other, NULL);
	assert_int_equal(fastpath_carried(fastpath), 1);
}

static void room_that_is_refused(void **state)
{
	(void)state;
	OWN_NET_NEEDED();
	later = true;
	struct call call = make_call(5, 7);
	assert_int_equal(request_count, 3);
	for (size_t i = 0; i < 3; i++)
		fastpath_granted(fastpath, &requests[i], -1);
	assert_int_equal(request_count, 3); /* it is not asked for again and again */
	later = false;
	struct call other = make_call(6, 8);
	OWN_NET_WAIT(carries(&other, CALLID_CLIENT));
	OWN_NET_WAIT(carries(&other, CALLID_SERVER));
	assert_false(carries(&call, CALLID_CLIENT));
	assert_int_equal(info_of(&call).from[CALLID_CLIENT].packets, 0);
}

/* ---- the next worker ---- */

static const struct fastpath_given *given_now(void)
{
	static struct fastpath_given given;
	fastpath_keeper_give(keeper, &given);
	return &given;
}

static int routes_fd(enum callid_side from)
{
	const struct fastpath_given *given = given_now();
	for (int i = 0; i < FASTPATH_LOCALS; i++) {
		if (given->locals[i] == legs[from].proxy_addr)
			return given->fds[FASTPATH_GIVEN_ROUTES + i];
	}
	fail_msg("no routes of %08x", legs[from].proxy_addr);
	return -1;
}

static struct fastpath_route route_at(enum callid_side from, uint32_t id)
{
	struct fastpath_route route;
	assert_int_equal(bpf_map_lookup_elem(routes_fd(from), &id, &route), 0);
	return route;
}

static void set_route_at(enum callid_side from, uint32_t id, const struct fastpath_route *route)
{
	assert_int_equal(bpf_map_update_elem(routes_fd(from), &id, route, 0), 0);
}

static struct fastpath_route route_of(const struct call *call, enum callid_side from)
{
	return route_at(from, call->shown[from]);
}

/* How many next hops are wanted. */
static unsigned hops_wanted(void)
{
	unsigned count = 0;
	struct fastpath_wanted_table *table =
	    fastpath_wanted_map(given_now()->fds[FASTPATH_GIVEN_WANTED]);
	assert_non_null(table);
	for (int i = 0; i < FASTPATH_HOPS; i++)
		count += table->hops[i].pair != 0;
	fastpath_wanted_unmap(table);
	return count;
}

/* Its packets are to be seen on the raw way; what had been carried still counts. */
static void watched_calls_leave_and_come_back(void **state)
{
	struct callid_info last;
	(void)state;
	OWN_NET_NEEDED();
	struct call call = make_call(5, 7), other = make_call(6, 8), late = reserve(9, 10);
	OWN_NET_WAIT(carries(&call, CALLID_CLIENT));
	OWN_NET_WAIT(carries(&call, CALLID_SERVER));
	uint64_t before = info_of(&call).from[CALLID_CLIENT].packets;
	callid_db_set_watched(db, call.ref, true);
	callid_db_set_watched(db, late.ref, true); /* which never was there */
	assert_false(carries(&call, CALLID_CLIENT));
	assert_false(carries(&call, CALLID_SERVER));
	OWN_NET_WAIT(carries(&other, CALLID_CLIENT));
	open_call(&late);
	callid_db_release(db, late.ref);
	struct call newest = make_call(11, 12);
	OWN_NET_WAIT(carries(&newest, CALLID_CLIENT)); /* so that one would be, too, by now */
	assert_false(carries(&late, CALLID_CLIENT));
	assert_int_equal(info_of(&call).from[CALLID_CLIENT].packets, before);
	callid_db_set_watched(db, call.ref, false);
	callid_db_set_watched(db, late.ref, false);
	OWN_NET_WAIT(carries(&call, CALLID_CLIENT));
	OWN_NET_WAIT(carries(&call, CALLID_SERVER));
	OWN_NET_WAIT(carries(&late, CALLID_CLIENT));
	assert_int_equal(info_of(&call).from[CALLID_CLIENT].packets, before + 1);
	callid_db_set_watched(db, call.ref, true);
	assert_true(callid_db_end(db, call.ref, monotonic_ms(), &last));
	assert_int_equal(last.from[CALLID_CLIENT].packets, before + 1);
	assert_true(callid_db_end(db, other.ref, monotonic_ms(), NULL));
	assert_true(callid_db_end(db, late.ref, monotonic_ms(), NULL));
	assert_true(callid_db_end(db, newest.ref, monotonic_ms(), NULL));
	assert_int_equal(hops_wanted(), 0);
}

/* The same calls in the same slots, as they are in a table that outlives its writer. */
static void remake(struct call *call)
{
	struct call before = *call;
	reserve_call(call);
	if (before.opened)
		open_call(call);
	if (before.released)
		release_call(call);
	assert_true(call->ref == before.ref);
	assert_memory_equal(call->shown, before.shown, sizeof(call->shown));
}

static void worker_dies(struct call *calls, size_t count)
{
	fastpath_close(fastpath);
	fastpath = NULL;
	callid_db_free(db);
	db = callid_db_new(NULL);
	for (size_t i = 0; i < count; i++)
		remake(&calls[i]);
	for (size_t i = 0; i < count; i++) {
		if (calls[i].ended)
			end_call(&calls[i], NULL);
	}
}

static void next_worker(void)
{
	struct why why;
	if (open_worker(&why) != 0)
		fail_msg("%s", why.text);
	fastpath_restore(fastpath);
}

static void restored_calls_go_on_untouched(void **state)
{
	enum { CALLS = 3 };
	struct call calls[CALLS];
	struct fastpath_route before[CALLS][2];
	struct callid_info last;
	(void)state;
	OWN_NET_NEEDED();
	for (uint16_t i = 0; i < CALLS; i++) {
		calls[i] = make_call(5 + i, 7 + i);
		for (int side = 0; side < 2; side++) {
			OWN_NET_WAIT(carries(&calls[i], (enum callid_side)side));
			before[i][side] = route_of(&calls[i], (enum callid_side)side);
		}
	}
	worker_dies(calls, CALLS);
	assert_true(carries(&calls[0], CALLID_CLIENT));
	next_worker();
	for (int i = 0; i < CALLS; i++) {
		for (int side = 0; side < 2; side++) {
			struct fastpath_route after = route_of(&calls[i], (enum callid_side)side);
			assert_memory_equal(&after, &before[i][side], sizeof(after));
			/* At once: nothing goes another way. */
			assert_true(carries(&calls[i], (enum callid_side)side));
		}
	}
	assert_int_equal(info_of(&calls[0]).from[CALLID_CLIENT].packets, 3);
	assert_int_equal(info_of(&calls[0]).from[CALLID_SERVER].packets, 2);
	assert_int_equal(hops_wanted(), 2);
	end_call(&calls[0], &last);
	assert_int_equal(last.from[CALLID_CLIENT].packets, 3);
	assert_int_equal(fastpath_carried(fastpath), 5);
	assert_false(carries(&calls[0], CALLID_CLIENT));
	assert_true(carries(&calls[1], CALLID_CLIENT));
	/* They are the users of their hops, and of their addresses' places. */
	end_call(&calls[1], NULL);
	assert_int_equal(hops_wanted(), 2);
	end_call(&calls[2], NULL);
	assert_int_equal(hops_wanted(), 0);
}

static void what_no_call_has_is_cleared(void **state)
{
	(void)state;
	OWN_NET_NEEDED();
	struct call calls[] = {make_call(5, 7), make_call_of(6, 8, 50)};
	OWN_NET_WAIT(carries(&calls[0], CALLID_CLIENT));
	OWN_NET_WAIT(carries(&calls[0], CALLID_SERVER));
	assert_int_equal(hops_wanted(), 4);
	const struct fastpath_route good = route_of(&calls[0], CALLID_CLIENT);
	struct fastpath_route odd = {.seq = 5}, far = good, sideless = good;
	far.slot = UINT32_MAX;
	sideless.from = 9;
	set_route_at(CALLID_CLIENT, 1000, &good); /* in another's place */
	set_route_at(CALLID_CLIENT, 1001, &odd);
	set_route_at(CALLID_CLIENT, 1002, &far);
	set_route_at(CALLID_CLIENT, 1003, &sideless);
	set_route_at(CALLID_SERVER, calls[0].shown[CALLID_CLIENT], &good);
	calls[1].ended = true; /* while nobody looks */
	worker_dies(calls, 2);
	assert_true(route_of(&calls[1], CALLID_CLIENT).peer_be != 0);
	next_worker();
	for (int side = 0; side < 2; side++) {
		assert_int_equal(route_of(&calls[1], (enum callid_side)side).peer_be, 0);
		assert_true(carries(&calls[0], (enum callid_side)side));
	}
	for (uint32_t id = 1000; id <= 1003; id++) {
		struct fastpath_route left = route_at(CALLID_CLIENT, id);
		assert_int_equal(left.peer_be, 0);
		assert_int_equal(left.seq & 1, 0);
	}
	assert_int_equal(hops_wanted(), 2);
	assert_int_equal(route_at(CALLID_CLIENT, calls[0].shown[CALLID_CLIENT]).seq, good.seq);
}

static void what_is_missing_or_wrong_is_made_right(void **state)
{
	static const struct fastpath_route none;
	(void)state;
	OWN_NET_NEEDED();
	struct call calls[] = {make_call(5, 7), make_call(6, 8), make_call(9, 10)};
	for (int i = 0; i < 3; i++)
		OWN_NET_WAIT(carries(&calls[i], CALLID_CLIENT));
	struct fastpath_route wrong = route_of(&calls[1], CALLID_CLIENT),
			      half = route_of(&calls[2], CALLID_CLIENT);
	wrong.destination_be ^= 1;
	half.seq |= 1;
	set_route_at(CALLID_CLIENT, calls[0].shown[CALLID_CLIENT], &none);
	set_route_at(CALLID_CLIENT, calls[1].shown[CALLID_CLIENT], &wrong);
	set_route_at(CALLID_CLIENT, calls[2].shown[CALLID_CLIENT], &half);
	worker_dies(calls, 3);
	next_worker();
	for (int i = 0; i < 3; i++) {
		OWN_NET_WAIT(carries(&calls[i], CALLID_CLIENT));
		OWN_NET_WAIT(carries(&calls[i], CALLID_SERVER));
		/* The other way was there, so the counters are its call's. */
		assert_int_equal(info_of(&calls[i]).from[CALLID_CLIENT].packets, 2);
	}
	for (int i = 0; i < 3; i++)
		end_call(&calls[i], NULL);
	assert_int_equal(hops_wanted(), 0);
}

/* He died before the call came into the maps: what the last one in its slot has counted is there.
 */
static void counters_of_a_call_that_was_not_carried_yet(void **state)
{
	static const struct fastpath_route none;
	(void)state;
	OWN_NET_NEEDED();
	struct call call = make_call(5, 7);
	OWN_NET_WAIT(carries(&call, CALLID_CLIENT));
	set_route_at(CALLID_CLIENT, call.shown[CALLID_CLIENT], &none);
	set_route_at(CALLID_SERVER, call.shown[CALLID_SERVER], &none);
	worker_dies(&call, 1);
	next_worker();
	assert_int_equal(info_of(&call).from[CALLID_CLIENT].packets, 0);
	OWN_NET_WAIT(carries(&call, CALLID_CLIENT));
	assert_int_equal(info_of(&call).from[CALLID_CLIENT].packets, 1);
}

/* The first worker hears of the fast path when he has calls already. */
static void calls_from_before_there_was_a_fast_path(void **state)
{
	(void)state;
	OWN_NET_NEEDED();
	worker_dies(NULL, 0);
	struct call call = make_call(5, 7), half = reserve(6, 8), held = reserve(9, 10);
	open_call(&held);
	later = true;
	next_worker();
	assert_int_equal(request_count, 3);
	assert_false(carries(&call, CALLID_CLIENT));
	for (size_t i = 0; i < request_count; i++)
		answer(&requests[i]);
	OWN_NET_WAIT(carries(&call, CALLID_CLIENT));
	OWN_NET_WAIT(carries(&call, CALLID_SERVER));
	assert_false(carries(&half, CALLID_SERVER));
	assert_false(carries(&held, CALLID_SERVER));
	release_call(&held);
	OWN_NET_WAIT(carries(&held, CALLID_SERVER));
	fastpath_restore(fastpath); /* again changes nothing */
	assert_true(carries(&call, CALLID_CLIENT));
	end_call(&call, NULL);
	end_call(&held, NULL);
	assert_int_equal(hops_wanted(), 0);
}

static void anothers_record_in_its_place(void **state)
{
	(void)state;
	OWN_NET_NEEDED();
	struct call calls[] = {make_call(5, 7), make_call(6, 8)};
	OWN_NET_WAIT(carries(&calls[1], CALLID_CLIENT));
	OWN_NET_WAIT(carries(&calls[1], CALLID_SERVER));
	struct fastpath_route others = route_of(&calls[1], CALLID_CLIENT);
	set_route_at(CALLID_CLIENT, calls[0].shown[CALLID_CLIENT], &others);
	worker_dies(calls, 2);
	next_worker();
	assert_int_equal(route_of(&calls[1], CALLID_CLIENT).seq, others.seq);
	assert_true(carries(&calls[1], CALLID_CLIENT));
	OWN_NET_WAIT(carries(&calls[0], CALLID_CLIENT));
}

/* ---- workers in processes of their own ---- */

/* For 256 calls between the usual addresses of ours: nothing needs be asked for. */
static void make_room(void)
{
	static const struct fastpath_request room[] = {
	    {.room = FASTPATH_ROOM_ROUTES, .at = 0, .addr = OWN_NET_INSIDE},
	    {.room = FASTPATH_ROOM_ROUTES, .at = 1, .addr = OWN_NET_OUTSIDE},
	    {.room = FASTPATH_ROOM_COUNTS, .at = 0},
	};
	for (size_t i = 0; i < sizeof(room) / sizeof(room[0]); i++)
		assert_true(fastpath_keeper_grant(keeper, &room[i]) >= 0);
}

/* The system call for eBPF ends the process. */
static bool forbid_ebpf(void)
{
	struct sock_filter code[] = {
	    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
	    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_bpf, 0, 1),
	    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
	    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {.len = sizeof(code) / sizeof(code[0]), .filter = code};
	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
	       prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

static int work_without_rights(const struct fastpath_given *given, struct call *call)
{
	struct why why;
	struct fastpath_config config = {
	    .db = db, .given = given, .want = want, .carried = &carried_before};
	later = true;
	if (setresuid(65534, 65534, 65534) != 0 || !forbid_ebpf())
		return 1;
	if (fastpath_open(&fastpath, &config, &why) != 0)
		return 2;
	fastpath_restore(fastpath);
	*call = make_call(5, 7);
	return request_count == 0 ? 0 : 3;
}

static void a_worker_needs_no_rights(void **state)
{
	int status = -1;
	(void)state;
	OWN_NET_NEEDED();
	worker_dies(NULL, 0);
	make_room();
	struct call call = {.id = {5, 7}, .shown = {7, 5}};
	const struct fastpath_given *given = given_now();
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0)
		_exit(work_without_rights(given, &call));
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	/* He has died; his call goes on. */
	OWN_NET_WAIT(carries(&call, CALLID_CLIENT));
	OWN_NET_WAIT(carries(&call, CALLID_SERVER));
}

/* Until he is killed, from the third round on step by step. One call stays, so that the table keeps
 * what it has made for the addresses. The calls that the case goes on with are among his. */
static void work_on(void)
{
	next_worker();
	make_call(5, 50);
	for (unsigned round = 0;; round++) {
		if (round == 3 && (ptrace(PTRACE_TRACEME, 0, 0, 0) != 0 || raise(SIGSTOP) != 0))
			_exit(1);
		struct call same = make_call(6, 51), other = make_call_of(7, 52, 1);
		end_call(&same, NULL);
		end_call(&other, NULL);
		callid_db_expire(db, monotonic_ms() + CALLID_QUARANTINE_MS + 1);
	}
}

/* After so many instructions. */
static void kill_one_at_work(unsigned steps)
{
	int status;
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0)
		work_on();
	assert_int_equal(waitpid(child, &status, 0), child);
	for (unsigned i = 0; i < steps && WIFSTOPPED(status); i++) {
		assert_int_equal(ptrace(PTRACE_SINGLESTEP, child, 0, 0), 0);
		assert_int_equal(waitpid(child, &status, 0), child);
	}
	assert_true(WIFSTOPPED(status));
	assert_int_equal(kill(child, SIGKILL), 0);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

/* Whole records, of that many calls. */
static void check_routes(enum callid_side from, unsigned calls)
{
	const size_t size = FASTPATH_IDS * sizeof(struct fastpath_route);
	const struct fastpath_route *routes =
	    mmap(NULL, size, PROT_READ, MAP_SHARED, routes_fd(from), 0);
	assert_true(routes != MAP_FAILED);
	unsigned count = 0;
	for (int id = 0; id < FASTPATH_IDS; id++) {
		assert_int_equal(routes[id].seq & 1, 0);
		count += routes[id].peer_be != 0;
	}
	munmap((void *)routes, size);
	assert_int_equal(count, calls);
}

static bool all_hops_answered(void)
{
	struct fastpath_wanted_table *table =
	    fastpath_wanted_map(given_now()->fds[FASTPATH_GIVEN_WANTED]);
	bool all = true;
	for (int i = 0; i < FASTPATH_HOPS; i++)
		all &=
		    __atomic_load_n(&table->hops[i].answer, __ATOMIC_SEQ_CST) == table->hops[i].ask;
	fastpath_wanted_unmap(table);
	return all;
}

static void killed_at_any_moment(void **state)
{
	enum { CALLS = 2, ROUNDS = 24, FIRST = 1500, STEPS = 397 };
	struct call calls[CALLS];
	(void)state;
	OWN_NET_NEEDED();
	worker_dies(NULL, 0);
	make_room();
	for (unsigned round = 0; round < ROUNDS; round++) {
		kill_one_at_work(FIRST + round * STEPS);
		for (uint16_t i = 0; i < CALLS; i++)
			calls[i] = make_call(5 + i, 50 + i);
		next_worker();
		check_routes(CALLID_CLIENT, CALLS);
		check_routes(CALLID_SERVER, CALLS);
		assert_int_equal(hops_wanted(), 2);
		OWN_NET_WAIT(all_hops_answered());
		if (round < ROUNDS - 1)
			worker_dies(NULL, 0);
	}
	for (int i = 0; i < CALLS; i++) {
		OWN_NET_WAIT(carries(&calls[i], CALLID_CLIENT));
		OWN_NET_WAIT(carries(&calls[i], CALLID_SERVER));
	}
}

/* ---- the next program ---- */

enum { CARRIED_BEFORE = 4 };

static uint32_t attached(const char *device)
{
	uint32_t id = 0;
	assert_int_equal(bpf_xdp_query_id((int)if_nametoindex(device), XDP_FLAGS_SKB_MODE, &id), 0);
	return id;
}

static unsigned descriptors(void)
{
	unsigned count = 0;
	DIR *directory = opendir("/proc/self/fd");
	assert_non_null(directory);
	while (readdir(directory))
		count++;
	closedir(directory);
	return count;
}

static unsigned descriptors_in(const struct fastpath_letter *letter)
{
	unsigned count = 0;
	for (int i = 0; i < FASTPATH_LETTER_FDS; i++)
		count += letter->fds[i] >= 0;
	return count;
}

static void goes_on(void)
{
	struct call call = {.id = {5, 7}, .shown = {7, 5}, .opened = true, .released = true};
	db = callid_db_new(NULL);
	call.ref = (uint64_t)1 << 32;
	remake(&call);
	assert_true(carries(&call, CALLID_CLIENT)); /* before there is a worker */
	next_worker();
	assert_true(carries(&call, CALLID_CLIENT));
	assert_int_equal(info_of(&call).from[CALLID_CLIENT].packets, CARRIED_BEFORE + 3);
	for (int i = 0; i < FASTPATH_GIVEN_FDS; i++) {
		int fd = given_now()->fds[i];
		assert_true(fd < 0 || (fcntl(fd, F_GETFD) & FD_CLOEXEC));
	}
	/* The hop thread is at work, and so is the way to more room. */
	assert_true(own_net_ip("neigh replace 10.2.0.10 nud failed dev outside"));
	OWN_NET_WAIT(!carries(&call, CALLID_CLIENT));
	assert_true(own_net_ip("neigh replace 10.2.0.10 lladdr 02:00:00:00:02:0a dev outside"));
	OWN_NET_WAIT(carries(&call, CALLID_CLIENT));
	struct fastpath_request more = {.room = FASTPATH_ROOM_ROUTES, .at = 2, .addr = 77};
	assert_true(fastpath_keeper_grant(keeper, &more) >= 0);
	end_call(&call, NULL);
	assert_false(carries(&call, CALLID_CLIENT));
	fastpath_close(fastpath);
	callid_db_free(db);
}

/* In the next program: what the word says of the letter becomes true, then it is taken. */
static int run_next(const char *word, int letter_fd)
{
	static struct fastpath_letter letter;
	struct fastpath_keeper_config config = {.mode = FASTPATH_GENERIC};
	struct why why = {""};
	size_t size = sizeof(letter);
	assert_int_equal(read(letter_fd, &letter, sizeof(letter)), sizeof(letter));
	unsigned others = descriptors() - descriptors_in(&letter);
	uint32_t program = attached("inside");
	assert_true(program != 0);

	if (strcmp(word, "changed") == 0)
		letter.object ^= 1;
	if (strcmp(word, "layout") == 0)
		letter.layout++;
	if (strcmp(word, "cut") == 0)
		size = offsetof(struct fastpath_letter, cpus);
	if (strcmp(word, "off") == 0)
		config.mode = FASTPATH_OFF;
	bool goes = strcmp(word, "same") == 0 || strcmp(word, "changed") == 0;
	bool said_off = strcmp(word, "off") == 0;
	at[CALLID_CLIENT] = open_end("client");
	at[CALLID_SERVER] = open_end("server");
	int result = fastpath_keeper_adopt(&keeper, &letter, size, &config, &why);
	assert_int_equal(result, goes || said_off ? 0 : -1);
	assert_int_equal(keeper != NULL, goes);
	if (goes) {
		assert_int_equal(attached("inside") == program, strcmp(word, "same") == 0);
		goes_on();
	} else if (!said_off) {
		assert_non_null(strstr(why.text, "laid out in another way"));
	}
	fastpath_keeper_close(keeper);
	close(at[CALLID_CLIENT]);
	close(at[CALLID_SERVER]);
	assert_int_equal(attached("inside"), 0);
	assert_int_equal(descriptors(), others);
	return 0;
}

static void exec_next(const char *word, int letter_fd, int go_fd)
{
	char number[16], octet;
	snprintf(number, sizeof(number), "%d", letter_fd);
	if (read(go_fd, &octet, 1) == 0)
		execl("/proc/self/exe", "test_fastpath", word, number, (char *)NULL);
	_exit(99);
}

static int make_letter(void)
{
	static struct fastpath_letter letter;
	int fd = memfd_create("letter", 0);
	assert_true(fd >= 0);
	fastpath_keeper_describe(keeper, &letter);
	assert_int_equal(write(fd, &letter, sizeof(letter)), sizeof(letter));
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	return fd;
}

/* The next one begins when nothing of ours holds the fast path any more. */
static void next_program(const char *word)
{
	int go[2], status = -1;
	struct call call = make_call(5, 7);
	OWN_NET_WAIT(carries(&call, CALLID_CLIENT));
	for (int i = 1; i < CARRIED_BEFORE; i++)
		assert_true(carries(&call, CALLID_CLIENT));
	int letter_fd = make_letter();
	assert_true(carries(&call, CALLID_CLIENT));
	assert_int_equal(pipe2(go, O_CLOEXEC), 0);
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		close(go[1]);
		exec_next(word, letter_fd, go[0]);
	}
	fastpath_keeper_close(keeper);
	keeper = NULL;
	close(letter_fd);
	close(go[0]);
	close(go[1]);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

static void the_next_program_goes_on(void **state)
{
	(void)state;
	OWN_NET_NEEDED();
	next_program("same");
}

static void the_next_program_has_another_ebpf_half(void **state)
{
	(void)state;
	OWN_NET_NEEDED();
	next_program("changed");
}

static void the_next_program_wants_none(void **state)
{
	(void)state;
	OWN_NET_NEEDED();
	next_program("off");
}

static void the_next_program_cannot_read_it(void **state)
{
	(void)state;
	OWN_NET_NEEDED();
	next_program("layout");
}

static void the_next_program_reads_the_head_only(void **state)
{
	(void)state;
	OWN_NET_NEEDED();
	next_program("cut");
}

static void an_exec_that_fails(void **state)
{
	struct why why;
	(void)state;
	OWN_NET_NEEDED();
	struct call call = make_call(5, 7);
	OWN_NET_WAIT(carries(&call, CALLID_CLIENT));
	close(make_letter());
	assert_int_equal(fcntl(given_now()->fds[FASTPATH_GIVEN_WAKE], F_GETFD), 0);
	assert_true(own_net_ip("neigh replace 10.2.0.10 nud failed dev outside"));
	assert_int_equal(fastpath_keeper_resume(keeper, &why), 0);
	assert_int_equal(fcntl(given_now()->fds[FASTPATH_GIVEN_WAKE], F_GETFD), FD_CLOEXEC);
	OWN_NET_WAIT(!carries(&call, CALLID_CLIENT));
	assert_true(own_net_ip("neigh replace 10.2.0.10 lladdr 02:00:00:00:02:0a dev outside"));
	OWN_NET_WAIT(carries(&call, CALLID_CLIENT));
}

static void octets_that_are_no_letter(void **state)
{
	static const struct fastpath_letter zero;
	struct fastpath_keeper_config config = {.mode = FASTPATH_GENERIC};
	struct fastpath_letter long_one = {.magic = FASTPATH_LETTER_MAGIC, .fd_count = UINT32_MAX};
	struct fastpath_keeper *none = (void *)state;
	struct why why;
	assert_int_equal(fastpath_keeper_adopt(&none, &zero, sizeof(zero), &config, &why), -1);
	assert_null(none);
	assert_int_equal(fastpath_keeper_adopt(&none, &zero, 0, &config, &why), -1);
	assert_int_equal(fastpath_keeper_adopt(&none, &long_one, sizeof(long_one), &config, &why),
			 -1);
	assert_string_equal(why.text, "fast path: the letter cannot be read");
}

static void requests_that_make_no_sense(void **state)
{
	static const struct fastpath_request bad[] = {
	    {.room = 7},
	    {.room = FASTPATH_ROOM_ROUTES, .at = FASTPATH_LOCALS, .addr = 1},
	    {.room = FASTPATH_ROOM_COUNTS, .at = FASTPATH_COUNTS_CHUNKS},
	};
	(void)state;
	OWN_NET_NEEDED();
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		errno = 0;
		assert_int_equal(fastpath_keeper_grant(keeper, &bad[i]), -1);
		assert_int_equal(errno, EINVAL);
	}
}

/* Between two builds. */
static void a_worker_of_another_layout(void **state)
{
	static struct fastpath_given given;
	struct fastpath_config config = {.db = db, .given = &given};
	struct fastpath *none = (void *)state;
	struct why why;
	given.layout = FASTPATH_LAYOUT + 1;
	assert_int_equal(fastpath_open(&none, &config, &why), -1);
	assert_null(none);
	assert_string_equal(why.text, "fast path: the keeper's maps are laid out in another way");
}

int main(int argc, char **argv)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest cases[] = {
	    CASE(off_is_nothing),
	    CASE(what_cannot_be_had),
	    CASE(only_released_calls_are_carried),
	    CASE(a_new_call_starts_on_the_raw_way),
	    CASE(call_that_never_opened),
	    CASE(watched_calls_leave_and_come_back),
	    CASE(counts_of_both_ways_add_up),
	    CASE(last_seen_is_on_the_tables_clock),
	    CASE(the_next_call_in_a_slot_starts_from_zero),
	    CASE(thousands_of_calls),
	    CASE(a_call_waits_for_its_room),
	    CASE(a_call_ends_before_its_room_comes),
	    CASE(room_that_is_refused),
	    CASE(restored_calls_go_on_untouched),
	    CASE(what_no_call_has_is_cleared),
	    CASE(what_is_missing_or_wrong_is_made_right),
	    CASE(counters_of_a_call_that_was_not_carried_yet),
	    CASE(calls_from_before_there_was_a_fast_path),
	    CASE(anothers_record_in_its_place),
	    CASE(a_worker_needs_no_rights),
	    CASE(killed_at_any_moment),
	    CASE(the_next_program_goes_on),
	    CASE(the_next_program_has_another_ebpf_half),
	    CASE(the_next_program_wants_none),
	    CASE(the_next_program_cannot_read_it),
	    CASE(the_next_program_reads_the_head_only),
	    CASE(an_exec_that_fails),
	    CASE(octets_that_are_no_letter),
	    CASE(requests_that_make_no_sense),
	    CASE(a_worker_of_another_layout),
	};
	if (argc == 3)
		return run_next(argv[1], atoi(argv[2]));
	own_net_enter_for_xdp();
	return cmocka_run_group_tests(cases, NULL, NULL);
}
