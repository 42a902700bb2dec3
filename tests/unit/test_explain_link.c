/*
 * Frames of each link with one and the same packet in it, and what is none.
 */
#include "explain/explain_link.h"

#include <pcap/dlt.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* 24 octets: protocol 47, 10.1.0.10 to 10.2.0.10, and four octets in it. */
#define IP                                                                                         \
	0x45, 0x00, 0x00, 0x18, 0x12, 0x34, 0x20, 0x05, 0x40, 0x2F, 0x00, 0x00, 0x0A, 0x01, 0x00,  \
	    0x0A, 0x0A, 0x02, 0x00, 0x0A, 0xAA, 0xBB, 0xCC, 0xDD
#define MACS 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12

static const struct frame {
	const char *description;
	int link;
	enum explain_link_answer answer;
	size_t length;
	uint8_t octets[64];
} frames[] = {
    {"Ethernet", DLT_EN10MB, EXPLAIN_LINK_IPV4, 38, {MACS, 0x08, 0x00, IP}},
    {"Ethernet, with padding", DLT_EN10MB, EXPLAIN_LINK_IPV4, 60, {MACS, 0x08, 0x00, IP}},
    {"a VLAN", DLT_EN10MB, EXPLAIN_LINK_IPV4, 42, {MACS, 0x81, 0x00, 0, 5, 0x08, 0x00, IP}},
    {"a VLAN within another",
     DLT_EN10MB,
     EXPLAIN_LINK_IPV4,
     46,
     {MACS, 0x88, 0xA8, 0, 5, 0x81, 0x00, 0, 6, 0x08, 0x00, IP}},
    {"the older tag", DLT_EN10MB, EXPLAIN_LINK_IPV4, 42, {MACS, 0x91, 0x00, 0, 5, 0x08, 0x00, IP}},
    {"PPPoE",
     DLT_EN10MB,
     EXPLAIN_LINK_IPV4,
     46,
     {MACS, 0x88, 0x64, 0x11, 0, 0, 1, 0, 26, 0x00, 0x21, IP}},
    {"PPPoE with LCP",
     DLT_EN10MB,
     EXPLAIN_LINK_OTHER,
     46,
     {MACS, 0x88, 0x64, 0x11, 0, 0, 1, 0, 26, 0xC0, 0x21, IP}},
    {"ARP", DLT_EN10MB, EXPLAIN_LINK_OTHER, 38, {MACS, 0x08, 0x06, IP}},
    {"IPv6", DLT_EN10MB, EXPLAIN_LINK_OTHER, 38, {MACS, 0x86, 0xDD, IP}},
    {"Linux cooked",
     DLT_LINUX_SLL,
     EXPLAIN_LINK_IPV4,
     40,
     {0, 0, 0, 1, 0, 6, 1, 2, 3, 4, 5, 6, 0, 0, 0x08, 0x00, IP}},
    {"Linux cooked, a VLAN", DLT_LINUX_SLL, EXPLAIN_LINK_IPV4, 44, {0,	  0,	0,    1,    0, 6,
								    1,	  2,	3,    4,    5, 6,
								    0,	  0,	0x81, 0x00, 0, 5,
								    0x08, 0x00, IP}},
    {"Linux cooked, version 2", DLT_LINUX_SLL2, EXPLAIN_LINK_IPV4, 44, {0x08, 0x00, 0, 0, 0, 0,
									0,    1,    0, 1, 0, 6,
									1,    2,    3, 4, 5, 6,
									0,    0,    IP}},
    {"raw IP", DLT_RAW, EXPLAIN_LINK_IPV4, 24, {IP}},
    {"OpenBSD's raw IP", 14, EXPLAIN_LINK_IPV4, 24, {IP}},
    {"IPv4", DLT_IPV4, EXPLAIN_LINK_IPV4, 24, {IP}},
    {"raw IPv6", DLT_RAW, EXPLAIN_LINK_OTHER, 24, {0x60}},
    {"loopback, captured by a little-endian machine",
     DLT_NULL,
     EXPLAIN_LINK_IPV4,
     28,
     {2, 0, 0, 0, IP}},
    {"loopback, captured by a big-endian machine",
     DLT_NULL,
     EXPLAIN_LINK_IPV4,
     28,
     {0, 0, 0, 2, IP}},
    {"OpenBSD's loopback", DLT_LOOP, EXPLAIN_LINK_IPV4, 28, {0, 0, 0, 2, IP}},
    {"loopback, IPv6", DLT_NULL, EXPLAIN_LINK_OTHER, 28, {24, 0, 0, 0, IP}},
    {"version 5", DLT_EN10MB, EXPLAIN_LINK_BAD, 34, {MACS, 0x08, 0x00, 0x55, 0, 0, 20}},
    {"a header of 16 octets", DLT_EN10MB, EXPLAIN_LINK_BAD, 34, {MACS, 0x08, 0x00, 0x44, 0, 0, 20}},
    {"shorter than its header",
     DLT_EN10MB,
     EXPLAIN_LINK_BAD,
     38,
     {MACS, 0x08, 0x00, 0x46, 0, 0, 20}},
    {"longer than its frame", DLT_EN10MB, EXPLAIN_LINK_BAD, 34, {MACS, 0x08, 0x00, 0x45, 0, 0, 21}},
};

/* A copy that ends where the octets end, so that a sanitizer sees one read too many. */
static enum explain_link_answer read_frame(const struct frame *frame, size_t available,
					   struct explain_packet *packet, uint8_t **copy)
{
	*copy = malloc(available ? available : 1);
	assert_non_null(*copy);
	memcpy(*copy, frame->octets, available);
	return explain_link_read(frame->link, *copy, available, frame->length, packet);
}

static void check_packet(const struct explain_packet *packet)
{
	assert_int_equal(packet->source, 0x0A01000A);
	assert_int_equal(packet->destination, 0x0A02000A);
	assert_int_equal(packet->protocol, 47);
	assert_int_equal(packet->identification, 0x1234);
	assert_int_equal(packet->offset, 40);
	assert_true(packet->more_fragments);
	assert_int_equal(packet->length, 4);
	assert_int_equal(packet->total, 24);
}

static void each_frame(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(frames); i++) {
		struct explain_packet packet;
		uint8_t *copy;
		enum explain_link_answer answer =
		    read_frame(&frames[i], frames[i].length, &packet, &copy);
		if (answer != frames[i].answer)
			fail_msg("%s: %d", frames[i].description, answer);
		assert_true(explain_link_known(frames[i].link));
		if (answer == EXPLAIN_LINK_IPV4) {
			check_packet(&packet);
			assert_int_equal(packet.available, 4);
			assert_memory_equal(packet.octets, "\xAA\xBB\xCC\xDD", 4);
		}
		free(copy);
	}
}

static void every_length_of_each_frame(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(frames); i++) {
		for (size_t available = 0; available < frames[i].length; available++) {
			struct explain_packet packet;
			uint8_t *copy;
			enum explain_link_answer answer =
			    read_frame(&frames[i], available, &packet, &copy);
			if (answer != EXPLAIN_LINK_CUT && answer != frames[i].answer)
				fail_msg("%s: %d at %zu", frames[i].description, answer, available);
			if (answer == EXPLAIN_LINK_IPV4)
				assert_in_range(packet.available, 0, packet.length);
			free(copy);
		}
	}
}

/* A network card cuts it into segments later, and fills in the length then. */
static void a_length_of_zero(void **state)
{
	(void)state;
	uint8_t octets[] = {IP};
	struct explain_packet packet;
	octets[2] = octets[3] = 0;
	assert_int_equal(
	    explain_link_read(DLT_RAW, octets, sizeof(octets), sizeof(octets), &packet),
	    EXPLAIN_LINK_IPV4);
	assert_int_equal(packet.length, 4);
}

static void a_frame_that_claims_more_than_there_was(void **state)
{
	(void)state;
	const uint8_t octets[] = {IP};
	struct explain_packet packet;
	assert_int_equal(explain_link_read(DLT_RAW, octets, sizeof(octets), 10, &packet),
			 EXPLAIN_LINK_IPV4);
	assert_int_equal(packet.available, 4);
}

static void other_links(void **state)
{
	(void)state;
	assert_false(explain_link_known(DLT_IEEE802_11));
	assert_false(explain_link_known(-1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(each_frame),
	    cmocka_unit_test(every_length_of_each_frame),
	    cmocka_unit_test(a_length_of_zero),
	    cmocka_unit_test(a_frame_that_claims_more_than_there_was),
	    cmocka_unit_test(other_links),
	};
	return cmocka_run_group_tests_name("explain_link", tests, NULL, NULL) != 0;
}
