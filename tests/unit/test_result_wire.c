/*
 * Codes in words: each type that has one, and none of those that the RFC does not define.
 */
#include "wire/result_wire.h"

#include "wire/pptp_wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

#include <cmocka.h>

/* How many codes each type has, from 1 on. */
static const uint8_t codes[PPTP_TYPE_MAX + 2] = {
    [PPTP_START_REPLY] = 5,
    [PPTP_STOP_REQUEST] = 3,
    [PPTP_STOP_REPLY] = 2,
    [PPTP_ECHO_REPLY] = 2,
    [PPTP_OUTGOING_CALL_REPLY] = 7,
    [PPTP_INCOMING_CALL_REPLY] = 3,
    [PPTP_CALL_DISCONNECT_NOTIFY] = 4,
};

static void each_code_has_its_word(void **state)
{
	(void)state;
	for (uint16_t type = 0; type <= PPTP_TYPE_MAX + 1; type++) {
		const struct pptp_shape *shape = pptp_wire_shape(type);
		bool has = (shape && shape->result_at > 0) || type == PPTP_STOP_REQUEST;
		assert_int_equal(has, codes[type] > 0);
		for (unsigned code = 0; code <= UINT8_MAX; code++) {
			const char *text = result_wire_text(type, (uint8_t)code, NULL);
			if ((text != NULL) != (code > 0 && code <= codes[type]))
				fail_msg("type %u, code %u: %s", type, code, text ? text : "none");
		}
	}
	assert_null(result_wire_text(UINT16_MAX, 1, NULL));
}

static void some_words(void **state)
{
	(void)state;
	assert_string_equal(result_wire_text(PPTP_START_REPLY, 4, NULL), "not authorized");
	assert_string_equal(result_wire_text(PPTP_START_REPLY, 0, "unknown"), "unknown");
	assert_string_equal(result_wire_text(PPTP_OUTGOING_CALL_REPLY, 7, NULL),
			    "prohibited by its administrator");
	assert_string_equal(result_wire_text(PPTP_CALL_DISCONNECT_NOTIFY, 4, NULL), "as requested");
	assert_string_equal(result_wire_error_text(0, NULL), "none");
	assert_string_equal(result_wire_error_text(PPTP_ERROR_NO_RESOURCE, NULL), "no resource");
	assert_string_equal(result_wire_error_text(6, NULL), "PAC's error");
	assert_string_equal(result_wire_error_text(7, "unknown"), "unknown");
	assert_null(result_wire_error_text(UINT8_MAX, NULL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(each_code_has_its_word),
	    cmocka_unit_test(some_words),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
