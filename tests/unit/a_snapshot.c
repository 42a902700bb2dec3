#include "tests/unit/a_snapshot.h"

#include <event2/buffer.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static void make_call(struct snapshot_call *call, size_t index)
{
	*call = (struct snapshot_call){
	    .connection = 12 + index,
	    .open = true,
	    .caller = CALLID_CLIENT,
	    .addr = {0xc0000200 + (uint32_t)index % 250 + 1, 0xc6336407}, /* 192.0.2.1 */
	    .port = {(uint16_t)(40000 + index), 1723},
	    .proxy_addr = {0xcb007101, 0xcb007102},
	    .known = {true, true},
	    .id = {(uint16_t)(49750 + index), (uint16_t)(300 + index)},
	    .shown = {(uint16_t)(7 + index), (uint16_t)(9 + index)},
	    .age_ms = 187000 + 1000 * index,
	    .from =
		{
		    {.packets = 1234 + index, .octets = 1234567, .last_ms = 120},
		    {.packets = 99, .octets = 999, .drops = 2, .last_ms = 80},
		},
	};
	snprintf(call->name, sizeof(call->name), "%zu:%u", (size_t)call->connection,
		 call->id[CALLID_CLIENT]);
}

static void make_odd(struct snapshot *snapshot)
{
	struct snapshot_call *silent = &snapshot->calls[0];
	silent->from[CALLID_CLIENT] = (struct snapshot_direction){
	    .packets = 3, .octets = 300, .last_ms = 12345, .silent = true};
	if (snapshot->call_count < 2)
		return;
	struct snapshot_call *reserved = &snapshot->calls[1];
	reserved->open = false;
	reserved->known[CALLID_SERVER] = false;
	for (int side = 0; side < 2; side++)
		reserved->from[side] = (struct snapshot_direction){.last_ms = SNAPSHOT_NEVER};
}

static void make_totals(struct snapshot *snapshot)
{
	struct snapshot_totals *totals = &snapshot->totals;
	*totals = (struct snapshot_totals){
	    .connections = 5,
	    .half_open = 1,
	    .calls = snapshot->call_count,
	    .calls_reserved = snapshot->call_count > 1,
	    .ids_resting = 4,
	    .accepted = 1000,
	    .calls_opened = 2000,
	    .calls_ended = 1990,
	    .messages = 30000,
	    .workers = 2,
	    .packets_received = 1234567,
	    .packets_sent = 1234000,
	    .packets_carried = 17,
	};
	totals->packet_drops[REASON_NO_CALL] = 560;
	totals->message_drops[REASON_MISMATCHED_ID] = 3;
	totals->refusals[REASON_ACL] = 41;
	totals->ends[REASON_CLIENT_CLOSED] = 900;
}

void a_snapshot_make(struct snapshot *snapshot, size_t calls)
{
	*snapshot = (struct snapshot){
	    .version = "3.0.0",
	    .keeper_pid = 100,
	    .worker_pid = 101,
	    .up_ms = 90061500,
	    .worker_up_ms = 61000,
	    .began_ms = 1699909938500,
	    .worker_began_ms = 1699999939000,
	    .time_s = 1700000000,
	    .fastpath = true,
	    .pairs = calloc(2, sizeof(struct snapshot_pair)),
	    .pair_count = 2,
	    .rules = calloc(2, sizeof(struct snapshot_rule)),
	    .rule_count = 2,
	    .calls = calloc(calls + 1, sizeof(struct snapshot_call)),
	    .call_count = calls,
	};
	if (!snapshot->pairs || !snapshot->rules || !snapshot->calls)
		abort();
	snapshot->pairs[0] = (struct snapshot_pair){
	    .listen = "0.0.0.0:1723",
	    .peer = "inside.example.com:1723",
	    .state = SNAPSHOT_UP,
	    .connections = 5,
	    .calls = calls,
	    .accepted = 1000,
	    .connected = 950,
	    .failed = 9,
	    .last_error_ms = SNAPSHOT_NEVER,
	};
	snapshot->pairs[1] = (struct snapshot_pair){
	    .listen = "203.0.113.9:1724",
	    .peer = "198.51.100.8:1723",
	    .state = SNAPSHOT_DOWN,
	    .accepted = 4,
	    .failed = 4,
	    .last_error = "connect to 198.51.100.8:1723: Connection refused",
	    .last_error_ms = 65000,
	};
	snapshot->rules[0] = (struct snapshot_rule){.text = "192.0.2.0/24", .allowed = 990};
	snapshot->rules[1] = (struct snapshot_rule){
	    .text = "/etc/pptp/allow 'two words'", .command = true, .refused = 17};
	for (size_t i = 0; i < calls; i++)
		make_call(&snapshot->calls[i], i);
	if (calls > 0)
		make_odd(snapshot);
	make_totals(snapshot);
}

struct snapshot a_snapshot_figures;

int a_snapshot_set_up(void **state)
{
	(void)state;
	a_snapshot_make(&a_snapshot_figures, 3);
	return 0;
}

int a_snapshot_tear_down(void **state)
{
	(void)state;
	snapshot_clear(&a_snapshot_figures);
	return 0;
}

char *a_snapshot_written(int (*write)(struct evbuffer *out, const struct snapshot *snapshot))
{
	struct evbuffer *out = evbuffer_new();
	assert_int_equal(write(out, &a_snapshot_figures), 0);
	size_t length = evbuffer_get_length(out);
	char *text = calloc(1, length + 1);
	assert_non_null(text);
	evbuffer_remove(out, text, length);
	evbuffer_free(out);
	return text;
}
