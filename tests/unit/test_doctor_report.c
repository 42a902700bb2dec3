#include "doctor/doctor_report.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static char *text;
static size_t length;
static struct doctor_report report;

static int begin(void **state)
{
	(void)state;
	report = (struct doctor_report){.out = open_memstream(&text, &length)};
	return report.out ? 0 : -1;
}

static int end(void **state)
{
	(void)state;
	fclose(report.out);
	free(text);
	return 0;
}

static void findings_are_printed_as_the_manual_shows_them(void **state)
{
	(void)state;
	doctor_report_section(&report, "Host");
	doctor_report_error(&report, "user '%s': no such user", "vpn");
	doctor_report_why(&report, "it does not start");
	doctor_report_mend(&report, "useradd %s", "vpn");
	doctor_report_ok(&report, "all %d files", 3);
	doctor_report_section(&report, "Nothing comes of this one");
	doctor_report_section(&report, "Servers");
	doctor_report_warning(&report, "slow");
	doctor_report_note(&report, "old");
	assert_int_equal(doctor_report_end(&report), 2);
	assert_string_equal(text, "Host\n"
				  "  error    user 'vpn': no such user\n"
				  "           why: it does not start\n"
				  "           mend: useradd vpn\n"
				  "  ok       all 3 files\n"
				  "Servers\n"
				  "  warning  slow\n"
				  "  note     old\n"
				  "2 things are wrong (1 error, 1 warning, 1 note)\n");
}

static void notes_are_not_wrong(void **state)
{
	(void)state;
	doctor_report_note(&report, "one");
	doctor_report_note(&report, "two");
	doctor_report_ok(&report, "three");
	assert_int_equal(doctor_report_end(&report), 0);
	assert_non_null(strstr(text, "\nnothing is wrong (2 notes)\n"));
}

static void one_thing(void **state)
{
	(void)state;
	doctor_report_error(&report, "one");
	assert_int_equal(doctor_report_end(&report), 1);
	assert_non_null(strstr(text, "\n1 thing is wrong (1 error, 0 warnings, 0 notes)\n"));
}

/* Who waits for a silent server sees what is known so far. */
static void each_line_is_out_at_once(void **state)
{
	(void)state;
	doctor_report_ok(&report, "known");
	assert_string_equal(text, "  ok       known\n");
}

static void words_are_quoted_for_a_shell(void **state)
{
	(void)state;
	static char out[DOCTOR_REPORT_WORD], huge[2 * DOCTOR_REPORT_WORD];
	assert_string_equal(doctor_report_word("/var/log/a-b_1.log", out), "/var/log/a-b_1.log");
	assert_string_equal(doctor_report_word("", out), "''");
	assert_string_equal(doctor_report_word("a b", out), "'a b'");
	assert_string_equal(doctor_report_word("$(x)", out), "'$(x)'");
	assert_string_equal(doctor_report_word("it's", out), "'it'\\''s'");
	memset(huge, '\'', sizeof(huge) - 1);
	doctor_report_word(huge, out);
	assert_true(strlen(out) < DOCTOR_REPORT_WORD);
	memset(huge, 'a', sizeof(huge) - 1);
	doctor_report_word(huge, out);
	assert_true(strlen(out) < DOCTOR_REPORT_WORD);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(findings_are_printed_as_the_manual_shows_them, begin,
					    end),
	    cmocka_unit_test_setup_teardown(notes_are_not_wrong, begin, end),
	    cmocka_unit_test_setup_teardown(one_thing, begin, end),
	    cmocka_unit_test(words_are_quoted_for_a_shell),
	    cmocka_unit_test_setup_teardown(each_line_is_out_at_once, begin, end),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
