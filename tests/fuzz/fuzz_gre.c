/*
 * What gre_wire_check takes has lengths that fit and the call ID where the header has it; a rewrite
 * changes those two octets only, and is taken again.
 */
#include "wire/gre_wire.h"

#include "wire/bytes.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *octets, size_t length);

/* The header once more, from the RFC's drawing instead of a mask. */
static bool is_enhanced(const uint8_t *octets)
{
	bool c = octets[0] & 0x80, r = octets[0] & 0x40, k = octets[0] & 0x20, s = octets[0] & 0x08;
	unsigned recursion = octets[0] & 0x07, flags = octets[1] >> 3 & 0x0F;
	unsigned version = octets[1] & 0x07;
	return !c && !r && k && !s && recursion == 0 && flags == 0 && version == 1 &&
	       octets[2] == 0x88 && octets[3] == 0x0B;
}

static size_t needed(const uint8_t *octets)
{
	bool s = octets[0] & 0x10, a = octets[1] & 0x80;
	return 8U + 4U * s + 4U * a + (size_t)octets[4] * 256 + octets[5];
}

static void check_rewrite(const uint8_t *octets, size_t length, uint16_t call_id)
{
	uint8_t *copy = malloc(length);
	uint16_t again;
	if (!copy)
		abort();
	memcpy(copy, octets, length);
	uint16_t other = (uint16_t)(call_id * 7 + 12345);
	gre_wire_set_call_id(copy, other);
	assert(gre_wire_check(copy, length, &again) == GRE_OK);
	assert(again == other);
	assert(memcmp(copy, octets, 6) == 0);
	assert(memcmp(copy + 8, octets + 8, length - 8) == 0);
	gre_wire_set_call_id(copy, call_id);
	assert(memcmp(copy, octets, length) == 0);
	free(copy);
}

/* A header is read as soon as it is there, and a packet that is taken has one. */
static void check_header(const uint8_t *octets, size_t length, enum gre_answer taken)
{
	struct gre_header header;
	enum gre_answer answer = gre_wire_read(octets, length, &header);
	assert(taken != GRE_OK || answer == GRE_OK);
	assert((taken == GRE_NOT_ENHANCED) == (answer == GRE_NOT_ENHANCED));
	if (answer != GRE_OK)
		return;
	assert(header.call_id == bytes_get16(octets + 6));
	assert(header.length + header.payload_length == needed(octets) && header.length <= length);
}

int LLVMFuzzerTestOneInput(const uint8_t *octets, size_t length)
{
	uint16_t call_id = 0;
	check_header(octets, length, gre_wire_check(octets, length, &call_id));
	switch (gre_wire_check(octets, length, &call_id)) {
	case GRE_OK:
		assert(length >= GRE_HEADER_MIN);
		assert(is_enhanced(octets));
		assert(needed(octets) <= length);
		assert(call_id == bytes_get16(octets + 6));
		check_rewrite(octets, length, call_id);
		break;
	case GRE_TRUNCATED:
		assert(length < GRE_HEADER_MIN || needed(octets) > length);
		break;
	case GRE_NOT_ENHANCED:
		assert(!is_enhanced(octets));
		break;
	}
	return 0;
}
