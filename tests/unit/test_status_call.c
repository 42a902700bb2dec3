#include "status/status_call.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void names_of_calls(void **state)
{
	(void)state;
	static const struct {
		const char *name;
		uint64_t connection;
		int32_t client_id;
	} good[] = {
	    {"12:49750", 12, 49750},
	    {"1:0", 1, 0},
	    {"0:65535", 0, 65535},
	    {"7:-", 7, STATUS_CALL_UNASSIGNED},
	    {"18446744073709551615:1", UINT64_MAX, 1},
	};
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		uint64_t connection = 99;
		int32_t client_id = 99;
		if (!status_call_parse(good[i].name, &connection, &client_id))
			fail_msg("%s", good[i].name);
		assert_true(connection == good[i].connection);
		assert_int_equal(client_id, good[i].client_id);
	}
}

static void what_names_no_call(void **state)
{
	(void)state;
	static const char *const bad[] = {
	    "",	      ":",	"12",	 "12:",	   ":5",    "12:65536", "12:99999999999999999999",
	    "-1:5",   "12:-5",	"12:--", " 12:5",  "12: 5", "12:5 ",	"18446744073709551616:1",
	    "0x1:5",  "12:0x5", "012:5", "12:05",  "12:+5", "#12:5",	"99999999999999999999:1",
	    "12:5:6", "12.5",	"a:b",	 "12:5\n", "12\t:5"};
	uint64_t connection;
	int32_t client_id;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (status_call_parse(bad[i], &connection, &client_id))
			fail_msg("'%s'", bad[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(names_of_calls),
	    cmocka_unit_test(what_names_no_call),
	};
	return cmocka_run_group_tests_name("status_call", tests, NULL, NULL) != 0;
}
