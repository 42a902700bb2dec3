/*
 * From the first layer up, and only the first one that failed: what is above it had no chance. On
 * two legs PPP is the same, so the client's is looked at.
 */
#include "explain/explain_blame_ppp.h"

#include "explain/explain_blame_ways.h"
#include "explain/explain_legs.h"

#include <string.h>

enum {
	TRIES = 3, /* so many without an answer are no accident */
	PATIENCE_US = 5000000,
	RESETS = 10,
	MRU_DEFAULT = 1500,
	MPPE_HEADER = 4, /* some take it for no part of the packet */
};

struct subject {
	struct explain_findings *findings;
	const struct explain_case *all;
	const struct explain_call *call;
	const struct explain_ppp *ppp;
	char label[EXPLAIN_LABEL_MAX];
};

#define ADD(subject, format, ...)                                                                  \
	explain_findings_add((subject)->findings, "%s: " format, (subject)->label, __VA_ARGS__)

static const char *name(const struct subject *subject, int end)
{
	return subject->call->names[end];
}

static int64_t lasted(const struct subject *subject)
{
	return explain_findings_until(subject->all, subject->call) - subject->call->asked_us;
}

/* Does this end ask in this layer, and get nothing at all? */
static bool is_ignored(const struct subject *subject, enum explain_layer layer, int end)
{
	const struct explain_ppp_part *parts = subject->ppp->part[layer];
	return parts[end].requests >= TRIES && parts[!end].answers == 0;
}

static void blame_ignored(const struct subject *subject, int end)
{
	const struct explain_call *call = subject->call;
	const struct explain_way *way = &call->way[end];
	unsigned requests = subject->ppp->part[EXPLAIN_LCP][end].requests;
	char from[EXPLAIN_ADDRESS_MAX], to[EXPLAIN_ADDRESS_MAX];
	explain_words_address(call->end[end].address, from);
	explain_words_address(call->end[!end].address, to);
	if (way->acknowledged)
		ADD(subject,
		    "%s never answers LCP of %s (%u requests), though it acknowledges its packets: "
		    "they arrive, but no PPP program takes them there.",
		    name(subject, !end), name(subject, end), requests);
	else
		ADD(subject,
		    "%s sends GRE, but never answers LCP of %s (%u requests), and acknowledges "
		    "nothing: packets from %s to %s are lost behind where this was captured "
		    "(protocol 47 is blocked there in this direction), or no PPP program takes "
		    "them.",
		    name(subject, !end), name(subject, end), requests, from, to);
}

static bool is_one_way(const struct explain_call *call)
{
	return call->way[0].packets == 0 || call->way[1].packets == 0;
}

static bool blame_lcp(const struct subject *subject)
{
	const struct explain_ppp *ppp = subject->ppp;
	bool one = is_ignored(subject, EXPLAIN_LCP, 0), other = is_ignored(subject, EXPLAIN_LCP, 1);
	if (ppp->was_up[EXPLAIN_LCP])
		return false;
	/* What is the reason then has been told. */
	if (is_one_way(subject->call) || (subject->call->twin && is_one_way(subject->call->twin)))
		return true;
	if (one && other && ppp->magic[0] != 0 && ppp->magic[0] == ppp->magic[1]) {
		ADD(subject, "%s",
		    "both ends send the same LCP requests: the line is looped back.");
	} else if (one && other) {
		ADD(subject,
		    "both ends send LCP requests (%u and %u) and neither answers: each one's "
		    "packets "
		    "are lost behind where this was captured, or are not taken for this call's.",
		    ppp->part[EXPLAIN_LCP][0].requests, ppp->part[EXPLAIN_LCP][1].requests);
	} else if (one || other) {
		blame_ignored(subject, one ? 0 : 1);
	} else if (ppp->part[EXPLAIN_LCP][0].requests >= TRIES ||
		   ppp->part[EXPLAIN_LCP][1].requests >= TRIES) {
		ADD(subject,
		    "LCP does not come up in %u and %u requests: the ends do not agree on its "
		    "options, or packets are lost.",
		    ppp->part[EXPLAIN_LCP][0].requests, ppp->part[EXPLAIN_LCP][1].requests);
	}
	return true;
}

static bool blame_auth(const struct subject *subject)
{
	const struct explain_ppp *ppp = subject->ppp;
	for (int end = 0; end < 2; end++) {
		const char *method =
		    explain_ppp_auth_name(ppp->auth_protocol[end], ppp->auth_algorithm[end]);
		const char *who = *ppp->auth_name[end] ? ppp->auth_name[end] : name(subject, !end);
		if (!method)
			method = "authentication";
		if (ppp->auth[end] == EXPLAIN_AUTH_FAILED) {
			ADD(subject, "%s fails: the %s refuses %s%s%s. %s", method,
			    name(subject, end), who, *ppp->auth_said[end] ? ": " : "",
			    ppp->auth_said[end],
			    ppp->auth_error[end] == 0 || ppp->auth_error[end] == 691
				? "Name or password is wrong, or unknown there (chap-secrets, "
				  "RADIUS)."
				: "Its account is not allowed to, see the number.");
			return true;
		}
		if (ppp->auth[end] == EXPLAIN_AUTH_RUNNING && lasted(subject) > PATIENCE_US) {
			ADD(subject,
			    "the %s does not say whether it accepts %s (%s): what it asks (RADIUS, "
			    "a "
			    "directory) may not answer.",
			    name(subject, end), who, method);
			return true;
		}
	}
	return false;
}

static bool says_encryption(const char *reason)
{
	return strcasestr(reason, "MPPE") || strcasestr(reason, "encrypt");
}

/* Who wants MPPE goes without it only if it must not. */
static bool blame_ccp(const struct subject *subject)
{
	const struct explain_ppp *ppp = subject->ppp;
	int ender = ppp->terminator;
	char bits[48];
	if (ender >= 0 && says_encryption(ppp->reason)) {
		ADD(subject,
		    "the %s ends PPP, as it requires encryption (MPPE) and gets none: %s. The %s "
		    "does not offer it (pppd: require-mppe-128, with MS-CHAPv2).",
		    name(subject, ender), ppp->reason, name(subject, !ender));
		return true;
	}
	for (int end = 0; end < 2; end++) {
		if (ppp->mppe_wanted[end] == 0 || ppp->was_up[EXPLAIN_CCP] ||
		    !ppp->part[EXPLAIN_CCP][!end].refused || ender < 0)
			continue;
		ADD(subject,
		    "the %s asks for encryption (%s), the %s refuses it, and PPP ends: one "
		    "requires "
		    "what the other does not offer (pppd: require-mppe-128, with MS-CHAPv2).",
		    name(subject, end), explain_ppp_mppe(ppp->mppe_wanted[end], bits),
		    name(subject, !end));
		return true;
	}
	if (ppp->resets[0] + ppp->resets[1] >= RESETS)
		ADD(subject,
		    "%u CCP Reset-Requests: packets are lost or late, and each time compression or "
		    "encryption has to begin anew. Stateless MPPE does not need that.",
		    ppp->resets[0] + ppp->resets[1]);
	return false;
}

static void blame_ipcp(const struct subject *subject)
{
	const struct explain_ppp *ppp = subject->ppp;
	const struct explain_ppp_part *parts = ppp->part[EXPLAIN_IPCP];
	if (ppp->was_up[EXPLAIN_IPCP] || (parts[0].requests < TRIES && parts[1].requests < TRIES))
		return;
	ADD(subject,
	    "IPCP does not come up (%u requests of the %s, %u of the %s): there is no address for "
	    "the client, or they do not agree on one.",
	    parts[0].requests, name(subject, 0), parts[1].requests, name(subject, 1));
}

static void blame_echoes(const struct subject *subject)
{
	const struct explain_ppp *ppp = subject->ppp;
	for (int end = 0; end < 2; end++)
		/* Who is no more heard cannot answer, and that has its own finding. */
		if (ppp->echo_requests[end] >= TRIES && ppp->echo_replies[!end] == 0 &&
		    !explain_blame_ways_ceases(subject->all, subject->call, !end))
			ADD(subject, "the %s never answers the %u LCP Echo-Requests of the %s.",
			    name(subject, !end), ppp->echo_requests[end], name(subject, end));
}

/* Nobody else tells: what is too large is dropped without a word. */
static void blame_sizes(const struct subject *subject)
{
	const struct explain_ppp *ppp = subject->ppp;
	for (int end = 0; end < 2; end++) {
		unsigned taken = ppp->mru[!end] ? ppp->mru[!end] : MRU_DEFAULT;
		if (ppp->was_up[EXPLAIN_LCP] && ppp->largest[end] > taken + MPPE_HEADER)
			ADD(subject,
			    "%s sends packets of up to %zu octets, though %s takes %u (its MRU) "
			    "and may "
			    "drop them: set the tunnel's MTU at the %s lower.",
			    name(subject, end), ppp->largest[end], name(subject, !end), taken,
			    name(subject, end));
	}
}

void explain_blame_ppp_look(struct explain_findings *findings, const struct explain_case *all,
			    const struct explain_call *call)
{
	struct subject subject = {findings, all, call, &call->ppp, ""};
	if (!explain_legs_is_first(call))
		return;
	explain_findings_label(call, subject.label);
	/* From the middle on nobody knows what was up already. */
	if (call->state == EXPLAIN_CALL_UP && blame_lcp(&subject))
		return;
	blame_echoes(&subject);
	blame_sizes(&subject);
	if (!blame_auth(&subject) && !blame_ccp(&subject))
		blame_ipcp(&subject);
}
