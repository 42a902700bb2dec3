/*
 * A call knows its connection by number, so both are sorted by that, and walked side by side.
 */
#include "worker/worker_status.h"

#include "host/monotonic.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* In the section KEPT_WORKERS. */
struct worker_past {
	uint64_t began_at; /* the first one, which is to say the keeper: monotonic ms */
	uint64_t workers;
	uint64_t this_began_at;
	uint64_t began_ms, this_began_ms; /* of day */
};

/* By which the clock must have been set for a start to be told anew: two clocks are not read at
 * once. */
enum { STEP_MS = 1000 };

static uint64_t day_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static uint64_t ago(uint64_t now, uint64_t then)
{
	return now > then ? now - then : 0;
}

/* A start's date stays what it is, but where the clock was set since, as after a start without one
 * that runs on battery. */
static void follow_clock(uint64_t *began_ms, uint64_t began_at, uint64_t now, uint64_t day)
{
	uint64_t began = ago(day, ago(now, began_at));
	if (ago(began, *began_ms) > STEP_MS || ago(*began_ms, began) > STEP_MS)
		*began_ms = began;
}

static uint64_t follow_clocks(struct worker_past *past)
{
	uint64_t now = monotonic_ms(), day = day_ms();
	follow_clock(&past->began_ms, past->began_at, now, day);
	follow_clock(&past->this_began_ms, past->this_began_at, now, day);
	return day;
}

struct worker_past *worker_status_begin(struct kept *kept)
{
	struct worker_past *past = kept_section(kept, KEPT_WORKERS, sizeof(*past), 1);
	if (!past)
		return NULL;
	past->this_began_at = monotonic_ms();
	past->this_began_ms = 0;
	if (past->began_at == 0)
		past->began_at = past->this_began_at;
	past->workers++;
	follow_clocks(past);
	return past;
}

/* ---- totals ---- */

static void count_conn(void *arg, const struct control_conn_info *conn)
{
	struct snapshot_totals *totals = arg;
	totals->connections++;
	totals->half_open += conn->half_open;
}

static void count_call(void *arg, callid_ref call, const struct callid_info *info)
{
	struct snapshot_totals *totals = arg;
	(void)call;
	totals->calls_reserved += !info->open;
}

static void add_counts(struct snapshot_totals *totals, const struct control_counts *counts)
{
	totals->accepted = counts->accepted;
	totals->calls_opened = counts->calls_opened;
	totals->calls_ended = counts->calls_ended;
	totals->messages = counts->messages;
	memcpy(totals->message_drops, counts->message_drops, sizeof(totals->message_drops));
	memcpy(totals->refusals, counts->refusals, sizeof(totals->refusals));
	memcpy(totals->ends, counts->ends, sizeof(totals->ends));
}

static void add_packets(struct snapshot_totals *totals, const struct worker_status_sources *from)
{
	struct gre_totals packets;
	gre_relay_totals(from->gre, &packets);
	totals->packets_received = packets.received;
	totals->packets_sent = packets.sent;
	memcpy(totals->packet_drops, packets.drops, sizeof(totals->packet_drops));
	if (from->fastpath)
		totals->packets_carried =
		    fastpath_carried(from->fastpath) + fastpath_carrying(from->fastpath);
}

void worker_status_totals(struct snapshot_totals *totals, const struct worker_status_sources *from)
{
	struct callid_totals table;

	*totals = (struct snapshot_totals){.workers = from->past->workers};
	callid_db_totals(from->db, &table);
	totals->calls = table.calls;
	totals->ids_resting = table.closing;
	control_relay_each(from->control, count_conn, totals);
	callid_db_each(from->db, count_call, totals);
	add_counts(totals, control_relay_counts(from->control));
	add_packets(totals, from);
}

/* ---- calls ---- */

struct call {
	callid_ref ref;
	struct callid_info info;
};

/* All calls and all connections, while they are gathered. */
struct gathering {
	struct call *calls;
	size_t call_count;
	struct control_conn_info *conns;
	size_t conn_count;
	size_t calls_by_pair[CONTROL_PAIRS_MAX + 1]; /* by the figures' number */
	uint64_t now;
};

static void gather_call(void *arg, callid_ref call, const struct callid_info *info)
{
	struct gathering *all = arg;
	all->calls[all->call_count++] = (struct call){call, *info};
}

static void gather_conn(void *arg, const struct control_conn_info *conn)
{
	struct gathering *all = arg;
	all->conns[all->conn_count++] = *conn;
}

static int compare(uint64_t a, uint64_t b)
{
	return (a > b) - (a < b);
}

/* Of two Requests in one millisecond the lower slot is the earlier one mostly. */
static int by_connection(const void *a, const void *b)
{
	const struct call *first = a, *second = b;
	int order = compare(first->info.connection, second->info.connection);
	if (order == 0)
		order = compare(first->info.reserved_at, second->info.reserved_at);
	return order ? order : compare(callid_slot(first->ref), callid_slot(second->ref));
}

static int by_number(const void *a, const void *b)
{
	return compare(((const struct control_conn_info *)a)->number,
		       ((const struct control_conn_info *)b)->number);
}

static int gather(struct gathering *all, const struct worker_status_sources *from)
{
	struct callid_totals table;
	callid_db_totals(from->db, &table);
	all->calls = calloc(table.calls + 1, sizeof(*all->calls));
	all->conns = calloc(control_relay_connections(from->control) + 1, sizeof(*all->conns));
	if (!all->calls || !all->conns)
		return -1;
	callid_db_each(from->db, gather_call, all);
	control_relay_each(from->control, gather_conn, all);
	qsort(all->calls, all->call_count, sizeof(*all->calls), by_connection);
	qsort(all->conns, all->conn_count, sizeof(*all->conns), by_number);
	return 0;
}

static void name_call(struct snapshot_call *call)
{
	unsigned long long connection = call->connection;
	if (call->known[CALLID_CLIENT])
		snprintf(call->name, sizeof(call->name), "%llu:%u", connection,
			 call->id[CALLID_CLIENT]);
	else
		snprintf(call->name, sizeof(call->name), "%llu:-", connection);
}

static void fill_direction(struct snapshot_direction *direction, const struct callid_counts *counts,
			   uint64_t now)
{
	*direction = (struct snapshot_direction){
	    .packets = counts->packets,
	    .octets = counts->octets,
	    .drops = counts->drops,
	    .last_ms = counts->seen_at ? ago(now, counts->seen_at) : SNAPSHOT_NEVER,
	};
}

static void fill_call(struct snapshot_call *call, const struct call *from,
		      const struct control_conn_info *conn, uint64_t now)
{
	const struct callid_info *info = &from->info;
	*call = (struct snapshot_call){
	    .connection = info->connection,
	    .open = info->open,
	    .caller = info->caller,
	    .age_ms = ago(now, info->open ? info->opened_at : info->reserved_at),
	};
	for (int side = 0; side < 2; side++) {
		call->addr[side] = info->legs[side].peer_addr;
		call->proxy_addr[side] = info->legs[side].proxy_addr;
		call->port[side] = conn ? conn->peer[side].port : 0;
		call->known[side] = info->open || side == (int)info->caller;
		call->id[side] = info->id[side];
		call->shown[side] = info->shown[side];
		fill_direction(&call->from[side], &info->from[side], now);
	}
	name_call(call);
}

/* ---- pairs ---- */

static void fill_figures(struct snapshot_pair *pair, const struct control_relay_pair *from,
			 const struct gathering *all)
{
	const struct control_pair *figures = from->figures;
	pair->state = figures->state == CONTROL_PAIR_UP	    ? SNAPSHOT_UP
		      : figures->state == CONTROL_PAIR_DOWN ? SNAPSHOT_DOWN
							    : SNAPSHOT_UNTRIED;
	pair->connections = from->connections;
	pair->calls = all->calls_by_pair[from->number];
	pair->accepted = figures->accepted;
	pair->connected = figures->connected;
	pair->failed = figures->failed;
	snprintf(pair->last_error, sizeof(pair->last_error), "%s", figures->last_error);
	if (figures->last_error_at)
		pair->last_error_ms = ago(all->now, figures->last_error_at);
}

static void fill_pair(struct snapshot_pair *pair, const struct pair *configured,
		      const struct control_relay_pair *from, const struct gathering *all)
{
	*pair = (struct snapshot_pair){.state = SNAPSHOT_UNTRIED, .last_error_ms = SNAPSHOT_NEVER};
	pair_endpoint_text(&configured->listen, pair->listen);
	pair_endpoint_text(&configured->peer, pair->peer);
	if (from->ignored)
		pair->state = SNAPSHOT_IGNORED;
	else if (from->figures)
		fill_figures(pair, from, all);
}

static int fill_pairs(struct snapshot *snapshot, const struct worker_status_sources *from,
		      const struct gathering *all)
{
	size_t count = from->options->pair_count;
	snapshot->pairs = calloc(count + 1, sizeof(*snapshot->pairs));
	if (!snapshot->pairs)
		return -1;
	for (size_t i = 0; i < count; i++) {
		struct control_relay_pair pair;
		control_relay_pair(from->control, (uint32_t)i, &pair);
		fill_pair(&snapshot->pairs[i], &from->options->pairs[i], &pair, all);
	}
	snapshot->pair_count = count;
	return 0;
}

/* ---- rules ---- */

/* The words, which were split and unquoted. Cut. */
static void join_words(char *text, size_t size, const struct acl_cmd_words *command)
{
	size_t used = 0;
	for (size_t i = 0; i < command->count && used < size; i++)
		used += (size_t)snprintf(text + used, size - used, "%s%s", i ? " " : "",
					 command->words[i]);
}

static int fill_rules(struct snapshot *snapshot, const struct worker_status_sources *from)
{
	const struct options *options = from->options;
	const struct acl *acl = &options->acl;
	struct snapshot_rule *rule =
	    calloc(acl->count + options->command_count + 1, sizeof(*snapshot->rules));
	if (!rule)
		return -1;
	snapshot->rules = rule;
	snapshot->rule_count = acl->count + options->command_count;
	for (size_t i = 0; i < acl->count; i++, rule++)
		snprintf(rule->text, sizeof(rule->text), "%s", acl->rules[i].text);
	for (size_t i = 0; i < options->command_count; i++, rule++) {
		rule->command = true;
		join_words(rule->text, sizeof(rule->text), &options->commands[i]);
	}
	for (size_t i = 0; i < snapshot->rule_count; i++) {
		snapshot->rules[i].allowed = control_relay_allowed(from->control, i);
		snapshot->rules[i].refused = control_relay_refused(from->control, i);
	}
	return 0;
}

/* ---- all of it ---- */

static int fill_calls(struct snapshot *snapshot, struct gathering *all,
		      const struct worker_status_sources *from)
{
	const struct control_conn_info *conn = all->conns, *end = conn + all->conn_count;

	snapshot->calls = calloc(all->call_count + 1, sizeof(*snapshot->calls));
	if (!snapshot->calls)
		return -1;
	snapshot->call_count = all->call_count;
	for (size_t i = 0; i < all->call_count; i++) {
		const struct call *call = &all->calls[i];
		while (conn < end && conn->number < call->info.connection)
			conn++;
		bool found = conn < end && conn->number == call->info.connection;
		fill_call(&snapshot->calls[i], call, found ? conn : NULL, all->now);
		snapshot->calls[i].captured = call->info.watched;
		snapshot->calls[i].fastpath =
		    from->fastpath && fastpath_has(from->fastpath, call->ref);
		for (int side = 0; side < 2; side++)
			snapshot->calls[i].from[side].silent =
			    control_relay_silent(from->control, call->ref, (enum callid_side)side);
		if (found)
			all->calls_by_pair[conn->pair]++;
	}
	return 0;
}

static void fill_head(struct snapshot *snapshot, const struct worker_status_sources *from,
		      uint64_t now)
{
	uint64_t day = follow_clocks(from->past);
	*snapshot = (struct snapshot){
	    .version = strchr(options_version, ' ') + 1,
	    .keeper_pid = from->keeper,
	    .worker_pid = (uint32_t)getpid(),
	    .up_ms = ago(now, from->past->began_at),
	    .worker_up_ms = ago(now, from->past->this_began_at),
	    .began_ms = from->past->began_ms,
	    .worker_began_ms = from->past->this_began_ms,
	    .time_s = day / 1000,
	    .fastpath = from->fastpath != NULL,
	    .capturing = capture_is_on(from->capture),
	};
	worker_status_totals(&snapshot->totals, from);
}

int worker_status_fill(struct snapshot *snapshot, const struct worker_status_sources *from,
		       struct why *why)
{
	struct gathering all = {.now = monotonic_ms()};
	int result = 0;

	fill_head(snapshot, from, all.now);
	if (gather(&all, from) != 0 || fill_calls(snapshot, &all, from) != 0 ||
	    fill_pairs(snapshot, from, &all) != 0 || fill_rules(snapshot, from) != 0) {
		snapshot_clear(snapshot);
		result = why_set(why, "no memory for the figures");
	}
	free(all.calls);
	free(all.conns);
	return result;
}
