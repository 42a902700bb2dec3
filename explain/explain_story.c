#include "explain/explain_story.h"

#include "explain/explain_legs.h"

#include <stdarg.h>
#include <string.h>
#include <time.h>

enum { LINE_MAX_LENGTH = 1024 };

static double seconds(int64_t us)
{
	return (double)us / 1e6;
}

static const char *plural(uint64_t count)
{
	return count == 1 ? "" : "s";
}

/* A line that may become several, all of them that far from the edge. */
__attribute__((format(printf, 3, 4))) static void say(FILE *out, const char *first,
						      const char *format, ...)
{
	char text[LINE_MAX_LENGTH];
	va_list args;
	va_start(args, format);
	if (vsnprintf(text, sizeof(text), format, args) < 0)
		text[0] = '\0';
	va_end(args);
	explain_words_wrap(out, first, text);
}

static void tell_event(FILE *out, const char *indent, const struct explain_event *event)
{
	char first[64];
	snprintf(first, sizeof(first), "%s%10.3f  ", indent, seconds(event->time_us));
	if (event->times == 1)
		say(out, first, "%s", event->text);
	else
		say(out, first, "%s (%u times, until %.3f)", event->text, event->times,
		    seconds(event->last_us));
}

static void tell_events(FILE *out, const char *indent, const struct explain_events *events)
{
	char first[64];
	snprintf(first, sizeof(first), "%s%10s  ", indent, "");
	for (const struct explain_event *event = events->first; event; event = event->next) {
		tell_event(out, indent, event);
		if (event == events->middle && events->left_out > 0)
			say(out, first, "... and %llu events that are left out here ...",
			    (unsigned long long)events->left_out);
	}
}

/* The file. */

static bool has_pptp(const struct explain_case *all)
{
	return all->control_count + all->call_count + all->stray_count > 0;
}

static void tell_file(FILE *out, const struct explain_story_file *file,
		      const struct explain_case *all)
{
	char text[32] = "", count[EXPLAIN_COUNT_MAX];
	struct tm tm;
	time_t start = (time_t)file->start_s;
	if (gmtime_r(&start, &tm))
		strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &tm);
	if (file->frames > 0)
		say(out, "", "%s: %s packet%s in %.3f s, from %s UTC on", file->name,
		    explain_words_count(file->frames, count), plural(file->frames),
		    seconds(file->length_us), text);
	else
		say(out, "", "%s: there is no packet in this capture", file->name);
	if (file->broken)
		say(out, "", "The file is cut short, this is the story up to there: %s",
		    file->broken);
	if (file->other > 0)
		say(out, "", "%s of them %s no IPv4.", explain_words_count(file->other, count),
		    file->other == 1 ? "is" : "are");
	if (file->bad > 0)
		say(out, "", "%s of them %s cut within, or before, the IP header, or no good IP.",
		    explain_words_count(file->bad, count), file->bad == 1 ? "is" : "are");
	if (file->frames == 0)
		return;
	say(out, "", "%zu control connection%s, %zu call%s%s", all->control_count,
	    plural(all->control_count), all->call_count, plural(all->call_count),
	    all->stray_count > 0 ? ", and GRE of calls without one" : "");
	if (!has_pptp(all))
		say(out, "", "There is no PPTP in this capture.");
}

/* Packets. */

static void tell_way(FILE *out, const struct explain_call *call, enum explain_end end)
{
	const struct explain_way *way = &call->way[end];
	char name[48], packets[EXPLAIN_COUNT_MAX], octets[EXPLAIN_COUNT_MAX];
	snprintf(name, sizeof(name), "%s sends", call->names[end]);
	fprintf(out, "    %-22s %12s %15s %8llu %8llu %6llu\n", name,
		explain_words_count(way->packets, packets),
		explain_words_count(way->octets, octets), (unsigned long long)way->missing,
		(unsigned long long)way->late, (unsigned long long)way->twice);
	if (way->restarts > 0)
		say(out, "      ", "its sequence numbers jump %llu time%s",
		    (unsigned long long)way->restarts, plural(way->restarts));
	if (way->cut > 0)
		say(out, "      ", "%llu packet%s of it %s not whole in the capture",
		    (unsigned long long)way->cut, plural(way->cut), way->cut == 1 ? "is" : "are");
}

static void tell_ways(FILE *out, const struct explain_call *call)
{
	fprintf(out, "    %-22s %12s %15s %8s %8s %6s\n", "", "packets", "octets", "lost", "late",
		"twice");
	for (enum explain_end end = 0; end < EXPLAIN_ENDS; end++)
		tell_way(out, call, end);
}

/* What network packets there were in them. */
static void tell_content(FILE *out, const struct explain_call *call)
{
	const struct explain_ppp *ppp = &call->ppp;
	uint64_t plain = ppp->plain[0] + ppp->plain[1];
	uint64_t encrypted = ppp->encrypted[0] + ppp->encrypted[1];
	char one[EXPLAIN_COUNT_MAX], other[EXPLAIN_COUNT_MAX];
	if (plain + encrypted > 0)
		say(out, "    ",
		    "in them: %s packet%s of the network in the clear, %s encrypted or "
		    "compressed",
		    explain_words_count(plain, one), plural(plain),
		    explain_words_count(encrypted, other));
	if (ppp->echo_requests[0] + ppp->echo_requests[1] > 0)
		say(out, "    ", "LCP echoes: %u of %s (%u answered), %u of %s (%u answered)",
		    ppp->echo_requests[0], call->names[0], ppp->echo_replies[1],
		    ppp->echo_requests[1], call->names[1], ppp->echo_replies[0]);
}

/* Calls. */

static const char *id_text(const struct explain_call_end *end, char out[static 16])
{
	snprintf(out, 16, "%u", end->id);
	return end->has_id ? out : "not known";
}

static void tell_head(FILE *out, const struct explain_case *all, const struct explain_call *call)
{
	char label[EXPLAIN_LABEL_MAX], first[EXPLAIN_LABEL_MAX + 8], id[2][16], addresses[2][16];
	explain_findings_label(call, label);
	snprintf(first, sizeof(first), "  %s: ", label);
	id_text(&call->end[0], id[0]);
	id_text(&call->end[1], id[1]);
	explain_words_address(call->end[0].address, addresses[0]);
	explain_words_address(call->end[1].address, addresses[1]);
	if (call->state == EXPLAIN_CALL_STRAY)
		say(out, first, "IDs: %s of %s, %s of %s", id_text(&call->end[0], id[0]),
		    addresses[0], id_text(&call->end[1], id[1]), addresses[1]);
	else
		say(out, first, "IDs: client %s, server %s", id_text(&call->end[0], id[0]),
		    id_text(&call->end[1], id[1]));
	if (call->twin)
		say(out, "    ", "the same call as %u.%u, on the leg of the %s",
		    call->twin->control->number, call->twin->number,
		    explain_legs_is_first(call) ? "client" : "server");
	if (call->of != 0)
		say(out, "    ", "of control connection %u", call->of);
	else if (call->state == EXPLAIN_CALL_STRAY && call->way[0].packets > 0 &&
		 call->way[1].packets > 0)
		say(out, "    ",
		    "its control connection is not in the capture: it began before that, or "
		    "takes another way");
	(void)all;
}

static void tell_end(FILE *out, const struct explain_case *all, const struct explain_call *call)
{
	int64_t until = explain_findings_until(all, call);
	if (call->state == EXPLAIN_CALL_ASKED)
		say(out, "    ", "never answered%s%s", call->ended ? ", and ended: " : "",
		    call->ending);
	else if (call->state == EXPLAIN_CALL_UP && call->ended)
		say(out, "    ", "up for %.3f s, ended: %s", seconds(until - call->up_us),
		    call->ending);
	else if (call->state == EXPLAIN_CALL_UP)
		say(out, "    ", "up for %.3f s, and at the end of the capture",
		    seconds(until - call->up_us));
	else if (call->state == EXPLAIN_CALL_STRAY && call->ended)
		say(out, "    ", "ended: %s", call->ending);
}

static void tell_call(FILE *out, const struct explain_case *all, const struct explain_call *call)
{
	fputc('\n', out);
	tell_head(out, all, call);
	tell_events(out, "    ", &call->events);
	if (call->way[0].packets + call->way[1].packets > 0) {
		tell_ways(out, call);
		tell_content(out, call);
	} else if (call->state == EXPLAIN_CALL_UP) {
		say(out, "    ", "no GRE packets");
	}
	tell_end(out, all, call);
}

/* Control connections. */

static void tell_control(FILE *out, const struct explain_control *control)
{
	const struct explain_control_end *client = &control->end[EXPLAIN_CLIENT];
	const struct explain_control_end *server = &control->end[EXPLAIN_SERVER];
	char from[EXPLAIN_ADDRESS_MAX], to[EXPLAIN_ADDRESS_MAX];
	fputc('\n', out);
	say(out, "", "Control connection %u: client %s:%u, server %s:%u", control->number,
	    explain_words_address(client->address, from), client->port,
	    explain_words_address(server->address, to), server->port);
	if (control->twin)
		say(out, "  ",
		    "another leg of control connection %u: something between them passes "
		    "it on",
		    control->twin->number);
	if (!control->from_start)
		say(out, "  ", "it began before the capture");
	tell_events(out, "  ", &control->events);
	say(out, "  ", "messages: %llu of the client, %llu of the server",
	    (unsigned long long)client->messages, (unsigned long long)server->messages);
	if (client->echo_requests + server->echo_requests > 0)
		say(out, "  ",
		    "echoes: %llu of the client (%llu answered), %llu of the server (%llu "
		    "answered)",
		    (unsigned long long)client->echo_requests,
		    (unsigned long long)server->echo_replies,
		    (unsigned long long)server->echo_requests,
		    (unsigned long long)client->echo_replies);
	if (client->stream.repeated + server->stream.repeated > 0)
		say(out, "  ", "TCP segments sent again: %llu of the client, %llu of the server",
		    (unsigned long long)client->stream.repeated,
		    (unsigned long long)server->stream.repeated);
	if (!control->ended)
		say(out, "  ", "still open at the end of the capture");
}

/* What looks wrong. */

static void tell_findings(FILE *out, const struct explain_findings *findings)
{
	char first[32];
	fputc('\n', out);
	if (findings->count == 0) {
		say(out, "", "Nothing looks wrong.");
		return;
	}
	say(out, "", "What looks wrong:");
	for (size_t i = 0; i < findings->count; i++) {
		snprintf(first, sizeof(first), "%3zu. ", i + 1);
		say(out, first, "%s", findings->texts[i]);
	}
	if (findings->left_out > 0)
		say(out, "     ", "... and %llu more of that kind",
		    (unsigned long long)findings->left_out);
}

void explain_story_tell(FILE *out, const struct explain_story_file *file,
			const struct explain_case *all, const struct explain_findings *findings)
{
	tell_file(out, file, all);
	for (const struct explain_control *control = all->controls; control;
	     control = control->next) {
		tell_control(out, control);
		for (const struct explain_call *call = control->first_call; call;
		     call = call->next_here)
			tell_call(out, all, call);
	}
	if (all->strays)
		fputs("\nCalls that no message in the capture begins\n", out);
	for (const struct explain_call *call = all->strays; call; call = call->next_here)
		if (!call->adopted)
			tell_call(out, all, call);
	/* Of what is not there nobody can say that nothing is wrong with it. */
	if (has_pptp(all) || findings->count > 0)
		tell_findings(out, findings);
}
