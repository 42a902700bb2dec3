/*
 * The list, and what concerns control connections and the capture itself. A call's packets are
 * explain_blame_ways', its PPP explain_blame_ppp's.
 */
#include "explain/explain_findings.h"

#include "explain/explain_blame_ppp.h"
#include "explain/explain_blame_ways.h"
#include "explain/explain_legs.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* Longer than that somebody should have said something. */
enum { PATIENCE_US = 5000000 };

void explain_findings_add(struct explain_findings *findings, const char *format, ...)
{
	char *text = NULL;
	va_list args;
	if (findings->count >= EXPLAIN_FINDINGS_MAX) {
		findings->left_out++;
		return;
	}
	va_start(args, format);
	int length = vasprintf(&text, format, args);
	va_end(args);
	if (length >= 0)
		findings->texts[findings->count++] = text;
	else
		findings->left_out++;
}

void explain_findings_clear(struct explain_findings *findings)
{
	for (size_t i = 0; i < findings->count; i++)
		free(findings->texts[i]);
	*findings = (struct explain_findings){0};
}

const char *explain_findings_label(const struct explain_call *call,
				   char out[static EXPLAIN_LABEL_MAX])
{
	if (call->control)
		snprintf(out, EXPLAIN_LABEL_MAX, "Call %u.%u", call->control->number, call->number);
	else
		snprintf(out, EXPLAIN_LABEL_MAX, "Stray call %u", call->number);
	return out;
}

int64_t explain_findings_until(const struct explain_case *all, const struct explain_call *call)
{
	return call->ended ? call->ended_us : all->end_us;
}

/* Control connections. */

static int64_t control_until(const struct explain_case *all, const struct explain_control *control)
{
	return control->ended ? control->ended_us : all->end_us;
}

/* True: there is nothing else to say about it. */
static bool blame_opening(struct explain_findings *findings, const struct explain_case *all,
			  const struct explain_control *control)
{
	const struct explain_control_end *client = &control->end[EXPLAIN_CLIENT];
	const struct explain_control_end *server = &control->end[EXPLAIN_SERVER];
	char who[EXPLAIN_ADDRESS_MAX];
	explain_words_address(server->address, who);
	if (!control->from_start)
		return false;
	if (server->syns == 0 && !server->stream.begun) {
		if (server->reset)
			explain_findings_add(findings,
					     "Control connection %u: %s refuses it (RST): nothing "
					     "listens on port %u there, or a firewall rejects it.",
					     control->number, who, server->port);
		else if (client->syns > 1 ||
			 control_until(all, control) - control->first_us > PATIENCE_US)
			explain_findings_add(findings,
					     "Control connection %u: %s never answers (%u SYN): it "
					     "is not reachable, or TCP port %u is blocked on the "
					     "way.",
					     control->number, who, client->syns, server->port);
		return true;
	}
	bool patient = control->ended || all->end_us - control->first_us > PATIENCE_US;
	if (!client->introduced && client->messages == 0 && client->nonsense == 0 && patient &&
	    !control->made_up) {
		explain_findings_add(
		    findings,
		    "Control connection %u: the client connects, but never sends a "
		    "Start-Control-Connection-Request.",
		    control->number);
		return true;
	}
	if (client->introduced && server->messages == 0 && server->nonsense == 0 && patient) {
		explain_findings_add(findings,
				     "Control connection %u: %s takes the connection, but never "
				     "replies to the Start-Control-Connection-Request: its PPTP "
				     "server hangs, or something else listens there.",
				     control->number, who);
		return true;
	}
	return false;
}

static void blame_streams(struct explain_findings *findings, const struct explain_control *control)
{
	static const char *const names[] = {"client", "server"};
	for (enum explain_end end = 0; end < EXPLAIN_ENDS; end++) {
		const struct explain_control_end *own = &control->end[end];
		char who[EXPLAIN_ADDRESS_MAX];
		explain_words_address(own->address, who);
		if (own->nonsense > 0)
			explain_findings_add(findings,
					     "Control connection %u: what the %s %s sends is no "
					     "PPTP, or the capture has holes.",
					     control->number, names[end], who);
		if (own->stream.lost > 0)
			explain_findings_add(
			    findings,
			    "Control connection %u: %llu octets from the %s are not "
			    "in the capture: messages may be missing here that "
			    "were sent.",
			    control->number, (unsigned long long)own->stream.lost, names[end]);
	}
}

static void blame_echoes(struct explain_findings *findings, const struct explain_case *all,
			 const struct explain_control *control)
{
	static const char *const names[] = {"client", "server"};
	for (enum explain_end end = 0; end < EXPLAIN_ENDS; end++) {
		const struct explain_control_end *own = &control->end[end];
		if (own->unanswered > 0 &&
		    control_until(all, control) - own->unanswered_us > PATIENCE_US)
			explain_findings_add(
			    findings,
			    "Control connection %u: Echo-Requests of the %s get no reply from "
			    "%.3f s on (%llu of them): the %s hangs, or is no more reachable.",
			    control->number, names[end], (double)own->unanswered_us / 1e6,
			    (unsigned long long)own->unanswered, names[!end]);
	}
}

/* Of two legs that are refused alike one is told. */
static bool is_told(const struct explain_control *control)
{
	return control->twin && control->twin->refused && control->twin->number < control->number;
}

static void blame_control(struct explain_findings *findings, const struct explain_case *all,
			  const struct explain_control *control)
{
	char who[EXPLAIN_ADDRESS_MAX];
	if (blame_opening(findings, all, control))
		return;
	if (control->refused && !is_told(control))
		explain_findings_add(
		    findings, "Control connection %u: the server %s refuses it: %s.",
		    control->number,
		    explain_words_address(control->end[EXPLAIN_SERVER].address, who),
		    control->refusal);
	blame_streams(findings, control);
	blame_echoes(findings, all, control);
}

/* Calls. */

static void blame_state(struct explain_findings *findings, const struct explain_case *all,
			const struct explain_call *call)
{
	char label[EXPLAIN_LABEL_MAX];
	explain_findings_label(call, label);
	if (call->twin && call->twin->state == call->state && !explain_legs_is_first(call))
		return;
	if (call->state == EXPLAIN_CALL_REFUSED)
		explain_findings_add(findings, "%s: the %s refuses it: %s.", label,
				     call->names[!call->asker], call->ending);
	else if (call->state == EXPLAIN_CALL_ASKED &&
		 explain_findings_until(all, call) - call->asked_us > PATIENCE_US)
		explain_findings_add(findings, "%s: the %s never answers the request for it.",
				     label, call->names[!call->asker]);
}

/* The capture. */

static void blame_capture(struct explain_findings *findings, const struct explain_case *all)
{
	uint64_t cut = all->cut_gre, middle = 0;
	char who[EXPLAIN_ADDRESS_MAX];
	for (const struct explain_control *control = all->controls; control;
	     control = control->next) {
		cut += control->cut;
		middle += !control->from_start;
	}
	if (middle > 0)
		explain_findings_add(
		    findings,
		    "%llu of %zu control connections began before the capture: what "
		    "was said until then, and IDs of their calls, are not known.",
		    (unsigned long long)middle, all->control_count);
	if (cut > 0)
		explain_findings_add(
		    findings,
		    "%llu %s in the capture, before %s: capture with tcpdump's "
		    "-s 0.",
		    (unsigned long long)cut, cut == 1 ? "packet is cut" : "packets are cut",
		    cut == 1 ? "its header or message ends" : "their headers or messages end");
	if (all->short_gre > 0)
		explain_findings_add(findings,
				     "%llu GRE %s, from %s%s: a broken sender. No receiver takes "
				     "that.",
				     (unsigned long long)all->short_gre,
				     all->short_gre == 1 ? "packet lies about its length"
							 : "packets lie about their length",
				     explain_words_address(all->short_by, who),
				     all->short_gre == 1 ? "" : " first");
	if (all->plain_gre > 0)
		explain_findings_add(findings,
				     "%llu GRE %s (not enhanced GRE): another tunnel, or a broken "
				     "sender.",
				     (unsigned long long)all->plain_gre,
				     all->plain_gre == 1 ? "packet is not PPTP's"
							 : "packets are not PPTP's");
	if (all->untold > 0)
		explain_findings_add(findings,
				     "The capture has more connections or calls than can be told: "
				     "%llu packets and messages are left out.",
				     (unsigned long long)all->untold);
}

void explain_findings_look(struct explain_findings *findings, const struct explain_case *all)
{
	/* What is wrong with the capture itself makes the rest less certain. */
	blame_capture(findings, all);
	for (const struct explain_control *control = all->controls; control;
	     control = control->next)
		blame_control(findings, all, control);
	for (const struct explain_call *call = all->calls; call; call = call->next) {
		if (call->adopted)
			continue;
		blame_state(findings, all, call);
		explain_blame_ways_look(findings, all, call);
		explain_blame_ppp_look(findings, all, call);
	}
	if (findings->strays > EXPLAIN_STRAYS_TOLD)
		explain_findings_add(findings,
				     "%llu more stray calls are of no control connection either.",
				     (unsigned long long)findings->strays - EXPLAIN_STRAYS_TOLD);
}
