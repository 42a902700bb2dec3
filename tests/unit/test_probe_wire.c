/*
 * What a client says in a short call, octet by octet (RFC 2637), and what it is answered.
 */
#include "wire/probe_wire.h"

#include "wire/gre_wire.h"
#include "wire/pptp_wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static uint8_t out[PROBE_MESSAGE_MAX];

static void is_message(size_t length, uint16_t type)
{
	struct pptp_header header;
	const char *why = "";
	assert_int_equal(pptp_wire_parse(out, length, &header, &why), WIRE_OK);
	assert_int_equal(header.length, length);
	assert_int_equal(header.type, type);
	assert_int_equal(length, pptp_wire_shape(type)->length);
}

static void start_request(void **state)
{
	(void)state;
	is_message(probe_wire_start(out, "host", "vendor"), PPTP_START_REQUEST);
	static const uint8_t fields[] = {1, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 3, 0, 0, 0, 0};
	assert_memory_equal(out + 12, fields, sizeof(fields));
	assert_string_equal((char *)out + 28, "host");
	assert_string_equal((char *)out + 92, "vendor");
}

static void a_long_name_stays_in_its_field(void **state)
{
	(void)state;
	char name[PROBE_NAME + 2];
	memset(name, 'n', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	is_message(probe_wire_start(out, name, "v"), PPTP_START_REQUEST);
	assert_int_equal(out[28 + PROBE_NAME - 1], 'n');
	assert_string_equal((char *)out + 92, "v");
}

static void echoes(void **state)
{
	(void)state;
	is_message(probe_wire_echo(out, 0x01020304), PPTP_ECHO_REQUEST);
	assert_int_equal(probe_wire_identifier(out), 0x01020304);
	is_message(probe_wire_echo_reply(out, 0xFFFEFDFC), PPTP_ECHO_REPLY);
	assert_int_equal(probe_wire_identifier(out), 0xFFFEFDFC);
	assert_int_equal(pptp_wire_result(out), PPTP_RESULT_OK);
}

static void call_request(void **state)
{
	(void)state;
	is_message(probe_wire_call(out, 0x1234, 0x0506), PPTP_OUTGOING_CALL_REQUEST);
	static const uint8_t fields[] = {0x12, 0x34, 5, 6, 0, 0, 0x09, 0x60, 5, 0xF5, 0xE1, 0,
					 0,    0,    0, 3, 0, 0, 0,    3,    0, 64,   0,    0};
	assert_memory_equal(out + 12, fields, sizeof(fields));
}

static void start_reply(void **state)
{
	(void)state;
	uint8_t message[156] = {0};
	struct probe_started started;
	static const uint8_t fields[] = {1, 0, 4, 5, 0, 0, 0, 2, 0, 0, 0, 1, 0, 9, 0x12, 0x34};
	memcpy(message + 12, fields, sizeof(fields));
	message[28] = 'h';
	message[92] = 'v';
	probe_wire_read_started(message, &started);
	assert_int_equal(started.version, 0x0100);
	assert_int_equal(started.result, 4);
	assert_int_equal(started.error, 5);
	assert_true(started.sync);
	assert_false(started.async);
	assert_int_equal(started.firmware, 0x1234);
	assert_int_equal(started.host[0], 'h');
	assert_int_equal(started.vendor[0], 'v');
}

/* Behind the Result Code of a call's reply, at offset 16. */
static void error_code(void **state)
{
	(void)state;
	uint8_t message[PPTP_ANSWER_MAX];
	pptp_wire_make_refusal(message, PPTP_OUTGOING_CALL_REQUEST, 7);
	assert_int_equal(probe_wire_error(message), PPTP_ERROR_NO_RESOURCE);
}

static void configure_request(void **state)
{
	(void)state;
	static const uint8_t packet[] = {
	    0x30, 0x01, 0x88, 0x0B, 0,	  14,	0x12, 0x34, 0, 0, 0, 5, /* enhanced GRE, S */
	    0xFF, 0x03, 0xC0, 0x21,					/* PPP, LCP */
	    1,	  6,	0,    10,					/* Configure-Request */
	    5,	  6,	0xA1, 0xB2, 0xC3, 0xD4,				/* Magic-Number */
	};
	uint8_t made[PROBE_PACKET_MAX];
	assert_int_equal(probe_wire_configure(made, 0x1234, 5, 6, 0xA1B2C3D4), sizeof(packet));
	assert_memory_equal(made, packet, sizeof(packet));
}

/* Payload of a packet for call 7, without and with address and control field. */
static enum probe_lcp lcp_of(const char *payload, size_t length)
{
	uint8_t octets[64] = {0x30, 0x81, 0x88, 0x0B, 0, (uint8_t)length, 0, 7, 0, 0, 0,
			      1,    0,	  0,	0,    2};
	struct probe_packet packet;
	memcpy(octets + 16, payload, length);
	assert_true(probe_wire_read_packet(octets, 16 + length, &packet));
	assert_int_equal(packet.call_id, 7);
	assert_true(packet.has_ack);
	assert_int_equal(packet.ack, 2);
	return packet.lcp;
}
#define LCP(payload) lcp_of(payload, sizeof(payload) - 1)

static void what_comes_back(void **state)
{
	(void)state;
	assert_int_equal(LCP("\xFF\x03\xC0\x21\x01\x09\x00\x04"), PROBE_LCP_REQUEST);
	assert_int_equal(LCP("\xC0\x21\x01\x09\x00\x04"), PROBE_LCP_REQUEST);
	assert_int_equal(LCP("\xFF\x03\xC0\x21\x02\x09\x00\x04"), PROBE_LCP_ANSWER);
	assert_int_equal(LCP("\xFF\x03\xC0\x21\x03\x09\x00\x04"), PROBE_LCP_ANSWER);
	assert_int_equal(LCP("\xFF\x03\xC0\x21\x04\x09\x00\x04"), PROBE_LCP_ANSWER);
	assert_int_equal(LCP("\xFF\x03\xC0\x21\x07\x09\x00\x04"), PROBE_LCP_ANSWER);
	assert_int_equal(LCP("\xFF\x03\xC0\x21\x05\x09\x00\x04"), PROBE_LCP_OTHER);
	assert_int_equal(LCP("\xFF\x03\xC2\x23\x01\x09\x00\x04"), PROBE_NO_LCP);
	assert_int_equal(LCP("\xFF\x03\xC0\x21\x01"), PROBE_NO_LCP); /* cut */
	assert_int_equal(LCP(""), PROBE_NO_LCP);
}

static void acknowledgement_alone(void **state)
{
	(void)state;
	static const uint8_t octets[] = {0x20, 0x81, 0x88, 0x0B, 0, 0, 0, 7, 0, 0, 0, 9};
	struct probe_packet packet;
	assert_true(probe_wire_read_packet(octets, sizeof(octets), &packet));
	assert_true(packet.has_ack);
	assert_int_equal(packet.ack, 9);
	assert_int_equal(packet.lcp, PROBE_NO_LCP);
}

static void other_packets(void **state)
{
	(void)state;
	static const uint8_t plain_gre[] = {0, 0, 8, 0, 0, 0, 0, 0};
	static const uint8_t lie[] = {0x30, 0x01, 0x88, 0x0B, 0, 9, 0, 7, 0, 0, 0, 0};
	struct probe_packet packet;
	assert_false(probe_wire_read_packet(plain_gre, sizeof(plain_gre), &packet));
	assert_false(probe_wire_read_packet(lie, sizeof(lie), &packet));
	assert_false(probe_wire_read_packet(lie, 0, &packet));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(start_request),
	    cmocka_unit_test(a_long_name_stays_in_its_field),
	    cmocka_unit_test(echoes),
	    cmocka_unit_test(call_request),
	    cmocka_unit_test(start_reply),
	    cmocka_unit_test(error_code),
	    cmocka_unit_test(configure_request),
	    cmocka_unit_test(what_comes_back),
	    cmocka_unit_test(acknowledgement_alone),
	    cmocka_unit_test(other_packets),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
