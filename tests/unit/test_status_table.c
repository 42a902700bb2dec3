#include "status/status_table.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static char *written;

static int tear_down(void **state)
{
	(void)state;
	free(written);
	written = NULL;
	return 0;
}

static const char *table_of(const struct status_column *columns, size_t column_count,
			    char *const *cells, size_t row_count, size_t width)
{
	const struct status_table table = {columns, column_count, cells, row_count};
	size_t length;
	free(written);
	FILE *out = open_memstream(&written, &length);
	assert_int_equal(status_table_write(out, &table, width), 0);
	fclose(out);
	return written;
}

static const struct status_column columns[] = {
    {"NAME", false, 0, 0}, {"SIZE", true, 2, 0}, {"AGE", true, 1, 0}, {"NOTE", false, 0, 0}};
static char *const cells[] = {
    "a", "1", "12 s", "", "bb", "123456", "3 min", "quite silent",
};

static void numbers_are_at_the_right(void **state)
{
	(void)state;
	assert_string_equal(table_of(columns, 4, cells, 2, 0),
			    "NAME    SIZE    AGE  NOTE\n"
			    "a          1   12 s\n"
			    "bb    123456  3 min  quite silent\n");
	assert_string_equal(table_of(columns, 4, cells, 2, 33),
			    "NAME    SIZE    AGE  NOTE\n"
			    "a          1   12 s\n"
			    "bb    123456  3 min  quite silent\n");
}

static void what_does_not_fit_goes_by_rank(void **state)
{
	(void)state;
	assert_string_equal(table_of(columns, 4, cells, 2, 32), "NAME    AGE  NOTE\n"
								"a      12 s\n"
								"bb    3 min  quite silent\n");
	assert_string_equal(table_of(columns, 4, cells, 2, 24), "NAME  NOTE\n"
								"a\n"
								"bb    quite silent\n");
	assert_string_equal(table_of(columns, 4, cells, 2, 12), "NAME  NOTE\n"
								"a\n"
								"bb    quite~\n");
	assert_string_equal(table_of(columns, 4, cells, 2, 1), "~\na\n~\n");
}

static void equal_ranks_go_together(void **state)
{
	(void)state;
	static const struct status_column equal[] = {
	    {"A", false, 0, 0}, {"B", false, 5, 0}, {"C", false, 5, 0}};
	static char *const row[] = {"a", "b", "c"};
	assert_string_equal(table_of(equal, 3, row, 1, 6), "A\na\n");
}

static void what_may_be_cut_is_before_a_column_goes(void **state)
{
	(void)state;
	static const struct status_column cut[] = {{"NAME", false, 0, 0},
						   {"SIZE", true, 2, 0},
						   {"AGE", true, 1, 0},
						   {"NOTE", false, 0, 6}};
	assert_string_equal(table_of(cut, 4, cells, 2, 32), "NAME    SIZE    AGE  NOTE\n"
							    "a          1   12 s\n"
							    "bb    123456  3 min  quite sile~\n");
	assert_string_equal(table_of(cut, 4, cells, 2, 27), "NAME    SIZE    AGE  NOTE\n"
							    "a          1   12 s\n"
							    "bb    123456  3 min  quite~\n");
	/* With the room that a column leaves behind it is whole again. */
	assert_string_equal(table_of(cut, 4, cells, 2, 26), "NAME    AGE  NOTE\n"
							    "a      12 s\n"
							    "bb    3 min  quite silent\n");
	assert_string_equal(table_of(cut, 4, cells, 2, 11), "NAME  NOTE\n"
							    "a\n"
							    "bb    quit~\n");
}

static void columns_without_text_are_left_out(void **state)
{
	(void)state;
	static char *const empty[] = {"a", "", "1 s", "", "b", "", "2 s", ""};
	assert_string_equal(table_of(columns, 4, empty, 2, 0), "NAME  AGE\na     1 s\nb     2 s\n");
	/* Of no rows, none. */
	assert_string_equal(table_of(columns, 4, empty, 0, 0), "NAME  SIZE  AGE  NOTE\n");
}

static void control_characters_are_not_written(void **state)
{
	(void)state;
	static char *const bad[] = {"\033[2J", "1\n2", "\177", "\302\233x\r"};
	assert_string_equal(table_of(columns, 4, bad, 1, 0), "NAME  SIZE  AGE  NOTE\n"
							     "?[2J   1?2    ?  ??x?\n");
	size_t length;
	free(written);
	FILE *out = open_memstream(&written, &length);
	status_table_print(out, "a\tb\n\033[1m\0\302\233", 11);
	fclose(out);
	assert_string_equal(written, "a\tb\n?[1m???");
}

/* At each width: no line is longer, none ends in a blank, and there are as many. */
static void each_width_is_kept(void **state)
{
	(void)state;
	enum { COLUMNS = 12, ROWS = 40 };
	struct status_column many[COLUMNS];
	char *texts[COLUMNS * ROWS], titles[COLUMNS][32];
	for (int i = 0; i < COLUMNS; i++) {
		snprintf(titles[i], sizeof(titles[i]), "TITLE%.*s", i, "abcdefghijkl");
		many[i] = (struct status_column){titles[i], i % 2, (unsigned)(i % 5), 0};
	}
	for (int i = 0; i < COLUMNS * ROWS; i++) {
		texts[i] = malloc(20);
		snprintf(texts[i], 20, "%.*s", i * 7 % 19, "................................");
	}
	size_t before = 0;
	for (size_t width = 20; width <= 250; width++) {
		size_t lines = 0, widest = 0;
		const char *at = table_of(many, COLUMNS, texts, ROWS, width);
		for (; *at; at += strcspn(at, "\n") + 1) {
			size_t length = strcspn(at, "\n");
			assert_true(length <= width);
			assert_true(length == 0 || at[length - 1] != ' ');
			widest = length > widest ? length : widest;
			lines++;
		}
		assert_int_equal(lines, ROWS + 1);
		assert_true(widest >= before);
		before = widest;
	}
	for (int i = 0; i < COLUMNS * ROWS; i++)
		free(texts[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_teardown(numbers_are_at_the_right, tear_down),
	    cmocka_unit_test_teardown(what_does_not_fit_goes_by_rank, tear_down),
	    cmocka_unit_test_teardown(equal_ranks_go_together, tear_down),
	    cmocka_unit_test_teardown(what_may_be_cut_is_before_a_column_goes, tear_down),
	    cmocka_unit_test_teardown(columns_without_text_are_left_out, tear_down),
	    cmocka_unit_test_teardown(control_characters_are_not_written, tear_down),
	    cmocka_unit_test_teardown(each_width_is_kept, tear_down),
	};
	return cmocka_run_group_tests_name("status_table", tests, NULL, NULL) != 0;
}
