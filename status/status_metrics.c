#include "status/status_metrics.h"

#include "status/status_text.h"

#include <string.h>

/* ---- lines ---- */

/* Its type follows from its name. */
static void head(struct status_text *text, const char *name, const char *help)
{
	size_t length = strlen(name);
	bool counts = length > 6 && strcmp(name + length - 6, "_total") == 0;
	status_text_add(text, "# HELP pptpproxy_");
	status_text_add(text, name);
	status_text_add(text, " ");
	status_text_add(text, help);
	status_text_add(text, "\n# TYPE pptpproxy_");
	status_text_add(text, name);
	status_text_add(text, counts ? " counter\n" : " gauge\n");
}

static void begin(struct status_text *text, const char *name)
{
	status_text_add(text, "pptpproxy_");
	status_text_add(text, name);
}

static void end(struct status_text *text, uint64_t value)
{
	status_text_add(text, " ");
	status_text_number(text, value);
	status_text_add(text, "\n");
}

static void single(struct status_text *text, const char *name, const char *help, uint64_t value)
{
	head(text, name, help);
	begin(text, name);
	end(text, value);
}

static void label(struct status_text *text, const char *before, const char *name, const char *value)
{
	status_text_add(text, before);
	status_text_add(text, name);
	status_text_add(text, "=\"");
	status_text_label(text, value);
	status_text_add(text, "\"");
}

/* ---- the program ---- */

static void when(struct status_text *text, const char *name, const char *help, uint64_t day_ms)
{
	head(text, name, help);
	begin(text, name);
	status_text_add(text, " ");
	status_text_seconds(text, day_ms);
	status_text_add(text, "\n");
}

static void program(struct status_text *text, const struct snapshot *snapshot)
{
	head(text, "build_info", "The version that runs; always 1.");
	begin(text, "build_info");
	label(text, "{", "version", snapshot->version);
	status_text_add(text, "}");
	end(text, 1);
	when(text, "start_time_seconds", "When the keeper started, since the epoch.",
	     snapshot->began_ms);
	when(text, "worker_start_time_seconds", "When the worker started, since the epoch.",
	     snapshot->worker_began_ms);
	single(text, "workers_started_total", "Workers that were started; the first one counts.",
	       snapshot->totals.workers);
	single(text, "fastpath_active", "1 if there is a fast path.", snapshot->fastpath);
	single(text, "capturing", "1 if packets are being captured.", snapshot->capturing);
}

/* ---- totals ---- */

static void connections(struct status_text *text, const struct snapshot_totals *totals)
{
	single(text, "connections", "Control connections of clients.", totals->connections);
	single(text, "connections_half_open", "Of those, not yet accepted by a server.",
	       totals->half_open);
	single(text, "connections_accepted_total", "Control connections that clients have opened.",
	       totals->accepted);
	single(text, "messages_total", "Control messages that were passed on.", totals->messages);
}

static void silent(struct status_text *text, const struct snapshot *snapshot)
{
	uint64_t count[2] = {0, 0};
	for (size_t i = 0; i < snapshot->call_count; i++) {
		count[CALLID_CLIENT] += snapshot->calls[i].from[CALLID_CLIENT].silent;
		count[CALLID_SERVER] += snapshot->calls[i].from[CALLID_SERVER].silent;
	}
	head(text, "calls_silent", "Calls from one side of which no packet comes.");
	for (int side = 0; side < 2; side++) {
		begin(text, "calls_silent");
		label(text, "{", "side", callid_side_name((enum callid_side)side));
		status_text_add(text, "}");
		end(text, count[side]);
	}
}

static void calls(struct status_text *text, const struct snapshot *snapshot)
{
	const struct snapshot_totals *totals = &snapshot->totals;
	single(text, "calls", "Calls, with those that wait for their Reply.", totals->calls);
	single(text, "calls_reserved", "Calls that wait for their Reply.", totals->calls_reserved);
	silent(text, snapshot);
	single(text, "call_ids_resting", "Call IDs of ended calls, not used again yet.",
	       totals->ids_resting);
	single(text, "calls_opened_total", "Calls that were opened.", totals->calls_opened);
	single(text, "calls_ended_total", "Calls that have ended.", totals->calls_ended);
}

static void packets(struct status_text *text, const struct snapshot_totals *totals)
{
	single(text, "packets_received_total", "Enhanced GRE packets that the program received.",
	       totals->packets_received);
	single(text, "packets_sent_total", "Packets that the program sent.", totals->packets_sent);
	single(text, "packets_carried_total", "Packets that the fast path carried.",
	       totals->packets_carried);
}

#define BY_REASON(text, name, help, kind, counts, COUNT)                                           \
	do {                                                                                       \
		head(text, name, help);                                                            \
		for (int i = 0; i < (COUNT); i++) {                                                \
			begin(text, name);                                                         \
			label(text, "{", "reason", reason_##kind##_name((enum reason_##kind)i));   \
			status_text_add(text, "}");                                                \
			end(text, (counts)[i]);                                                    \
		}                                                                                  \
	} while (0)

static void reasons(struct status_text *text, const struct snapshot_totals *totals)
{
	BY_REASON(text, "packet_drops_total", "Packets that were dropped.", packet,
		  totals->packet_drops, REASON_PACKET_COUNT);
	BY_REASON(text, "message_drops_total", "Control messages that were dropped.", message,
		  totals->message_drops, REASON_MESSAGE_COUNT);
	BY_REASON(text, "connections_refused_total", "Control connections that were refused.",
		  refusal, totals->refusals, REASON_REFUSAL_COUNT);
	BY_REASON(text, "connections_ended_total", "Control connections that have ended.", end,
		  totals->ends, REASON_END_COUNT);
}

/* ---- pairs and rules; numbered, as two may have the same words ---- */

static void place(struct status_text *text, const char *name, size_t index)
{
	status_text_add(text, "{");
	status_text_add(text, name);
	status_text_add(text, "=\"");
	status_text_number(text, index + 1);
	status_text_add(text, "\"");
}

static void of_pair(struct status_text *text, const char *name, const struct snapshot *snapshot,
		    size_t index)
{
	const struct snapshot_pair *pair = &snapshot->pairs[index];
	begin(text, name);
	place(text, "pair", index);
	label(text, ",", "listen", pair->listen);
	label(text, ",", "peer", pair->peer);
	status_text_add(text, "}");
}

static void pairs_up(struct status_text *text, const struct snapshot *snapshot)
{
	head(text, "pair_up",
	     "1 if the server answered when it was last dialled, 0 if not; none "
	     "before that.");
	for (size_t i = 0; i < snapshot->pair_count; i++) {
		enum snapshot_state state = snapshot->pairs[i].state;
		if (state != SNAPSHOT_UP && state != SNAPSHOT_DOWN)
			continue;
		of_pair(text, "pair_up", snapshot, i);
		end(text, state == SNAPSHOT_UP);
	}
}

static uint64_t pair_figure(const struct snapshot_pair *pair, int which)
{
	const uint64_t figures[] = {pair->connections, pair->calls, pair->accepted, pair->connected,
				    pair->failed};
	return figures[which];
}

static void pairs(struct status_text *text, const struct snapshot *snapshot)
{
	static const struct {
		const char *name, *help;
	} figures[] = {
	    {"pair_connections", "Control connections of the pair."},
	    {"pair_calls", "Calls of the pair."},
	    {"pair_accepted_total", "Clients that were accepted, since the configuration came."},
	    {"pair_dials_answered_total", "Dials that the server answered, since then."},
	    {"pair_dials_failed_total", "Dials that failed, since then."},
	};
	pairs_up(text, snapshot);
	for (int which = 0; which < (int)(sizeof(figures) / sizeof(*figures)); which++) {
		head(text, figures[which].name, figures[which].help);
		for (size_t i = 0; i < snapshot->pair_count; i++) {
			of_pair(text, figures[which].name, snapshot, i);
			end(text, pair_figure(&snapshot->pairs[i], which));
		}
	}
}

static void rules(struct status_text *text, const struct snapshot *snapshot)
{
	head(text, "rule_allowed_total",
	     "Control connections that an access rule or command let in, since the configuration "
	     "came.");
	for (size_t i = 0; i < snapshot->rule_count; i++) {
		const struct snapshot_rule *rule = &snapshot->rules[i];
		begin(text, "rule_allowed_total");
		place(text, "rule", i);
		label(text, ",", "kind", rule->command ? "command" : "acl");
		label(text, ",", "text", rule->text);
		status_text_add(text, "}");
		end(text, rule->allowed);
	}
}

static void commands(struct status_text *text, const struct snapshot *snapshot)
{
	head(text, "rule_refused_total",
	     "Control connections that an access command did not let in, since then.");
	for (size_t i = 0; i < snapshot->rule_count; i++) {
		const struct snapshot_rule *rule = &snapshot->rules[i];
		if (!rule->command)
			continue;
		begin(text, "rule_refused_total");
		place(text, "rule", i);
		label(text, ",", "kind", "command");
		label(text, ",", "text", rule->text);
		status_text_add(text, "}");
		end(text, rule->refused);
	}
}

int status_metrics_all(struct evbuffer *out, const struct snapshot *snapshot)
{
	struct status_text text;
	status_text_begin(&text, out);
	program(&text, snapshot);
	connections(&text, &snapshot->totals);
	calls(&text, snapshot);
	packets(&text, &snapshot->totals);
	reasons(&text, &snapshot->totals);
	pairs(&text, snapshot);
	rules(&text, snapshot);
	commands(&text, snapshot);
	return status_text_end(&text);
}
