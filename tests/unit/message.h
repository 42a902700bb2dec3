/*
 * message: PPTP control messages of the right length and with nothing but zeros in their body.
 */
#ifndef TESTS_UNIT_MESSAGE_H
#define TESTS_UNIT_MESSAGE_H

#include "wire/pptp_wire.h"

#include <string.h>

static inline size_t message_make(uint8_t *out, uint16_t type)
{
	size_t length = pptp_wire_shape(type)->length;
	memset(out, 0, length);
	out[1] = (uint8_t)length;
	out[3] = 1;
	memcpy(out + 4, "\x1A\x2B\x3C\x4D", 4);
	out[9] = (uint8_t)type;
	return length;
}

/* With call IDs where its shape has them, and a successful result. */
static inline size_t message_make_of_call(uint8_t *out, uint16_t type, uint16_t at12, uint16_t at14)
{
	const struct pptp_shape *shape = pptp_wire_shape(type);
	size_t length = message_make(out, type);
	if (shape->at12 != PPTP_ID_NONE)
		pptp_wire_set12(out, at12);
	if (shape->at14 != PPTP_ID_NONE)
		pptp_wire_set14(out, at14);
	if (shape->result_at != 0)
		out[shape->result_at] = PPTP_RESULT_OK;
	return length;
}

#endif
