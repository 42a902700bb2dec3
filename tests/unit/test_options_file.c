#include "options/options_file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static struct options_file file;
static struct options_reader reader;
static struct why why;

static void start(const char *text)
{
	file = (struct options_file){"f", text, strlen(text)};
	reader = (struct options_reader){.file = &file};
}

static void check_line(unsigned number, const char *name, const char *value)
{
	assert_int_equal(options_file_next(&reader, &why), 1);
	assert_int_equal(reader.number, number);
	assert_string_equal(reader.name, name);
	assert_string_equal(options_file_value(reader.rest, false), value);
}

static void check_end(void)
{
	assert_int_equal(options_file_next(&reader, &why), 0);
	assert_int_equal(options_file_next(&reader, &why), 0);
}

static void lines_that_say_nothing_are_counted(void **state)
{
	(void)state;
	start("");
	check_end();
	start("\n\r\n \n#\n\t#a b\n");
	check_end();
	start("\n\na\n#\n\nb c\n\n");
	check_line(3, "a", "");
	check_line(6, "b", "c");
	check_end();
}

static void ends_of_lines(void **state)
{
	(void)state;
	start("a b\r\nc d\ne\r\nf g");
	check_line(1, "a", "b");
	check_line(2, "c", "d");
	check_line(3, "e", "");
	check_line(4, "f", "g");
	check_end();
	start("a\r");
	check_line(1, "a", "");
	check_end();
}

static void blanks(void **state)
{
	(void)state;
	start("\t a \t b  c\t \n");
	check_line(1, "a", "b  c");
	check_end();
}

static void byte_order_mark_stands_at_the_start_only(void **state)
{
	(void)state;
	start("\xef\xbb\xbf"
	      "a\n\xef\xbb\xbf"
	      "b");
	check_line(1, "a", "");
	check_line(2,
		   "\xef\xbb\xbf"
		   "b",
		   "");
	check_end();
	start("\xef\xbb\xbf");
	check_end();
}

static void goes_on_behind_a_bad_line(void **state)
{
	(void)state;
	start("a\nb\001\nc\n");
	check_line(1, "a", "");
	assert_int_equal(options_file_next(&reader, &why), -1);
	assert_string_equal(why.text, "f line 2: the octet 0x01 is no text");
	check_line(3, "c", "");
	check_end();
}

static const struct {
	const char *rest, *plain, *quoted;
} values[] = {
    {"", "", ""},
    {" \t", "", ""},
    {"#", "", ""},
    {" # a", "", ""},
    {"a#b #c", "a#b", "a#b"},
    {"a\t#", "a", "a"},
    {"##", "", ""},
    {"a ## b", "a", "a"},
    {"'a # b' # c", "'a", "'a # b'"},
    {"\"a # b\" # c", "\"a", "\"a # b\""},
    {"'a' #'", "'a'", "'a'"},
    {"it's # c", "it's", "it's # c"},
    {"'\" #' #", "'\"", "'\" #'"},
    {"\"' #\" #", "\"'", "\"' #\""},
    {"a\\ # b", "a\\", "a\\ # b"},
    {"a\\\\ # b", "a\\\\", "a\\\\"},
    {"\\' # b", "\\'", "\\'"},
    {"\"\\\" # \" # b", "\"\\\"", "\"\\\" # \""},
    {"'\\' # b", "'\\'", "'\\'"},
    {"' '#a", "' '#a", "' '#a"},
    {"a\\", "a\\", "a\\"},
};

static void comments_and_quotes(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(values) / sizeof(*values); i++) {
		char text[64];
		strcpy(text, values[i].rest);
		assert_string_equal(options_file_value(text, false), values[i].plain);
		strcpy(text, values[i].rest);
		assert_string_equal(options_file_value(text, true), values[i].quoted);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(lines_that_say_nothing_are_counted),
	    cmocka_unit_test(ends_of_lines),
	    cmocka_unit_test(blanks),
	    cmocka_unit_test(byte_order_mark_stands_at_the_start_only),
	    cmocka_unit_test(goes_on_behind_a_bad_line),
	    cmocka_unit_test(comments_and_quotes),
	};
	return cmocka_run_group_tests_name("options_file", tests, NULL, NULL) != 0;
}
