/*
 * What each message means for one control connection's calls, which snoop/snoop_calls.h finds.
 * Translation stays within this connection and goes by direction; a lookup in anybody else's calls
 * would let one client end another's.
 *
 * Either side may be the PNS: an Outgoing-Call comes from it, an Incoming-Call goes to it. Caller
 * is whoever sends the Request.
 */
#include "call_snoop.h"

#include "snoop/snoop_calls.h"
#include "snoop/snoop_cleared.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

struct call_snoop *call_snoop_new(struct callid_db *db, const struct callid_leg legs[2],
				  uint64_t connection, const struct call_snoop_events *events,
				  void *arg)
{
	struct call_snoop *snoop = calloc(1, sizeof(*snoop));
	if (!snoop)
		return NULL;
	snoop->db = db;
	snoop->legs[0] = legs[0];
	snoop->legs[1] = legs[1];
	snoop->connection = connection;
	snoop->events = events;
	snoop->arg = arg;
	snoop->record = &snoop->heap_record;
	TAILQ_INIT(&snoop->calls);
	return snoop;
}

void call_snoop_keep(struct call_snoop *snoop, struct kept *kept, struct call_snoop_record *record,
		     bool fresh)
{
	if (fresh)
		*record = *snoop->record;
	snoop->kept = kept;
	snoop->record = record;
}

void call_snoop_set_max(struct call_snoop *snoop, unsigned max)
{
	snoop->max = max;
	snprintf(snoop->too_many, sizeof(snoop->too_many),
		 "more than %u calls on one connection (--max-calls)", max);
}

void call_snoop_free(struct call_snoop *snoop)
{
	assert(!snoop || TAILQ_EMPTY(&snoop->calls));
	free(snoop);
}

size_t call_snoop_calls(const struct call_snoop *snoop)
{
	return snoop->count;
}

int call_snoop_adopt(struct call_snoop *snoop, callid_ref ref, const struct callid_info *info)
{
	return snoop_calls_adopt(snoop, ref, info);
}

void call_snoop_leave(struct call_snoop *snoop)
{
	struct snoop_call *call;
	while ((call = TAILQ_FIRST(&snoop->calls)))
		snoop_calls_forget(snoop, call);
	call_snoop_free(snoop);
}

void call_snoop_end(struct call_snoop *snoop, uint64_t now, const char *reason)
{
	struct snoop_call *call;
	while ((call = TAILQ_FIRST(&snoop->calls)))
		snoop_calls_end(snoop, call, now, reason);
}

/* ---- messages ---- */

struct snooped {
	struct call_snoop *snoop;
	enum callid_side from;
	uint16_t type;
	uint8_t *message;
	uint64_t now;
	struct snoop_step *step;
};

static void drop(struct snooped *m, enum reason_message kind, const char *reason)
{
	m->step->verdict = SNOOP_DROP;
	m->step->kind = kind;
	m->step->reason = reason;
}

/* What could not be reserved or opened: errno says why. */
static void drop_for_want(struct snooped *m, int error)
{
	if (error == ENOSPC)
		drop(m, REASON_NO_ID, "none is free, call refused");
	else
		drop(m, REASON_MESSAGE_MEMORY, "call refused");
}

static void end_with_result(struct snooped *m, struct snoop_call *call, const char *what)
{
	char reason[64];
	snprintf(reason, sizeof(reason), "%s: result %u", what, pptp_wire_result(m->message));
	snoop_calls_end(m->snoop, call, m->now, reason);
}

static void on_request(struct snooped *m)
{
	uint16_t caller_id = pptp_wire_at12(m->message);
	enum callid_side callee = callid_other(m->from);

	struct snoop_call *dead = snoop_calls_find_own(m->snoop, m->from, caller_id);
	if (dead)
		snoop_calls_end(m->snoop, dead, m->now,
				"replaced: its call ID came in a new request");
	bool too_many = m->snoop->max > 0 && m->snoop->count >= m->snoop->max;
	bool incoming = m->type == PPTP_INCOMING_CALL_REQUEST;
	struct snoop_call *call =
	    too_many ? NULL : snoop_calls_reserve(m->snoop, m->from, caller_id, incoming, m->now);
	if (!call) {
		int error = errno;
		struct snoop_answer *answer = &m->step->answer[m->from];
		answer->length = pptp_wire_make_refusal(answer->octets, m->type, caller_id);
		if (too_many)
			drop(m, REASON_MESSAGE_LIMIT, m->snoop->too_many);
		else
			drop_for_want(m, error);
		return;
	}
	pptp_wire_set12(m->message, call->shown[callee].value);
}

static void refuse_caller(struct snooped *m, const struct snoop_call *call)
{
	struct snoop_answer *answer = &m->step->answer[call->caller];
	uint16_t request = call->incoming ? PPTP_INCOMING_CALL_REQUEST : PPTP_OUTGOING_CALL_REQUEST;

	answer->length =
	    pptp_wire_make_refusal(answer->octets, request, call->own[call->caller].value);
}

/* The callee said yes, but there is no ID to show the caller: each end hears no from its peer. */
static void refuse_opened(struct snooped *m, struct snoop_call *call)
{
	int error = errno;
	struct snoop_answer *to_callee = &m->step->answer[m->from];
	uint16_t shown = call->shown[m->from].value;

	refuse_caller(m, call);
	to_callee->length = call->incoming
				? pptp_wire_make_call_disconnect(to_callee->octets, shown)
				: pptp_wire_make_call_clear(to_callee->octets, shown);
	snoop_calls_end(m->snoop, call, m->now,
			error == ENOSPC ? reason_message_name(REASON_NO_ID)
					: reason_message_name(REASON_MESSAGE_MEMORY));
	drop_for_want(m, error);
}

static void on_accepting_reply(struct snooped *m, struct snoop_call *call)
{
	uint16_t callee_id = pptp_wire_at12(m->message);

	if (call->open && call->own[m->from].value != callee_id) {
		drop(m, REASON_OUT_OF_ORDER, "a second reply with another call ID");
		return;
	}
	if (!call->open) {
		struct snoop_call *dead = snoop_calls_find_own(m->snoop, m->from, callee_id);
		if (dead)
			snoop_calls_end(m->snoop, dead, m->now,
					"replaced: its call ID came in a new reply");
		if (snoop_calls_open(m->snoop, call, callee_id, m->now) != 0) {
			refuse_opened(m, call);
			return;
		}
		m->snoop->replied[m->from] = call->ref;
		m->snoop->events->opened(m->snoop->arg, call->ref);
	}
	pptp_wire_set12(m->message, call->shown[call->caller].value);
	pptp_wire_set14(m->message, call->own[call->caller].value);
}

/* It was on its way while we ended its call: now the PAC's own ID is known. */
static void learn_cleared(struct snooped *m)
{
	struct call_snoop_cleared *cleared = snoop_cleared_find(
	    m->snoop, m->from, m->now, snoop_cleared_is_shown, pptp_wire_at14(m->message));
	if (!cleared || cleared->own_known || pptp_wire_result(m->message) != PPTP_RESULT_OK)
		return;
	struct call_snoop_cleared learnt = *cleared;
	learnt.own = pptp_wire_at12(m->message);
	learnt.own_known = true;
	snoop_cleared_set(m->snoop, cleared, learnt);
}

static void on_reply(struct snooped *m)
{
	struct snoop_call *call =
	    snoop_calls_find_shown(m->snoop, m->from, pptp_wire_at14(m->message));

	if (!call) {
		learn_cleared(m);
		drop(m, REASON_MISMATCHED_ID, "it names no call of this connection");
	} else if (call->caller == m->from ||
		   call->incoming != (m->type == PPTP_INCOMING_CALL_REPLY)) {
		learn_cleared(m);
		drop(m, REASON_OUT_OF_ORDER, "its call waits for no such reply");
	} else if (pptp_wire_result(m->message) == PPTP_RESULT_OK) {
		on_accepting_reply(m, call);
	} else {
		/* Its own ID means nothing and passes as it is. */
		pptp_wire_set14(m->message, call->own[call->caller].value);
		end_with_result(m, call, "refused");
	}
}

static uint16_t swap_octets(uint16_t value)
{
	return (uint16_t)(value >> 8 | value << 8);
}

/* The ID should be the sender's own, the PAC's (RFC 2637 section 2.13), but accel-ppp sends the
 * PNS's, and once sent it byte-swapped. */
static struct snoop_call *find_disconnected(const struct call_snoop *snoop, enum callid_side from,
					    uint16_t id)
{
	struct snoop_call *call = snoop_calls_find_own(snoop, from, id);
	if (!call)
		call = snoop_calls_find_shown(snoop, from, id);
	/* A guess must not end a call that lives for one that has ended: some say it twice. */
	if (!call && snoop_calls_names_ended(snoop, from, id))
		return NULL;
	if (!call)
		call = snoop_calls_find_shown(snoop, from, swap_octets(id));
	if (!call && snoop->count == 1)
		call = TAILQ_FIRST(&snoop->calls);
	return call;
}

/* The answer to a Call-Clear-Request of ours, in the same order of likelihood as above; of what
 * names nothing at all it is more likely than any other. */
static struct call_snoop_cleared *find_answered(const struct snooped *m, uint16_t id)
{
	const struct call_snoop *snoop = m->snoop;
	struct call_snoop_cleared *cleared =
	    snoop_cleared_find(snoop, m->from, m->now, snoop_cleared_is_own, id);
	if (cleared || snoop_calls_find_own(snoop, m->from, id) ||
	    snoop_calls_find_shown(snoop, m->from, id))
		return cleared;
	cleared = snoop_cleared_find(snoop, m->from, m->now, snoop_cleared_is_shown, id);
	if (cleared || snoop_calls_names_ended(snoop, m->from, id) ||
	    snoop_calls_find_shown(snoop, m->from, swap_octets(id)))
		return cleared;
	return snoop_cleared_find(snoop, m->from, m->now, snoop_cleared_is_any, id);
}

static void on_disconnect(struct snooped *m)
{
	uint16_t id = pptp_wire_at12(m->message);
	struct call_snoop_cleared *cleared = find_answered(m, id);
	struct snoop_call *call = cleared ? NULL : find_disconnected(m->snoop, m->from, id);
	enum callid_side to = callid_other(m->from);

	if (cleared) {
		snoop_cleared_set(m->snoop, cleared, (struct call_snoop_cleared){0});
		m->step->verdict = SNOOP_TAKE;
	} else if (!call) {
		drop(m, REASON_MISMATCHED_ID, "it names no call of this connection");
	} else if (!call->shown[to].call) {
		/* In place of its Reply. The caller has no ID to know the call by but its own, as
		 * in a refusal. */
		refuse_caller(m, call);
		end_with_result(m, call, "disconnected");
		drop(m, REASON_OUT_OF_ORDER, "it came instead of the reply, call refused");
	} else {
		pptp_wire_set12(m->message, call->shown[to].value);
		end_with_result(m, call, "disconnected");
	}
}

static void on_clear(struct snooped *m)
{
	struct snoop_call *call =
	    snoop_calls_find_own(m->snoop, m->from, pptp_wire_at12(m->message));

	if (!call)
		drop(m, REASON_MISMATCHED_ID, "it names no call of this connection");
	else
		pptp_wire_set12(m->message, call->shown[callid_other(m->from)].value);
}

static void on_peers_id(struct snooped *m)
{
	struct snoop_call *call =
	    snoop_calls_find_shown(m->snoop, m->from, pptp_wire_at12(m->message));

	if (!call)
		drop(m, REASON_MISMATCHED_ID, "it names no call of this connection");
	else
		pptp_wire_set12(m->message, call->own[callid_other(m->from)].value);
}

void call_snoop_message(struct call_snoop *snoop, enum callid_side from, uint8_t *message,
			size_t length, uint64_t now, struct snoop_step *step)
{
	struct pptp_header header;
	const char *why;
	enum wire_answer answer = pptp_wire_parse(message, length, &header, &why);
	assert(answer == WIRE_OK);
	(void)answer;

	struct snooped m = {snoop, from, header.type, message, now, step};
	const struct pptp_shape *shape = pptp_wire_shape(header.type);
	step->verdict = SNOOP_PASS;
	step->reason = NULL;
	step->answer[0].length = step->answer[1].length = 0;
	if (!shape || shape->at12 == PPTP_ID_NONE)
		return;
	switch (header.type) {
	case PPTP_OUTGOING_CALL_REQUEST:
	case PPTP_INCOMING_CALL_REQUEST:
		on_request(&m);
		break;
	case PPTP_OUTGOING_CALL_REPLY:
	case PPTP_INCOMING_CALL_REPLY:
		on_reply(&m);
		break;
	case PPTP_CALL_DISCONNECT_NOTIFY:
		on_disconnect(&m);
		break;
	default:
		if (shape->at12 == PPTP_ID_OWN)
			on_clear(&m);
		else
			on_peers_id(&m);
	}
}

void call_snoop_written(struct call_snoop *snoop, enum callid_side from)
{
	if (!snoop->replied[from])
		return;
	callid_db_release(snoop->db, snoop->replied[from]);
	snoop->replied[from] = 0;
}

/* ---- farewell ---- */

static bool is_pns(const struct snoop_call *call, enum callid_side side)
{
	return (side == call->caller) != call->incoming;
}

static size_t make_farewell(const struct snoop_call *call, enum callid_side to, uint8_t *message)
{
	uint16_t request = call->incoming ? PPTP_INCOMING_CALL_REQUEST : PPTP_OUTGOING_CALL_REQUEST;

	if (to == call->caller && !call->open)
		return pptp_wire_make_refusal(message, request, call->own[to].value);
	if (is_pns(call, to))
		return pptp_wire_make_call_disconnect(message, call->shown[to].value);
	return pptp_wire_make_call_clear(message, call->shown[to].value);
}

size_t call_snoop_farewell(struct call_snoop *snoop, enum callid_side to,
			   uint8_t message[static PPTP_ANSWER_MAX])
{
	struct snoop_farewell *farewell = &snoop->farewell[to];

	if (farewell->stop_said)
		return 0;
	farewell->last =
	    farewell->last ? TAILQ_NEXT(farewell->last, in_calls) : TAILQ_FIRST(&snoop->calls);
	if (farewell->last)
		return make_farewell(farewell->last, to, message);
	farewell->stop_said = true;
	return pptp_wire_make_stop(message, PPTP_STOP_LOCAL_SHUTDOWN);
}

/* ---- one call's end, by an operator's word ---- */

size_t call_snoop_unassigned(const struct call_snoop *snoop)
{
	const struct snoop_call *call;
	size_t count = 0;
	TAILQ_FOREACH(call, &snoop->calls, in_calls)
	count += !call->own[CALLID_CLIENT].call;
	return count;
}

callid_ref call_snoop_find(const struct call_snoop *snoop, int32_t client_id)
{
	const struct snoop_call *call, *found = NULL;
	if (client_id >= 0) {
		found = snoop_calls_find_own(snoop, CALLID_CLIENT, (uint16_t)client_id);
		return found ? found->ref : 0;
	}
	TAILQ_FOREACH(call, &snoop->calls, in_calls)
	{
		if (call->own[CALLID_CLIENT].call)
			continue;
		if (found)
			return 0;
		found = call;
	}
	return found ? found->ref : 0;
}

void call_snoop_end_one(struct call_snoop *snoop, callid_ref ref, uint64_t now, const char *reason,
			struct snoop_answer answer[2])
{
	struct snoop_call *call;
	TAILQ_FOREACH(call, &snoop->calls, in_calls)
	{
		if (call->ref == ref)
			break;
	}
	assert(call);
	for (int side = 0; side < 2; side++) {
		answer[side].length =
		    make_farewell(call, (enum callid_side)side, answer[side].octets);
		/* A PAC that asked itself hears a refusal, to which there is no answer. */
		if (!is_pns(call, (enum callid_side)side) && call->shown[side].call)
			snoop_cleared_remember(snoop, call, (enum callid_side)side, now);
	}
	snoop_calls_end(snoop, call, now, reason);
}
