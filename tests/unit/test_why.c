#include "host/why.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void sentence_is_formatted(void **state)
{
	(void)state;
	struct why why;
	errno = ENOENT;
	assert_int_equal(why_set(&why, "port %d of %s", 7, "x"), -1);
	assert_string_equal(why.text, "port 7 of x");
	assert_int_equal(errno, ENOENT);
}

static void long_sentence_is_cut(void **state)
{
	(void)state;
	struct why why;
	char word[2 * sizeof(why.text)];
	memset(word, 'a', sizeof(word));
	word[sizeof(word) - 1] = '\0';
	why_set(&why, "%s", word);
	assert_int_equal(strlen(why.text), sizeof(why.text) - 1);
}

static void control_characters_do_not_pass(void **state)
{
	(void)state;
	struct why why;
	why_set(&why, "a\nb\033[1mc\177d\xc3\xa4");
	assert_string_equal(why.text, "a?b?[1mc?d\xc3\xa4");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(sentence_is_formatted),
	    cmocka_unit_test(long_sentence_is_cut),
	    cmocka_unit_test(control_characters_do_not_pass),
	};
	return cmocka_run_group_tests_name("why", tests, NULL, NULL) != 0;
}
