#include "options.h"

#include "tests/unit/no_memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Parses the words after the program's name, with what `file` says; what it says stays in `why`. */
static struct options options;
static struct why why;
static struct options_file file;
static int fails = -1; /* as no_memory_in, while words are parsed */

/* What a sentence calls the file. */
#define FILE_NAME "/etc/pptpproxy.conf"

static int word_count(const char *const *words)
{
	int count = 0;
	while (words[count])
		count++;
	return count;
}

/* The words are gone when it returns: what the struct has of them is its own. */
static enum options_answer parse(const char *const *words)
{
	int argc = word_count(words) + 1;
	char *argv[64] = {strdup("pptpproxy")};
	assert_in_range(argc, 1, 63);
	for (int i = 1; i < argc; i++)
		argv[i] = strdup(words[i - 1]);
	why.text[0] = '\0';
	options_clear(&options);
	no_memory_in = fails;
	enum options_answer answer =
	    options_parse(&options, argc, argv, file.path ? &file : NULL, &why);
	no_memory_in = -1;
	for (int i = 0; i < argc; i++) {
		memset(argv[i], '!', strlen(argv[i]));
		free(argv[i]);
	}
	return answer;
}

#define PARSE(...) parse((const char *const[]){__VA_ARGS__ __VA_OPT__(, ) NULL})

/* The same, with a file; its text is in memory of exactly its length, and gone afterwards, too. */
static enum options_answer parse_with(const char *text, size_t length, const char *const *words)
{
	char *copy = malloc(length + (length == 0));
	assert_non_null(copy);
	memcpy(copy, text, length);
	file = (struct options_file){FILE_NAME, copy, length};
	enum options_answer answer = parse(words);
	memset(copy, '!', length);
	free(copy);
	file = (struct options_file){0};
	return answer;
}

#define PARSE_WITH(text, ...)                                                                      \
	parse_with(text, strlen(text), (const char *const[]){__VA_ARGS__ __VA_OPT__(, ) NULL})

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
	assert_int_equal(options.stats.port, 0);
	assert_int_equal(options.ready_fd, -1);
	assert_int_equal(options.acl_timeout_s, 10);
	assert_int_equal(options.acl_parallel, 16);
	assert_int_equal(options.connect_timeout_s, 10);
	assert_int_equal(options.handshake_timeout_s, 60);
	assert_int_equal(options.keepalive_s, 60);
	assert_int_equal(options.max_connections, 0);
	assert_int_equal(options.max_per_source, 0);
	assert_int_equal(options.max_rate_per_source, 0);
	assert_int_equal(options.max_calls, 1000);
	assert_int_equal(options.max_waiting_checks, 1000);
	assert_int_equal(options.max_early_packets, 2048);
	assert_null(options.user);
	assert_null(options.config);
	assert_false(options.check);
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

static void limits_and_user(void **state)
{
	(void)state;
	assert_int_equal(PARSE("-p", "1.1.1.1", "--max-connections=1000000", "--max-per-source",
			       "999999", "--max-rate-per-source=100000", "--max-calls", "65535",
			       "--max-waiting-checks=65534", "--max-early-packets", "1", "--user",
			       "nobody", "--ready-fd=1023"),
			 OPTIONS_RUN);
	assert_int_equal(options.ready_fd, 1023);
	assert_int_equal(options.max_connections, 1000000);
	assert_int_equal(options.max_per_source, 999999);
	assert_int_equal(options.max_rate_per_source, 100000);
	assert_int_equal(options.max_calls, 65535);
	assert_int_equal(options.max_waiting_checks, 65534);
	assert_int_equal(options.max_early_packets, 1);
	assert_string_equal(options.user, "nobody");
}

static void check_alone_does_not_run(void **state)
{
	(void)state;
	assert_int_equal(PARSE("-p", "1.1.1.1", "--check"), OPTIONS_CHECK);
	assert_int_equal(PARSE("--check", "-p", "1.1.1.1", "-n"), OPTIONS_CHECK);
	assert_int_equal(PARSE("--check", "-h"), OPTIONS_HELP);
	assert_int_equal(PARSE("--check"), OPTIONS_BAD);
	assert_int_equal(PARSE("--check", "-p", "1.1.1.1:0"), OPTIONS_BAD);
	assert_true(options.check);
	/* Behind what is bad, too: nobody is to write to the log then. */
	assert_int_equal(PARSE("-p", "1.1.1.1:0", "--check"), OPTIONS_BAD);
	assert_true(options.check);
	assert_int_equal(PARSE_WITH("proxy 1.1.1.1", "--check"), OPTIONS_CHECK);
	assert_int_equal(PARSE_WITH("proxy 1.1.1.1:0", "--check"), OPTIONS_BAD);
}

static void questions_to_a_running_instance(void **state)
{
	(void)state;
	assert_int_equal(PARSE("--show", "calls"), OPTIONS_SHOW);
	assert_string_equal(options.show, "calls");
	assert_string_equal(options.control, "@pptpproxy");
	assert_false(options.json || options.watch);
	assert_int_equal(PARSE("--show=pairs", "--json", "--control", "/run/x"), OPTIONS_SHOW);
	assert_string_equal(options.show, "pairs");
	assert_string_equal(options.control, "/run/x");
	assert_true(options.json);
	assert_int_equal(PARSE("--watch", "--show", "totals"), OPTIONS_SHOW);
	assert_true(options.watch);
	assert_int_equal(PARSE("--end", "12:49750"), OPTIONS_END);
	assert_string_equal(options.end_call, "12:49750");
	/* Of a file all lines may be there; the socket's name counts. */
	assert_int_equal(
	    PARSE_WITH("proxy 1.1.1.1\ncontrol @y\nlog a\nnofork\n", "--end", "1:-", "-c", "f"),
	    OPTIONS_END);
	assert_string_equal(options.control, "@y");
	assert_int_equal(PARSE_WITH("control @y", "--show", "calls", "--control=@z"), OPTIONS_SHOW);
	assert_string_equal(options.control, "@z");
	assert_int_equal(PARSE_WITH("foo", "--show", "calls"), OPTIONS_BAD);
	assert_int_equal(PARSE("--show", "calls", "-v"), OPTIONS_VERSION);
	/* Nobody is to write to the log then. */
	assert_int_equal(PARSE("-l", "a", "-z", "--show", "calls"), OPTIONS_BAD);
	assert_true(options.asks);
	assert_int_equal(PARSE("-l", "a", "--end", "x"), OPTIONS_BAD);
	assert_true(options.asks);
	assert_int_equal(PARSE("-p", "1.1.1.1"), OPTIONS_RUN);
	assert_false(options.asks);
}

static void captures(void **state)
{
	(void)state;
	assert_int_equal(PARSE("-p", "1.1.1.1"), OPTIONS_RUN);
	assert_null(options.capture);
	assert_int_equal(options.capture_limit_mib, 100);
	assert_int_equal(PARSE("-p", "1.1.1.1", "--capture", "x", "--capture-limit=1048576"),
			 OPTIONS_RUN);
	assert_string_equal(options.capture, "x");
	assert_int_equal(options.capture_limit_mib, 1048576);
	assert_int_equal(PARSE_WITH("proxy 1.1.1.1\ncapture y\n", "-d"), OPTIONS_RUN);
	assert_string_equal(options.capture, "y");
	assert_int_equal(PARSE_WITH("proxy 1.1.1.1\ncapture y\n", "--capture", "x"), OPTIONS_RUN);
	assert_string_equal(options.capture, "x");
	/* To a running instance. */
	assert_int_equal(PARSE("--tap", "all", "--capture", "-"), OPTIONS_TAP);
	assert_string_equal(options.tap, "all");
	assert_string_equal(options.capture, "-");
	assert_true(options.asks);
	assert_int_equal(PARSE_WITH("capture y\ncontrol @z\n", "--tap", "1:2", "--capture", "x"),
			 OPTIONS_TAP);
	assert_string_equal(options.capture, "x");
	assert_string_equal(options.control, "@z");
	/* The file's is the instance's own. */
	assert_int_equal(PARSE_WITH("capture y\n", "--tap", "all"), OPTIONS_BAD);
	assert_string_equal(why.text,
			    "--tap all: it needs --capture FILE, or - for standard output");
}

static void explain_stands_alone(void **state)
{
	(void)state;
	assert_int_equal(PARSE("--explain", "a b.pcap"), OPTIONS_EXPLAIN);
	assert_string_equal(options.explain[0], "a b.pcap");
	assert_int_equal(PARSE("--explain=-"), OPTIONS_EXPLAIN);
	assert_string_equal(options.explain[0], "-");
	assert_int_equal(PARSE("--explain=one", "--explain=two"), OPTIONS_EXPLAIN);
	assert_int_equal(options.explain_count, 2);
	assert_string_equal(options.explain[1], "two");
	assert_int_equal(PARSE("--explain", "x.1", "x", "--explain=y", "z"), OPTIONS_EXPLAIN);
	assert_int_equal(options.explain_count, 4);
	assert_string_equal(options.explain[0], "x.1");
	assert_string_equal(options.explain[1], "x");
	assert_string_equal(options.explain[3], "z");
	assert_int_equal(PARSE("--explain", "x", "--", "y", "-z"), OPTIONS_EXPLAIN);
	assert_int_equal(options.explain_count, 3);
	assert_string_equal(options.explain[2], "-z");
	assert_int_equal(PARSE("--explain=one", "-h"), OPTIONS_HELP);
	assert_int_equal(PARSE("-v", "--explain=one"), OPTIONS_VERSION);
	/* What the file says is of no interest, but nobody reads one. */
	assert_int_equal(PARSE_WITH("nonsense", "--explain=one"), OPTIONS_EXPLAIN);
	assert_int_equal(PARSE("-p", "1.1.1.1"), OPTIONS_RUN);
	assert_int_equal(options.explain_count, 0);
}

static void the_doctor_does_not_run(void **state)
{
	(void)state;
	assert_int_equal(PARSE("-p", "1.1.1.1"), OPTIONS_RUN);
	assert_false(options.doctor || options.doctor_call);
	assert_int_equal(PARSE("-p", "1.1.1.1", "--doctor"), OPTIONS_DOCTOR);
	assert_true(options.doctor && !options.doctor_call);
	assert_int_equal(PARSE("--doctor-call", "-p", "1.1.1.1", "--check"), OPTIONS_DOCTOR);
	assert_true(options.doctor && options.doctor_call);
	/* The host can be looked at without a pair. */
	assert_int_equal(PARSE("--doctor"), OPTIONS_DOCTOR);
	assert_int_equal(options.pair_count, 0);
	assert_int_equal(PARSE_WITH("proxy 1.1.1.1", "--doctor"), OPTIONS_DOCTOR);
	assert_int_equal(options.pair_count, 1);
	assert_int_equal(PARSE("--doctor", "-h"), OPTIONS_HELP);
	/* Behind what is bad, too: nobody is to write to the log then. */
	assert_int_equal(PARSE("-p", "1.1.1.1:0", "--doctor-call"), OPTIONS_BAD);
	assert_true(options.doctor);
}

static const char *config(const char *const *words)
{
	return options_config(word_count(words), (char **)words);
}

#define CONFIG(...) config((const char *const[]){"pptpproxy", __VA_ARGS__, NULL})

static void config_is_found_among_all_words(void **state)
{
	(void)state;
	assert_null(CONFIG("-p", "1.1.1.1"));
	assert_string_equal(CONFIG("-c", "a"), "a");
	assert_string_equal(CONFIG("-ca"), "a");
	assert_string_equal(CONFIG("-nca"), "a");
	assert_string_equal(CONFIG("--config", "a"), "a");
	assert_string_equal(CONFIG("--config=a"), "a");
	assert_string_equal(CONFIG("--conf=a"), "a");
	assert_string_equal(CONFIG("-c", "a", "-n", "--config", "b"), "b");
	assert_string_equal(CONFIG("junk", "--foo", "-z", "--keepalive=x", "-c", "a", "-p"), "a");
	/* Not an option's name here, but a value. */
	assert_null(CONFIG("-l", "-c", "-p", "1.1.1.1"));
	assert_null(CONFIG("--", "-c", "a"));
	assert_null(CONFIG("-c"));
	assert_null(CONFIG("-c", ""));
	assert_int_equal(PARSE("-p", "1.1.1.1", "-c", "a", "--config=b"), OPTIONS_RUN);
	assert_string_equal(options.config, "b");
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
	/* Switched off for a while. */
	assert_int_equal(
	    PARSE_WITH("proxy 1.1.1.1\nfastpath auto\nfastpath-interface eth2\n", "--fastpath=off"),
	    OPTIONS_RUN);
	assert_int_equal(options.fastpath, FASTPATH_OFF);
	assert_int_equal(options.interface_count, 1);
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
	BAD("option --con is ambiguous", "--con", "x");
	BAD("option --check takes no value", "--check=1");
	BAD("option --explain needs a value", "--explain");
	BAD("--explain needs a value that is not empty", "--explain=");
	BAD("--explain: -p cannot stand beside it", "--explain", "a", "--proxy", "1.1.1.1");
	BAD("--explain: -c cannot stand beside it", "-c", "b", "--explain", "a", "-n");
	BAD("--explain: --check cannot stand beside it", "--explain", "a", "--check");
	BAD("unexpected word 'b'", "b", "--explain", "a");
	BAD("--explain needs a value that is not empty", "--explain", "a", "");
	BAD("--explain: -n cannot stand beside it", "--explain", "a", "b", "-n");
	BAD("option -c needs a value", "-p", "1.1.1.1", "-c");
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
	BAD("--capture-limit 0: must be 1 to 1048576", "--capture-limit", "0");
	BAD("--capture-limit 1048577: must be 1 to 1048576", "--capture-limit", "1048577");
	BAD("--capture needs a value that is not empty", "--capture", "");
	BAD("--capture -: standard output goes with --tap only", "-p", "1.1.1.1", "--capture", "-");
	BAD("--tap: it does not go with --show", "--tap", "all", "--show", "calls");
	BAD("--tap: it does not go with --end", "--tap", "all", "--end", "1:2");
	BAD("--json: it does not go with --tap", "--json", "--tap", "all", "--capture", "x");
	BAD("-n: it does not go with --tap", "-n", "--tap", "all", "--capture", "x");
	BAD("--capture: it does not go with --show", "--show", "calls", "--capture", "x");
	BAD("--capture-limit: it does not go with --end", "--end", "1:2", "--capture-limit", "5");
	BAD("--show call: must be calls, pairs or totals", "--show", "call");
	BAD("--end 12: no call's name; as --show calls has it: 12:49750", "--end", "12");
	BAD("--end: it does not go with --show", "--end", "1:2", "--show", "calls");
	BAD("--json: it goes with --show only", "--json", "-p", "1.1.1.1");
	BAD("--watch: it goes with --show only", "--watch", "-p", "1.1.1.1");
	BAD("--json: it does not go with --end", "--json", "--end", "1:2");
	BAD("--watch: it does not go with --end", "--watch", "--end", "1:2");
	BAD("--watch: it does not go with --json", "--watch", "--json", "--show", "calls");
	BAD("-p: it does not go with --show", "--show", "calls", "-p", "1.1.1.1", "-n");
	BAD("--user: it does not go with --end", "--user", "x", "--end", "1:2");
	BAD("--check: it does not go with --show", "--check", "--show", "calls");
	BAD("--max-connections 1000001: must be 1 to 1000000", "--max-connections", "1000001");
	BAD("--max-connections 0: must be 1 to 1000000", "--max-connections", "0");
	BAD("--max-per-source 1000001: must be 1 to 1000000", "--max-per-source=1000001");
	BAD("--max-rate-per-source 100001: must be 1 to 100000", "--max-rate-per-source=100001");
	BAD("--max-calls 65536: must be 1 to 65535", "--max-calls=65536");
	BAD("--max-waiting-checks 65536: must be 1 to 65535", "--max-waiting-checks=65536");
	BAD("--max-early-packets 2049: must be 1 to 2048", "--max-early-packets=2049");
	BAD("--ready-fd 2: must be 3 to 1023", "--ready-fd", "2");
	BAD("--ready-fd 1024: must be 3 to 1023", "--ready-fd=1024");
	BAD("--ready-fd 3x: must be 3 to 1023", "--ready-fd", "3x");
	BAD("--ready-fd : must be 3 to 1023", "--ready-fd=");
	BAD("--user needs a value that is not empty", "--user", "");
	BAD("-c needs a value that is not empty", "-c", "");
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

static void each_file_has_one_option(void **state)
{
	(void)state;
	BAD("--capture x: -l has the same file", "-p", "1.1.1.1", "-l", "x", "--capture", "x");
	BAD("--pid-file /x: -l has the same file", "-p", "1.1.1.1", "--pid-file", "/x", "-l", "/x");
	BAD("--capture /x: --pid-file has the same file", "-p", "1.1.1.1", "--pid-file", "/x",
	    "--capture", "/x");
	BAD("--control /x: -l has the same file", "-p", "1.1.1.1", "--control", "/x", "-l", "/x");
	BAD("--control /x: --capture has the same file", "--doctor", "--control", "/x", "--capture",
	    "/x");
	/* An abstract name is no file. */
	assert_int_equal(PARSE("-p", "1.1.1.1", "-l", "@x", "--control", "@x"), OPTIONS_RUN);
	assert_int_equal(PARSE("-p", "1.1.1.1", "-l", "a", "--pid-file", "b", "--capture", "c",
			       "--control", "d"),
			 OPTIONS_RUN);
}

static void status_page(void **state)
{
	(void)state;
	assert_int_equal(PARSE("-p", "1.1.1.1", "--stats", "127.0.0.1:8723"), OPTIONS_RUN);
	assert_int_equal(options.stats.addr, 0x7f000001);
	assert_int_equal(options.stats.port, 8723);
	assert_string_equal(options.stats.word, "127.0.0.1");
	assert_int_equal(PARSE("-p", "2.2.2.2,1.1.1.1", "--stats", "127.0.0.1:1723"), OPTIONS_RUN);
	assert_int_equal(PARSE("-p", "a.example,1.1.1.1", "--stats", "127.0.0.1:1723"),
			 OPTIONS_RUN);
	BAD("--stats 127.0.0.1: the port is missing", "--stats", "127.0.0.1");
	BAD("--stats :8723: the listen address is missing", "--stats", ":8723");
	BAD("--stats localhost:8723: 'localhost' is not an IPv4 address", "--stats",
	    "localhost:8723");
	BAD("--stats 127.0.0.1:0: port '0' is not a number from 1 to 65535", "--stats",
	    "127.0.0.1:0");
	BAD("--stats [::1]:8723: '[::1]:8723': IPv6 is not supported", "--stats", "[::1]:8723");
	BAD("--stats 224.0.0.1:8723: '224.0.0.1' is not the address of one host", "--stats",
	    "224.0.0.1:8723");
	BAD("--stats 127.0.0.1:1723: it conflicts with a pair's listen address, 0.0.0.0:1723", "-p",
	    "1.1.1.1", "--stats", "127.0.0.1:1723");
	BAD("--stats 0.0.0.0:1723: it conflicts with a pair's listen address, 2.2.2.2:1723", "-p",
	    "2.2.2.2,1.1.1.1", "--stats", "0.0.0.0:1723");
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

/* ---- the configuration file ---- */

static const char whole_file[] = "# The office\r\n"
				 "\n"
				 "proxy 1.1.1.1\n"
				 "  proxy\t 2.2.2.2:99,peer.example \t# behind it\r\n"
				 "\t# alone\n"
				 " \t\n"
				 "acl 10.0.0.0/8 #\n"
				 "acl-cmd /bin/a 'b # c' \"#\" d\\ # '# e' # it's a comment\n"
				 "aclCmd f g#h\n"
				 "acl-mode any\nacl-timeout 1\nacl-parallel 2\nconnect-timeout 3\n"
				 "handshake-timeout 4\nkeepalive 5\nmax-connections 6\n"
				 "max-per-source 7\nmax-rate-per-source 8\nmax-calls 9\n"
				 "max-waiting-checks 10\nmax-early-packets 11\n"
				 "fastpath native\nfastpath-interface eth0\n"
				 "fastpath-interface eth1\n"
				 "log /var/log/it's a log#1 # '\n"
				 "pid-file\t/run/p\ncontrol @c\nuser u\n"
				 "stats 127.0.0.1:8723\n"
				 "nofork # and\nextensive\ndebug";

static void lists_of_a_file(void **state)
{
	(void)state;
	assert_int_equal(PARSE_WITH(whole_file), OPTIONS_RUN);
	assert_int_equal(options.pair_count, 2);
	assert_string_equal(options.pairs[1].listen.word, "2.2.2.2");
	assert_string_equal(options.pairs[1].peer.word, "peer.example");
	assert_int_equal(options.acl.count, 1);
	assert_string_equal(options.acl.rules[0].text, "10.0.0.0/8");
	assert_int_equal(options.command_count, 2);
	assert_int_equal(options.commands[0].count, 5);
	assert_string_equal(options.commands[0].words[1], "b # c");
	assert_string_equal(options.commands[0].words[2], "#");
	assert_string_equal(options.commands[0].words[3], "d #");
	assert_string_equal(options.commands[0].words[4], "# e");
	assert_int_equal(options.commands[1].count, 2);
	assert_string_equal(options.commands[1].words[1], "g#h");
	assert_int_equal(options.interface_count, 2);
	assert_string_equal(options.interfaces[1], "eth1");
}

static void values_of_a_file(void **state)
{
	(void)state;
	assert_int_equal(PARSE_WITH(whole_file), OPTIONS_RUN);
	assert_true(options.acl_any);
	assert_int_equal(options.acl_timeout_s, 1);
	assert_int_equal(options.acl_parallel, 2);
	assert_int_equal(options.connect_timeout_s, 3);
	assert_int_equal(options.handshake_timeout_s, 4);
	assert_int_equal(options.keepalive_s, 5);
	assert_int_equal(options.max_connections, 6);
	assert_int_equal(options.max_per_source, 7);
	assert_int_equal(options.max_rate_per_source, 8);
	assert_int_equal(options.max_calls, 9);
	assert_int_equal(options.max_waiting_checks, 10);
	assert_int_equal(options.max_early_packets, 11);
	assert_int_equal(options.fastpath, FASTPATH_NATIVE);
	assert_string_equal(options.log_file, "/var/log/it's a log#1");
	assert_string_equal(options.pid_file, "/run/p");
	assert_string_equal(options.control, "@c");
	assert_int_equal(options.stats.port, 8723);
	assert_string_equal(options.user, "u");
	assert_true(options.foreground);
	assert_int_equal(options.log_level, LOG_LEVEL_DUMP);
}

static void file_and_words_add_up(void **state)
{
	(void)state;
	static const char text[] = "proxy 1.1.1.1\nacl 10.0.0.0/8\nacl-cmd a\nkeepalive 5\n"
				   "fastpath auto\nfastpath-interface eth0\nlog a\nacl-mode any\n"
				   "nofork\nkeepalive 6\n";
	assert_int_equal(PARSE_WITH(text, "-p", "2.2.2.2", "-a", "20.0.0.0/8", "-x", "b",
				    "--acl-mode=all", "--fastpath-interface", "eth1", "-l", "b",
				    "--keepalive=7", "-d"),
			 OPTIONS_RUN);
	assert_int_equal(options.pair_count, 2);
	assert_string_equal(options.pairs[0].peer.word, "1.1.1.1");
	assert_string_equal(options.pairs[1].peer.word, "2.2.2.2");
	assert_int_equal(options.acl.count, 2);
	assert_string_equal(options.acl.rules[0].text, "10.0.0.0/8");
	assert_int_equal(options.command_count, 2);
	assert_string_equal(options.commands[1].words[0], "b");
	assert_int_equal(options.interface_count, 2);
	assert_string_equal(options.interfaces[0], "eth0");
	assert_false(options.acl_any);
	assert_string_equal(options.log_file, "b");
	assert_int_equal(options.keepalive_s, 7);
	assert_int_equal(options.log_level, LOG_LEVEL_DEBUG);
	assert_int_equal(PARSE_WITH(text), OPTIONS_RUN);
	assert_int_equal(options.keepalive_s, 6);
	assert_int_equal(PARSE_WITH("", "-p", "1.1.1.1"), OPTIONS_RUN);
	assert_int_equal(PARSE_WITH("nofork", "-p", "1.1.1.1"), OPTIONS_RUN);
	assert_int_equal(PARSE_WITH("\xef\xbb\xbfproxy 1.1.1.1\r\n"), OPTIONS_RUN);
}

#define LINE FILE_NAME " line "

static const struct {
	const char *text, *sentence;
} bad_lines[] = {
    {"connect-timeout 0", LINE "1: connect-timeout 0: must be 1 to 3600"},
    {"# a\n\nnofork\r\nconnect-timeout 3601 # b\nfoo\n",
     LINE "4: connect-timeout 3601: must be 1 to 3600"},
    {"connect-timeout 1 2", LINE "1: connect-timeout 1 2: must be 1 to 3600"},
    {"nofork\nfoo 3\nproxy\n", LINE "2: unknown option 'foo'"},
    {"prox 1.1.1.1", LINE "1: unknown option 'prox'"},
    {"Proxy 1.1.1.1", LINE "1: unknown option 'Proxy'"},
    {"p 1.1.1.1", LINE "1: unknown option 'p'"},
    {"proxy# 1.1.1.1", LINE "1: unknown option 'proxy#'"},
    {"--proxy 1.1.1.1", LINE "1: '--proxy': an option stands here without its dashes"},
    {"-p 1.1.1.1", LINE "1: '-p': an option stands here without its dashes"},
    {"acl=10.0.0.0/8", LINE "1: 'acl=10.0.0.0/8': a blank is between option and value, not '='"},
    {"log = a", LINE "1: option log: a blank is between option and value, not '='"},
    {"log \"a b\"", LINE "1: log \"a b\": only commands have quotes here"},
    {"log 'a", LINE "1: log 'a: only commands have quotes here"},
    {"proxy", LINE "1: option proxy needs a value"},
    {"proxy # 1.1.1.1", LINE "1: option proxy needs a value"},
    {"proxy \t ", LINE "1: option proxy needs a value"},
    {"log", LINE "1: option log needs a value"},
    {"nofork yes", LINE "1: option nofork takes no value"},
    {"config a", LINE "1: option config is for the command line only"},
    {"explain a", LINE "1: option explain is for the command line only"},
    {"check", LINE "1: option check is for the command line only"},
    {"show calls", LINE "1: option show is for the command line only"},
    {"end 1:2", LINE "1: option end is for the command line only"},
    {"ready-fd 3", LINE "1: option ready-fd is for the command line only"},
    {"doctor", LINE "1: option doctor is for the command line only"},
    {"doctor-call", LINE "1: option doctor-call is for the command line only"},
    {"help # me", LINE "1: option help is for the command line only"},
    {"version", LINE "1: option version is for the command line only"},
    {"proxy 1.1.1.1:0", LINE "1: proxy 1.1.1.1:0: port '0' is not a number from 1 to 65535"},
    {"acl 10.0.0.0/8#1", LINE "1: acl 10.0.0.0/8#1: mask '8#1' is neither an IPv4 mask nor a "
			      "length from 0 to 32"},
    {"aclCmd 'a # b", LINE "1: aclCmd 'a # b: the quote ' is not closed"},
    {"acl-cmd 'a' \" # b", LINE "1: acl-cmd 'a' \" # b: the quote \" is not closed"},
    {"acl-cmd a\\", LINE "1: acl-cmd a\\: it ends in a backslash"},
    {"acl-mode some", LINE "1: acl-mode some: must be all or any"},
    {"fastpath on", LINE "1: fastpath on: must be off, auto, native or generic"},
    {"nofork\n# a\rproxy 1.1.1.1\n", LINE "2: the octet 0x0d is no text"},
    {"nofork\n\033[1m\n", LINE "2: the octet 0x1b is no text"},
    {"nofork\x7f", LINE "1: the octet 0x7f is no text"},
};

static void bad_lines_are_named(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(bad_lines) / sizeof(*bad_lines); i++) {
		assert_int_equal(PARSE_WITH(bad_lines[i].text, "-p", "1.1.1.1"), OPTIONS_BAD);
		assert_string_equal(why.text, bad_lines[i].sentence);
	}
	static const char *const none[] = {NULL};
	assert_int_equal(parse_with("nofork\nno\0fork\n", 15, none), OPTIONS_BAD);
	assert_string_equal(why.text, LINE "2: the octet 0x00 is no text");
}

/* What is good alone, and does not go together: the line that has it is named. */
static void lines_that_do_not_go_together_are_named(void **state)
{
	(void)state;
	static const struct {
		const char *text, *word, *value, *sentence;
	} cases[] = {
	    {"nofork\nfastpath-interface eth0\nfastpath-interface eth1\n", "-a", "10.0.0.0/8",
	     LINE "2: fastpath-interface eth0: it needs fastpath auto, native or generic"},
	    {"log /x\n\npid-file /x", "-a", "10.0.0.0/8",
	     LINE "3: pid-file /x: log has the same file"},
	    {"log /y\nlog /x\n", "--pid-file", "/x",
	     LINE "2: log /x: --pid-file has the same file"},
	    {"nofork\npid-file /x\n", "-l", "/x", LINE "2: pid-file /x: -l has the same file"},
	    {"control /x\ncapture /x\n", "-a", "10.0.0.0/8",
	     LINE "1: control /x: capture has the same file"},
	    {"capture -\n", "-a", "10.0.0.0/8",
	     LINE "1: capture -: standard output goes with --tap only"},
	    {"nofork\nstats 0.0.0.0:1723\n", "-a", "10.0.0.0/8",
	     LINE "2: stats 0.0.0.0:1723: it conflicts with a pair's listen address, "
		  "0.0.0.0:1723"},
	    /* What a word has replaced is nobody's any more. */
	    {"stats 127.0.0.1:99\n", "--stats", "0.0.0.0:1723",
	     "--stats 0.0.0.0:1723: it conflicts with a pair's listen address, 0.0.0.0:1723"},
	    {"capture /x\n", "--capture", "-", "--capture -: standard output goes with --tap only"},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		assert_int_equal(
		    PARSE_WITH(cases[i].text, "-p", "1.1.1.1", cases[i].word, cases[i].value),
		    OPTIONS_BAD);
		assert_string_equal(why.text, cases[i].sentence);
	}
}

static void bad_words_come_before_bad_lines(void **state)
{
	(void)state;
	assert_int_equal(PARSE_WITH("foo", "-p", "1.1.1.1", "-z"), OPTIONS_BAD);
	assert_string_equal(why.text, "unknown option -z");
	assert_int_equal(PARSE_WITH("foo"), OPTIONS_BAD);
	assert_string_equal(why.text, LINE "1: unknown option 'foo'");
	assert_int_equal(PARSE_WITH("foo", "-h"), OPTIONS_HELP);
	assert_int_equal(PARSE_WITH("foo", "-v"), OPTIONS_VERSION);
	assert_int_equal(PARSE_WITH("nofork"), OPTIONS_BAD);
	assert_non_null(strstr(why.text, "at least one -p is needed"));
	assert_non_null(strstr(why.text, FILE_NAME));
}

static void log_is_known_whatever_is_bad(void **state)
{
	(void)state;
	assert_int_equal(PARSE_WITH("foo\nkeepalive 6\nlog a\n", "-p", "1.1.1.1"), OPTIONS_BAD);
	assert_string_equal(options.log_file, "a");
	assert_string_equal(why.text, LINE "1: unknown option 'foo'");
	assert_int_equal(options.keepalive_s, 60);
	assert_int_equal(PARSE_WITH("foo\nlog a\n", "-z", "-l", "b"), OPTIONS_BAD);
	assert_string_equal(options.log_file, "b");
	assert_string_equal(why.text, "unknown option -z");
}

/* "log aaa...", of so many octets, then the line's end. */
static enum options_answer parse_line_of(size_t octets, const char *end)
{
	static const char *const words[] = {"-p", "1.1.1.1", NULL};
	static char text[OPTIONS_FILE_LINE_MAX + 16];
	memset(text, 'a', octets);
	memcpy(text, "log ", 4);
	strcpy(text + octets, end);
	return parse_with(text, strlen(text), words);
}

static void long_lines_are_named(void **state)
{
	(void)state;
	static const char *const ends[] = {"", "\n", "\r\n", "\nnofork"};
	for (size_t i = 0; i < sizeof(ends) / sizeof(*ends); i++) {
		assert_int_equal(parse_line_of(OPTIONS_FILE_LINE_MAX, ends[i]), OPTIONS_RUN);
		assert_int_equal(strlen(options.log_file), OPTIONS_FILE_LINE_MAX - 4);
		assert_int_equal(parse_line_of(OPTIONS_FILE_LINE_MAX + 1, ends[i]), OPTIONS_BAD);
		assert_string_equal(why.text, LINE "1: it is longer than 4096 octets");
	}
}

static void long_line_leaves_room_for_the_reason(void **state)
{
	(void)state;
	static const char *const names[] = {"proxy",	 "acl",	     "foo",	 "pid-file \"",
					    "max-calls", "fastpath", "acl-mode", "acl-cmd '"};
	static const char *const reasons[] = {"too long for a pair",
					      "is not an address",
					      "'foo'",
					      "quotes",
					      "must be",
					      "must be",
					      "must be",
					      "closed"};
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		char text[700], path[300];
		snprintf(text, sizeof(text), "%s %0600d", names[i], 0);
		snprintf(path, sizeof(path), "/%0200d", 0);
		options_clear(&options);
		assert_int_equal(options_parse(&options, 1, (char *[]){(char *)"pptpproxy", NULL},
					       &(struct options_file){path, text, strlen(text)},
					       &why),
				 OPTIONS_BAD);
		assert_non_null(strstr(why.text, reasons[i]));
		assert_non_null(strstr(why.text, " line 1: "));
	}
}

/* Each allocation in turn: a sentence, and nothing leaks. That of a file which is not needed is not
 * missed. */
static void assert_told_without_memory(enum options_answer good, const char *const *words)
{
	int told = 0;
	for (fails = 0; fails < 40; fails++) {
		if (parse_with("proxy 10.0.0.1\n", 15, words) == good)
			continue;
		assert_non_null(strstr(why.text, "no memory"));
		told++;
	}
	fails = -1;
	assert_in_range(told, 4, 20);
	assert_int_equal(parse(words), good);
}

static void memory_that_lacks_is_told(void **state)
{
	static const char *const run[] = {
	    "-p",	"10.0.0.2",   "-a",   "10.0.0.0/8",	      "-x",   "/bin/true", "-l",
	    "/tmp/log", "--fastpath", "auto", "--fastpath-interface", "eth0", NULL};
	static const char *const explain[] = {"--explain", "one.pcap", "two.pcap", NULL};
	(void)state;
	assert_told_without_memory(OPTIONS_RUN, run);
	assert_told_without_memory(OPTIONS_EXPLAIN, explain);
}

static void help_is_short_and_narrow(void **state)
{
	(void)state;
	int lines = 0;
	for (const char *line = options_help; *line; line += strcspn(line, "\n") + 1) {
		lines++;
		assert_true(strcspn(line, "\n") < 80);
	}
	assert_in_range(lines, 10, 64);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_teardown(defaults, clear),
	    cmocka_unit_test_teardown(everything_at_once, clear),
	    cmocka_unit_test_teardown(files, clear),
	    cmocka_unit_test_teardown(each_file_has_one_option, clear),
	    cmocka_unit_test_teardown(status_page, clear),
	    cmocka_unit_test_teardown(limits_and_user, clear),
	    cmocka_unit_test_teardown(check_alone_does_not_run, clear),
	    cmocka_unit_test_teardown(questions_to_a_running_instance, clear),
	    cmocka_unit_test_teardown(captures, clear),
	    cmocka_unit_test_teardown(explain_stands_alone, clear),
	    cmocka_unit_test_teardown(the_doctor_does_not_run, clear),
	    cmocka_unit_test_teardown(config_is_found_among_all_words, clear),
	    cmocka_unit_test_teardown(fast_path, clear),
	    cmocka_unit_test_teardown(foreground_and_levels, clear),
	    cmocka_unit_test_teardown(help_and_version, clear),
	    cmocka_unit_test_teardown(bad_options_are_named, clear),
	    cmocka_unit_test_teardown(bad_words_are_named, clear),
	    cmocka_unit_test_teardown(bad_values_are_named, clear),
	    cmocka_unit_test_teardown(pair_is_needed, clear),
	    cmocka_unit_test_teardown(long_word_leaves_room_for_the_reason, clear),
	    cmocka_unit_test_teardown(lists_of_a_file, clear),
	    cmocka_unit_test_teardown(values_of_a_file, clear),
	    cmocka_unit_test_teardown(file_and_words_add_up, clear),
	    cmocka_unit_test_teardown(bad_lines_are_named, clear),
	    cmocka_unit_test_teardown(lines_that_do_not_go_together_are_named, clear),
	    cmocka_unit_test_teardown(bad_words_come_before_bad_lines, clear),
	    cmocka_unit_test_teardown(log_is_known_whatever_is_bad, clear),
	    cmocka_unit_test_teardown(long_lines_are_named, clear),
	    cmocka_unit_test_teardown(long_line_leaves_room_for_the_reason, clear),
	    cmocka_unit_test_teardown(memory_that_lacks_is_told, clear),
	    cmocka_unit_test_teardown(help_is_short_and_narrow, clear),
	};
	return cmocka_run_group_tests_name("options", tests, NULL, NULL) != 0;
}
