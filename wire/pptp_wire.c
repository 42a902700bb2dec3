/*
 * The table of message shapes (RFC 2637 sections 2.1 to 2.15) and what follows from it.
 */
#include "wire/pptp_wire.h"

#include "wire/bytes.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

enum { MESSAGE_TYPE_CONTROL = 1, TYPE_END = 10 };

static const struct pptp_shape shapes[] = {
    [PPTP_START_REQUEST] = {"Start-Control-Connection-Request", 156, PPTP_ID_NONE, PPTP_ID_NONE, 0},
    [PPTP_START_REPLY] = {"Start-Control-Connection-Reply", 156, PPTP_ID_NONE, PPTP_ID_NONE, 14},
    [PPTP_STOP_REQUEST] = {"Stop-Control-Connection-Request", 16, PPTP_ID_NONE, PPTP_ID_NONE, 0},
    [PPTP_STOP_REPLY] = {"Stop-Control-Connection-Reply", 16, PPTP_ID_NONE, PPTP_ID_NONE, 12},
    [PPTP_ECHO_REQUEST] = {"Echo-Request", 16, PPTP_ID_NONE, PPTP_ID_NONE, 0},
    [PPTP_ECHO_REPLY] = {"Echo-Reply", 20, PPTP_ID_NONE, PPTP_ID_NONE, 16},
    [PPTP_OUTGOING_CALL_REQUEST] = {"Outgoing-Call-Request", 168, PPTP_ID_OWN, PPTP_ID_NONE, 0},
    [PPTP_OUTGOING_CALL_REPLY] = {"Outgoing-Call-Reply", 32, PPTP_ID_OWN, PPTP_ID_PEER, 16},
    [PPTP_INCOMING_CALL_REQUEST] = {"Incoming-Call-Request", 220, PPTP_ID_OWN, PPTP_ID_NONE, 0},
    [PPTP_INCOMING_CALL_REPLY] = {"Incoming-Call-Reply", 24, PPTP_ID_OWN, PPTP_ID_PEER, 16},
    [PPTP_INCOMING_CALL_CONNECTED] = {"Incoming-Call-Connected", 28, PPTP_ID_PEER, PPTP_ID_NONE, 0},
    [PPTP_CALL_CLEAR_REQUEST] = {"Call-Clear-Request", 16, PPTP_ID_OWN, PPTP_ID_NONE, 0},
    [PPTP_CALL_DISCONNECT_NOTIFY] = {"Call-Disconnect-Notify", 148, PPTP_ID_OWN, PPTP_ID_NONE, 14},
    [PPTP_WAN_ERROR_NOTIFY] = {"WAN-Error-Notify", 40, PPTP_ID_PEER, PPTP_ID_NONE, 0},
    [PPTP_SET_LINK_INFO] = {"Set-Link-Info", 24, PPTP_ID_PEER, PPTP_ID_NONE, 0},
};
static_assert(sizeof(shapes) / sizeof(shapes[0]) == PPTP_TYPE_MAX + 1, "a row for every type");

const struct pptp_shape *pptp_wire_shape(uint16_t type)
{
	return type >= 1 && type <= PPTP_TYPE_MAX ? &shapes[type] : NULL;
}

const char *pptp_wire_name(uint16_t type, char out[static 16])
{
	const struct pptp_shape *shape = pptp_wire_shape(type);
	if (shape)
		return shape->name;
	snprintf(out, 16, "type %u", type);
	return out;
}

enum wire_answer pptp_wire_parse(const uint8_t *octets, size_t available,
				 struct pptp_header *header, const char **why)
{
	static const uint8_t type_and_cookie[] = {0, MESSAGE_TYPE_CONTROL, 0x1A, 0x2B, 0x3C, 0x4D};

	if (available < 1)
		return WIRE_MORE;
	if (octets[0] > PPTP_MESSAGE_MAX >> 8) {
		*why = "length above 1024";
		return WIRE_BAD;
	}
	if (available < 2)
		return WIRE_MORE;
	header->length = bytes_get16(octets);
	if (header->length < PPTP_HEADER_LEN) {
		*why = "length below the header's";
		return WIRE_BAD;
	}
	if (header->length > PPTP_MESSAGE_MAX) {
		*why = "length above 1024";
		return WIRE_BAD;
	}
	/* Octet by octet, so that a stranger's first wrong octet ends it instead of waiting for
	 * twelve. */
	for (size_t i = 0; i < sizeof(type_and_cookie) && 2 + i < available; i++) {
		if (octets[2 + i] != type_and_cookie[i]) {
			*why = i < 2 ? "PPTP message type" : "magic cookie";
			return WIRE_BAD;
		}
	}
	if (available < TYPE_END)
		return WIRE_MORE;
	header->type = bytes_get16(octets + 8);
	const struct pptp_shape *shape = pptp_wire_shape(header->type);
	if (shape && header->length < shape->length) {
		*why = "length below what its type needs";
		return WIRE_BAD;
	}
	return available < header->length ? WIRE_MORE : WIRE_OK;
}

uint16_t pptp_wire_at12(const uint8_t *message)
{
	return bytes_get16(message + 12);
}

uint16_t pptp_wire_at14(const uint8_t *message)
{
	return bytes_get16(message + 14);
}

void pptp_wire_set12(uint8_t *message, uint16_t call_id)
{
	bytes_put16(message + 12, call_id);
}

void pptp_wire_set14(uint8_t *message, uint16_t call_id)
{
	bytes_put16(message + 14, call_id);
}

uint8_t pptp_wire_result(const uint8_t *message)
{
	const struct pptp_shape *shape = pptp_wire_shape(bytes_get16(message + 8));
	return shape && shape->result_at ? message[shape->result_at] : 0;
}

size_t pptp_wire_make(uint8_t *out, enum pptp_type type)
{
	size_t length = shapes[type].length;
	memset(out, 0, length);
	bytes_put16(out, (uint16_t)length);
	bytes_put16(out + 2, MESSAGE_TYPE_CONTROL);
	bytes_put32(out + 4, PPTP_MAGIC_COOKIE);
	bytes_put16(out + 8, (uint16_t)type);
	return length;
}

size_t pptp_wire_make_refusal(uint8_t out[static PPTP_ANSWER_MAX], uint16_t request_type,
			      uint16_t peer_call_id)
{
	size_t length = pptp_wire_make(out, request_type == PPTP_INCOMING_CALL_REQUEST
						? PPTP_INCOMING_CALL_REPLY
						: PPTP_OUTGOING_CALL_REPLY);
	pptp_wire_set14(out, peer_call_id);
	out[16] = PPTP_RESULT_GENERAL_ERROR;
	out[17] = PPTP_ERROR_NO_RESOURCE;
	return length;
}

size_t pptp_wire_make_call_clear(uint8_t out[static PPTP_ANSWER_MAX], uint16_t call_id)
{
	size_t length = pptp_wire_make(out, PPTP_CALL_CLEAR_REQUEST);
	pptp_wire_set12(out, call_id);
	return length;
}

size_t pptp_wire_make_call_disconnect(uint8_t out[static PPTP_ANSWER_MAX], uint16_t call_id)
{
	size_t length = pptp_wire_make(out, PPTP_CALL_DISCONNECT_NOTIFY);
	pptp_wire_set12(out, call_id);
	out[14] = PPTP_DISCONNECT_ADMIN;
	return length;
}

size_t pptp_wire_make_stop(uint8_t out[static PPTP_ANSWER_MAX], uint8_t reason)
{
	size_t length = pptp_wire_make(out, PPTP_STOP_REQUEST);
	out[12] = reason;
	return length;
}
