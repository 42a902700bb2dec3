/*
 * Of a call on two legs a direction is judged where its packets come from first; on the other leg
 * only what is worse there counts, and happened between the two.
 */
#include "explain/explain_blame_ways.h"

#include "explain/explain_legs.h"

#include <stdio.h>

enum {
	US = 1000000,
	/* A call that is over sooner may end before anybody had to send. */
	PATIENCE_US = 3 * US,
	SAME_US = US, /* a packet is on both legs within that */
	PERCENT_LOST = 1,
	LOST_MIN = 5,
	LATE_MIN = 10,
	PERCENT_TWICE = 20,
};

/* One direction of a call that is judged. */
struct subject {
	struct explain_findings *findings;
	const struct explain_case *all;
	const struct explain_call *call;
	enum explain_end end;		      /* who sends */
	const struct explain_way *way, *back; /* its packets, and those of the other */
	const struct explain_way *earlier;    /* the same direction on the leg before; or NULL */
	char label[EXPLAIN_LABEL_MAX];
	char from[EXPLAIN_ADDRESS_MAX], to[EXPLAIN_ADDRESS_MAX];
	const char *name, *peer; /* "client", "server" */
};

#define ADD(subject, format, ...)                                                                  \
	explain_findings_add((subject)->findings, "%s: " format, (subject)->label, __VA_ARGS__)

typedef unsigned long long count;

static double seconds(int64_t us)
{
	return (double)us / US;
}

/* No packet in this direction. */

/* Packets between the same ends with an ID that nobody assigned, or with the right one from another
 * address. */
static bool blame_stray(const struct subject *subject, const struct explain_call *stray,
			enum explain_end end)
{
	const struct explain_call *call = subject->call;
	const struct explain_call_end *from = &stray->end[end], *to = &stray->end[!end];
	const struct explain_call_end *right = &call->end[!subject->end];
	char other[EXPLAIN_ADDRESS_MAX];
	if (stray->way[end].packets == 0 || to->address != right->address)
		return false;
	if (from->address == call->end[subject->end].address) {
		bool own = call->end[subject->end].has_id && to->id == call->end[subject->end].id;
		ADD(subject,
		    "%s sends GRE with the wrong call ID: %u, which %s; the %s assigned %u. The %s "
		    "drops it.",
		    subject->name, to->id, own ? "is its own" : "nobody assigned", subject->peer,
		    right->id, subject->peer);
		return true;
	}
	if (to->id != right->id)
		return false;
	ADD(subject,
	    "GRE for the %s comes from %s, not from %s, to which the control connection goes: it "
	    "answers from another address, and the %s drops that.",
	    subject->peer, explain_words_address(from->address, other), subject->from,
	    subject->peer);
	return true;
}

static bool blame_strays(const struct subject *subject)
{
	for (const struct explain_call *stray = subject->all->strays; stray;
	     stray = stray->next_here) {
		if (stray->adopted || stray->of != 0)
			continue;
		for (enum explain_end end = 0; end < EXPLAIN_ENDS; end++)
			if (blame_stray(subject, stray, end))
				return true;
	}
	return false;
}

static void blame_missing(const struct subject *subject)
{
	if (subject->earlier && subject->earlier->packets == 0)
		return;
	/* Looking through all strays for each of very many calls would take for ever. */
	if (subject->findings->count < EXPLAIN_FINDINGS_MAX && blame_strays(subject))
		return;
	if (subject->earlier)
		ADD(subject,
		    "%llu GRE packets of the %s arrive on the other leg and none leaves here: what "
		    "is between the legs, at %s, does not carry them.",
		    (count)subject->earlier->packets, subject->name, subject->from);
	else
		ADD(subject,
		    "%s sends GRE (%llu packets), %s never does: protocol 47 is blocked between %s "
		    "and %s, on the %s's side of where this was captured. A firewall there, or a "
		    "router that cannot translate PPTP.",
		    subject->peer, (count)subject->back->packets, subject->name, subject->from,
		    subject->to, subject->name);
}

static void blame_nothing(struct explain_findings *findings, const struct explain_case *all,
			  const struct explain_call *call)
{
	char label[EXPLAIN_LABEL_MAX], one[EXPLAIN_ADDRESS_MAX], other[EXPLAIN_ADDRESS_MAX];
	if (!explain_legs_is_first(call))
		return;
	explain_findings_label(call, label);
	explain_words_address(call->end[EXPLAIN_CLIENT].address, one);
	explain_words_address(call->end[EXPLAIN_SERVER].address, other);
	if (all->gre == 0)
		explain_findings_add(
		    findings,
		    "%s: neither client nor server sends GRE: the capture has no "
		    "protocol 47 at all. It was taken with a filter that leaves it "
		    "out (such as 'tcp port 1723'), or protocol 47 is blocked "
		    "between %s and %s, on both sides of where it was taken.",
		    label, one, other);
	else
		explain_findings_add(
		    findings,
		    "%s: neither client nor server sends GRE: protocol 47 is blocked "
		    "between %s and %s, on both sides of where this was captured.",
		    label, one, other);
}

/* Packets that are there. */

static void blame_losses(const struct subject *subject)
{
	const struct explain_way *way = subject->way;
	uint64_t before = subject->earlier ? subject->earlier->missing : 0;
	uint64_t missing = way->missing > before ? way->missing - before : 0;
	uint64_t sent = way->numbered - way->twice + way->missing;
	if (missing >= LOST_MIN && missing * 100 >= sent * PERCENT_LOST)
		ADD(subject,
		    "%llu of %llu packets from %s to %s are lost (%.1f %%)%s: an overloaded or "
		    "faulty line, or queue.",
		    (count)missing, (count)sent, subject->name, subject->peer,
		    (double)missing * 100 / (double)sent,
		    subject->earlier ? " between the two legs" : " before they get here");
	before = subject->earlier ? subject->earlier->late : 0;
	uint64_t late = way->late > before ? way->late - before : 0;
	if (late >= LATE_MIN && late * 100 >= sent * PERCENT_LOST)
		ADD(subject,
		    "%llu of %llu packets from %s to %s overtake one another (%.1f %%): several "
		    "ways, or several queues, lie between. PPTP's ends may drop what is late.",
		    (count)late, (count)sent, subject->name, subject->peer,
		    (double)late * 100 / (double)sent);
	if (way->twice >= LATE_MIN && way->twice * 100 >= way->numbered * PERCENT_TWICE &&
	    !(subject->earlier && subject->earlier->twice >= way->twice))
		ADD(subject,
		    "%llu of %llu packets from %s to %s are there twice: captured on two "
		    "interfaces, or sent on two ways.",
		    (count)way->twice, (count)way->numbered, subject->name, subject->peer);
}

static void tell_silence(const struct subject *subject, const struct explain_silence *silence,
			 const char *rest)
{
	ADD(subject, "%s is silent from %.3f s to %.3f s (%.1f s), while %s sends %llu packets%s.",
	    subject->name, seconds(silence->from_us), seconds(silence->to_us),
	    seconds(silence->to_us - silence->from_us), subject->peer, (count)silence->packets,
	    rest);
}

/* The silence up to the call's end, if this leg is the one where it happens. */
static bool find_last_silence(const struct subject *subject, struct explain_silence *last)
{
	const struct explain_way *earlier = subject->earlier;
	return explain_way_silent(subject->way, subject->back,
				  explain_findings_until(subject->all, subject->call), last) &&
	       (!earlier || earlier->last_us - last->from_us > SAME_US);
}

/* Is the control connection up all the while, and who is silent not known to be gone? */
static bool is_controlled(const struct subject *subject, const struct explain_silence *silence)
{
	const struct explain_control *control = subject->call->control;
	if (!control || (control->ended && control->ended_us < silence->to_us))
		return false;
	const struct explain_control_end *peer = &control->end[!subject->end];
	return peer->unanswered == 0 ||
	       silence->to_us - peer->unanswered_us <= (int64_t)EXPLAIN_SILENCE_S * US;
}

static void blame_last_silence(const struct subject *subject)
{
	struct explain_silence last;
	char rest[300] = ", and does not come back: its way was cut, or it is gone";
	if (!find_last_silence(subject, &last))
		return;
	if (subject->earlier) {
		ADD(subject,
		    "GRE of the %s goes on arriving on the other leg until %.3f s, and leaves here "
		    "until %.3f s only: what is between the legs, at %s, does not carry it any "
		    "more.",
		    subject->name, seconds(subject->earlier->last_us), seconds(last.from_us),
		    subject->from);
		return;
	}
	if (is_controlled(subject, &last))
		snprintf(rest, sizeof(rest),
			 ", and does not come back, though the control connection is up: protocol "
			 "47 is blocked between %s and %s, on the %s's side of where this was "
			 "captured, or PPP hangs there",
			 subject->from, subject->to, subject->name);
	tell_silence(subject, &last, rest);
}

static void blame_silences(const struct subject *subject)
{
	const struct explain_way *way = subject->way;
	uint64_t before = subject->earlier ? subject->earlier->silence_count : 0;
	if (way->silence_count > before) {
		for (uint64_t i = 0; i < way->silence_count && i < EXPLAIN_SILENCES; i++)
			tell_silence(subject, &way->silences[i], "");
		if (way->silence_count > EXPLAIN_SILENCES)
			ADD(subject, "%s is silent %llu more times.", subject->name,
			    (count)(way->silence_count - EXPLAIN_SILENCES));
	}
	blame_last_silence(subject);
}

static void blame_sizes(const struct subject *subject)
{
	const struct explain_way *way = subject->way;
	if (way->fragments_lost > 0)
		ADD(subject,
		    "fragments of %llu packets from %s to %s never all come: something on the way "
		    "drops fragments. Set the tunnel's MTU lower (pppd: mtu 1400, mru 1400).",
		    (count)way->fragments_lost, subject->name, subject->peer);
	else if (way->fragmented > 0)
		ADD(subject,
		    "%llu packets from %s to %s come in fragments (up to %zu octets): the tunnel's "
		    "MTU is too large for the way. It costs speed; set it lower (pppd: mtu 1400, "
		    "mru 1400).",
		    (count)way->fragmented, subject->name, subject->peer, way->largest);
}

/* RFC 792, RFC 1122 section 3.2.2.1, RFC 1812 section 5.2.7.1. */
static void blame_icmp(const struct subject *subject)
{
	enum {
		PROTOCOL = 2,
		TOO_LARGE = 4,
		NET_PROHIBITED = 9,
		HOST_PROHIBITED = 10,
		FILTERED = 13
	};
	const struct explain_way *way = subject->way;
	char who[EXPLAIN_ADDRESS_MAX];
	if (way->unreachable == 0)
		return;
	explain_words_address(way->unreachable_by, who);
	switch (way->unreachable_code) {
	case PROTOCOL:
		ADD(subject,
		    "%s answers GRE of the %s with ICMP protocol unreachable (%llu times): no "
		    "program there takes GRE any more, or its buffer is full.",
		    who, subject->name, (count)way->unreachable);
		break;
	case TOO_LARGE:
		ADD(subject,
		    "%s says that packets of the %s are too large (ICMP, %llu times; it takes %u "
		    "octets): set the tunnel's MTU lower (pppd: mtu 1400, mru 1400).",
		    who, subject->name, (count)way->unreachable, way->unreachable_mtu);
		break;
	case NET_PROHIBITED:
	case HOST_PROHIBITED:
	case FILTERED:
		ADD(subject,
		    "%s rejects GRE of the %s (ICMP administratively prohibited, %llu times): its "
		    "firewall blocks protocol 47.",
		    who, subject->name, (count)way->unreachable);
		break;
	default:
		ADD(subject, "%s says that the %s cannot be reached (ICMP code %u, %llu times).",
		    who, subject->peer, way->unreachable_code, (count)way->unreachable);
	}
}

static void blame_way(const struct subject *subject)
{
	int64_t lasted = explain_findings_until(subject->all, subject->call) - subject->call->up_us;
	if (subject->call->state == EXPLAIN_CALL_UP && subject->way->packets == 0) {
		/* One packet alone may still be under way. */
		if (subject->back->packets > 1 || lasted > PATIENCE_US)
			blame_missing(subject);
	} else {
		blame_losses(subject);
		blame_silences(subject);
		blame_sizes(subject);
	}
	blame_icmp(subject);
}

static bool is_explained(const struct explain_case *all, const struct explain_call *stray)
{
	for (const struct explain_call *call = all->calls; call; call = call->next) {
		if (!call->control || call->state != EXPLAIN_CALL_UP)
			continue;
		for (enum explain_end end = 0; end < EXPLAIN_ENDS; end++)
			if (call->way[end].packets == 0 &&
			    call->end[!end].address == stray->end[EXPLAIN_SERVER].address)
				return true;
	}
	return false;
}

static void blame_being_stray(struct explain_findings *findings, const struct explain_case *all,
			      const struct explain_call *call)
{
	char label[EXPLAIN_LABEL_MAX];
	/* A call that both sides speak in is as good as any: of one that was tapped later there is
	 * nothing else. */
	bool heard = call->way[EXPLAIN_CLIENT].packets > 0 && call->way[EXPLAIN_SERVER].packets > 0;
	if (call->of != 0 || heard || is_explained(all, call) ||
	    findings->strays++ >= EXPLAIN_STRAYS_TOLD)
		return;
	explain_findings_label(call, label);
	explain_findings_add(findings,
			     "%s: GRE from %s to %s with ID %u (%llu packets) is of no call whose "
			     "control connection is in the capture: that began before it, takes "
			     "another way, or the ID is wrong.",
			     label, call->names[0], call->names[1], call->end[EXPLAIN_SERVER].id,
			     (count)call->way[EXPLAIN_CLIENT].packets);
}

static void prepare(struct subject *subject, enum explain_end end)
{
	const struct explain_call *call = subject->call;
	/* The client's packets come to the first leg first, the server's to the second. */
	bool comes_here_first = explain_legs_is_first(call) == (end == EXPLAIN_CLIENT);
	subject->end = end;
	subject->way = &call->way[end];
	subject->back = &call->way[!end];
	subject->earlier = call->twin && !comes_here_first ? &call->twin->way[end] : NULL;
	subject->name = call->names[end];
	subject->peer = call->names[!end];
	explain_words_address(call->end[end].address, subject->from);
	explain_words_address(call->end[!end].address, subject->to);
}

/* What the leg before has had, and this one has not. True: there was something. */
static bool blame_between_legs(struct subject *subject)
{
	bool found = false;
	for (enum explain_end end = 0; end < EXPLAIN_ENDS; end++) {
		prepare(subject, end);
		if (!subject->earlier || subject->earlier->packets == 0)
			continue;
		blame_missing(subject);
		found = true;
	}
	return found;
}

/* Neither direction has a packet. */
static void blame_both(struct subject *subject)
{
	bool between = blame_between_legs(subject), explained = between;
	if (explain_findings_until(subject->all, subject->call) - subject->call->up_us <
	    PATIENCE_US)
		return;
	for (enum explain_end end = 0; end < EXPLAIN_ENDS && !between; end++) {
		prepare(subject, end);
		if (subject->findings->count < EXPLAIN_FINDINGS_MAX && blame_strays(subject))
			explained = true;
	}
	if (!explained)
		blame_nothing(subject->findings, subject->all, subject->call);
}

void explain_blame_ways_look(struct explain_findings *findings, const struct explain_case *all,
			     const struct explain_call *call)
{
	struct subject subject = {.findings = findings, .all = all, .call = call};
	explain_findings_label(call, subject.label);
	if (call->state == EXPLAIN_CALL_STRAY)
		blame_being_stray(findings, all, call);
	if (call->state == EXPLAIN_CALL_UP && call->way[0].packets == 0 &&
	    call->way[1].packets == 0) {
		blame_both(&subject);
		return;
	}
	for (enum explain_end end = 0; end < EXPLAIN_ENDS; end++) {
		prepare(&subject, end);
		blame_way(&subject);
	}
}

bool explain_blame_ways_ceases(const struct explain_case *all, const struct explain_call *call,
			       enum explain_end end)
{
	const struct explain_call *legs[] = {call, call->twin};
	for (size_t i = 0; i < sizeof(legs) / sizeof(*legs) && legs[i]; i++) {
		struct subject subject = {.all = all, .call = legs[i]};
		struct explain_silence last;
		prepare(&subject, end);
		if (find_last_silence(&subject, &last))
			return true;
	}
	return false;
}
