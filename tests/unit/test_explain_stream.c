/*
 * A stream of messages in segments of every kind: the same messages come out.
 */
#include "explain/explain_stream.h"

#include "tests/unit/message.h"
#include "wire/bytes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { ECHO = 16, START = 0xFFFFFFF0 };

static struct explain_stream stream;
static char heard[4096]; /* "e1 e2 hole:16 no " */
static int context;

static void hear(const char *format, unsigned number)
{
	size_t length = strlen(heard);
	snprintf(heard + length, sizeof(heard) - length, format, number);
}

static void on_message(void *to, const uint8_t *message, const struct pptp_header *header)
{
	assert_ptr_equal(to, &context);
	assert_int_equal(header->type, PPTP_ECHO_REQUEST);
	hear("e%u ", bytes_get32(message + 12));
}

static void on_hole(void *to, uint32_t octets)
{
	assert_ptr_equal(to, &context);
	hear("hole:%u ", octets);
}

static void on_nonsense(void *to, const char *why)
{
	assert_ptr_equal(to, &context);
	assert_non_null(why);
	hear("no ", 0);
}

static const struct explain_stream_listener listener = {on_message, on_hole, on_nonsense};

/* 64 messages, whose identifiers count from 0. */
static uint8_t octets[64 * ECHO];

static int begin(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < 64; i++) {
		message_make(octets + (size_t)i * ECHO, PPTP_ECHO_REQUEST);
		bytes_put32(octets + (size_t)i * ECHO + 12, i);
	}
	heard[0] = '\0';
	return 0;
}

static int clear(void **state)
{
	(void)state;
	explain_stream_clear(&stream);
	return 0;
}

static void take_cut(size_t from, size_t to, size_t available)
{
	uint8_t *copy = malloc(available ? available : 1);
	assert_non_null(copy);
	memcpy(copy, octets + from, available);
	const struct explain_segment segment = {START + (uint32_t)from, copy, available, to - from};
	explain_stream_take(&stream, &segment, &listener, &context);
	free(copy);
}

static void take(size_t from, size_t to)
{
	take_cut(from, to, to - from);
}

static void acknowledge(size_t to)
{
	explain_stream_acknowledged(&stream, START + (uint32_t)to, &listener, &context);
}

#define HEARD(text) assert_string_equal(heard, text)

static void octet_by_octet(void **state)
{
	(void)state;
	explain_stream_begin(&stream, START);
	for (size_t at = 0; at < 3 * ECHO; at++)
		take(at, at + 1);
	HEARD("e0 e1 e2 ");
	assert_null(stream.partial);
}

static void all_at_once(void **state)
{
	(void)state;
	explain_stream_begin(&stream, START);
	take(0, sizeof(octets));
	assert_non_null(strstr(heard, "e0 e1 "));
	assert_non_null(strstr(heard, " e63 "));
	HEARD(heard);
}

static void out_of_order(void **state)
{
	(void)state;
	explain_stream_begin(&stream, START);
	take(32, 48);
	take(16, 24);
	take(24, 32);
	HEARD("");
	take(0, 16);
	HEARD("e0 e1 e2 ");
	assert_null(stream.waiting);
	assert_int_equal(stream.waiting_octets, 0);
}

static void again_and_overlapping(void **state)
{
	(void)state;
	explain_stream_begin(&stream, START);
	take(0, 20);
	take(0, 20);
	assert_int_equal(stream.repeated, 1);
	take(10, 40);
	take(32, 48);
	take(44, 60);
	take(44, 60);
	take(48, 50);
	take(40, 64);
	HEARD("e0 e1 e2 e3 ");
}

static void waiting_twice(void **state)
{
	(void)state;
	explain_stream_begin(&stream, START);
	for (int i = 0; i < 1000; i++)
		take(16, 32);
	assert_int_equal(stream.waiting_pieces, 1);
	take(16, 48);
	take(0, 16);
	HEARD("e0 e1 e2 ");
}

/* The receiver has it, the capture has not. */
static void a_hole_of_the_capture(void **state)
{
	(void)state;
	explain_stream_begin(&stream, START);
	take(0, 20);
	take(36, 48);
	take(48, 64);
	acknowledge(30);
	HEARD("e0 ");
	acknowledge(64);
	HEARD("e0 hole:16 e3 ");
	assert_int_equal(stream.lost, 16);
	take(64, 80);
	HEARD("e0 hole:16 e3 e4 ");
}

static void two_holes(void **state)
{
	(void)state;
	explain_stream_begin(&stream, START);
	take(16, 32);
	take(48, 64);
	explain_stream_end(&stream, &listener, &context);
	HEARD("hole:16 e1 hole:16 e3 ");
}

static void too_much_behind_a_hole(void **state)
{
	(void)state;
	explain_stream_begin(&stream, START);
	for (size_t at = 1; at < 64; at++)
		take(at * ECHO, (at + 1) * ECHO);
	HEARD("");
	take(17, 33);
	take(33, 49);
	assert_non_null(strstr(heard, "hole:16 e1 e2 "));
	assert_null(stream.waiting);
}

static void cut_in_the_capture(void **state)
{
	(void)state;
	explain_stream_begin(&stream, START);
	take_cut(0, 20, 10);
	take(32, 48);
	acknowledge(48);
	HEARD("hole:22 e2 ");
}

static void from_the_middle(void **state)
{
	(void)state;
	take(5, 40);
	take(40, 48);
	HEARD("e1 e2 ");
	assert_int_equal(stream.skipped, 11);
}

static void nonsense_in_between(void **state)
{
	(void)state;
	explain_stream_begin(&stream, START);
	memset(octets + ECHO, 0x55, 2 * ECHO);
	take(0, 4 * ECHO);
	HEARD("e0 no e3 ");
	assert_int_equal(stream.skipped, 2 * ECHO);
}

static void nothing_but_nonsense(void **state)
{
	(void)state;
	explain_stream_begin(&stream, START);
	memset(octets, 0, sizeof(octets));
	take(0, sizeof(octets));
	HEARD("no ");
}

static void the_largest_message(void **state)
{
	(void)state;
	static const uint8_t header[] = {4, 0, 0, 1, 0x1A, 0x2B, 0x3C, 0x4D, 0, 5};
	explain_stream_begin(&stream, START);
	memset(octets, 0, sizeof(octets));
	memcpy(octets, header, sizeof(header));
	take(0, 1023);
	HEARD("");
	take(1023, 1024);
	HEARD("e0 ");
}

static void an_empty_segment_begins_nothing(void **state)
{
	(void)state;
	take(0, 0);
	assert_false(stream.begun);
	acknowledge(100);
	explain_stream_end(&stream, &listener, &context);
	HEARD("");
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, begin, clear)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    CASE(octet_by_octet),      CASE(all_at_once),
	    CASE(out_of_order),	       CASE(again_and_overlapping),
	    CASE(waiting_twice),       CASE(a_hole_of_the_capture),
	    CASE(two_holes),	       CASE(too_much_behind_a_hole),
	    CASE(cut_in_the_capture),  CASE(from_the_middle),
	    CASE(nonsense_in_between), CASE(nothing_but_nonsense),
	    CASE(the_largest_message), CASE(an_empty_segment_begins_nothing),
	};
	return cmocka_run_group_tests_name("explain_stream", tests, NULL, NULL) != 0;
}
