/*
 * A snapshot as lines, and those lines as a table.
 */
#include "status/status_view.h"

#include "status/status_lines.h"

#include <errno.h>
#include <event2/buffer.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct snapshot_call calls[] = {
    {
	.name = "12:49750",
	.connection = 12,
	.open = true,
	.addr = {0x0A000002, 0xC0000209},
	.port = {40000, 1723},
	.known = {true, true},
	.id = {49750, 9},
	.shown = {9, 17},
	.age_ms = 64500,
	.fastpath = true,
	.from = {{1200, 1536000, 1, 200, false}, {12, 900, 2, 12300, true}},
    },
    {
	.name = "13:-",
	.connection = 13,
	.caller = CALLID_SERVER,
	.addr = {0x0A000003, 0xC000020A},
	.port = {40001, 1800},
	.known = {false, true},
	.id = {0, 5},
	.shown = {6, 0},
	.age_ms = 900,
	.from = {{0, 0, 0, SNAPSHOT_NEVER, false}, {0, 0, 0, SNAPSHOT_NEVER, false}},
    },
};

static struct snapshot_pair pairs[] = {
    {.listen = "0.0.0.0:1723",
     .peer = "192.0.2.9",
     .state = SNAPSHOT_DOWN,
     .connections = 3,
     .calls = 2,
     .accepted = 7,
     .connected = 5,
     .failed = 1,
     .last_error = "no\033 route\tat all",
     .last_error_ms = 61000},
    {.listen = "0.0.0.0:1724",
     .peer = "192.0.2.10",
     .state = SNAPSHOT_UNTRIED,
     .last_error_ms = SNAPSHOT_NEVER},
};

static struct snapshot snapshot = {
    .version = "3.0.0",
    .keeper_pid = 4711,
    .up_ms = 7500000,
    .totals = {.connections = 2,
	       .calls = 2,
	       .calls_reserved = 1,
	       .packets_received = 1000,
	       .packets_carried = 500},
    .pairs = pairs,
    .pair_count = 2,
    .calls = calls,
    .call_count = 2,
};

typedef int write_text(struct evbuffer *out, const struct snapshot *snapshot);

static int all_calls(struct evbuffer *out, const struct snapshot *from)
{
	size_t written_calls = 0;
	return status_lines_calls(out, from, &written_calls);
}

static char *text_of(write_text *write)
{
	struct evbuffer *out = evbuffer_new();
	assert_int_equal(write(out, &snapshot), 0);
	size_t length = evbuffer_get_length(out);
	char *text = malloc(length + 1);
	evbuffer_copyout(out, text, length);
	text[length] = '\0';
	evbuffer_free(out);
	return text;
}

static struct status_fields lines_of(write_text *write)
{
	struct status_fields lines;
	assert_int_equal(status_view_parse(&lines, text_of(write)), 0);
	return lines;
}

static char *written;

static const char *table_of(const char *what, const struct status_fields *lines,
			    const struct status_before *before, size_t width)
{
	size_t length;
	free(written);
	FILE *out = open_memstream(&written, &length);
	assert_int_equal(status_view_write(out, what, lines, before, width), 0);
	fclose(out);
	return written;
}

static int tear_down(void **state)
{
	(void)state;
	free(written);
	written = NULL;
	return 0;
}

static void calls_as_lines(void **state)
{
	(void)state;
	char *text = text_of(all_calls);
	assert_string_equal(
	    text, "call\tstate\tclient\tserver\tclient_id\tserver_sees\tserver_id\tclient_sees\t"
		  "age_ms\tway\tclient_packets\tclient_octets\tclient_drops\tclient_last_ms\t"
		  "client_silent\tserver_packets\tserver_octets\tserver_drops\tserver_last_ms\t"
		  "server_silent\n"
		  "12:49750\topen\t10.0.0.2:40000\t192.0.2.9:1723\t49750\t17\t9\t9\t64500\tfast\t"
		  "1200\t1536000\t1\t200\tno\t12\t900\t2\t12300\tyes\n"
		  "13:-\treserved\t10.0.0.3:40001\t192.0.2.10:1800\t-\t-\t5\t6\t900\traw\t"
		  "0\t0\t0\t-\tno\t0\t0\t0\t-\tno\n");
	free(text);
}

/* No stranger's words make a field or a line. */
static void pairs_as_lines(void **state)
{
	(void)state;
	char *text = text_of(status_lines_pairs);
	assert_string_equal(
	    text, "listen\tpeer\tstate\tconnections\tcalls\taccepted\tconnected\tfailed\t"
		  "last_error_ms\tlast_error\n"
		  "0.0.0.0:1723\t192.0.2.9\tdown\t3\t2\t7\t5\t1\t61000\tno? route?at all\n"
		  "0.0.0.0:1724\t192.0.2.10\tuntried\t0\t0\t0\t0\t0\t-\t-\n");
	free(text);
}

static void totals_as_lines(void **state)
{
	(void)state;
	struct status_fields lines = lines_of(status_lines_totals);
	assert_int_equal(status_view_figure(&lines, "keeper"), 4711);
	assert_int_equal(status_view_figure(&lines, "up"), 7500000);
	assert_int_equal(status_view_figure(&lines, "calls, being set up"), 1);
	assert_int_equal(status_view_figure(&lines, "no such figure"), 0);
	assert_int_equal(lines.rows, 18 + REASON_PACKET_COUNT + REASON_MESSAGE_COUNT +
					 REASON_REFUSAL_COUNT + REASON_END_COUNT);
	status_view_clear(&lines);
}

static void calls_as_a_table(void **state)
{
	(void)state;
	struct status_fields lines = lines_of(all_calls);
	assert_string_equal(
	    table_of("calls", &lines, NULL, 0),
	    "CALL      CLIENT     PORT  SERVER           CLIENT ID  SERVER ID         AGE  WAY   "
	    "CLIENT SENT  PACKETS  SERVER SENT  PACKETS  DROPPED  NOTE\n"
	    "12:49750  10.0.0.2  40000  192.0.2.9         49750>17          9  1 min 04 s  fast  "
	    "   1.46 MiB     1200        900 B       12        3  server silent 12 s\n"
	    "13:-      10.0.0.3  40001  192.0.2.10:1800          -        5>6       0.9 s  raw   "
	    "        0 B        0          0 B        0        0  being set up\n");
	status_view_clear(&lines);
}

/* At each width: the call's name and what is wrong come first. */
static void calls_at_each_width(void **state)
{
	(void)state;
	struct status_fields lines = lines_of(all_calls);
	assert_string_equal(table_of("calls", &lines, NULL, 80),
			    "CALL      CLIENT    SERVER                  AGE  NOTE\n"
			    "12:49750  10.0.0.2  192.0.2.9        1 min 04 s  server silent 12 s\n"
			    "13:-      10.0.0.3  192.0.2.10:1800       0.9 s  being set up\n");
	assert_string_equal(table_of("calls", &lines, NULL, 20), "CALL      NOTE\n"
								 "12:49750  server si~\n"
								 "13:-      being set~\n");
	for (size_t width = 20; width <= 200; width++) {
		const char *at = table_of("calls", &lines, NULL, width);
		for (; *at; at += strcspn(at, "\n") + 1)
			assert_true(strcspn(at, "\n") <= width);
	}
	status_view_clear(&lines);
}

static void pairs_and_totals_as_tables(void **state)
{
	(void)state;
	struct status_fields lines = lines_of(status_lines_pairs);
	assert_string_equal(
	    table_of("pairs", &lines, NULL, 0),
	    "LISTENS ON    SERVER      STATE    CALLS  CONNECTIONS  CLIENTS  ANSWERED  FAILED  "
	    "LAST ERROR\n"
	    "0.0.0.0:1723  192.0.2.9   down         2            3        7         5       1  "
	    "no? route?at all, 1 min 01 s ago\n"
	    "0.0.0.0:1724  192.0.2.10  untried      0            0        0         0       0\n");
	status_view_clear(&lines);
	lines = lines_of(status_lines_totals);
	assert_non_null(strstr(table_of("totals", &lines, NULL, 0), "\nup "));
	assert_non_null(strstr(written, " 2 h 05 min\n"));
	status_view_clear(&lines);
}

/* An error, however long, leaves it to be seen which pair has it, and how that is. */
static void pairs_with_an_error_on_a_terminal(void **state)
{
	(void)state;
	struct status_fields lines = lines_of(status_lines_pairs);
	assert_string_equal(
	    table_of("pairs", &lines, NULL, 80),
	    "LISTENS ON    SERVER      STATE    CALLS  CONNECTIONS  LAST ERROR\n"
	    "0.0.0.0:1723  192.0.2.9   down         2            3  no? route?at all, 1 min ~\n"
	    "0.0.0.0:1724  192.0.2.10  untried      0            0\n");
	for (size_t width = 45; width <= 200; width++) {
		table_of("pairs", &lines, NULL, width);
		assert_non_null(strstr(written, "STATE"));
		assert_non_null(strstr(written, "down "));
		assert_non_null(strstr(written, "no? route?at all"));
	}
	status_view_clear(&lines);
}

static void rates_between_two_looks(void **state)
{
	(void)state;
	struct status_fields old = lines_of(all_calls), old_totals = lines_of(status_lines_totals);
	calls[0].from[CALLID_CLIENT].octets += 4096;
	calls[0].from[CALLID_SERVER].octets += 300;
	snapshot.totals.packets_received += 30;
	snapshot.totals.packet_drops[REASON_NO_CALL] += 10;
	struct status_fields now = lines_of(all_calls), totals = lines_of(status_lines_totals);
	const struct status_before before = {.calls = &old, .ms = 2000};
	assert_non_null(strstr(table_of("calls", &now, &before, 0), "  16.3 kbit/s  "));
	assert_non_null(strstr(written, "  1.20 kbit/s  "));
	struct status_looks looks = {.totals = &totals,
				     .calls = &now,
				     .old_totals = &old_totals,
				     .old_calls = &old,
				     .ms = 2000};
	size_t length;
	free(written);
	FILE *out = open_memstream(&written, &length);
	status_view_head(out, &looks, 0);
	fclose(out);
	assert_string_equal(
	    written, "up 2 h 05 min; 2 connections, 2 calls; 1530 packets received, 10 dropped\n"
		     "clients send 16.3 kbit/s, servers 1.20 kbit/s; 15 packets/s, 5 dropped/s\n");
	free(written);
	out = open_memstream(&written, &length);
	looks.old_totals = looks.old_calls = NULL;
	status_view_head(out, &looks, 30);
	fclose(out);
	assert_string_equal(written, "up 2 h 05 min; 2 connections,~\n\n");
	status_view_clear(&totals);
	snapshot.totals.connections = snapshot.totals.calls = 1;
	totals = lines_of(status_lines_totals);
	snapshot.totals.connections = snapshot.totals.calls = 2;
	free(written);
	out = open_memstream(&written, &length);
	status_view_head(out, &looks, 0);
	fclose(out);
	assert_non_null(strstr(written, "; 1 connection, 1 call; 1530 packets received"));
	status_view_clear(&old);
	status_view_clear(&old_totals);
	status_view_clear(&now);
	status_view_clear(&totals);
}

/* What --watch is for is there on a terminal of the usual width, beside a note, too. */
static void rates_on_a_terminal(void **state)
{
	(void)state;
	struct status_fields old = lines_of(all_calls);
	calls[0].from[CALLID_CLIENT].octets += 4096;
	struct status_fields now = lines_of(all_calls);
	const struct status_before before = {.calls = &old, .ms = 2000};
	assert_string_equal(table_of("calls", &now, &before, 80),
			    "CALL      CLIENT    CLIENT RATE  SERVER RATE  NOTE\n"
			    "12:49750  10.0.0.2  16.3 kbit/s      0 bit/s  server silent 12 s\n"
			    "13:-      10.0.0.3      0 bit/s      0 bit/s  being set up\n");
	calls[0].from[CALLID_SERVER].silent = false;
	calls[1].open = true;
	status_view_clear(&now);
	now = lines_of(all_calls);
	assert_non_null(strstr(table_of("calls", &now, &before, 90), "AGE  CLIENT RATE  "));
	calls[0].from[CALLID_SERVER].silent = true;
	calls[1].open = false;
	calls[0].from[CALLID_CLIENT].octets -= 4096;
	status_view_clear(&old);
	status_view_clear(&now);
}

static void silent_both_ways(void **state)
{
	(void)state;
	struct status_fields lines;
	assert_int_equal(status_view_parse(&lines, strdup("call\tclient_silent\tserver_silent\t"
							  "server_last_ms\n1:2\tyes\tyes\t9000\n")),
			 0);
	assert_non_null(strstr(table_of("calls", &lines, NULL, 0),
			       "  client not heard yet, server silent 9.0 s\n"));
	status_view_clear(&lines);
}

static void nothing_to_show(void **state)
{
	(void)state;
	struct status_fields lines;
	assert_int_equal(status_view_parse(&lines, strdup("call\tclient\n")), 0);
	assert_string_equal(table_of("calls", &lines, NULL, 80), "no calls\n");
	assert_string_equal(table_of("calls", &lines, NULL, 5), "no c~\n");
	status_view_clear(&lines);
}

/* Of another version: fields in another order, one more, one that is missing. */
static void fields_are_found_by_name(void **state)
{
	(void)state;
	struct status_fields lines;
	assert_int_equal(
	    status_view_parse(&lines, strdup("odd\tserver\tcall\nx\t1.2.3.4:1723\t1:2\n")), 0);
	assert_string_equal(status_view_field(&lines, 0, "call"), "1:2");
	assert_string_equal(status_view_field(&lines, 0, "client"), "-");
	table_of("calls", &lines, NULL, 0);
	assert_non_null(strstr(written, "\n1:2 "));
	assert_non_null(strstr(written, "1.2.3.4 "));
	status_view_clear(&lines);
}

static void what_is_no_such_text(void **state)
{
	(void)state;
	static const char *const bad[] = {"",	       "call",	     "a\tb\nc\n",
					  "a\nb\tc\n", "a\tb\nc\td", "a\n\n\tb"};
	struct status_fields lines;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (status_view_parse(&lines, strdup(bad[i])) != -1)
			fail_msg("'%s'", bad[i]);
		assert_int_equal(errno, EPROTO);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(calls_as_lines),
	    cmocka_unit_test(pairs_as_lines),
	    cmocka_unit_test(totals_as_lines),
	    cmocka_unit_test_teardown(calls_as_a_table, tear_down),
	    cmocka_unit_test_teardown(calls_at_each_width, tear_down),
	    cmocka_unit_test_teardown(pairs_and_totals_as_tables, tear_down),
	    cmocka_unit_test_teardown(pairs_with_an_error_on_a_terminal, tear_down),
	    cmocka_unit_test_teardown(rates_between_two_looks, tear_down),
	    cmocka_unit_test_teardown(rates_on_a_terminal, tear_down),
	    cmocka_unit_test_teardown(silent_both_ways, tear_down),
	    cmocka_unit_test_teardown(nothing_to_show, tear_down),
	    cmocka_unit_test_teardown(fields_are_found_by_name, tear_down),
	    cmocka_unit_test(what_is_no_such_text),
	};
	return cmocka_run_group_tests_name("status_view", tests, NULL, NULL) != 0;
}
