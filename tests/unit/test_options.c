#include "options.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* Parses the words after the program's name; what it says stays in `why`. */
static struct options options;
static struct why why;

static enum options_answer parse(const char *const *words)
{
	char *argv[32] = {(char *)"pptpproxy"};
	int argc = 1;
	while (words[argc - 1]) {
		argv[argc] = (char *)words[argc - 1];
		argc++;
	}
	why.text[0] = '\0';
	options_clear(&options);
	return options_parse(&options, argc, argv, &why);
}

#define PARSE(...) parse((const char *const[]){__VA_ARGS__ __VA_OPT__(, ) NULL})

static int clear(void **state)
{
	(void)state;
	options_clear(&options);
	return 0;
}

static void defaults(void **state)
{
	(void)state;
	assert_int_equal(PARSE("-p", "10.0.0.1"), OPTIONS_RUN);
	assert_int_equal(options.pair_count, 1);
	assert_int_equal(options.acl.count, 0);
	assert_int_equal(options.command_count, 0);
	assert_false(options.acl_any);
	assert_false(options.foreground);
	assert_int_equal(options.log_level, LOG_LEVEL_INFO);
	assert_null(options.log_file);
	assert_null(options.pid_file);
	assert_string_equal(options.control, "@pptpproxy");
	assert_int_equal(options.acl_timeout_s, 10);
	assert_int_equal(options.acl_parallel, 16);
	assert_int_equal(options.connect_timeout_s, 10);
	assert_int_equal(options.handshake_timeout_s, 60);
	assert_int_equal(options.keepalive_s, 60);
}

static void everything_at_once(void **state)
{
	(void)state;
	assert_int_equal(PARSE("--proxy", "1.1.1.1", "-p2.2.2.2:99,peer.example",
			       "--acl=10.0.0.0/8", "-a", "1.2.3.4", "--aclCmd", "/bin/a 'b c'",
			       "-x", "d", "--acl-cmd=e", "--acl-mode", "any", "--acl-timeout",
			       "3600", "--acl-parallel=1024", "--connect-timeout", "1",
			       "--handshake-timeout=5", "--keepalive", "10800"),
			 OPTIONS_RUN);
	assert_int_equal(options.pair_count, 2);
	assert_string_equal(options.pairs[0].peer.word, "1.1.1.1");
	assert_string_equal(options.pairs[1].listen.word, "2.2.2.2");
	assert_int_equal(options.pairs[1].listen.port, 99);
	assert_string_equal(options.pairs[1].peer.word, "peer.example");
	assert_int_equal(options.acl.count, 2);
	assert_string_equal(options.acl.rules[1].text, "1.2.3.4");
	assert_int_equal(options.command_count, 3);
	assert_int_equal(options.commands[0].count, 2);
	assert_string_equal(options.commands[0].words[1], "b c");
	assert_string_equal(options.commands[1].words[0], "d");
	assert_string_equal(options.commands[2].words[0], "e");
	assert_true(options.acl_any);
	assert_int_equal(options.acl_timeout_s, 3600);
	assert_int_equal(options.acl_parallel, 1024);
	assert_int_equal(options.connect_timeout_s, 1);
	assert_int_equal(options.handshake_timeout_s, 5);
	assert_int_equal(options.keepalive_s, 10800);
}

static void files(void **state)
{
	(void)state;
	assert_int_equal(
	    PARSE("-p", "1.1.1.1", "-l", "a.log", "--pid-file", "b.pid", "--control", "@other"),
	    OPTIONS_RUN);
	assert_string_equal(options.log_file, "a.log");
	assert_string_equal(options.pid_file, "b.pid");
	assert_string_equal(options.control, "@other");
	assert_int_equal(PARSE("-p", "1.1.1.1", "--log", "c.log"), OPTIONS_RUN);
	assert_string_equal(options.log_file, "c.log");
	assert_string_equal(options.control, "@pptpproxy");
}

static void fast_path(void **state)
{
	(void)state;
	static const char *const words[] = {"off", "auto", "native", "generic"};
	static const enum fastpath_mode modes[] = {FASTPATH_OFF, FASTPATH_AUTO, FASTPATH_NATIVE,
						   FASTPATH_GENERIC};
	for (int i = 0; i < 4; i++) {
		assert_int_equal(PARSE("-p", "1.1.1.1", "--fastpath", words[i]), OPTIONS_RUN);
		assert_int_equal(options.fastpath, modes[i]);
	}
	assert_int_equal(options.interface_count, 0);
	assert_int_equal(PARSE("-p", "1.1.1.1", "--fastpath-interface", "eth0",
			       "--fastpath-interface=eth1", "--fastpath=auto"),
			 OPTIONS_RUN);
	assert_int_equal(options.interface_count, 2);
	assert_string_equal(options.interfaces[0], "eth0");
	assert_string_equal(options.interfaces[1], "eth1");
}

static void check_level(const char *word, enum log_level level)
{
	assert_int_equal(PARSE("-p", "1.1.1.1", word), OPTIONS_RUN);
	assert_true(options.foreground);
	assert_int_equal(options.log_level, level);
}

static void foreground_and_levels(void **state)
{
	(void)state;
	check_level("-n", LOG_LEVEL_INFO);
	check_level("--nofork", LOG_LEVEL_INFO);
	check_level("-d", LOG_LEVEL_DEBUG);
	check_level("--debug", LOG_LEVEL_DEBUG);
	check_level("-e", LOG_LEVEL_DUMP);
	check_level("--extensive", LOG_LEVEL_DUMP);
	check_level("-ed", LOG_LEVEL_DUMP);
	check_level("-nd", LOG_LEVEL_DEBUG);
}

static void help_and_version(void **state)
{
	(void)state;
	assert_int_equal(PARSE("-h"), OPTIONS_HELP);
	assert_int_equal(PARSE("--help"), OPTIONS_HELP);
	assert_int_equal(PARSE("-v"), OPTIONS_VERSION);
	assert_int_equal(PARSE("--version"), OPTIONS_VERSION);
	assert_int_equal(PARSE("-p", "1.1.1.1", "-h", "junk"), OPTIONS_HELP);
	assert_int_equal(PARSE("-nv", "--unknown"), OPTIONS_VERSION);
	/* What comes before must be right. */
	assert_int_equal(PARSE("-p", "1.1.1.1:0", "-h"), OPTIONS_BAD);
	assert_int_equal(PARSE("junk", "-h"), OPTIONS_BAD);
	assert_string_equal(options_version, "pptpproxy 3.0.0");
}

static void check_bad(const char *sentence, const char *const *words)
{
	assert_int_equal(parse(words), OPTIONS_BAD);
	assert_string_equal(why.text, sentence);
}

#define BAD(sentence, ...) check_bad(sentence, (const char *const[]){__VA_ARGS__, NULL})

static void bad_options_are_named(void **state)
{
	(void)state;
	BAD("unknown option --foo", "--foo");
	BAD("unknown option --foo=3", "--foo=3");
	BAD("unknown option -z", "-z");
	BAD("unknown option -z", "-nz", "-p", "1.1.1.1");
	BAD("unknown option -z", "-p", "1.1.1.1", "-dze");
	BAD("option -p needs a value", "-n", "-p");
	BAD("option -a needs a value", "-na");
	BAD("option --proxy needs a value", "--proxy");
	BAD("option --acl-timeout needs a value", "-p", "1.1.1.1", "--acl-timeout");
	BAD("option --debug takes no value", "--debug=3");
	BAD("option --help takes no value", "--help=x");
	BAD("option --acl- is ambiguous", "--acl-", "3");
	BAD("option --p is ambiguous", "--p", "1.1.1.1");
}

static void bad_words_are_named(void **state)
{
	(void)state;
	BAD("unexpected word 'foo'", "foo");
	BAD("unexpected word 'foo'", "-p", "1.1.1.1", "foo", "-z");
	BAD("unexpected word 'foo'", "-p", "1.1.1.1", "--", "foo");
	BAD("unexpected word ''", "-p", "1.1.1.1", "");
	BAD("unexpected word '-'", "-p", "1.1.1.1", "-");
	BAD("unexpected word '2.2.2.2'", "-p", "1.1.1.1", "2.2.2.2");
}

static void bad_values_are_named(void **state)
{
	(void)state;
	BAD("--acl-timeout 0: must be 1 to 3600", "--acl-timeout", "0");
	BAD("--acl-timeout 3601: must be 1 to 3600", "--acl-timeout", "3601");
	BAD("--acl-timeout : must be 1 to 3600", "--acl-timeout", "");
	BAD("--acl-timeout +1: must be 1 to 3600", "--acl-timeout", "+1");
	BAD("--acl-timeout -1: must be 1 to 3600", "--acl-timeout", "-1");
	BAD("--acl-timeout 1s: must be 1 to 3600", "--acl-timeout", "1s");
	BAD("--acl-timeout 4294967297: must be 1 to 3600", "--acl-timeout", "4294967297");
	BAD("--acl-parallel 1025: must be 1 to 1024", "--acl-parallel", "1025");
	BAD("--connect-timeout x: must be 1 to 3600", "--connect-timeout", "x");
	BAD("--handshake-timeout 9999: must be 1 to 3600", "--handshake-timeout", "9999");
	BAD("--keepalive 10801: must be 1 to 10800", "--keepalive", "10801");
	BAD("--acl-mode some: must be all or any", "--acl-mode", "some");
	BAD("--fastpath on: must be off, auto, native or generic", "--fastpath", "on");
	BAD("--fastpath-interface needs a value that is not empty", "--fastpath-interface", "");
	BAD("--fastpath-interface eth0: it needs --fastpath auto, native or generic", "-p",
	    "1.1.1.1", "--fastpath-interface", "eth0");
	BAD("-l needs a value that is not empty", "-l", "");
	BAD("--pid-file needs a value that is not empty", "--pid-file", "");
	BAD("--control needs a value that is not empty", "--control", "");
	BAD("-p 1.1.1.1:0: port '0' is not a number from 1 to 65535", "-p", "1.1.1.1:0");
	BAD("-a 10.0.0.0/33: mask '33' is neither an IPv4 mask nor a length from 0 to 32", "-a",
	    "10.0.0.0/33");
	BAD("-x 'a: the quote ' is not closed", "-x", "'a");
	BAD("-x  : there is no word in it", "-x", " ");
}

static void pair_is_needed(void **state)
{
	(void)state;
	assert_int_equal(PARSE("-n"), OPTIONS_BAD);
	assert_non_null(strstr(why.text, "at least one -p is needed"));
	assert_int_equal(PARSE(), OPTIONS_BAD);
	assert_non_null(strstr(why.text, "at least one -p is needed"));
}

static void long_word_leaves_room_for_the_reason(void **state)
{
	(void)state;
	char word[5000];
	memset(word, 'a', sizeof(word));
	word[sizeof(word) - 1] = '\0';
	assert_int_equal(PARSE("-p", word), OPTIONS_BAD);
	assert_non_null(strstr(why.text, "too long for a pair"));
	assert_int_equal(PARSE("-a", word), OPTIONS_BAD);
	assert_non_null(strstr(why.text, "is not an address"));
}

static void help_fits_a_screen(void **state)
{
	(void)state;
	int lines = 0;
	for (const char *line = options_help; *line; line += strcspn(line, "\n") + 1) {
		lines++;
		assert_true(strcspn(line, "\n") < 80);
	}
	assert_in_range(lines, 10, 24);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_teardown(defaults, clear),
	    cmocka_unit_test_teardown(everything_at_once, clear),
	    cmocka_unit_test_teardown(files, clear),
	    cmocka_unit_test_teardown(fast_path, clear),
	    cmocka_unit_test_teardown(foreground_and_levels, clear),
	    cmocka_unit_test_teardown(help_and_version, clear),
	    cmocka_unit_test_teardown(bad_options_are_named, clear),
	    cmocka_unit_test_teardown(bad_words_are_named, clear),
	    cmocka_unit_test_teardown(bad_values_are_named, clear),
	    cmocka_unit_test_teardown(pair_is_needed, clear),
	    cmocka_unit_test_teardown(long_word_leaves_room_for_the_reason, clear),
	    cmocka_unit_test_teardown(help_fits_a_screen, clear),
	};
	return cmocka_run_group_tests_name("options", tests, NULL, NULL) != 0;
}
