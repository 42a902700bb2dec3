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

#endif
