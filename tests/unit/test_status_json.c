/*
 * The JSON that a few figures make, octet by octet; what is not known is null.
 */
#include "status/status_json.h"

#include "tests/unit/a_snapshot.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

typedef int writer(struct evbuffer *out, const struct snapshot *snapshot);

/* Those that come in pieces, whole. */
static int all_calls(struct evbuffer *out, const struct snapshot *snapshot)
{
	size_t calls = 0;
	do {
		assert_int_equal(status_json_calls(out, snapshot, &calls), 0);
	} while (calls < snapshot->call_count);
	return 0;
}

static int all_figures(struct evbuffer *out, const struct snapshot *snapshot)
{
	size_t calls = 0;
	do {
		assert_int_equal(status_json_all(out, snapshot, &calls), 0);
	} while (calls < snapshot->call_count);
	return 0;
}

static void assert_written(writer *write, const char *expected)
{
	char *is = a_snapshot_written(write);
	assert_string_equal(is, expected);
	free(is);
}

#define FIRST                                                                                      \
	"{\"call\":\"12:49750\",\"connection\":12,\"open\":true,\"caller\":\"client\","            \
	"\"age_ms\":187000,\"fastpath\":false,\"captured\":false,"                                 \
	"\"client\":{\"addr\":\"192.0.2.1\",\"port\":40000,\"proxy_addr\":\"203.0.113.1\","        \
	"\"id\":49750,\"shown_id\":7,\"packets\":3,\"octets\":300,\"drops\":0,"                    \
	"\"last_packet_ms\":12345,\"silent\":true},"                                               \
	"\"server\":{\"addr\":\"198.51.100.7\",\"port\":1723,\"proxy_addr\":\"203.0.113.2\","      \
	"\"id\":300,\"shown_id\":9,\"packets\":99,\"octets\":999,\"drops\":2,"                     \
	"\"last_packet_ms\":80,\"silent\":false}}"
#define RESERVED                                                                                   \
	"{\"call\":\"13:49751\",\"connection\":13,\"open\":false,\"caller\":\"client\","           \
	"\"age_ms\":188000,\"fastpath\":false,\"captured\":false,"                                 \
	"\"client\":{\"addr\":\"192.0.2.2\",\"port\":40001,\"proxy_addr\":\"203.0.113.1\","        \
	"\"id\":49751,\"shown_id\":null,\"packets\":0,\"octets\":0,\"drops\":0,"                   \
	"\"last_packet_ms\":null,\"silent\":false},"                                               \
	"\"server\":{\"addr\":\"198.51.100.7\",\"port\":1723,\"proxy_addr\":\"203.0.113.2\","      \
	"\"id\":null,\"shown_id\":10,\"packets\":0,\"octets\":0,\"drops\":0,"                      \
	"\"last_packet_ms\":null,\"silent\":false}}"

static void calls_are_an_array(void **state)
{
	(void)state;
	a_snapshot_figures.call_count = 2;
	assert_written(all_calls, "[" FIRST "," RESERVED "]");
	a_snapshot_figures.call_count = 1;
	assert_written(all_calls, "[" FIRST "]");
	a_snapshot_figures.call_count = 0;
	assert_written(all_calls, "[]");
}

static void pairs_have_their_state_and_last_error(void **state)
{
	(void)state;
	assert_written(
	    status_json_pairs,
	    "[{\"listen\":\"0.0.0.0:1723\",\"peer\":\"inside.example.com:1723\",\"state\":\"up\","
	    "\"connections\":5,\"calls\":3,\"accepted\":1000,\"connected\":950,\"failed\":9,"
	    "\"last_error_ms\":null,\"last_error\":null},"
	    "{\"listen\":\"203.0.113.9:1724\",\"peer\":\"198.51.100.8:1723\",\"state\":\"down\","
	    "\"connections\":0,\"calls\":0,\"accepted\":4,\"connected\":0,\"failed\":4,"
	    "\"last_error_ms\":65000,"
	    "\"last_error\":\"connect to 198.51.100.8:1723: Connection refused\"}]");
	a_snapshot_figures.pairs[0].state = SNAPSHOT_UNTRIED;
	a_snapshot_figures.pairs[1].state = SNAPSHOT_IGNORED;
	char *is = a_snapshot_written(status_json_pairs);
	assert_non_null(strstr(is, "\"state\":\"untried\""));
	assert_non_null(strstr(is, "\"state\":\"ignored\""));
	free(is);
}

static void rules_are_told_as_given(void **state)
{
	(void)state;
	strcpy(a_snapshot_figures.rules[1].text, "/x \"</script>\\\n\xff");
	assert_written(
	    status_json_rules,
	    "[{\"rule\":\"192.0.2.0/24\",\"command\":false,\"refused\":null,\"allowed\":990},"
	    "{\"rule\":\"/x \\\"</script>\\\\\\u000a\xef\xbf\xbd\",\"command\":true,"
	    "\"refused\":17,\"allowed\":0}]");
}

static void totals_have_every_reason(void **state)
{
	(void)state;
	assert_written(
	    status_json_totals,
	    "{\"version\":\"3.0.0\",\"keeper_pid\":100,\"worker_pid\":101,\"up_ms\":90061500,"
	    "\"worker_up_ms\":61000,\"time_s\":1700000000,\"fastpath\":true,\"capturing\":false,"
	    "\"connections\":5,\"half_open\":1,\"calls\":3,\"calls_reserved\":1,\"ids_resting\":4,"
	    "\"accepted\":1000,\"calls_opened\":2000,\"calls_ended\":1990,\"messages\":30000,"
	    "\"workers\":2,\"packets_received\":1234567,\"packets_sent\":1234000,"
	    "\"packets_carried\":17,"
	    "\"packet_drops\":{\"truncated\":0,\"not enhanced GRE\":0,\"no such call\":560,"
	    "\"wrong source\":0,\"too early\":0,\"too large\":0,\"send error\":0},"
	    "\"message_drops\":{\"mismatched ID\":3,\"out of order\":0,\"no call "
	    "ID\":0,\"limit\":0,"
	    "\"no memory\":0},"
	    "\"refusals\":{\"acl\":41,\"command\":0,\"limit\":0,\"rate\":0,\"no memory\":0},"
	    "\"ends\":{\"client closed\":900,\"server closed\":0,\"malformed\":0,\"deadline\":0,"
	    "\"no server\":0,\"failed\":0,\"put out\":0,\"shutting down\":0,\"no memory\":0}}");
}

static void all_is_the_four_of_them(void **state)
{
	char *calls = a_snapshot_written(all_calls), *pairs = a_snapshot_written(status_json_pairs),
	     *rules = a_snapshot_written(status_json_rules),
	     *totals = a_snapshot_written(status_json_totals);
	char *expected;
	(void)state;
	assert_true(asprintf(&expected, "{\"calls\":%s,\"pairs\":%s,\"rules\":%s,\"totals\":%s}",
			     calls, pairs, rules, totals) > 0);
	assert_written(all_figures, expected);
	free(expected);
	free(calls);
	free(pairs);
	free(rules);
	free(totals);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(calls_are_an_array, a_snapshot_set_up,
					    a_snapshot_tear_down),
	    cmocka_unit_test_setup_teardown(pairs_have_their_state_and_last_error,
					    a_snapshot_set_up, a_snapshot_tear_down),
	    cmocka_unit_test_setup_teardown(rules_are_told_as_given, a_snapshot_set_up,
					    a_snapshot_tear_down),
	    cmocka_unit_test_setup_teardown(totals_have_every_reason, a_snapshot_set_up,
					    a_snapshot_tear_down),
	    cmocka_unit_test_setup_teardown(all_is_the_four_of_them, a_snapshot_set_up,
					    a_snapshot_tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
