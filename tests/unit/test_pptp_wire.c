/*
 * What each control message looks like (RFC 2637 sections 2.1 to 2.15), octet by octet, and what
 * pptp_wire finds in it. The tables are the documentation of the format.
 */
#include "wire/pptp_wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* ---- the messages ---- */

struct golden {
	enum pptp_type type;
	const char *name;
	size_t length;
	enum pptp_id at12, at14;
	uint16_t value12, value14; /* what the octets below hold there */
	size_t result_at;
	uint8_t result;
	uint8_t octets[220]; /* the rest of a message is zero */
};

/* clang-format off */
static const struct golden messages[] = {
    {
	.type = PPTP_START_REQUEST, .name = "Start-Control-Connection-Request", .length = 156,
	.octets = {
	    0x00, 0x9C,             /* Length: 156 */
	    0x00, 0x01,             /* PPTP Message Type: control */
	    0x1A, 0x2B, 0x3C, 0x4D, /* Magic Cookie */
	    0x00, 0x01,             /* Control Message Type */
	    0x00, 0x00,             /* Reserved0 */
	        0x01, 0x00,             /* Protocol Version: 1.0 */
	        0x00, 0x00,             /* Reserved1 */
	        0x00, 0x00, 0x00, 0x03, /* Framing Capabilities: asynchronous, synchronous */
	        0x00, 0x00, 0x00, 0x03, /* Bearer Capabilities: analogue, digital */
	        0x00, 0x00,             /* Maximum Channels */
	        0x00, 0x01,             /* Firmware Revision */
	        'l', 'o', 'c', 'a', 'l',/* Host Name, 64 octets; then Vendor String, 64 */
	},
    },
    {
	.type = PPTP_START_REPLY, .name = "Start-Control-Connection-Reply", .length = 156,
	.result_at = 14, .result = 1,
	.octets = {
	    0x00, 0x9C,             /* Length: 156 */
	    0x00, 0x01,             /* PPTP Message Type: control */
	    0x1A, 0x2B, 0x3C, 0x4D, /* Magic Cookie */
	    0x00, 0x02,             /* Control Message Type */
	    0x00, 0x00,             /* Reserved0 */
	        0x01, 0x00,             /* Protocol Version: 1.0 */
	        0x01,                   /* Result Code: successful */
	        0x00,                   /* Error Code */
	        0x00, 0x00, 0x00, 0x03, /* Framing Capabilities */
	        0x00, 0x00, 0x00, 0x03, /* Bearer Capabilities */
	        0x00, 0x01,             /* Maximum Channels */
	        0x00, 0x01,             /* Firmware Revision; then Host Name, Vendor String */
	},
    },
    {
	.type = PPTP_STOP_REQUEST, .name = "Stop-Control-Connection-Request", .length = 16,
	.octets = {
	    0x00, 0x10,             /* Length: 16 */
	    0x00, 0x01,             /* PPTP Message Type: control */
	    0x1A, 0x2B, 0x3C, 0x4D, /* Magic Cookie */
	    0x00, 0x03,             /* Control Message Type */
	    0x00, 0x00,             /* Reserved0 */
	        0x01,                   /* Reason: none */
	        0x00,                   /* Reserved1 */
	        0x00, 0x00,             /* Reserved2 */
	},
    },
    {
	.type = PPTP_STOP_REPLY, .name = "Stop-Control-Connection-Reply", .length = 16,
	.result_at = 12, .result = 1,
	.octets = {
	    0x00, 0x10,             /* Length: 16 */
	    0x00, 0x01,             /* PPTP Message Type: control */
	    0x1A, 0x2B, 0x3C, 0x4D, /* Magic Cookie */
	    0x00, 0x04,             /* Control Message Type */
	    0x00, 0x00,             /* Reserved0 */
	        0x01,                   /* Result Code: OK */
	        0x00,                   /* Error Code */
	        0x00, 0x00,             /* Reserved1 */
	},
    },
    {
	.type = PPTP_ECHO_REQUEST, .name = "Echo-Request", .length = 16,
	.octets = {
	    0x00, 0x10,             /* Length: 16 */
	    0x00, 0x01,             /* PPTP Message Type: control */
	    0x1A, 0x2B, 0x3C, 0x4D, /* Magic Cookie */
	    0x00, 0x05,             /* Control Message Type */
	    0x00, 0x00,             /* Reserved0 */
	        0xCA, 0xFE, 0xF0, 0x0D, /* Identifier */
	},
    },
    {
	.type = PPTP_ECHO_REPLY, .name = "Echo-Reply", .length = 20,
	.result_at = 16, .result = 1,
	.octets = {
	    0x00, 0x14,             /* Length: 20 */
	    0x00, 0x01,             /* PPTP Message Type: control */
	    0x1A, 0x2B, 0x3C, 0x4D, /* Magic Cookie */
	    0x00, 0x06,             /* Control Message Type */
	    0x00, 0x00,             /* Reserved0 */
	        0xCA, 0xFE, 0xF0, 0x0D, /* Identifier */
	        0x01,                   /* Result Code: OK */
	        0x00,                   /* Error Code */
	        0x00, 0x00,             /* Reserved1 */
	},
    },
    {
	.type = PPTP_OUTGOING_CALL_REQUEST, .name = "Outgoing-Call-Request", .length = 168,
	.at12 = PPTP_ID_OWN, .value12 = 0x1234,
	.octets = {
	    0x00, 0xA8,             /* Length: 168 */
	    0x00, 0x01,             /* PPTP Message Type: control */
	    0x1A, 0x2B, 0x3C, 0x4D, /* Magic Cookie */
	    0x00, 0x07,             /* Control Message Type */
	    0x00, 0x00,             /* Reserved0 */
	        0x12, 0x34,             /* Call ID: the PNS's own */
	        0x00, 0x07,             /* Call Serial Number: no ID */
	        0x00, 0x00, 0x09, 0x60, /* Minimum BPS */
	        0x05, 0xF5, 0xE1, 0x00, /* Maximum BPS */
	        0x00, 0x00, 0x00, 0x03, /* Bearer Type: any */
	        0x00, 0x00, 0x00, 0x03, /* Framing Type: any */
	        0x00, 0x03,             /* Packet Receive Window Size */
	        0x00, 0x00,             /* Packet Processing Delay */
	        0x00, 0x00,             /* Phone Number Length */
	        0x00, 0x00,             /* Reserved1; then Phone Number, Subaddress, 64 each */
	},
    },
    {
	.type = PPTP_OUTGOING_CALL_REPLY, .name = "Outgoing-Call-Reply", .length = 32,
	.at12 = PPTP_ID_OWN, .value12 = 0xABCD, .at14 = PPTP_ID_PEER, .value14 = 0x1234,
	.result_at = 16, .result = 1,
	.octets = {
	    0x00, 0x20,             /* Length: 32 */
	    0x00, 0x01,             /* PPTP Message Type: control */
	    0x1A, 0x2B, 0x3C, 0x4D, /* Magic Cookie */
	    0x00, 0x08,             /* Control Message Type */
	    0x00, 0x00,             /* Reserved0 */
	        0xAB, 0xCD,             /* Call ID: the PAC's own */
	        0x12, 0x34,             /* Peer's Call ID: the PNS's */
	        0x01,                   /* Result Code: connected */
	        0x00,                   /* Error Code */
	        0x00, 0x00,             /* Cause Code */
	        0x05, 0xF5, 0xE1, 0x00, /* Connect Speed */
	        0x00, 0x40,             /* Packet Receive Window Size */
	        0x00, 0x00,             /* Packet Processing Delay */
	        0x00, 0x00, 0x00, 0x00, /* Physical Channel ID */
	},
    },
    {
	.type = PPTP_INCOMING_CALL_REQUEST, .name = "Incoming-Call-Request", .length = 220,
	.at12 = PPTP_ID_OWN, .value12 = 0x0102,
	.octets = {
	    0x00, 0xDC,             /* Length: 220 */
	    0x00, 0x01,             /* PPTP Message Type: control */
	    0x1A, 0x2B, 0x3C, 0x4D, /* Magic Cookie */
	    0x00, 0x09,             /* Control Message Type */
	    0x00, 0x00,             /* Reserved0 */
	        0x01, 0x02,             /* Call ID: the PAC's own */
	        0x00, 0x09,             /* Call Serial Number: no ID */
	        0x00, 0x00, 0x00, 0x01, /* Call Bearer Type: analogue */
	        0x00, 0x00, 0x00, 0x05, /* Physical Channel ID */
	        0x00, 0x03,             /* Dialed Number Length */
	        0x00, 0x00,             /* Dialing Number Length */
	        '1', '1', '0',          /* Dialed Number, Dialing Number, Subaddress, 64 each */
	},
    },
    {
	.type = PPTP_INCOMING_CALL_REPLY, .name = "Incoming-Call-Reply", .length = 24,
	.at12 = PPTP_ID_OWN, .value12 = 0x0304, .at14 = PPTP_ID_PEER, .value14 = 0x0102,
	.result_at = 16, .result = 1,
	.octets = {
	    0x00, 0x18,             /* Length: 24 */
	    0x00, 0x01,             /* PPTP Message Type: control */
	    0x1A, 0x2B, 0x3C, 0x4D, /* Magic Cookie */
	    0x00, 0x0A,             /* Control Message Type */
	    0x00, 0x00,             /* Reserved0 */
	        0x03, 0x04,             /* Call ID: the PNS's own */
	        0x01, 0x02,             /* Peer's Call ID: the PAC's */
	        0x01,                   /* Result Code: connect */
	        0x00,                   /* Error Code */
	        0x00, 0x40,             /* Packet Receive Window Size */
	        0x00, 0x00,             /* Packet Transmit Delay */
	        0x00, 0x00,             /* Reserved1 */
	},
    },
    {
	.type = PPTP_INCOMING_CALL_CONNECTED, .name = "Incoming-Call-Connected", .length = 28,
	.at12 = PPTP_ID_PEER, .value12 = 0x0304,
	.octets = {
	    0x00, 0x1C,             /* Length: 28 */
	    0x00, 0x01,             /* PPTP Message Type: control */
	    0x1A, 0x2B, 0x3C, 0x4D, /* Magic Cookie */
	    0x00, 0x0B,             /* Control Message Type */
	    0x00, 0x00,             /* Reserved0 */
	        0x03, 0x04,             /* Peer's Call ID: the PNS's */
	        0x00, 0x00,             /* Reserved1 */
	        0x00, 0x00, 0xFA, 0x00, /* Connect Speed */
	        0x00, 0x40,             /* Packet Receive Window Size */
	        0x00, 0x00,             /* Packet Transmit Delay */
	        0x00, 0x00, 0x00, 0x01, /* Framing Type: asynchronous */
	},
    },
    {
	.type = PPTP_CALL_CLEAR_REQUEST, .name = "Call-Clear-Request", .length = 16,
	.at12 = PPTP_ID_OWN, .value12 = 0x1234,
	.octets = {
	    0x00, 0x10,             /* Length: 16 */
	    0x00, 0x01,             /* PPTP Message Type: control */
	    0x1A, 0x2B, 0x3C, 0x4D, /* Magic Cookie */
	    0x00, 0x0C,             /* Control Message Type */
	    0x00, 0x00,             /* Reserved0 */
	        0x12, 0x34,             /* Call ID: the PNS's own */
	        0x00, 0x00,             /* Reserved1 */
	},
    },
    {
	.type = PPTP_CALL_DISCONNECT_NOTIFY, .name = "Call-Disconnect-Notify", .length = 148,
	.at12 = PPTP_ID_OWN, .value12 = 0xABCD, .result_at = 14, .result = 4,
	.octets = {
	    0x00, 0x94,             /* Length: 148 */
	    0x00, 0x01,             /* PPTP Message Type: control */
	    0x1A, 0x2B, 0x3C, 0x4D, /* Magic Cookie */
	    0x00, 0x0D,             /* Control Message Type */
	    0x00, 0x00,             /* Reserved0 */
	        0xAB, 0xCD,             /* Call ID: the PAC's own */
	        0x04,                   /* Result Code: request */
	        0x00,                   /* Error Code */
	        0x00, 0x00,             /* Cause Code */
	        0x00, 0x00,             /* Reserved1; then Call Statistics, 128 octets */
	},
    },
    {
	.type = PPTP_WAN_ERROR_NOTIFY, .name = "WAN-Error-Notify", .length = 40,
	.at12 = PPTP_ID_PEER, .value12 = 0x1234,
	.octets = {
	    0x00, 0x28,             /* Length: 40 */
	    0x00, 0x01,             /* PPTP Message Type: control */
	    0x1A, 0x2B, 0x3C, 0x4D, /* Magic Cookie */
	    0x00, 0x0E,             /* Control Message Type */
	    0x00, 0x00,             /* Reserved0 */
	        0x12, 0x34,             /* Peer's Call ID: the PNS's */
	        0x00, 0x00,             /* Reserved1 */
	        0x00, 0x00, 0x00, 0x01, /* CRC Errors; then five more counters */
	},
    },
    {
	.type = PPTP_SET_LINK_INFO, .name = "Set-Link-Info", .length = 24,
	.at12 = PPTP_ID_PEER, .value12 = 0xABCD,
	.octets = {
	    0x00, 0x18,             /* Length: 24 */
	    0x00, 0x01,             /* PPTP Message Type: control */
	    0x1A, 0x2B, 0x3C, 0x4D, /* Magic Cookie */
	    0x00, 0x0F,             /* Control Message Type */
	    0x00, 0x00,             /* Reserved0 */
	        0xAB, 0xCD,             /* Peer's Call ID: the PAC's */
	        0x00, 0x00,             /* Reserved1 */
	        0xFF, 0xFF, 0xFF, 0xFF, /* Send ACCM */
	        0xFF, 0xFF, 0xFF, 0xFF, /* Receive ACCM */
	},
    },
};
/* clang-format on */

/* Parses a copy that ends where the octets end, so that a sanitizer sees one read too many. */
static enum wire_answer parse(const uint8_t *octets, size_t length, struct pptp_header *header,
			      const char **why)
{
	uint8_t *copy = malloc(length ? length : 1);
	memcpy(copy, octets, length);
	enum wire_answer answer = pptp_wire_parse(length ? copy : NULL, length, header, why);
	free(copy);
	return answer;
}

/* ---- the table of shapes ---- */

static void every_type_has_the_row_of_the_rfc(void **state)
{
	(void)state;
	assert_int_equal(COUNT(messages), 15);
	assert_int_equal(PPTP_TYPE_MAX, 15);
	for (uint16_t i = 0; i < COUNT(messages); i++) {
		const struct golden *want = &messages[i];
		const struct pptp_shape *shape = pptp_wire_shape(want->type);
		assert_int_equal(want->type, i + 1);
		assert_non_null(shape);
		assert_string_equal(shape->name, want->name);
		assert_int_equal(shape->length, want->length);
		assert_int_equal(shape->at12, want->at12);
		assert_int_equal(shape->at14, want->at14);
		assert_int_equal(shape->result_at, want->result_at);
	}
}

static void types_outside_the_rfc_have_no_row(void **state)
{
	(void)state;
	char name[16];
	assert_null(pptp_wire_shape(0));
	for (unsigned type = 16; type <= 65535; type++)
		assert_null(pptp_wire_shape((uint16_t)type));
	assert_string_equal(pptp_wire_name(7, name), "Outgoing-Call-Request");
	assert_string_equal(pptp_wire_name(0, name), "type 0");
	assert_string_equal(pptp_wire_name(99, name), "type 99");
	assert_string_equal(pptp_wire_name(65535, name), "type 65535");
}

static void limits(void **state)
{
	(void)state;
	assert_int_equal(PPTP_HEADER_LEN, 12);
	assert_int_equal(PPTP_MESSAGE_MAX, 1024);
	assert_int_equal(PPTP_MAGIC_COOKIE, 0x1A2B3C4D);
	for (size_t i = 0; i < COUNT(messages); i++)
		assert_true(messages[i].length <= PPTP_MESSAGE_MAX);
}

/* ---- whole messages, and every part of them ---- */

static void each_message_is_taken_at_its_last_octet(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(messages); i++) {
		const struct golden *m = &messages[i];
		for (size_t length = 0; length <= m->length; length++) {
			struct pptp_header header = {0, 0};
			const char *why = NULL;
			enum wire_answer answer = parse(m->octets, length, &header, &why);
			if (answer != (length == m->length ? WIRE_OK : WIRE_MORE))
				fail_msg("%s: %d at %zu octets", m->name, answer, length);
			assert_null(why);
			if (length < m->length)
				continue;
			assert_int_equal(header.length, m->length);
			assert_int_equal(header.type, m->type);
		}
	}
}

static void what_follows_a_message_is_not_looked_at(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(messages); i++) {
		const struct golden *m = &messages[i];
		uint8_t octets[PPTP_MESSAGE_MAX];
		struct pptp_header header;
		const char *why = NULL;
		memset(octets, 0xFF, sizeof(octets));
		memcpy(octets, m->octets, m->length);
		for (size_t more = 0; more <= 14; more++) {
			assert_int_equal(parse(octets, m->length + more, &header, &why), WIRE_OK);
			assert_int_equal(header.length, m->length);
		}
	}
}

static void fields_are_where_the_rfc_puts_them(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(messages); i++) {
		const struct golden *m = &messages[i];
		uint8_t octets[220], want[220];
		memcpy(octets, m->octets, sizeof(octets));
		assert_int_equal(pptp_wire_result(octets), m->result);
		if (m->at12 == PPTP_ID_NONE)
			continue;
		assert_int_equal(pptp_wire_at12(octets), m->value12);
		pptp_wire_set12(octets, 0xFEDC);
		if (m->at14 != PPTP_ID_NONE) {
			assert_int_equal(pptp_wire_at14(octets), m->value14);
			pptp_wire_set14(octets, 0xBA98);
		}
		memcpy(want, m->octets, sizeof(want));
		want[12] = 0xFE;
		want[13] = 0xDC;
		if (m->at14 != PPTP_ID_NONE) {
			want[14] = 0xBA;
			want[15] = 0x98;
		}
		assert_memory_equal(octets, want, sizeof(want));
	}
}

static void one_octet_less_than_a_type_needs_is_a_lie_one_more_is_none(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(messages); i++) {
		const struct golden *m = &messages[i];
		uint8_t octets[PPTP_MESSAGE_MAX] = {0};
		struct pptp_header header;
		memcpy(octets, m->octets, m->length);

		for (size_t length = PPTP_HEADER_LEN; length < m->length; length++) {
			const char *why = NULL;
			octets[0] = (uint8_t)(length >> 8);
			octets[1] = (uint8_t)length;
			/* The type's second octet, the tenth, tells it. */
			assert_int_equal(parse(octets, 9, &header, &why), WIRE_MORE);
			assert_null(why);
			assert_int_equal(parse(octets, 10, &header, &why), WIRE_BAD);
			assert_string_equal(why, "length below what its type needs");
			assert_int_equal(parse(octets, length, &header, &why), WIRE_BAD);
		}
		static const size_t longer[] = {1, 2, 100, 700};
		for (size_t j = 0; j < COUNT(longer); j++) {
			const char *why = NULL;
			size_t length = m->length + longer[j];
			octets[0] = (uint8_t)(length >> 8);
			octets[1] = (uint8_t)length;
			assert_int_equal(parse(octets, length - 1, &header, &why), WIRE_MORE);
			assert_int_equal(parse(octets, length, &header, &why), WIRE_OK);
			assert_int_equal(header.length, length);
		}
	}
}

/* ---- lies ---- */

struct lie {
	const char *description;
	size_t told_at; /* octets that must be there */
	const char *why;
	uint8_t octets[12];
};

/* clang-format off */
static const struct lie lies[] = {
    {"length 0", 2, "length below the header's",
	{0x00, 0x00, /* Length */
	 0x00, 0x01, 0x1A, 0x2B, 0x3C, 0x4D, 0x00, 0x05, 0x00, 0x00}},
    {"length 11", 2, "length below the header's",
	{0x00, 0x0B, /* Length */
	 0x00, 0x01, 0x1A, 0x2B, 0x3C, 0x4D, 0x00, 0x05, 0x00, 0x00}},
    {"length 1025", 2, "length above 1024",
	{0x04, 0x01, /* Length */
	 0x00, 0x01, 0x1A, 0x2B, 0x3C, 0x4D, 0x00, 0x05, 0x00, 0x00}},
    {"length 1280: its first octet says enough", 1, "length above 1024",
	{0x05, 0x00, /* Length */
	 0x00, 0x01, 0x1A, 0x2B, 0x3C, 0x4D, 0x00, 0x05, 0x00, 0x00}},
    {"length 65535", 1, "length above 1024",
	{0xFF, 0xFF, /* Length */
	 0x00, 0x01, 0x1A, 0x2B, 0x3C, 0x4D, 0x00, 0x05, 0x00, 0x00}},
    {"another protocol altogether", 1, "length above 1024",
	{'G', 'E', 'T', ' ', '/', ' ', 'H', 'T', 'T', 'P', '/', '1'}},
    {"a management message (type 2)", 4, "PPTP message type",
	{0x00, 0x10,
	 0x00, 0x02, /* PPTP Message Type */
	 0x1A, 0x2B, 0x3C, 0x4D, 0x00, 0x05, 0x00, 0x00}},
    {"message type 0", 4, "PPTP message type",
	{0x00, 0x10,
	 0x00, 0x00, /* PPTP Message Type */
	 0x1A, 0x2B, 0x3C, 0x4D, 0x00, 0x05, 0x00, 0x00}},
    {"message type 0x0101", 3, "PPTP message type",
	{0x00, 0x10,
	 0x01, 0x01, /* PPTP Message Type */
	 0x1A, 0x2B, 0x3C, 0x4D, 0x00, 0x05, 0x00, 0x00}},
    {"the cookie's first octet", 5, "magic cookie",
	{0x00, 0x10, 0x00, 0x01,
	 0x1B, 0x2B, 0x3C, 0x4D, /* Magic Cookie */
	 0x00, 0x05, 0x00, 0x00}},
    {"the cookie's second octet", 6, "magic cookie",
	{0x00, 0x10, 0x00, 0x01,
	 0x1A, 0x2A, 0x3C, 0x4D, /* Magic Cookie */
	 0x00, 0x05, 0x00, 0x00}},
    {"the cookie's third octet", 7, "magic cookie",
	{0x00, 0x10, 0x00, 0x01,
	 0x1A, 0x2B, 0x3D, 0x4D, /* Magic Cookie */
	 0x00, 0x05, 0x00, 0x00}},
    {"the cookie's last octet", 8, "magic cookie",
	{0x00, 0x10, 0x00, 0x01,
	 0x1A, 0x2B, 0x3C, 0x4E, /* Magic Cookie */
	 0x00, 0x05, 0x00, 0x00}},
    {"the cookie in the wrong byte order", 5, "magic cookie",
	{0x00, 0x10, 0x00, 0x01,
	 0x4D, 0x3C, 0x2B, 0x1A, /* Magic Cookie */
	 0x00, 0x05, 0x00, 0x00}},
    {"length 12 of an Echo-Request", 10, "length below what its type needs",
	{0x00, 0x0C, 0x00, 0x01, 0x1A, 0x2B, 0x3C, 0x4D,
	 0x00, 0x05, /* Control Message Type: 16 octets at least */
	 0x00, 0x00}},
};
/* clang-format on */

static void each_lie_is_found_at_the_octet_that_tells_it(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(lies); i++) {
		const struct lie *lie = &lies[i];
		for (size_t length = 0; length <= sizeof(lie->octets); length++) {
			struct pptp_header header;
			const char *why = NULL;
			enum wire_answer answer = parse(lie->octets, length, &header, &why);
			if (answer != (length < lie->told_at ? WIRE_MORE : WIRE_BAD))
				fail_msg("%s: %d at %zu octets", lie->description, answer, length);
			if (answer == WIRE_BAD)
				assert_string_equal(why, lie->why);
			else
				assert_null(why);
		}
	}
}

/* Every wrong value of each of the octets that have only one right value. */
static void no_wrong_octet_passes(void **state)
{
	(void)state;
	const struct golden *echo = &messages[PPTP_ECHO_REQUEST - 1];
	for (size_t at = 2; at < 8; at++) {
		for (unsigned value = 0; value < 256; value++) {
			uint8_t octets[16];
			struct pptp_header header;
			const char *why = NULL;
			memcpy(octets, echo->octets, sizeof(octets));
			octets[at] = (uint8_t)value;
			enum wire_answer want = value == echo->octets[at] ? WIRE_OK : WIRE_BAD;
			assert_int_equal(parse(octets, sizeof(octets), &header, &why), want);
		}
	}
}

/* ---- what is odd but legal ---- */

static void reserved0_may_be_anything(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(messages); i++) {
		uint8_t octets[220];
		struct pptp_header header;
		const char *why = NULL;
		memcpy(octets, messages[i].octets, sizeof(octets));
		octets[10] = 0xFF;
		octets[11] = 0x01;
		assert_int_equal(parse(octets, messages[i].length, &header, &why), WIRE_OK);
	}
}

static void unknown_types_pass_at_any_length(void **state)
{
	(void)state;
	/* clang-format off */
	uint8_t octets[PPTP_MESSAGE_MAX] = {
	    0x00, 0x0C,             /* Length: only the header */
	    0x00, 0x01,             /* PPTP Message Type: control */
	    0x1A, 0x2B, 0x3C, 0x4D, /* Magic Cookie */
	    0x00, 0x63,             /* Control Message Type: 99 */
	    0x00, 0x00,             /* Reserved0 */
	};
	/* clang-format on */
	struct pptp_header header;
	const char *why = NULL;
	assert_int_equal(parse(octets, 11, &header, &why), WIRE_MORE);
	assert_int_equal(parse(octets, 12, &header, &why), WIRE_OK);
	assert_int_equal(header.length, 12);
	assert_int_equal(header.type, 99);
	assert_int_equal(pptp_wire_result(octets), 0);

	octets[0] = 0x04; /* Length: 1024 */
	octets[1] = 0x00;
	assert_int_equal(parse(octets, 1023, &header, &why), WIRE_MORE);
	assert_int_equal(parse(octets, 1024, &header, &why), WIRE_OK);

	/* The type is 16 bits: 0x0105 is no Echo-Request. */
	octets[0] = 0x00;
	octets[1] = 0x0C;
	octets[8] = 0x01;
	octets[9] = 0x05;
	assert_int_equal(parse(octets, 12, &header, &why), WIRE_OK);
	assert_int_equal(header.type, 0x0105);
	assert_null(why);
}

/* ---- what we make ---- */

/* clang-format off */
static const uint8_t refused_outgoing_call[32] = {
    0x00, 0x20,             /* Length: 32 */
    0x00, 0x01,             /* PPTP Message Type: control */
    0x1A, 0x2B, 0x3C, 0x4D, /* Magic Cookie */
    0x00, 0x08,             /* Control Message Type: Outgoing-Call-Reply */
    0x00, 0x00,             /* Reserved0 */
        0x00, 0x00,             /* Call ID: there is none */
        0xBE, 0xEF,             /* Peer's Call ID */
        0x02,                   /* Result Code: general error */
        0x04,                   /* Error Code: no resource */
        0x00, 0x00,             /* Cause Code; then zeros */
};
static const uint8_t refused_incoming_call[24] = {
    0x00, 0x18,             /* Length: 24 */
    0x00, 0x01,             /* PPTP Message Type: control */
    0x1A, 0x2B, 0x3C, 0x4D, /* Magic Cookie */
    0x00, 0x0A,             /* Control Message Type: Incoming-Call-Reply */
    0x00, 0x00,             /* Reserved0 */
        0x00, 0x00,             /* Call ID: there is none */
        0xBE, 0xEF,             /* Peer's Call ID */
        0x02,                   /* Result Code: general error */
        0x04,                   /* Error Code: no resource; then zeros */
};
static const uint8_t call_clear[16] = {
    0x00, 0x10,             /* Length: 16 */
    0x00, 0x01,             /* PPTP Message Type: control */
    0x1A, 0x2B, 0x3C, 0x4D, /* Magic Cookie */
    0x00, 0x0C,             /* Control Message Type: Call-Clear-Request */
    0x00, 0x00,             /* Reserved0 */
        0xBE, 0xEF,             /* Call ID */
        0x00, 0x00,             /* Reserved1 */
};
static const uint8_t call_disconnect[148] = {
    0x00, 0x94,             /* Length: 148 */
    0x00, 0x01,             /* PPTP Message Type: control */
    0x1A, 0x2B, 0x3C, 0x4D, /* Magic Cookie */
    0x00, 0x0D,             /* Control Message Type: Call-Disconnect-Notify */
    0x00, 0x00,             /* Reserved0 */
        0xBE, 0xEF,             /* Call ID */
        0x03,                   /* Result Code: admin shutdown */
        0x00,                   /* Error Code; then zeros */
};
static const uint8_t stop[16] = {
    0x00, 0x10,             /* Length: 16 */
    0x00, 0x01,             /* PPTP Message Type: control */
    0x1A, 0x2B, 0x3C, 0x4D, /* Magic Cookie */
    0x00, 0x03,             /* Control Message Type: Stop-Control-Connection-Request */
    0x00, 0x00,             /* Reserved0 */
        0x03,                   /* Reason: local shutdown */
        0x00, 0x00, 0x00,       /* Reserved1, Reserved2 */
};
/* clang-format on */

static void check_made(const uint8_t *made, size_t length, const uint8_t *want, size_t want_length)
{
	struct pptp_header header;
	const char *why = NULL;
	assert_int_equal(length, want_length);
	assert_memory_equal(made, want, want_length);
	assert_int_equal(parse(made, length, &header, &why), WIRE_OK);
	assert_int_equal(header.length, length);
	/* Behind it nothing is touched. */
	for (size_t i = length; i < PPTP_ANSWER_MAX; i++)
		assert_int_equal(made[i], 0xA5);
}

#define CHECK_MADE(call, want)                                                                     \
	do {                                                                                       \
		uint8_t out[PPTP_ANSWER_MAX];                                                      \
		memset(out, 0xA5, sizeof(out));                                                    \
		size_t length = call;                                                              \
		check_made(out, length, want, sizeof(want));                                       \
	} while (0)

static void what_we_make_is_right_and_parses(void **state)
{
	(void)state;
	CHECK_MADE(pptp_wire_make_refusal(out, PPTP_OUTGOING_CALL_REQUEST, 0xBEEF),
		   refused_outgoing_call);
	CHECK_MADE(pptp_wire_make_refusal(out, PPTP_INCOMING_CALL_REQUEST, 0xBEEF),
		   refused_incoming_call);
	CHECK_MADE(pptp_wire_make_call_clear(out, 0xBEEF), call_clear);
	CHECK_MADE(pptp_wire_make_call_disconnect(out, 0xBEEF), call_disconnect);
	CHECK_MADE(pptp_wire_make_stop(out, PPTP_STOP_LOCAL_SHUTDOWN), stop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(every_type_has_the_row_of_the_rfc),
	    cmocka_unit_test(types_outside_the_rfc_have_no_row),
	    cmocka_unit_test(limits),
	    cmocka_unit_test(each_message_is_taken_at_its_last_octet),
	    cmocka_unit_test(what_follows_a_message_is_not_looked_at),
	    cmocka_unit_test(fields_are_where_the_rfc_puts_them),
	    cmocka_unit_test(one_octet_less_than_a_type_needs_is_a_lie_one_more_is_none),
	    cmocka_unit_test(each_lie_is_found_at_the_octet_that_tells_it),
	    cmocka_unit_test(no_wrong_octet_passes),
	    cmocka_unit_test(reserved0_may_be_anything),
	    cmocka_unit_test(unknown_types_pass_at_any_length),
	    cmocka_unit_test(what_we_make_is_right_and_parses),
	};
	return cmocka_run_group_tests_name("pptp_wire", tests, NULL, NULL) != 0;
}
