/*
 * What an enhanced GRE packet looks like (RFC 2637 section 4.1), and everything that is none. The
 * table is the documentation of the format.
 */
#include "wire/gre_wire.h"

#include "wire/bytes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

struct golden {
	const char *description;
	enum gre_answer verdict;
	uint16_t call_id;
	size_t length;
	uint8_t octets[32];
};

/* clang-format off */
static const struct golden packets[] = {
    {"data with sequence and acknowledgement number", GRE_OK, 0x1234, 20, {
	0x30,                   /* C=0 R=0 K=1 S=1 s=0 Recur=0 */
	0x81,                   /* A=1 Flags=0 Ver=1 */
	0x88, 0x0B,             /* Protocol Type */
	0x00, 0x04,             /* Payload Length: 4 */
	0x12, 0x34,             /* Call ID: the receiver's */
	    0x00, 0x00, 0x00, 0x07, /* Sequence Number */
	    0x00, 0x00, 0x00, 0x06, /* Acknowledgment Number */
	    0xFF, 0x03, 0xC0, 0x21, /* PPP */
    }},
    {"data with a sequence number only", GRE_OK, 0x1234, 16, {
	0x30,                   /* K S */
	0x01,                   /* Ver=1 */
	0x88, 0x0B,             /* Protocol Type */
	0x00, 0x04,             /* Payload Length: 4 */
	0x12, 0x34,             /* Call ID */
	    0x00, 0x00, 0x00, 0x00, /* Sequence Number: the first may be 0 */
	    0xFF, 0x03, 0xC0, 0x21, /* PPP */
    }},
    {"an acknowledgement only", GRE_OK, 0xFFFF, 12, {
	0x20,                   /* K */
	0x81,                   /* A Ver=1 */
	0x88, 0x0B,             /* Protocol Type */
	0x00, 0x00,             /* Payload Length: 0 */
	0xFF, 0xFF,             /* Call ID */
	    0x00, 0x00, 0x00, 0x07, /* Acknowledgment Number */
    }},
    {"neither number, nothing in it", GRE_OK, 0x0000, 8, {
	0x20, 0x01,             /* K, Ver=1 */
	0x88, 0x0B,             /* Protocol Type */
	0x00, 0x00,             /* Payload Length: 0 */
	0x00, 0x00,             /* Call ID: 0 is a real one */
    }},
    {"payload without any number", GRE_OK, 0x00FF, 10, {
	0x20, 0x01,             /* K, Ver=1 */
	0x88, 0x0B,             /* Protocol Type */
	0x00, 0x02,             /* Payload Length: 2 */
	0x00, 0xFF,             /* Call ID */
	    0xC0, 0x21,
    }},
    {"a sequence number, but no payload", GRE_OK, 0x1234, 12, {
	0x30, 0x01,             /* K S, Ver=1 */
	0x88, 0x0B,             /* Protocol Type */
	0x00, 0x00,             /* Payload Length: 0 */
	0x12, 0x34,             /* Call ID */
	    0x00, 0x00, 0x00, 0x07, /* Sequence Number */
    }},
    {"octets behind the payload", GRE_OK, 0x1234, 16, {
	0x20, 0x81,             /* K A, Ver=1 */
	0x88, 0x0B,             /* Protocol Type */
	0x00, 0x00,             /* Payload Length: 0 */
	0x12, 0x34,             /* Call ID */
	    0x00, 0x00, 0x00, 0x07, /* Acknowledgment Number */
	    0x55, 0x55, 0x55, 0x55, /* a link's padding */
    }},
    {"payload length one above what is there", GRE_TRUNCATED, 0, 16, {
	0x30, 0x01,             /* K S, Ver=1 */
	0x88, 0x0B,             /* Protocol Type */
	0x00, 0x05,             /* Payload Length: 5, but 4 follow */
	0x12, 0x34,             /* Call ID */
	    0x00, 0x00, 0x00, 0x00, /* Sequence Number */
	    0xFF, 0x03, 0xC0, 0x21,
    }},
    {"payload length 65535", GRE_TRUNCATED, 0, 16, {
	0x30, 0x01,             /* K S, Ver=1 */
	0x88, 0x0B,             /* Protocol Type */
	0xFF, 0xFF,             /* Payload Length */
	0x12, 0x34,             /* Call ID */
    }},
    {"A, but the acknowledgement number is not all there", GRE_TRUNCATED, 0, 11, {
	0x20, 0x81,             /* K A, Ver=1 */
	0x88, 0x0B,             /* Protocol Type */
	0x00, 0x00,             /* Payload Length */
	0x12, 0x34,             /* Call ID */
	    0x00, 0x00, 0x00,
    }},
    {"S and A, but room for one number only", GRE_TRUNCATED, 0, 15, {
	0x30, 0x81,             /* K S A, Ver=1 */
	0x88, 0x0B,             /* Protocol Type */
	0x00, 0x00,             /* Payload Length */
	0x12, 0x34,             /* Call ID */
    }},
    {"seven octets", GRE_TRUNCATED, 0, 7, {
	0x20, 0x01, 0x88, 0x0B, 0x00, 0x00, 0x12,
    }},
    {"nothing", GRE_TRUNCATED, 0, 0, {0}},
    {"C set (checksum present)", GRE_NOT_ENHANCED, 0, 32, {
	0xA0, 0x01, 0x88, 0x0B, 0x00, 0x00, 0x12, 0x34,
    }},
    {"R set (routing present)", GRE_NOT_ENHANCED, 0, 32, {
	0x60, 0x01, 0x88, 0x0B, 0x00, 0x00, 0x12, 0x34,
    }},
    {"K clear (no key)", GRE_NOT_ENHANCED, 0, 32, {
	0x10, 0x01, 0x88, 0x0B, 0x00, 0x00, 0x12, 0x34,
    }},
    {"s set (strict source route)", GRE_NOT_ENHANCED, 0, 32, {
	0x28, 0x01, 0x88, 0x0B, 0x00, 0x00, 0x12, 0x34,
    }},
    {"recursion control 1", GRE_NOT_ENHANCED, 0, 32, {
	0x21, 0x01, 0x88, 0x0B, 0x00, 0x00, 0x12, 0x34,
    }},
    {"recursion control 4", GRE_NOT_ENHANCED, 0, 32, {
	0x24, 0x01, 0x88, 0x0B, 0x00, 0x00, 0x12, 0x34,
    }},
    {"a flag bit", GRE_NOT_ENHANCED, 0, 32, {
	0x20, 0x09, 0x88, 0x0B, 0x00, 0x00, 0x12, 0x34,
    }},
    {"version 0: plain GRE", GRE_NOT_ENHANCED, 0, 32, {
	0x20, 0x00, 0x88, 0x0B, 0x00, 0x00, 0x12, 0x34,
    }},
    {"version 2", GRE_NOT_ENHANCED, 0, 32, {
	0x20, 0x02, 0x88, 0x0B, 0x00, 0x00, 0x12, 0x34,
    }},
    {"protocol type 0x0800: IPv4 in GRE", GRE_NOT_ENHANCED, 0, 32, {
	0x20, 0x01, 0x08, 0x00, 0x00, 0x00, 0x12, 0x34,
    }},
};
/* clang-format on */

/* Checks a copy that ends where the octets end, so that a sanitizer sees one read too many. */
static enum gre_answer check(const uint8_t *octets, size_t length, uint16_t *call_id)
{
	uint8_t *copy = malloc(length ? length : 1);
	memcpy(copy, octets, length);
	enum gre_answer answer = gre_wire_check(copy, length, call_id);
	assert_memory_equal(copy, octets, length);
	free(copy);
	return answer;
}

static void golden_packets(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(packets); i++) {
		const struct golden *packet = &packets[i];
		uint16_t call_id = 0x5A5A;
		enum gre_answer answer = check(packet->octets, packet->length, &call_id);
		if (answer != packet->verdict)
			fail_msg("%s: %d", packet->description, answer);
		if (answer == GRE_OK && call_id != packet->call_id)
			fail_msg("%s: call ID %04x", packet->description, call_id);
	}
}

/* A legal one with a payload, cut anywhere, is truncated; with more behind it, it is not. */
static void every_length_of_every_legal_packet(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(packets); i++) {
		const struct golden *packet = &packets[i];
		if (packet->verdict != GRE_OK)
			continue;
		uint32_t first = bytes_get32(packet->octets);
		size_t needed = 8 + (first & 0x10000000 ? 4 : 0) + (first & 0x00800000 ? 4 : 0) +
				bytes_get16(packet->octets + 4);
		for (size_t length = 0; length <= sizeof(packet->octets); length++) {
			uint16_t call_id;
			enum gre_answer want = length < needed ? GRE_TRUNCATED : GRE_OK;
			if (check(packet->octets, length, &call_id) != want)
				fail_msg("%s: at %zu octets", packet->description, length);
		}
	}
}

/* Each of the first 32 bits alone: only S and A may differ from the value. */
static void each_bit_of_the_mask(void **state)
{
	(void)state;
	assert_int_equal(GRE_FIRST_MASK, 0xEF7FFFFF);
	assert_int_equal(GRE_FIRST_VALUE, 0x2001880B);
	for (unsigned bit = 0; bit < 32; bit++) {
		uint8_t octets[32] = {0};
		uint16_t call_id;
		bool is_free = bit == 28 /* S */ || bit == 23 /* A */;
		bytes_put32(octets, 0x2001880B ^ 1U << bit);
		enum gre_answer want = is_free ? GRE_OK : GRE_NOT_ENHANCED;
		if (check(octets, sizeof(octets), &call_id) != want)
			fail_msg("bit %u", bit);
	}
}

/* All of the 65,536 values of flags and version. */
static void four_of_all_flags_are_legal(void **state)
{
	(void)state;
	unsigned legal = 0;
	for (uint32_t flags = 0; flags <= 0xFFFF; flags++) {
		uint8_t octets[32] = {0};
		uint16_t call_id;
		bytes_put32(octets, flags << 16 | 0x880B);
		bool want =
		    flags == 0x2001 || flags == 0x3001 || flags == 0x2081 || flags == 0x3081;
		bool ok = gre_wire_check(octets, sizeof(octets), &call_id) == GRE_OK;
		assert_int_equal(ok, want);
		legal += ok;
	}
	assert_int_equal(legal, 4);
}

/* As soon as it is there, whatever of the payload is. */
static void a_header_is_read(void **state)
{
	(void)state;
	struct gre_header header;
	const uint8_t *both = packets[0].octets, *ack = packets[2].octets,
		      *none = packets[3].octets;
	assert_int_equal(gre_wire_read(both, 15, &header), GRE_TRUNCATED);
	assert_int_equal(gre_wire_read(both, 16, &header), GRE_OK);
	assert_int_equal(header.call_id, 0x1234);
	assert_int_equal(header.payload_length, 4);
	assert_int_equal(header.length, 16);
	assert_true(header.has_sequence && header.has_acknowledgement);
	assert_int_equal(header.sequence, 7);
	assert_int_equal(header.acknowledgement, 6);
	assert_int_equal(gre_wire_read(packets[1].octets, 12, &header), GRE_OK);
	assert_true(header.has_sequence && !header.has_acknowledgement);
	assert_int_equal(gre_wire_read(ack, 11, &header), GRE_TRUNCATED);
	assert_int_equal(gre_wire_read(ack, 12, &header), GRE_OK);
	assert_false(header.has_sequence);
	assert_int_equal(header.sequence, 0);
	assert_int_equal(header.acknowledgement, 7);
	assert_int_equal(gre_wire_read(none, 7, &header), GRE_TRUNCATED);
	assert_int_equal(gre_wire_read(none, 8, &header), GRE_OK);
	assert_int_equal(header.length, 8);
	for (size_t i = 0; i < COUNT(packets); i++)
		if (packets[i].verdict == GRE_NOT_ENHANCED)
			assert_int_equal(gre_wire_read(packets[i].octets, 32, &header),
					 GRE_NOT_ENHANCED);
}

static void the_call_id_alone_is_rewritten(void **state)
{
	(void)state;
	static const uint16_t ids[] = {0, 1, 0x00FF, 0xFF00, 0x1234, 0xFFFF};
	for (size_t i = 0; i < COUNT(ids); i++) {
		uint8_t octets[20], want[20];
		uint16_t call_id;
		memcpy(octets, packets[0].octets, sizeof(octets));
		memcpy(want, packets[0].octets, sizeof(want));
		want[6] = (uint8_t)(ids[i] >> 8);
		want[7] = (uint8_t)(ids[i] & 0xFF);
		gre_wire_set_call_id(octets, ids[i]);
		assert_memory_equal(octets, want, sizeof(want));
		assert_int_equal(check(octets, sizeof(octets), &call_id), GRE_OK);
		assert_int_equal(call_id, ids[i]);
	}
}

static void bytes_are_big_endian_at_any_address(void **state)
{
	(void)state;
	uint8_t octets[8] = {0};
	bytes_put16(octets + 1, 0x89AB);
	bytes_put32(octets + 3, 0xFEDCBA98);
	assert_memory_equal(octets, "\0\x89\xAB\xFE\xDC\xBA\x98\0", 8);
	assert_int_equal(bytes_get16(octets + 1), 0x89AB);
	assert_int_equal(bytes_get32(octets + 3), 0xFEDCBA98);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(golden_packets),
	    cmocka_unit_test(every_length_of_every_legal_packet),
	    cmocka_unit_test(each_bit_of_the_mask),
	    cmocka_unit_test(four_of_all_flags_are_legal),
	    cmocka_unit_test(a_header_is_read),
	    cmocka_unit_test(the_call_id_alone_is_rewritten),
	    cmocka_unit_test(bytes_are_big_endian_at_any_address),
	};
	return cmocka_run_group_tests_name("gre_wire", tests, NULL, NULL) != 0;
}
