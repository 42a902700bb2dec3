/*
 * A letter as it is written is read; every beginning of one, and whatever else is in it, is
 * refused.
 */
#include "keeper/letter.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#define HEAD "pptpproxy letter 1\n"
#define WORD "word 1\nx\n"
#define END  "end\n"

static struct letter letter;
static struct why why;

static int tear_down(void **state)
{
	(void)state;
	letter_clear(&letter);
	return 0;
}

/* 0 or -1, as letter_read. */
static int read_octets(const char *octets, size_t length)
{
	int fd = memfd_create("letter", MFD_CLOEXEC);
	assert_int_equal(write(fd, octets, length), length);
	letter_clear(&letter);
	int result = letter_read(fd, &letter, &why);
	assert_int_equal(fcntl(fd, F_GETFD), -1); /* it is closed */
	if (result != 0) {
		assert_int_equal(letter.to, LETTER_TO_NOBODY);
		assert_null(letter.words);
		assert_true(why.text[0] != '\0');
	}
	return result;
}

static int read_text(const char *text)
{
	return read_octets(text, strlen(text));
}

/* ---- there and back ---- */

static char program[] = "pptpproxy", empty[] = "", lines[] = "a\nword 3\nb", config[] = "x\0y\n";
static char path[] = "/etc/a b", room[] = "\n\0\n";
static char *words[] = {program, empty, lines, NULL};
static char listener_name[] = "vpn.example:1723";
static struct letter_listener listeners[] = {{0, 1, 3, NULL},
					     {UINT32_MAX, 65535, INT32_MAX, listener_name}};
static struct letter_legs legs[] = {{0, {5, 6}}, {7, {8, 9}}, {UINT32_MAX, {10, 11}}};
static const struct letter full = {
    .to = LETTER_TO_KEEPER,
    .keeper = 4194304,
    .again = 3,
    .descriptors = 1 << 20,
    .kept = 20,
    .raw_receive = 21,
    .raw_send = 22,
    .instance = 23,
    .link = 24,
    .log = -1,
    .given = 25,
    .listeners = listeners,
    .listener_count = 2,
    .legs = legs,
    .legs_count = 3,
    .words = words,
    .word_count = 3,
    .config = config,
    .config_length = sizeof(config) - 1,
    .config_path = path,
    .fastpath = room,
    .fastpath_length = sizeof(room) - 1,
};

static void check_full(void)
{
	assert_int_equal(letter.to, full.to);
	assert_int_equal(letter.keeper, full.keeper);
	assert_int_equal(letter.again, full.again);
	assert_int_equal(letter.descriptors, full.descriptors);
	assert_int_equal(letter.kept, full.kept);
	assert_int_equal(letter.raw_receive, full.raw_receive);
	assert_int_equal(letter.raw_send, full.raw_send);
	assert_int_equal(letter.instance, full.instance);
	assert_int_equal(letter.link, full.link);
	assert_int_equal(letter.log, full.log);
	assert_int_equal(letter.given, full.given);
	assert_int_equal(letter.listener_count, 2);
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(letter.listeners[i].addr, listeners[i].addr);
		assert_int_equal(letter.listeners[i].port, listeners[i].port);
		assert_int_equal(letter.listeners[i].fd, listeners[i].fd);
		if (listeners[i].name)
			assert_string_equal(letter.listeners[i].name, listeners[i].name);
		else
			assert_null(letter.listeners[i].name);
	}
	assert_int_equal(letter.legs_count, 3);
	assert_memory_equal(letter.legs, legs, sizeof(legs));
	assert_int_equal(letter.word_count, 3);
	for (size_t i = 0; i < 3; i++)
		assert_string_equal(letter.words[i], words[i]);
	assert_null(letter.words[3]);
	assert_int_equal(letter.config_length, full.config_length);
	assert_memory_equal(letter.config, config, sizeof(config));
	assert_string_equal(letter.config_path, path);
	assert_int_equal(letter.fastpath_length, full.fastpath_length);
	assert_memory_equal(letter.fastpath, room, sizeof(room));
}

static void all_arrives_by_the_environment(void **state)
{
	char entry[LETTER_ENTRY_MAX];
	(void)state;
	int fd = letter_write(&full, &why);
	assert_true(fd >= 0);
	assert_int_equal(fcntl(fd, F_GETFD), 0); /* inherited */
	assert_int_equal(putenv(letter_entry(fd, entry)), 0);
	assert_int_equal(letter_receive(&letter, &why), 0);
	check_full();
	assert_int_equal(fcntl(fd, F_GETFD), -1);
	assert_null(getenv("PPTPPROXY_LETTER"));
	letter_clear(&letter);
	assert_int_equal(letter_receive(&letter, &why), 0);
	assert_int_equal(letter.to, LETTER_TO_NOBODY);
}

static void many_lines_arrive(void **state)
{
	enum { MANY = 5000 };
	static struct letter_legs many[MANY];
	struct letter sent = full;
	(void)state;
	for (uint32_t i = 0; i < MANY; i++)
		many[i] = (struct letter_legs){i * 3, {(int)i, (int)i + 1}};
	sent.legs = many;
	sent.legs_count = MANY;
	assert_int_equal(letter_read(letter_write(&sent, &why), &letter, &why), 0);
	assert_int_equal(letter.legs_count, MANY);
	assert_memory_equal(letter.legs, many, sizeof(many));
}

static void every_beginning_is_refused(void **state)
{
	char octets[4096];
	(void)state;
	int fd = letter_write(&full, &why);
	ssize_t length = pread(fd, octets, sizeof(octets), 0);
	assert_int_equal(letter_read(fd, &letter, &why), 0);
	for (size_t cut = 0; cut < (size_t)length; cut++) {
		if (read_octets(octets, cut) == 0)
			fail_msg("%zu of %zd octets are taken for the whole", cut, length);
	}
}

/* ---- nonsense ---- */

static void what_is_not_known_is_refused(void **state)
{
	static const char *const bad[] = {
	    "",
	    "pptpproxy letter 2\nto 1\n" WORD "end\n",
	    "to 1\n" WORD END,
	    HEAD "to 1\n" END,
	    HEAD WORD END,
	    HEAD "to 0\n" WORD END,
	    HEAD "to 4\n" WORD END,
	    HEAD "to -1\n" WORD END,
	    HEAD "to\n" WORD END,
	    HEAD "to 1\n" WORD "\n" END,
	    HEAD "to 1\n" WORD "future 1\n" END,
	    HEAD "to 1\n" WORD "future 1\nx\n" END,
	    HEAD "to 1\n" WORD "kept\n" END,
	    HEAD "to 1\n" WORD "kept x\n" END,
	    HEAD "to 1\n" WORD "kept 1 2\n" END,
	    HEAD "to 1\n" WORD "kept 3000000000\n" END,
	    HEAD "to 1\n" WORD "kept -2\n" END,
	    HEAD "to 1\n" WORD "raw 1\n" END,
	    HEAD "to 1\n" WORD "raw 1 4294967296\n" END,
	    HEAD "to 1\n" WORD "legs 1 2\n" END,
	    HEAD "to 1\n" WORD "legs -1 2 3\n" END,
	    HEAD "to 1\n" WORD "legs 4294967296 2 3\n" END,
	    HEAD "to 1\n" WORD "legs 1 2 2147483648\n" END,
	    HEAD "to 1\n" WORD "legs 1 -1 2\n" END,
	    HEAD "to 1\n" WORD "listener 1 65536 3\n" END,
	    HEAD "to 1\n" WORD "listener 4294967296 1 3\n" END,
	    HEAD "to 1\n" WORD "listener 1 2 -1\n" END,
	    HEAD "to 1\n" WORD "descriptors -1\n" END,
	    HEAD "to 1\n" WORD "again 0\n" END,
	    HEAD "to 1\n" WORD "again 99999999999\n" END,
	    HEAD "to 1\n" WORD "word -1\nx\n" END,
	    HEAD "to 1\n" WORD "word 99999999999\nx\n" END,
	    HEAD "to 1\n" WORD "word 99999999999999999999999\nx\n" END,
	    HEAD "to 1\n" WORD "word 1\nxy" END,
	    HEAD "to 1\n" WORD "config 1\nx\nconfig 1\ny\n" END,
	    HEAD "to 1\n" WORD "averyverylongnameindeed 1\nx\n" END,
	    HEAD "to 1\n" WORD,
	    HEAD "to 1\n" WORD "end",
	    HEAD "to 1\n" WORD END "x",
	    HEAD "to 1\n" WORD "kept 1x\n" END,
	    HEAD "to 1\n" WORD "kept 1 \n" END,
	    HEAD "to 1\n" WORD "legs 1 2 3 4\n" END,
	};
	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (read_text(bad[i]) == 0)
			fail_msg("taken for a letter:\n%s", bad[i]);
	}
	assert_int_equal(read_text(HEAD "to 1\n" WORD END), 0);
}

static void descriptor_that_is_none_is_refused(void **state)
{
	static const char *const bad[] = {"", "x", "9x", "-1", "999999999999", "1000000"};
	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		setenv("PPTPPROXY_LETTER", bad[i], 1);
		assert_int_equal(letter_receive(&letter, &why), -1);
		assert_null(getenv("PPTPPROXY_LETTER"));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_teardown(all_arrives_by_the_environment, tear_down),
	    cmocka_unit_test_teardown(many_lines_arrive, tear_down),
	    cmocka_unit_test_teardown(every_beginning_is_refused, tear_down),
	    cmocka_unit_test_teardown(what_is_not_known_is_refused, tear_down),
	    cmocka_unit_test_teardown(descriptor_that_is_none_is_refused, tear_down),
	};
	return cmocka_run_group_tests_name("letter", tests, NULL, NULL) != 0;
}
