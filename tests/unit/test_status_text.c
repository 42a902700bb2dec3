/*
 * What readers of JSON, HTML and metrics need escaped, for every octet; what is no UTF-8; numbers.
 */
#include "status/status_text.h"

#include <event2/buffer.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

typedef void writer(struct status_text *text, const char *words);

static char *written(writer *write, const char *words)
{
	struct evbuffer *out = evbuffer_new();
	struct status_text text;
	status_text_begin(&text, out);
	write(&text, words);
	assert_int_equal(status_text_end(&text), 0);
	size_t length = evbuffer_get_length(out);
	char *copy = calloc(1, length + 1);
	evbuffer_remove(out, copy, length);
	assert_int_equal(strlen(copy), length);
	evbuffer_free(out);
	return copy;
}

static void assert_written(writer *write, const char *words, const char *expected)
{
	char *is = written(write, words);
	assert_string_equal(is, expected);
	free(is);
}

#define NOT_A_CHARACTER "\xef\xbf\xbd"

static void json_has_every_octet_right(void **state)
{
	(void)state;
	for (unsigned octet = 1; octet < 256; octet++) {
		char words[] = {'a', (char)octet, 'b', '\0'}, expected[16];
		if (octet == '"' || octet == '\\')
			snprintf(expected, sizeof(expected), "\"a\\%cb\"", octet);
		else if (octet < 0x20)
			snprintf(expected, sizeof(expected), "\"a\\u%04xb\"", octet);
		else if (octet < 0x80)
			snprintf(expected, sizeof(expected), "\"a%cb\"", octet);
		else
			snprintf(expected, sizeof(expected), "\"a" NOT_A_CHARACTER "b\"");
		assert_written(status_text_json, words, expected);
	}
}

static void html_has_every_octet_right(void **state)
{
	static const char *const named[128] = {
	    ['&'] = "&amp;", ['<'] = "&lt;", ['>'] = "&gt;", ['"'] = "&quot;", ['\''] = "&#39;"};
	(void)state;
	for (unsigned octet = 1; octet < 256; octet++) {
		char words[] = {'a', (char)octet, 'b', '\0'}, expected[16];
		if (octet < 0x20 || octet >= 0x7f)
			snprintf(expected, sizeof(expected), "a" NOT_A_CHARACTER "b");
		else if (named[octet])
			snprintf(expected, sizeof(expected), "a%sb", named[octet]);
		else
			snprintf(expected, sizeof(expected), "a%cb", octet);
		assert_written(status_text_html, words, expected);
	}
}

static void labels_have_every_octet_right(void **state)
{
	(void)state;
	for (unsigned octet = 1; octet < 256; octet++) {
		char words[] = {'a', (char)octet, 'b', '\0'}, expected[16];
		if (octet == '\n')
			snprintf(expected, sizeof(expected), "a\\nb");
		else if (octet == '"' || octet == '\\')
			snprintf(expected, sizeof(expected), "a\\%cb", octet);
		else if (octet < 0x80)
			snprintf(expected, sizeof(expected), "a%cb", octet);
		else
			snprintf(expected, sizeof(expected), "a" NOT_A_CHARACTER "b");
		assert_written(status_text_label, words, expected);
	}
}

static void characters_of_utf_8_pass(void **state)
{
	static const char *const good[] = {"\xc2\x80",	       "\xdf\xbf",	   "\xe0\xa0\x80",
					   "\xed\x9f\xbf",     "\xee\x80\x80",	   "\xef\xbf\xbf",
					   "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf", "\xe2\x82\xac!"};
	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++)
		assert_written(status_text_html, good[i], good[i]);
}

static void what_is_no_utf_8_is_replaced(void **state)
{
	static const struct {
		const char *words;
		unsigned replaced; /* octets, of those in front of the '!' */
	} bad[] = {
	    {"\x80!", 1},	      /* nothing goes on */
	    {"\xc0\xaf!", 2},	      /* overlong '/' */
	    {"\xc1\xbf!", 2},	      /* overlong */
	    {"\xe0\x9f\xbf!", 3},     /* overlong */
	    {"\xed\xa0\x80!", 3},     /* surrogate */
	    {"\xf0\x8f\xbf\xbf!", 4}, /* overlong */
	    {"\xf4\x90\x80\x80!", 4}, /* above U+10FFFF */
	    {"\xf5\x80\x80\x80!", 4}, /* no such octet */
	    {"\xff!", 1},
	    {"\xe2\x82!", 2}, /* cut */
	    {"\xc3!", 1},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		char expected[32] = "";
		for (unsigned k = 0; k < bad[i].replaced; k++)
			strcat(expected, NOT_A_CHARACTER);
		strcat(expected, "!");
		assert_written(status_text_html, bad[i].words, expected);
	}
	/* at the very end, where nothing must be read behind the NUL */
	assert_written(status_text_html, "\xf0\x90\x80",
		       NOT_A_CHARACTER NOT_A_CHARACTER NOT_A_CHARACTER);
	assert_written(status_text_html, "\xe2", NOT_A_CHARACTER);
}

static void long_texts_are_whole(void **state)
{
	size_t length = 3 * STATUS_TEXT_PIECE + 5;
	char *words = malloc(length + 1);
	(void)state;
	for (size_t i = 0; i < length; i++)
		words[i] = (char)('a' + i % 26);
	words[length] = '\0';
	assert_written(status_text_add, words, words);
	assert_written(status_text_html, words, words);
	free(words);
}

static void write_numbers(struct status_text *text, const char *words)
{
	const uint64_t numbers[] = {0, 9, 10, 18446744073709551615U};
	(void)words;
	for (int i = 0; i < 4; i++) {
		status_text_number(text, numbers[i]);
		status_text_add(text, " ");
	}
	status_text_seconds(text, 0);
	status_text_add(text, " ");
	status_text_seconds(text, 61007);
	status_text_add(text, " ");
	status_text_addr(text, 0xc0000201);
	status_text_add(text, " ");
	status_text_addr(text, 0);
}

static void numbers_are_plain(void **state)
{
	(void)state;
	assert_written(write_numbers, "",
		       "0 9 10 18446744073709551615 0.000 61.007 192.0.2.1 0.0.0.0");
}

static void a_failure_is_told_at_the_end(void **state)
{
	struct evbuffer *out = evbuffer_new();
	struct status_text text;
	(void)state;
	evbuffer_freeze(out, 0); /* takes nothing */
	status_text_begin(&text, out);
	status_text_add(&text, "lost");
	assert_int_equal(status_text_end(&text), -1);
	evbuffer_free(out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(json_has_every_octet_right),
	    cmocka_unit_test(html_has_every_octet_right),
	    cmocka_unit_test(labels_have_every_octet_right),
	    cmocka_unit_test(characters_of_utf_8_pass),
	    cmocka_unit_test(what_is_no_utf_8_is_replaced),
	    cmocka_unit_test(long_texts_are_whole),
	    cmocka_unit_test(numbers_are_plain),
	    cmocka_unit_test(a_failure_is_told_at_the_end),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
