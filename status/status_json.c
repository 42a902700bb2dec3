#include "status/status_json.h"

#include "status/status_maker.h"
#include "status/status_text.h"

/* ---- members: "name":value, and a comma before all but an object's first ---- */

static void key(struct status_text *text, const char *name)
{
	status_text_add(text, "\"");
	status_text_add(text, name);
	status_text_add(text, "\":");
}

static void number(struct status_text *text, const char *name, uint64_t value)
{
	key(text, name);
	status_text_number(text, value);
	status_text_add(text, ",");
}

/* Where it is known. */
static void number_if(struct status_text *text, const char *name, bool known, uint64_t value)
{
	key(text, name);
	if (known)
		status_text_number(text, value);
	else
		status_text_add(text, "null");
	status_text_add(text, ",");
}

static void truth(struct status_text *text, const char *name, bool value)
{
	key(text, name);
	status_text_add(text, value ? "true," : "false,");
}

static void words(struct status_text *text, const char *name, const char *value)
{
	key(text, name);
	status_text_json(text, value);
	status_text_add(text, ",");
}

static void addr(struct status_text *text, const char *name, uint32_t value)
{
	key(text, name);
	status_text_add(text, "\"");
	status_text_addr(text, value);
	status_text_add(text, "\",");
}

/* ---- calls ---- */

static void side(struct status_text *text, const struct snapshot_call *call, enum callid_side side)
{
	const struct snapshot_direction *from = &call->from[side];

	key(text, callid_side_name(side));
	status_text_add(text, "{");
	addr(text, "addr", call->addr[side]);
	number(text, "port", call->port[side]);
	addr(text, "proxy_addr", call->proxy_addr[side]);
	number_if(text, "id", call->known[side], call->id[side]);
	number_if(text, "shown_id", call->known[callid_other(side)], call->shown[side]);
	number(text, "packets", from->packets);
	number(text, "octets", from->octets);
	number(text, "drops", from->drops);
	number_if(text, "last_packet_ms", from->last_ms != SNAPSHOT_NEVER, from->last_ms);
	key(text, "silent");
	status_text_add(text, from->silent ? "true}" : "false}");
}

static void call(struct status_text *text, const struct snapshot_call *call)
{
	status_text_add(text, "{");
	words(text, "call", call->name);
	number(text, "connection", call->connection);
	truth(text, "open", call->open);
	words(text, "caller", callid_side_name(call->caller));
	number(text, "age_ms", call->age_ms);
	truth(text, "fastpath", call->fastpath);
	truth(text, "captured", call->captured);
	side(text, call, CALLID_CLIENT);
	status_text_add(text, ",");
	side(text, call, CALLID_SERVER);
	status_text_add(text, "}");
}

/* Of the array a piece. */
static void calls(struct status_text *text, const struct snapshot *snapshot, size_t *from)
{
	size_t end = status_maker_piece_end(snapshot, *from);
	if (*from == 0)
		status_text_add(text, "[");
	for (size_t i = *from; i < end; i++) {
		status_text_add(text, i > 0 ? "," : "");
		call(text, &snapshot->calls[i]);
	}
	if (end == snapshot->call_count)
		status_text_add(text, "]");
	*from = end;
}

/* ---- pairs and rules ---- */

static void pair(struct status_text *text, const struct snapshot_pair *pair)
{
	status_text_add(text, "{");
	words(text, "listen", pair->listen);
	words(text, "peer", pair->peer);
	words(text, "state", snapshot_state_name(pair->state));
	number(text, "connections", pair->connections);
	number(text, "calls", pair->calls);
	number(text, "accepted", pair->accepted);
	number(text, "connected", pair->connected);
	number(text, "failed", pair->failed);
	number_if(text, "last_error_ms", pair->last_error_ms != SNAPSHOT_NEVER,
		  pair->last_error_ms);
	key(text, "last_error");
	if (pair->last_error[0])
		status_text_json(text, pair->last_error);
	else
		status_text_add(text, "null");
	status_text_add(text, "}");
}

static void pairs(struct status_text *text, const struct snapshot *snapshot)
{
	status_text_add(text, "[");
	for (size_t i = 0; i < snapshot->pair_count; i++) {
		status_text_add(text, i > 0 ? "," : "");
		pair(text, &snapshot->pairs[i]);
	}
	status_text_add(text, "]");
}

static void rules(struct status_text *text, const struct snapshot *snapshot)
{
	status_text_add(text, "[");
	for (size_t i = 0; i < snapshot->rule_count; i++) {
		const struct snapshot_rule *rule = &snapshot->rules[i];
		status_text_add(text, i > 0 ? ",{" : "{");
		words(text, "rule", rule->text);
		truth(text, "command", rule->command);
		number_if(text, "refused", rule->command, rule->refused);
		key(text, "allowed");
		status_text_number(text, rule->allowed);
		status_text_add(text, "}");
	}
	status_text_add(text, "]");
}

/* ---- totals ---- */

#define BY_REASON(text, name, kind, counts, COUNT)                                                 \
	do {                                                                                       \
		key(text, name);                                                                   \
		for (int i = 0; i < (COUNT); i++) {                                                \
			status_text_add(text, i > 0 ? "," : "{");                                  \
			status_text_json(text, reason_##kind##_name((enum reason_##kind)i));       \
			status_text_add(text, ":");                                                \
			status_text_number(text, (counts)[i]);                                     \
		}                                                                                  \
		status_text_add(text, "}");                                                        \
	} while (0)

static void whose(struct status_text *text, const struct snapshot *snapshot)
{
	words(text, "version", snapshot->version);
	number(text, "keeper_pid", snapshot->keeper_pid);
	number(text, "worker_pid", snapshot->worker_pid);
	number(text, "up_ms", snapshot->up_ms);
	number(text, "worker_up_ms", snapshot->worker_up_ms);
	number(text, "time_s", snapshot->time_s);
	truth(text, "fastpath", snapshot->fastpath);
	truth(text, "capturing", snapshot->capturing);
}

static void totals(struct status_text *text, const struct snapshot *snapshot)
{
	const struct snapshot_totals *all = &snapshot->totals;

	status_text_add(text, "{");
	whose(text, snapshot);
	number(text, "connections", all->connections);
	number(text, "half_open", all->half_open);
	number(text, "calls", all->calls);
	number(text, "calls_reserved", all->calls_reserved);
	number(text, "ids_resting", all->ids_resting);
	number(text, "accepted", all->accepted);
	number(text, "calls_opened", all->calls_opened);
	number(text, "calls_ended", all->calls_ended);
	number(text, "messages", all->messages);
	number(text, "workers", all->workers);
	number(text, "packets_received", all->packets_received);
	number(text, "packets_sent", all->packets_sent);
	number(text, "packets_carried", all->packets_carried);
	BY_REASON(text, "packet_drops", packet, all->packet_drops, REASON_PACKET_COUNT);
	status_text_add(text, ",");
	BY_REASON(text, "message_drops", message, all->message_drops, REASON_MESSAGE_COUNT);
	status_text_add(text, ",");
	BY_REASON(text, "refusals", refusal, all->refusals, REASON_REFUSAL_COUNT);
	status_text_add(text, ",");
	BY_REASON(text, "ends", end, all->ends, REASON_END_COUNT);
	status_text_add(text, "}");
}

/* ---- what is asked for ---- */

static int write_one(struct evbuffer *out, const struct snapshot *snapshot,
		     void write(struct status_text *, const struct snapshot *))
{
	struct status_text text;
	status_text_begin(&text, out);
	write(&text, snapshot);
	return status_text_end(&text);
}

static void behind_calls(struct status_text *text, const struct snapshot *snapshot)
{
	status_text_add(text, ",");
	key(text, "pairs");
	pairs(text, snapshot);
	status_text_add(text, ",");
	key(text, "rules");
	rules(text, snapshot);
	status_text_add(text, ",");
	key(text, "totals");
	totals(text, snapshot);
	status_text_add(text, "}");
}

int status_json_calls(struct evbuffer *out, const struct snapshot *snapshot, size_t *from)
{
	struct status_text text;
	status_text_begin(&text, out);
	calls(&text, snapshot, from);
	return status_text_end(&text);
}

int status_json_all(struct evbuffer *out, const struct snapshot *snapshot, size_t *from)
{
	struct status_text text;
	status_text_begin(&text, out);
	if (*from == 0) {
		status_text_add(&text, "{");
		key(&text, "calls");
	}
	calls(&text, snapshot, from);
	if (*from == snapshot->call_count)
		behind_calls(&text, snapshot);
	return status_text_end(&text);
}

int status_json_pairs(struct evbuffer *out, const struct snapshot *snapshot)
{
	return write_one(out, snapshot, pairs);
}

int status_json_rules(struct evbuffer *out, const struct snapshot *snapshot)
{
	return write_one(out, snapshot, rules);
}

int status_json_totals(struct evbuffer *out, const struct snapshot *snapshot)
{
	return write_one(out, snapshot, totals);
}
