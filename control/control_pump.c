/*
 * A message leaves the sender's socket only after it has been handed on whole, or what the other
 * socket did not take has been put into that leg's outbox. A leg whose outbox is not empty stops
 * both directions: either may have something to say to it.
 */
#include "control/control_pump.h"

#include "host/log.h"
#include "host/monotonic.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum {
	MESSAGES_A_TURN = 32, /* of one side, then others' turn */
	DROPS_TOLD = 5,	      /* of one connection; the rest is only counted */
	TITLE_MAX = 700,
};

static const char *label(const struct control_pump *pump)
{
	return pump->label(pump->label_arg);
}

static void dump(const struct control_pump *pump, const char *what, enum callid_side side,
		 const uint8_t *octets, size_t length)
{
	char title[TITLE_MAX];
	if (!log_wants(LOG_LEVEL_DUMP))
		return;
	snprintf(title, sizeof(title), "%s: control %s %s, %zu octets", label(pump), what,
		 callid_side_name(side), length);
	log_dump(title, octets, length);
}

static enum control_pump_answer fail(struct control_pump_failure *failure, enum callid_side side,
				     const char *why)
{
	failure->side = side;
	failure->reason = REASON_FAILED;
	snprintf(failure->more, sizeof(failure->more), ": %s: %s", callid_side_name(side), why);
	return CONTROL_PUMP_FAILED;
}

static enum control_pump_answer fail_by_lie(struct control_pump_failure *failure,
					    enum callid_side side, const char *lie)
{
	failure->side = side;
	failure->reason = REASON_MALFORMED;
	snprintf(failure->more, sizeof(failure->more), ": message from %s: %s",
		 callid_side_name(side), lie);
	return CONTROL_PUMP_FAILED;
}

static void show(const struct control_pump *pump, enum callid_side side,
		 enum capture_direction direction, const uint8_t *octets, size_t length)
{
	if (pump->captured)
		capture_conn_message(pump->captured, side, direction, octets, length);
}

int control_pump_say(struct control_pump *pump, enum callid_side to, const uint8_t *message,
		     size_t length)
{
	dump(pump, "to", to, message, length);
	show(pump, to, CAPTURE_OUT, message, length);
	return control_leg_write(&pump->legs[to], message, length);
}

/* Result 0 occurs in the field. */
static bool establishes(enum callid_side from, const struct pptp_header *header,
			const uint8_t *message)
{
	return from == CALLID_SERVER && header->type == PPTP_START_REPLY &&
	       pptp_wire_result(message) <= PPTP_RESULT_OK;
}

/* With the message that does it, as it does not come again for the next process. */
static void keep_established(struct control_pump *pump)
{
	if (!pump->established_kept)
		return;
	kept_save(pump->kept, pump->established_kept, sizeof(*pump->established_kept));
	*pump->established_kept = true;
}

static void note_established(struct control_pump *pump)
{
	if (pump->established)
		return;
	pump->established = true;
	if (log_limit_allows(pump->lines, monotonic_ms()))
		log_info("%s: connected", label(pump));
}

static void tell_drop(struct control_pump *pump, enum callid_side from, uint16_t type,
		      const struct snoop_step *step)
{
	char name[16];
	pump->counts->message_drops[step->kind]++;
	if (++pump->dropped <= DROPS_TOLD && log_limit_allows(pump->lines, monotonic_ms()))
		log_info("%s: dropped %s from %s: %s: %s", label(pump), pptp_wire_name(type, name),
			 callid_side_name(from), reason_message_name(step->kind), step->reason);
}

static void prepare(struct control_pump *pump, const struct pptp_header *header)
{
	bool is_request = header->type == PPTP_OUTGOING_CALL_REQUEST ||
			  header->type == PPTP_INCOMING_CALL_REQUEST;
	if (is_request && !pump->kept && pump->before_call)
		pump->before_call(pump->before_call_arg);
}

/* A message of our own to each side that gets one. -1 with errno: the leg *failed does not take it.
 */
static int say_answers(struct control_pump *pump, const struct snoop_answer answers[2],
		       enum callid_side *failed)
{
	for (int side = 0; side < 2; side++) {
		const struct snoop_answer *answer = &answers[side];
		*failed = (enum callid_side)side;
		if (answer->length > 0 &&
		    control_pump_say(pump, *failed, answer->octets, answer->length) != 0)
			return -1;
	}
	return 0;
}

/* The message, unless it is dropped, and answers of our own: at most one of all that a side. As
 * say_answers. */
static int say_all(struct control_pump *pump, enum callid_side from, const uint8_t *message,
		   size_t length, const struct snoop_step *step, enum callid_side *failed)
{
	enum callid_side to = callid_other(from);

	*failed = to;
	if (step->verdict == SNOOP_PASS && control_pump_say(pump, to, message, length) != 0)
		return -1;
	return say_answers(pump, step->answer, failed);
}

/* What a transaction has put into kept legs' outboxes. Nothing where they are not kept. */
static int send_all(struct control_pump *pump, enum callid_side *failed)
{
	for (int side = 0; pump->kept && side < 2; side++) {
		*failed = (enum callid_side)side;
		if (control_leg_flush(&pump->legs[side]) != 0)
			return -1;
	}
	return 0;
}

/* Where the connection is kept, what the message changes is one transaction: calls, both outboxes,
 * and that the sender's octets are done with. Only then anything leaves. -1 with errno: the leg
 * *failed does not take it. */
static int pass_message(struct control_pump *pump, enum callid_side from, uint8_t *message,
			const struct pptp_header *header, enum callid_side *failed)
{
	struct snoop_step step;
	char name[16];

	log_debug("%s: %s from %s", label(pump), pptp_wire_name(header->type, name),
		  callid_side_name(from));
	dump(pump, "from", from, message, header->length);
	show(pump, from, CAPTURE_IN, message, header->length);
	prepare(pump, header);
	kept_begin(pump->kept);
	call_snoop_message(pump->snoop, from, message, header->length, monotonic_ms(), &step);
	if (step.verdict == SNOOP_DROP)
		tell_drop(pump, from, header->type, &step);
	else
		pump->counts->messages++;
	int said = say_all(pump, from, message, header->length, &step, failed);
	bool established = establishes(from, header, message);
	if (established)
		keep_established(pump);
	control_leg_take(&pump->legs[from], header->length);
	kept_commit(pump->kept);
	if (said != 0 || send_all(pump, failed) != 0)
		return -1;
	if (control_leg_drained(&pump->legs[callid_other(from)]))
		call_snoop_written(pump->snoop, from);
	if (established)
		note_established(pump);
	return 0;
}

static bool both_drained(const struct control_pump *pump)
{
	return control_leg_drained(&pump->legs[CALLID_CLIENT]) &&
	       control_leg_drained(&pump->legs[CALLID_SERVER]);
}

/* Passes the whole ones of the octets that wait on; *count is their number. CONTROL_PUMP_WAIT: no
 * lie, no failure. */
static enum control_pump_answer pass_whole(struct control_pump *pump, enum callid_side from,
					   uint8_t *octets, size_t length, unsigned *count,
					   struct control_pump_failure *failure)
{
	struct control_leg *leg = &pump->legs[from];

	for (*count = 0; length > 0 && both_drained(pump); ++*count) {
		struct pptp_header header;
		enum callid_side failed;
		const char *lie;
		enum wire_answer answer = pptp_wire_parse(octets, length, &header, &lie);
		if (answer == WIRE_MORE)
			break;
		if (answer == WIRE_BAD) {
			dump(pump, "from", from, octets, length);
			show(pump, from, CAPTURE_IN, octets, length);
			return fail_by_lie(failure, from, lie);
		}
		if (pass_message(pump, from, octets, &header, &failed) != 0)
			return fail(failure, failed, strerror(errno));
		control_leg_consume(leg, header.length);
		octets += header.length;
		length -= header.length;
	}
	return CONTROL_PUMP_WAIT;
}

enum control_pump_answer control_pump_run(struct control_pump *pump, enum callid_side from,
					  struct control_pump_failure *failure)
{
	struct control_leg *leg = &pump->legs[from];
	uint8_t octets[4 * PPTP_MESSAGE_MAX];

	for (unsigned handled = 0, count; handled < MESSAGES_A_TURN; handled += count) {
		if (!both_drained(pump))
			return CONTROL_PUMP_WAIT;
		ssize_t got = control_leg_peek(leg, octets, sizeof(octets));
		if (got == 0)
			return CONTROL_PUMP_ENDED;
		if (got < 0)
			return errno == EAGAIN ? CONTROL_PUMP_WAIT
					       : fail(failure, from, strerror(errno));
		if (pass_whole(pump, from, octets, (size_t)got, &count, failure) ==
		    CONTROL_PUMP_FAILED)
			return CONTROL_PUMP_FAILED;
		if (count == 0)
			return leg->peer_closed ? CONTROL_PUMP_ENDED : CONTROL_PUMP_WAIT;
		if (leg->quiet)
			return CONTROL_PUMP_WAIT;
	}
	event_active(&leg->event, EV_READ, 0);
	return CONTROL_PUMP_WAIT;
}

enum control_pump_answer control_pump_flush(struct control_pump *pump, enum callid_side to,
					    struct control_pump_failure *failure)
{
	if (control_leg_flush(&pump->legs[to]) != 0)
		return fail(failure, to, strerror(errno));
	if (control_leg_drained(&pump->legs[to]))
		call_snoop_written(pump->snoop, callid_other(to));
	return CONTROL_PUMP_WAIT;
}

bool control_pump_has_room(const struct control_pump *pump)
{
	return control_leg_room(&pump->legs[CALLID_CLIENT]) >= PPTP_ANSWER_MAX &&
	       control_leg_room(&pump->legs[CALLID_SERVER]) >= PPTP_ANSWER_MAX;
}

/* As in pass_message: what is said and that the call is over are one transaction. */
enum control_pump_answer control_pump_end_call(struct control_pump *pump, callid_ref call,
					       const char *reason,
					       struct control_pump_failure *failure)
{
	struct snoop_answer answers[2];
	enum callid_side failed;

	kept_begin(pump->kept);
	call_snoop_end_one(pump->snoop, call, monotonic_ms(), reason, answers);
	int said = say_answers(pump, answers, &failed);
	kept_commit(pump->kept);
	if (said != 0)
		return fail(failure, failed, strerror(errno));
	for (int side = 0; side < 2; side++) {
		if (control_pump_flush(pump, (enum callid_side)side, failure) ==
		    CONTROL_PUMP_FAILED)
			return CONTROL_PUMP_FAILED;
	}
	return CONTROL_PUMP_WAIT;
}
