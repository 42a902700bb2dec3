/*
 * page.html has the words between the figures, and a mark where each part of them goes.
 */
#include "status/status_page.h"

#include "status/status_figure.h"
#include "status/status_text.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define FILE_WITHIN(name, path)                                                                    \
	__asm__(".section .rodata\n"                                                               \
		"status_page_" #name "_begin: .incbin \"" path "\"\n"                              \
		"status_page_" #name "_end: .byte 0\n"                                             \
		".previous\n");                                                                    \
	extern const char status_page_##name##_begin[], status_page_##name##_end[]

FILE_WITHIN(html, "status/page.html");
FILE_WITHIN(js, "status/page.js");
FILE_WITHIN(css, "status/page.css");

/* ---- figures ---- */

static void add_count(struct status_text *text, uint64_t number)
{
	char figure[STATUS_FIGURE];
	status_text_add(text, status_figure_count(number, figure));
}

static void add_octets(struct status_text *text, uint64_t octets)
{
	char figure[STATUS_FIGURE];
	status_text_add(text, status_figure_octets(octets, figure));
}

static void add_time(struct status_text *text, uint64_t ms)
{
	char figure[STATUS_FIGURE];
	status_text_add(text, status_figure_time(ms, figure));
}

/* ---- cells ---- */

/* class "": none. Inside: a span, and notes in a small behind it. */
static void cell(struct status_text *text, const char *label, const char *class)
{
	status_text_add(text, "<td data-label=\"");
	status_text_add(text, label);
	if (*class) {
		status_text_add(text, "\" class=\"");
		status_text_add(text, class);
	}
	status_text_add(text, "\"><span>");
}

static void note(struct status_text *text)
{
	status_text_add(text, "</span><small>");
}

static void end_note(struct status_text *text)
{
	status_text_add(text, "</small></td>");
}

static void end_cell(struct status_text *text)
{
	status_text_add(text, "</span></td>");
}

static void count_cell(struct status_text *text, const char *label, uint64_t number)
{
	cell(text, label, "number");
	add_count(text, number);
	end_cell(text);
}

static void nothing(struct status_text *text, const char *columns, const char *sentence)
{
	status_text_add(text, "<tr class=\"none\"><td colspan=\"");
	status_text_add(text, columns);
	status_text_add(text, "\">");
	status_text_add(text, sentence);
	status_text_add(text, "</td></tr>\n");
}

/* ---- calls ---- */

static void end_point(struct status_text *text, const struct snapshot_call *call,
		      enum callid_side side)
{
	cell(text, side == CALLID_CLIENT ? "Client" : "Server", "");
	status_text_addr(text, call->addr[side]);
	status_text_add(text, ":");
	status_text_number(text, call->port[side]);
	note(text);
	status_text_add(text, "ID ");
	if (call->known[side])
		status_text_number(text, call->id[side]);
	else
		status_text_add(text, "not known yet");
	if (call->known[callid_other(side)]) {
		status_text_add(text, ", sees ");
		status_text_number(text, call->shown[side]);
	}
	end_note(text);
}

static void last_cell(struct status_text *text, const struct snapshot_direction *from,
		      const char *label)
{
	cell(text, label, from->silent ? "number silent" : "number");
	if (from->silent)
		status_text_add(text, "silent, ");
	if (from->last_ms == SNAPSHOT_NEVER)
		status_text_add(text, "never");
	else
		add_time(text, from->last_ms);
	end_cell(text);
}

static void direction(struct status_text *text, const struct snapshot_call *call,
		      enum callid_side side)
{
	const struct snapshot_direction *from = &call->from[side];
	bool client = side == CALLID_CLIENT;

	cell(text, client ? "Packets from the client" : "Packets from the server",
	     from->drops > 0 ? "number first dropped" : "number first");
	add_count(text, from->packets);
	note(text);
	if (from->drops > 0) {
		add_count(text, from->drops);
		status_text_add(text, " dropped");
	}
	end_note(text);
	cell(text, client ? "Octets from the client" : "Octets from the server", "number");
	add_octets(text, from->octets);
	end_cell(text);
	last_cell(text, from, client ? "Last from the client" : "Last from the server");
}

static void call_row(struct status_text *text, const struct snapshot_call *call)
{
	bool first = true;
	const struct {
		bool is;
		const char *words;
	} marks[] = {{!call->open, "being set up"},
		     {call->fastpath, "fast path"},
		     {call->captured, "captured"}};

	status_text_add(text, "<tr><th scope=\"row\" data-label=\"Call\"><span>");
	status_text_html(text, call->name);
	note(text);
	for (size_t i = 0; i < sizeof(marks) / sizeof(*marks); i++) {
		if (!marks[i].is)
			continue;
		status_text_add(text, first ? "" : ", ");
		status_text_add(text, marks[i].words);
		first = false;
	}
	status_text_add(text, "</small></th>");
	end_point(text, call, CALLID_CLIENT);
	end_point(text, call, CALLID_SERVER);
	cell(text, "Age", "number");
	add_time(text, call->age_ms);
	end_cell(text);
	direction(text, call, CALLID_CLIENT);
	direction(text, call, CALLID_SERVER);
	status_text_add(text, "</tr>\n");
}

static void calls(struct status_text *text, const struct snapshot *snapshot)
{
	for (size_t i = 0; i < snapshot->call_count && i < STATUS_PAGE_CALLS_MAX; i++)
		call_row(text, &snapshot->calls[i]);
	if (snapshot->call_count == 0)
		nothing(text, "10", "No calls.");
}

static void calls_left_out(struct status_text *text, const struct snapshot *snapshot)
{
	if (snapshot->call_count <= STATUS_PAGE_CALLS_MAX)
		return;
	status_text_add(text, "<p id=\"left_out\">");
	add_count(text, snapshot->call_count - STATUS_PAGE_CALLS_MAX);
	status_text_add(text,
			" more calls are not shown here: <a href=\"calls.json\">calls.json</a> "
			"has all.</p>");
}

/* ---- pairs and rules ---- */

static void pair_row(struct status_text *text, const struct snapshot_pair *pair)
{
	status_text_add(text, "<tr><th scope=\"row\" data-label=\"Listens on\"><span>");
	status_text_html(text, pair->listen);
	status_text_add(text, "</span></th>");
	cell(text, "Server", "");
	status_text_html(text, pair->peer);
	end_cell(text);
	cell(text, "State", snapshot_state_name(pair->state));
	status_text_add(text, snapshot_state_name(pair->state));
	end_cell(text);
	count_cell(text, "Connections", pair->connections);
	count_cell(text, "Calls", pair->calls);
	count_cell(text, "Clients", pair->accepted);
	count_cell(text, "Dials answered", pair->connected);
	count_cell(text, "Dials failed", pair->failed);
	cell(text, "Last error", "");
	status_text_html(text, pair->last_error[0] ? pair->last_error : "none");
	note(text);
	if (pair->last_error[0] && pair->last_error_ms != SNAPSHOT_NEVER) {
		add_time(text, pair->last_error_ms);
		status_text_add(text, " ago");
	}
	end_note(text);
	status_text_add(text, "</tr>\n");
}

static void pairs(struct status_text *text, const struct snapshot *snapshot)
{
	for (size_t i = 0; i < snapshot->pair_count; i++)
		pair_row(text, &snapshot->pairs[i]);
	if (snapshot->pair_count == 0)
		nothing(text, "9", "No pairs.");
}

static void rules(struct status_text *text, const struct snapshot *snapshot)
{
	for (size_t i = 0; i < snapshot->rule_count; i++) {
		const struct snapshot_rule *rule = &snapshot->rules[i];
		status_text_add(text, "<tr><td><span>");
		status_text_html(text, rule->text);
		status_text_add(text, rule->command ? "</span></td><td><span>command</span></td>"
						    : "</span></td><td><span>address</span></td>");
		status_text_add(text, "<td class=\"number\"><span>");
		add_count(text, rule->allowed);
		status_text_add(text, "</span></td><td class=\"number\"><span>");
		if (rule->command)
			add_count(text, rule->refused);
		status_text_add(text, "</span></td></tr>\n");
	}
	if (snapshot->rule_count == 0)
		nothing(text, "4", "None: any source may connect.");
}

/* ---- reasons ---- */

static void reason_row(struct status_text *text, const char *name, const char *meaning,
		       uint64_t number)
{
	status_text_add(text, number > 0 ? "<tr>" : "<tr class=\"zero\">");
	status_text_add(text, "<th scope=\"row\"><span>");
	status_text_html(text, name);
	note(text);
	status_text_html(text, meaning);
	status_text_add(text, "</small></th><td class=\"number\"><span>");
	add_count(text, number);
	status_text_add(text, "</span></td></tr>\n");
}

#define REASONS(part, kind, counts, COUNT)                                                         \
	static void part(struct status_text *text, const struct snapshot *snapshot)                \
	{                                                                                          \
		for (int i = 0; i < (COUNT); i++)                                                  \
			reason_row(text, reason_##kind##_name((enum reason_##kind)i),              \
				   reason_##kind##_meaning((enum reason_##kind)i),                 \
				   snapshot->totals.counts[i]);                                    \
	}

REASONS(packet_drops, packet, packet_drops, REASON_PACKET_COUNT)
REASONS(message_drops, message, message_drops, REASON_MESSAGE_COUNT)
REASONS(refusals, refusal, refusals, REASON_REFUSAL_COUNT)
REASONS(ends, end, ends, REASON_END_COUNT)

/* ---- whose figures these are, and the large ones ---- */

static void whose(struct status_text *text, const struct snapshot *snapshot)
{
	status_text_html(text, snapshot->version);
	status_text_add(text, ", up ");
	add_time(text, snapshot->up_ms);
	status_text_add(text, "; worker ");
	status_text_number(text, snapshot->worker_pid);
	status_text_add(text, " for ");
	add_time(text, snapshot->worker_up_ms);
	if (snapshot->fastpath)
		status_text_add(text, "; fast path");
	if (snapshot->capturing)
		status_text_add(text, "; capturing");
}

static void when(struct status_text *text, const struct snapshot *snapshot)
{
	time_t now = (time_t)snapshot->time_s;
	struct tm parts;
	char words[40];
	if (gmtime_r(&now, &parts) &&
	    strftime(words, sizeof(words), "%Y-%m-%d %H:%M:%S UTC", &parts))
		status_text_add(text, words);
}

static uint64_t sum(const uint64_t *numbers, int count)
{
	uint64_t all = 0;
	for (int i = 0; i < count; i++)
		all += numbers[i];
	return all;
}

static void figure(struct status_text *text, const char *term, uint64_t number)
{
	status_text_add(text, "<div><dt>");
	status_text_add(text, term);
	status_text_add(text, "</dt><dd><span>");
	add_count(text, number);
	status_text_add(text, "</span><small>");
}

static void noted(struct status_text *text, uint64_t number, const char *words)
{
	add_count(text, number);
	status_text_add(text, words);
	status_text_add(text, "</small></dd></div>\n");
}

static void figures(struct status_text *text, const struct snapshot *snapshot)
{
	const struct snapshot_totals *totals = &snapshot->totals;
	figure(text, "Calls", totals->calls);
	noted(text, totals->calls_reserved, " being set up");
	figure(text, "Connections", totals->connections);
	noted(text, totals->half_open, " half open");
	figure(text, "Calls opened", totals->calls_opened);
	noted(text, totals->calls_ended, " ended");
	figure(text, "Clients accepted", totals->accepted);
	noted(text, sum(totals->refusals, REASON_REFUSAL_COUNT), " refused");
	figure(text, "Control messages", totals->messages);
	noted(text, sum(totals->message_drops, REASON_MESSAGE_COUNT), " dropped");
	figure(text, "Packets received", totals->packets_received);
	noted(text, sum(totals->packet_drops, REASON_PACKET_COUNT), " dropped");
	figure(text, "Packets sent", totals->packets_sent);
	noted(text, totals->packets_carried, " by fast path");
	figure(text, "Workers started", totals->workers);
	noted(text, totals->ids_resting, " call IDs rest");
}

/* ---- the whole ---- */

static const struct {
	const char *mark;
	void (*write)(struct status_text *, const struct snapshot *);
} parts[] = {
    {"whose", whose},
    {"when", when},
    {"figures", figures},
    {"pairs", pairs},
    {"calls", calls},
    {"calls_left_out", calls_left_out},
    {"packet_drops", packet_drops},
    {"message_drops", message_drops},
    {"refusals", refusals},
    {"ends", ends},
    {"rules", rules},
};

static void write_part(struct status_text *text, const char *mark, size_t length,
		       const struct snapshot *snapshot)
{
	for (size_t i = 0; i < sizeof(parts) / sizeof(*parts); i++) {
		if (strlen(parts[i].mark) == length && memcmp(parts[i].mark, mark, length) == 0)
			parts[i].write(text, snapshot);
	}
}

int status_page_write(struct evbuffer *out, const struct snapshot *snapshot)
{
	static const char opening[] = "<!--", closing[] = "-->";
	const char *at = status_page_html_begin, *mark;
	struct status_text text;

	status_text_begin(&text, out);
	while ((mark = strstr(at, opening))) {
		const char *name = mark + strlen(opening), *end = strstr(name, closing);
		status_text_octets(&text, at, (size_t)(mark - at));
		write_part(&text, name, (size_t)(end - name), snapshot);
		at = end + strlen(closing);
	}
	status_text_add(&text, at);
	return status_text_end(&text);
}

const char *status_page_script(size_t *length)
{
	*length = (size_t)(status_page_js_end - status_page_js_begin);
	return status_page_js_begin;
}

const char *status_page_style(size_t *length)
{
	*length = (size_t)(status_page_css_end - status_page_css_begin);
	return status_page_css_begin;
}
