#include "status/status_lines.h"

#include "status/status_maker.h"

#include <event2/buffer.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { NUMBER_TEXT = 24, ADDRESS_TEXT = 24, WORD_TEXT = 512 };

/* ---- fields ---- */

/* A number, or "-". */
static const char *number(char out[static NUMBER_TEXT], bool known, uint64_t value)
{
	if (known)
		snprintf(out, NUMBER_TEXT, "%" PRIu64, value);
	else
		snprintf(out, NUMBER_TEXT, "-");
	return out;
}

static const char *age(char out[static NUMBER_TEXT], uint64_t ms)
{
	return number(out, ms != SNAPSHOT_NEVER, ms);
}

static const char *address(char out[static ADDRESS_TEXT], uint32_t addr, uint16_t port)
{
	snprintf(out, ADDRESS_TEXT, "%u.%u.%u.%u:%u", addr >> 24, addr >> 16 & 255, addr >> 8 & 255,
		 addr & 255, port);
	return out;
}

/* Somebody else's words, as one field. */
static const char *words(char out[static WORD_TEXT], const char *text)
{
	size_t length = 0;
	for (; text[length] && length < WORD_TEXT - 1; length++)
		out[length] = text[length] < ' ' || text[length] > '~' ? '?' : text[length];
	out[length] = '\0';
	return length > 0 ? out : "-";
}

/* ---- calls ---- */

static int add_direction(struct evbuffer *out, const struct snapshot_direction *from)
{
	char last[NUMBER_TEXT];
	return evbuffer_add_printf(out, "\t%" PRIu64 "\t%" PRIu64 "\t%" PRIu64 "\t%s\t%s",
				   from->packets, from->octets, from->drops,
				   age(last, from->last_ms), from->silent ? "yes" : "no");
}

static int add_call(struct evbuffer *out, const struct snapshot_call *call)
{
	char addr[2][ADDRESS_TEXT], id[2][NUMBER_TEXT], shown[2][NUMBER_TEXT], name[WORD_TEXT];
	for (int side = 0; side < 2; side++) {
		address(addr[side], call->addr[side], call->port[side]);
		number(id[side], call->known[side], call->id[side]);
		number(shown[side], call->known[!side], call->shown[side]);
	}
	if (evbuffer_add_printf(out, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%" PRIu64 "\t%s",
				words(name, call->name), call->open ? "open" : "reserved",
				addr[CALLID_CLIENT], addr[CALLID_SERVER], id[CALLID_CLIENT],
				shown[CALLID_SERVER], id[CALLID_SERVER], shown[CALLID_CLIENT],
				call->age_ms,
				call->captured	 ? "captured"
				: call->fastpath ? "fast"
						 : "raw") < 0 ||
	    add_direction(out, &call->from[CALLID_CLIENT]) < 0 ||
	    add_direction(out, &call->from[CALLID_SERVER]) < 0)
		return -1;
	return evbuffer_add(out, "\n", 1);
}

static int add_call_names(struct evbuffer *out)
{
	return evbuffer_add_printf(
	    out, "call\tstate\tclient\tserver\tclient_id\tserver_sees\tserver_id\tclient_sees\t"
		 "age_ms\tway\tclient_packets\tclient_octets\tclient_drops\tclient_last_ms\t"
		 "client_silent\tserver_packets\tserver_octets\tserver_drops\tserver_last_ms\t"
		 "server_silent\n");
}

int status_lines_calls(struct evbuffer *out, const struct snapshot *snapshot, size_t *calls)
{
	size_t end = status_maker_piece_end(snapshot, *calls);
	int result = *calls == 0 ? add_call_names(out) : 0;
	for (; *calls < end && result >= 0; ++*calls)
		result = add_call(out, &snapshot->calls[*calls]);
	return result < 0 ? -1 : 0;
}

/* ---- pairs ---- */

static int add_pair(struct evbuffer *out, const struct snapshot_pair *pair)
{
	char listen[WORD_TEXT], peer[WORD_TEXT], error[WORD_TEXT], ago[NUMBER_TEXT];
	return evbuffer_add_printf(
	    out,
	    "%s\t%s\t%s\t%" PRIu64 "\t%" PRIu64 "\t%" PRIu64 "\t%" PRIu64 "\t%" PRIu64 "\t%s\t%s\n",
	    words(listen, pair->listen), words(peer, pair->peer), snapshot_state_name(pair->state),
	    pair->connections, pair->calls, pair->accepted, pair->connected, pair->failed,
	    age(ago, pair->last_error_ms), words(error, pair->last_error));
}

int status_lines_pairs(struct evbuffer *out, const struct snapshot *snapshot)
{
	int result =
	    evbuffer_add_printf(out, "listen\tpeer\tstate\tconnections\tcalls\taccepted\tconnected"
				     "\tfailed\tlast_error_ms\tlast_error\n");
	for (size_t i = 0; i < snapshot->pair_count && result >= 0; i++)
		result = add_pair(out, &snapshot->pairs[i]);
	return result < 0 ? -1 : 0;
}

/* ---- totals ---- */

static int add_figure(struct evbuffer *out, const char *figure, uint64_t value, const char *unit)
{
	return evbuffer_add_printf(out, "%s\t%" PRIu64 "\t%s\n", figure, value, unit);
}

#define ADD_REASONS(kind, KIND)                                                                    \
	static int add_##kind(struct evbuffer *out, const char *what, const uint64_t *counts)      \
	{                                                                                          \
		int result = 0;                                                                    \
		for (int i = 0; i < REASON_##KIND##_COUNT && result >= 0; i++) {                   \
			result = evbuffer_add_printf(out, "%s: %s\t%" PRIu64 "\t-\n", what,        \
						     reason_##kind##_name((enum reason_##kind)i),  \
						     counts[i]);                                   \
		}                                                                                  \
		return result;                                                                     \
	}
ADD_REASONS(packet, PACKET)
ADD_REASONS(message, MESSAGE)
ADD_REASONS(refusal, REFUSAL)
ADD_REASONS(end, END)

static int add_plain_totals(struct evbuffer *out, const struct snapshot *snapshot)
{
	const struct snapshot_totals *totals = &snapshot->totals;
	const struct {
		const char *figure;
		uint64_t value;
		const char *unit;
	} rows[] = {
	    {"keeper", snapshot->keeper_pid, "-"},
	    {"worker", snapshot->worker_pid, "-"},
	    {"up", snapshot->up_ms, "ms"},
	    {"worker up", snapshot->worker_up_ms, "ms"},
	    {"workers started", totals->workers, "-"},
	    {"connections", totals->connections, "-"},
	    {"connections, half open", totals->half_open, "-"},
	    {"clients accepted", totals->accepted, "-"},
	    {"calls", totals->calls, "-"},
	    {"calls, being set up", totals->calls_reserved, "-"},
	    {"calls opened", totals->calls_opened, "-"},
	    {"calls ended", totals->calls_ended, "-"},
	    {"call IDs that rest", totals->ids_resting, "-"},
	    {"control messages", totals->messages, "-"},
	    {"packets received", totals->packets_received, "-"},
	    {"packets sent", totals->packets_sent, "-"},
	    {"packets carried by the fast path", totals->packets_carried, "-"},
	};
	int result = 0;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]) && result >= 0; i++)
		result = add_figure(out, rows[i].figure, rows[i].value, rows[i].unit);
	return result;
}

int status_lines_totals(struct evbuffer *out, const struct snapshot *snapshot)
{
	const struct snapshot_totals *totals = &snapshot->totals;
	char version[WORD_TEXT];
	return evbuffer_add_printf(out, "figure\tvalue\tunit\nversion\t%s\t-\n",
				   words(version, snapshot->version)) < 0 ||
		       add_plain_totals(out, snapshot) < 0 ||
		       add_packet(out, "packets dropped", totals->packet_drops) < 0 ||
		       add_message(out, "control messages dropped", totals->message_drops) < 0 ||
		       add_refusal(out, "connections refused", totals->refusals) < 0 ||
		       add_end(out, "connections ended", totals->ends) < 0
		   ? -1
		   : 0;
}
