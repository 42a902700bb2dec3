/*
 * Made-up headers, octet by octet.
 */
#include "capture/capture_wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

enum { CLIENT = 0x0a010002, PROXY = 0x0a010001 };

/* RFC 1071: over all of it, its checksum included, the sum is all ones. */
static uint16_t sum_of(uint32_t sum, const uint8_t *octets, size_t length)
{
	for (size_t i = 0; i < length; i++)
		sum += i % 2 ? octets[i] : (uint32_t)octets[i] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

static void ip_header(void **state)
{
	const struct capture_wire_ip ip = {CLIENT, PROXY, 0x1234, CAPTURE_WIRE_GRE, 0xb8};
	static const uint8_t expected[] = {0x45, 0xb8, 0x00, 0x20, 0x12, 0x34, 0,  0, 64, 47,
					   0,	 0,    10,   1,	   0,	 2,    10, 1, 0,  1};
	uint8_t out[CAPTURE_WIRE_IP];
	(void)state;
	capture_wire_ip(out, &ip, 12);
	assert_int_equal(sum_of(0, out, sizeof(out)), 0xffff);
	memset(out + 10, 0, 2);
	assert_memory_equal(out, expected, sizeof(expected));
}

static uint16_t tcp_sum(const uint8_t *head, size_t length,
			const struct capture_wire_segment *segment)
{
	uint8_t whole[128];
	size_t header = length - CAPTURE_WIRE_IP;
	memcpy(whole, head + CAPTURE_WIRE_IP, header);
	if (segment->length > 0)
		memcpy(whole + header, segment->octets, segment->length);
	uint32_t sum = CAPTURE_WIRE_TCP + (uint32_t)(header + segment->length);
	return sum_of(sum_of(sum, head + 12, 8), whole, header + segment->length);
}

static void segment(void **state)
{
	static const uint8_t message[] = "an odd number of octets";
	const struct capture_wire_segment segment = {
	    .source = CLIENT,
	    .destination = PROXY,
	    .source_port = 40000,
	    .destination_port = 1723,
	    .seq = 0x01020304,
	    .ack = 0xfffefdfc,
	    .id = 7,
	    .flags = CAPTURE_WIRE_PSH | CAPTURE_WIRE_ACK,
	    .octets = message,
	    .length = sizeof(message) - 1,
	};
	static const uint8_t tcp[] = {0x9c, 0x40, 0x06, 0xbb, 1,    2,	  3,	4,
				      0xff, 0xfe, 0xfd, 0xfc, 0x50, 0x18, 0xff, 0xff};
	uint8_t out[CAPTURE_WIRE_HEAD_MAX];
	(void)state;
	assert_int_equal(segment.length % 2, 1);
	assert_int_equal(capture_wire_tcp(out, &segment), 40);
	assert_int_equal(out[2] << 8 | out[3], 40 + segment.length);
	assert_int_equal(out[6], 0x40); /* DF */
	assert_memory_equal(out + CAPTURE_WIRE_IP, tcp, sizeof(tcp));
	assert_int_equal(tcp_sum(out, 40, &segment), 0xffff);
	assert_int_equal(sum_of(0, out, CAPTURE_WIRE_IP), 0xffff);
}

static void beginning_has_a_window_scale(void **state)
{
	const struct capture_wire_segment segment = {
	    .source = CLIENT, .destination = PROXY, .flags = CAPTURE_WIRE_SYN};
	static const uint8_t option[] = {1, 3, 3, 14};
	uint8_t out[CAPTURE_WIRE_HEAD_MAX];
	(void)state;
	assert_int_equal(capture_wire_tcp(out, &segment), 44);
	assert_int_equal(out[CAPTURE_WIRE_IP + 12], 0x60);
	assert_memory_equal(out + 40, option, sizeof(option));
	assert_int_equal(tcp_sum(out, 44, &segment), 0xffff);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(ip_header),
	    cmocka_unit_test(segment),
	    cmocka_unit_test(beginning_has_a_window_scale),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
