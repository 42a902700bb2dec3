#include "explain/explain_message.h"

#include "wire/bytes.h"

#include <stdio.h>
#include <string.h>

/* Fields that the proxy has no use for; results and IDs are wire/pptp_wire's. */
enum {
	VERSION_AT = 12,
	FIRMWARE_AT = 26,
	HOST_AT = 28,
	VENDOR_AT = 92,
	NAME_LENGTH = 64,
	WAN_ERRORS_AT = 16,
	WAN_ERRORS = 6,
};

const char *const explain_message_end_names[EXPLAIN_ENDS] = {"client", "server"};

#define SAY(place, ...)		 explain_events_add(&(place)->control->events, (place)->time_us, __VA_ARGS__)
#define SAY_OF(call, place, ...) explain_events_add(&(call)->events, (place)->time_us, __VA_ARGS__)

static const char *own_name(const struct explain_message_place *place)
{
	return explain_message_end_names[place->end];
}

static struct explain_control_end *own_end(const struct explain_message_place *place)
{
	return &place->control->end[place->end];
}

/* The result of a message and its error, which follows it in each that has one. */
static const char *result_words(const uint8_t *message, uint16_t type,
				char out[static EXPLAIN_RESULT_MAX])
{
	const struct pptp_shape *shape = pptp_wire_shape(type);
	return explain_words_result(type, message[shape->result_at], message[shape->result_at + 1],
				    out);
}

/* The connection. */

static void quote_name(const uint8_t *name, char *out)
{
	size_t length = strnlen((const char *)name, NAME_LENGTH);
	explain_words_quote(name, length, out, EXPLAIN_QUOTE_MAX);
}

static void introduce(const struct explain_message_place *place, const uint8_t *message,
		      const struct pptp_header *header)
{
	struct explain_control_end *own = own_end(place);
	own->introduced = true;
	own->introduced_us = place->time_us;
	own->version = bytes_get16(message + VERSION_AT);
	own->firmware = bytes_get16(message + FIRMWARE_AT);
	quote_name(message + HOST_AT, own->host);
	quote_name(message + VENDOR_AT, own->vendor);
	own->introduction = 0;
	for (size_t i = 0; i < header->length; i++)
		own->introduction = own->introduction * 31 + message[i];
}

static void take_start(const struct explain_message_place *place, const uint8_t *message,
		       const struct pptp_header *header)
{
	const struct explain_control_end *own = own_end(place);
	struct explain_control *control = place->control;
	char result[EXPLAIN_RESULT_MAX];
	bool reply = header->type == PPTP_START_REPLY;
	introduce(place, message, header);
	result[0] = '\0';
	if (reply) {
		result_words(message, header->type, result);
		/* 0 comes from servers that go on as if it were 1. */
		control->refused = pptp_wire_result(message) > PPTP_RESULT_OK;
		if (control->refused)
			snprintf(control->refusal, sizeof(control->refusal), "%s", result);
	}
	SAY(place, "%s %s%s%s: host %s, vendor %s, firmware %u, PPTP %u.%u", own_name(place),
	    reply ? "replies" : "introduces itself", *result ? ", " : "", result, own->host,
	    own->vendor, own->firmware, own->version >> 8, own->version & 255);
}

static void take_stop(const struct explain_message_place *place, const uint8_t *message,
		      uint16_t type)
{
	char words[EXPLAIN_RESULT_MAX];
	if (type == PPTP_STOP_REQUEST)
		SAY(place, "%s asks for the end: %s", own_name(place),
		    explain_words_result(type, message[12], 0, words));
	else
		SAY(place, "%s agrees to the end: %s", own_name(place),
		    result_words(message, type, words));
}

static void take_echo(const struct explain_message_place *place, uint16_t type)
{
	struct explain_control_end *own = own_end(place);
	struct explain_control_end *other = &place->control->end[!place->end];
	if (type == PPTP_ECHO_REPLY) {
		own->echo_replies++;
		other->unanswered = 0;
		return;
	}
	own->echo_requests++;
	if (own->unanswered++ == 0)
		own->unanswered_us = place->time_us;
}

/* Calls. */

static void end_call(struct explain_call *call, const struct explain_message_place *place,
		     const char *how)
{
	if (call->ended)
		return;
	call->ended = true;
	call->ended_us = place->time_us;
	snprintf(call->ending, sizeof(call->ending), "%s", how);
}

static void take_call_request(const struct explain_message_place *place, const uint8_t *message,
			      uint16_t type)
{
	uint16_t id = pptp_wire_at12(message);
	struct explain_call *old = explain_case_find(place->all, place->control, place->end, id);
	struct explain_call *call;
	if (old && !old->ended && old->state != EXPLAIN_CALL_REFUSED)
		end_call(old, place, "the same ID was used for a new one");
	call = explain_case_call(place->all, place->control, place->time_us);
	if (!call) {
		place->all->untold++;
		return;
	}
	call->asker = place->end;
	call->incoming = type == PPTP_INCOMING_CALL_REQUEST;
	SAY_OF(call, place, "%s asks for %s, ID %u", own_name(place),
	       call->incoming ? "an incoming call" : "a call", id);
	explain_case_assign(place->all, call, place->end, id);
}

/* Who captured from the middle may have missed the request. */
static struct explain_call *answered_call(const struct explain_message_place *place,
					  const uint8_t *message)
{
	uint16_t id = pptp_wire_at14(message);
	struct explain_call *call = explain_case_find(place->all, place->control, !place->end, id);
	if (call && call->state == EXPLAIN_CALL_ASKED && call->asker != place->end)
		return call;
	call = explain_case_call(place->all, place->control, place->time_us);
	if (!call) {
		place->all->untold++;
		return NULL;
	}
	call->asker = !place->end;
	SAY_OF(call, place, "the request for it, ID %u, is not in the capture", id);
	explain_case_assign(place->all, call, !place->end, id);
	return call;
}

static void take_call_reply(const struct explain_message_place *place, const uint8_t *message,
			    uint16_t type)
{
	char words[EXPLAIN_RESULT_MAX];
	struct explain_call *call = answered_call(place, message);
	if (!call)
		return;
	result_words(message, type, words);
	if (pptp_wire_result(message) == PPTP_RESULT_OK) {
		uint16_t id = pptp_wire_at12(message);
		call->state = EXPLAIN_CALL_UP;
		call->up_us = place->time_us;
		SAY_OF(call, place, "%s: %s, ID %u", own_name(place), words, id);
		explain_case_assign(place->all, call, place->end, id);
		return;
	}
	call->state = EXPLAIN_CALL_REFUSED;
	call->ended_us = place->time_us;
	snprintf(call->ending, sizeof(call->ending), "%s", words);
	SAY_OF(call, place, "%s refuses the call: %s", own_name(place), words);
}

static uint16_t swapped(uint16_t id)
{
	return (uint16_t)(id << 8 | id >> 8);
}

/* The RFC's ID is the sender's own; accel-ppp sends the other's, older ones with its octets
 * swapped. Where all of them fail it is the only call that there is. */
static struct explain_call *ended_call(const struct explain_message_place *place, uint16_t id)
{
	const struct explain_control *control = place->control;
	struct explain_call *call = explain_case_find(place->all, control, place->end, id);
	if (!call)
		call = explain_case_find(place->all, control, !place->end, id);
	if (!call)
		call = explain_case_find(place->all, control, !place->end, swapped(id));
	if (!call && control->call_count == 1)
		call = control->last_call;
	return call;
}

/* Of one that was there before the capture its packets alone are known. */
static struct explain_call *ended_stray(const struct explain_message_place *place, uint16_t id)
{
	const struct explain_control *control = place->control;
	struct explain_call *call;
	if (control->from_start)
		return NULL;
	call = explain_case_stray(place->all, control, place->end, id);
	if (!call)
		call = explain_case_stray(place->all, control, !place->end, id);
	if (!call)
		call = explain_case_stray(place->all, control, !place->end, swapped(id));
	if (call)
		call->of = control->number;
	return call;
}

static void take_call_end(const struct explain_message_place *place, const uint8_t *message,
			  uint16_t type)
{
	uint16_t id = pptp_wire_at12(message);
	struct explain_call *call = ended_call(place, id);
	char words[EXPLAIN_RESULT_MAX], how[EXPLAIN_RESULT_MAX + 32];
	if (type == PPTP_CALL_CLEAR_REQUEST)
		snprintf(how, sizeof(how), "%s hangs up", own_name(place));
	else
		snprintf(how, sizeof(how), "%s ends it: %s", own_name(place),
			 result_words(message, type, words));
	if (!call)
		call = ended_stray(place, id);
	if (!call) {
		SAY(place, "%s, ID %u, which no call %s", how, id,
		    place->control->from_start ? "has" : "in the capture has");
		return;
	}
	SAY_OF(call, place, "%s", how);
	end_call(call, place, how);
}

/* Of its sender's peer: it assigned the ID. */
static struct explain_call *peer_call(const struct explain_message_place *place,
				      const uint8_t *message)
{
	return explain_case_find(place->all, place->control, !place->end, pptp_wire_at12(message));
}

static void take_wan_error(const struct explain_message_place *place, const uint8_t *message)
{
	static const char *const kinds[WAN_ERRORS] = {
	    "CRC", "framing", "hardware overrun", "buffer overrun", "time-out", "alignment"};
	struct explain_call *call = peer_call(place, message);
	char text[200] = "";
	for (int i = 0; i < WAN_ERRORS; i++) {
		uint32_t count = bytes_get32(message + WAN_ERRORS_AT + 4 * i);
		size_t length = strlen(text);
		if (count > 0)
			snprintf(text + length, sizeof(text) - length, "%s %s %u",
				 length ? "," : "", kinds[i], count);
	}
	if (call)
		SAY_OF(call, place, "%s counts errors of its line:%s", own_name(place),
		       *text ? text : " none");
}

static void take_connected(const struct explain_message_place *place, const uint8_t *message)
{
	struct explain_call *call = peer_call(place, message);
	if (call)
		SAY_OF(call, place, "%s: the incoming call is connected", own_name(place));
}

/* pptpproxy's own captures have a handshake in front of a connection that was there before. */
static void look_at_beginning(struct explain_control *control, uint16_t type)
{
	for (enum explain_end end = 0; end < EXPLAIN_ENDS; end++) {
		const struct explain_control_end *own = &control->end[end];
		if (own->messages + own->nonsense + own->stream.lost > 0)
			return;
	}
	if (!control->made_up || type == PPTP_START_REQUEST || type == PPTP_START_REPLY)
		return;
	control->from_start = false;
	explain_events_clear(&control->events);
}

void explain_message_take(const struct explain_message_place *place, const uint8_t *message,
			  const struct pptp_header *header)
{
	look_at_beginning(place->control, header->type);
	own_end(place)->messages++;
	switch (header->type) {
	case PPTP_START_REQUEST:
	case PPTP_START_REPLY:
		take_start(place, message, header);
		break;
	case PPTP_STOP_REQUEST:
	case PPTP_STOP_REPLY:
		take_stop(place, message, header->type);
		break;
	case PPTP_ECHO_REQUEST:
	case PPTP_ECHO_REPLY:
		take_echo(place, header->type);
		break;
	case PPTP_OUTGOING_CALL_REQUEST:
	case PPTP_INCOMING_CALL_REQUEST:
		take_call_request(place, message, header->type);
		break;
	case PPTP_OUTGOING_CALL_REPLY:
	case PPTP_INCOMING_CALL_REPLY:
		take_call_reply(place, message, header->type);
		break;
	case PPTP_INCOMING_CALL_CONNECTED:
		take_connected(place, message);
		break;
	case PPTP_CALL_CLEAR_REQUEST:
	case PPTP_CALL_DISCONNECT_NOTIFY:
		take_call_end(place, message, header->type);
		break;
	case PPTP_WAN_ERROR_NOTIFY:
		take_wan_error(place, message);
		break;
	case PPTP_SET_LINK_INFO:
		break;
	default:
		SAY(place, "%s sends a message of type %u, which the RFC does not know",
		    own_name(place), header->type);
	}
}
