#include "options.h"

#include "status/status_call.h"

#include <getopt.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define VERSION "3.0.0"

const char options_version[] = "pptpproxy " VERSION;

/* Values of options that have no letter. */
enum {
	WORD = 1, /* getopt_long's, of what is no option */
	OPT_ACL_MODE = 256,
	OPT_ACL_TIMEOUT,
	OPT_ACL_PARALLEL,
	OPT_CONNECT_TIMEOUT,
	OPT_HANDSHAKE_TIMEOUT,
	OPT_KEEPALIVE,
	OPT_MAX_CONNECTIONS,
	OPT_MAX_PER_SOURCE,
	OPT_MAX_RATE_PER_SOURCE,
	OPT_MAX_CALLS,
	OPT_MAX_WAITING_CHECKS,
	OPT_MAX_EARLY_PACKETS,
	OPT_PID_FILE,
	OPT_READY_FD,
	OPT_CONTROL,
	OPT_STATS,
	OPT_USER,
	OPT_FASTPATH,
	OPT_FASTPATH_INTERFACE,
	OPT_CHECK,
	OPT_SHOW,
	OPT_JSON,
	OPT_WATCH,
	OPT_END,
	OPT_EXPLAIN,
	OPT_DOCTOR,
	OPT_DOCTOR_CALL,
	OPT_TAP,
	OPT_CAPTURE,
	OPT_CAPTURE_LIMIT,
};

/* '-': words that are no options come as the value 1, where they stand; ':': a missing value is
 * told apart from an unknown option. */
static const char short_options[] = "-:p:a:x:c:l:ndehv";

/* In the order of --help. Where an option has two names, sentences have the first one. */
static const struct option long_options[] = {
    {"proxy", required_argument, NULL, 'p'},
    {"config", required_argument, NULL, 'c'},
    {"check", no_argument, NULL, OPT_CHECK},
    {"explain", required_argument, NULL, OPT_EXPLAIN},
    {"doctor", no_argument, NULL, OPT_DOCTOR},
    {"doctor-call", no_argument, NULL, OPT_DOCTOR_CALL},
    {"acl", required_argument, NULL, 'a'},
    {"aclCmd", required_argument, NULL, 'x'},
    {"acl-cmd", required_argument, NULL, 'x'},
    {"acl-mode", required_argument, NULL, OPT_ACL_MODE},
    {"acl-timeout", required_argument, NULL, OPT_ACL_TIMEOUT},
    {"acl-parallel", required_argument, NULL, OPT_ACL_PARALLEL},
    {"connect-timeout", required_argument, NULL, OPT_CONNECT_TIMEOUT},
    {"handshake-timeout", required_argument, NULL, OPT_HANDSHAKE_TIMEOUT},
    {"keepalive", required_argument, NULL, OPT_KEEPALIVE},
    {"max-connections", required_argument, NULL, OPT_MAX_CONNECTIONS},
    {"max-per-source", required_argument, NULL, OPT_MAX_PER_SOURCE},
    {"max-rate-per-source", required_argument, NULL, OPT_MAX_RATE_PER_SOURCE},
    {"max-calls", required_argument, NULL, OPT_MAX_CALLS},
    {"max-waiting-checks", required_argument, NULL, OPT_MAX_WAITING_CHECKS},
    {"max-early-packets", required_argument, NULL, OPT_MAX_EARLY_PACKETS},
    {"fastpath", required_argument, NULL, OPT_FASTPATH},
    {"fastpath-interface", required_argument, NULL, OPT_FASTPATH_INTERFACE},
    {"log", required_argument, NULL, 'l'},
    {"capture", required_argument, NULL, OPT_CAPTURE},
    {"capture-limit", required_argument, NULL, OPT_CAPTURE_LIMIT},
    {"pid-file", required_argument, NULL, OPT_PID_FILE},
    {"ready-fd", required_argument, NULL, OPT_READY_FD},
    {"control", required_argument, NULL, OPT_CONTROL},
    {"stats", required_argument, NULL, OPT_STATS},
    {"user", required_argument, NULL, OPT_USER},
    {"show", required_argument, NULL, OPT_SHOW},
    {"json", no_argument, NULL, OPT_JSON},
    {"watch", no_argument, NULL, OPT_WATCH},
    {"end", required_argument, NULL, OPT_END},
    {"tap", required_argument, NULL, OPT_TAP},
    {"nofork", no_argument, NULL, 'n'},
    {"debug", no_argument, NULL, 'd'},
    {"extensive", no_argument, NULL, 'e'},
    {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, 'v'},
    {NULL, 0, NULL, 0},
};

/* All start at 1. */
static const struct number {
	int option;
	size_t offset; /* of an unsigned in struct options */
	unsigned max, otherwise;
} numbers[] = {
    {OPT_ACL_TIMEOUT, offsetof(struct options, acl_timeout_s), 3600, 10},
    {OPT_ACL_PARALLEL, offsetof(struct options, acl_parallel), 1024, 16},
    {OPT_CONNECT_TIMEOUT, offsetof(struct options, connect_timeout_s), 3600, 10},
    {OPT_HANDSHAKE_TIMEOUT, offsetof(struct options, handshake_timeout_s), 3600, 60},
    {OPT_KEEPALIVE, offsetof(struct options, keepalive_s), 10800, 60},
    {OPT_MAX_CONNECTIONS, offsetof(struct options, max_connections), 1000000, 0},
    {OPT_MAX_PER_SOURCE, offsetof(struct options, max_per_source), 1000000, 0},
    {OPT_MAX_RATE_PER_SOURCE, offsetof(struct options, max_rate_per_source), 100000, 0},
    {OPT_MAX_CALLS, offsetof(struct options, max_calls), 65535, 1000},
    {OPT_MAX_WAITING_CHECKS, offsetof(struct options, max_waiting_checks), 65535, 1000},
    {OPT_MAX_EARLY_PACKETS, offsetof(struct options, max_early_packets), 2048, 2048},
    {OPT_CAPTURE_LIMIT, offsetof(struct options, capture_limit_mib), 1048576, 100},
};
enum { NUMBERS = sizeof(numbers) / sizeof(*numbers) };

/* An option as it was given. */
struct given {
	int option;	   /* its letter or OPT_... */
	char name[32];	   /* for sentences: "-p", "--acl-mode"; of a file "proxy" */
	const char *value; /* "" where it takes none */
};

/* Values. */

static unsigned *number_in(struct options *options, const struct number *number)
{
	return (unsigned *)((char *)options + number->offset);
}

static int set_number(struct options *options, const struct number *number,
		      const struct given *given, struct why *why)
{
	size_t length = strlen(given->value);
	unsigned long value = 0;
	if (length <= 9 && strspn(given->value, "0123456789") == length)
		value = strtoul(given->value, NULL, 10);
	if (value < 1 || value > number->max)
		return why_set(why, "%s %.100s: must be 1 to %u", given->name, given->value,
			       number->max);
	*number_in(options, number) = (unsigned)value;
	return 0;
}

/* Puts the option before a sentence that is about its value. */
static int blame(const struct given *given, struct why *why)
{
	struct why reason = *why;
	return why_set(why, "%s %.80s: %s", given->name, given->value, reason.text);
}

static int no_memory(const struct given *given, struct why *why)
{
	return why_set(why, "%s %.80s: no memory", given->name, given->value);
}

static int set_text(char **text, const struct given *given, struct why *why)
{
	if (*given->value == '\0')
		return why_set(why, "%s needs a value that is not empty", given->name);
	char *copy = strdup(given->value);
	if (!copy)
		return no_memory(given, why);
	free(*text);
	*text = copy;
	return 0;
}

/* What the first three are for is known; and the number is a supervisor's, so it is small. */
static int set_ready_fd(struct options *options, const struct given *given, struct why *why)
{
	enum { FIRST = STDERR_FILENO + 1, LAST = 1023 };
	size_t length = strlen(given->value);
	unsigned long value = 0;
	if (length <= 9 && strspn(given->value, "0123456789") == length)
		value = strtoul(given->value, NULL, 10);
	if (value < FIRST || value > LAST)
		return why_set(why, "%s %.100s: must be %d to %d", given->name, given->value, FIRST,
			       LAST);
	options->ready_fd = (int)value;
	return 0;
}

static int set_acl_mode(struct options *options, const struct given *given, struct why *why)
{
	options->acl_any = strcmp(given->value, "any") == 0;
	if (!options->acl_any && strcmp(given->value, "all") != 0)
		return why_set(why, "%s %.100s: must be all or any", given->name, given->value);
	return 0;
}

static int set_fastpath(struct options *options, const struct given *given, struct why *why)
{
	static const char *const modes[] = {
	    [FASTPATH_OFF] = "off",
	    [FASTPATH_AUTO] = "auto",
	    [FASTPATH_NATIVE] = "native",
	    [FASTPATH_GENERIC] = "generic",
	};
	for (int mode = FASTPATH_OFF; mode <= FASTPATH_GENERIC; mode++) {
		if (strcmp(given->value, modes[mode]) == 0) {
			options->fastpath = (enum fastpath_mode)mode;
			options->fastpath_given = true;
			return 0;
		}
	}
	return why_set(why, "%s %.100s: must be off, auto, native or generic", given->name,
		       given->value);
}

static int set_show(struct options *options, const struct given *given, struct why *why)
{
	if (strcmp(given->value, "calls") != 0 && strcmp(given->value, "pairs") != 0 &&
	    strcmp(given->value, "totals") != 0)
		return why_set(why, "%s %.100s: must be calls, pairs or totals", given->name,
			       given->value);
	return set_text(&options->show, given, why);
}

static int set_end(struct options *options, const struct given *given, struct why *why)
{
	uint64_t connection;
	int32_t client_id;
	if (!status_call_parse(given->value, &connection, &client_id))
		return why_set(why, "%s %.100s: no call's name; as --show calls has it: 12:49750",
			       given->name, given->value);
	return set_text(&options->end_call, given, why);
}

/* One more capture, by a word of its own, too: so a shell's FILE* is all of them. */
static int add_explained(struct options *options, const char *path, struct why *why)
{
	struct given given = {.option = OPT_EXPLAIN, .name = "--explain", .value = path};
	char **paths =
	    realloc(options->explain, (options->explain_count + 1) * sizeof(*options->explain));
	if (!paths)
		return no_memory(&given, why);
	options->explain = paths;
	paths[options->explain_count] = NULL;
	if (set_text(&paths[options->explain_count], &given, why) < 0)
		return -1;
	options->explain_count++;
	return 0;
}

static int add_interface(struct options *options, const struct given *given, struct why *why)
{
	const char **interfaces = realloc(options->interfaces, (options->interface_count + 1) *
								   sizeof(*options->interfaces));
	if (!interfaces)
		return no_memory(given, why);
	options->interfaces = interfaces;
	char *interface = NULL;
	if (set_text(&interface, given, why) < 0)
		return -1;
	interfaces[options->interface_count++] = interface;
	return 0;
}

static void set_foreground(struct options *options, enum log_level level)
{
	options->foreground = true;
	if (level > options->log_level)
		options->log_level = level;
}

static int add_pair(struct options *options, const struct given *given, struct why *why)
{
	struct pair pair;
	if (pair_parse(given->value, &pair, why) < 0)
		return blame(given, why);
	struct pair *pairs =
	    realloc(options->pairs, (options->pair_count + 1) * sizeof(*options->pairs));
	if (!pairs)
		return no_memory(given, why);
	pairs[options->pair_count++] = pair;
	options->pairs = pairs;
	return 0;
}

static int set_stats(struct options *options, const struct given *given, struct why *why)
{
	struct pair_endpoint at;
	if (pair_address_parse(given->value, &at, why) < 0)
		return blame(given, why);
	options->stats = at;
	return 0;
}

static int add_command(struct options *options, const struct given *given, struct why *why)
{
	struct acl_cmd_words words;
	if (acl_cmd_split(given->value, &words, why) < 0)
		return blame(given, why);
	struct acl_cmd_words *commands =
	    realloc(options->commands, (options->command_count + 1) * sizeof(*options->commands));
	if (!commands) {
		acl_cmd_words_free(&words);
		return no_memory(given, why);
	}
	commands[options->command_count++] = words;
	options->commands = commands;
	return 0;
}

static int take_text(struct options *options, const struct given *given, struct why *why)
{
	switch (given->option) {
	case 'c':
		return set_text(&options->config, given, why);
	case 'l':
		return set_text(&options->log_file, given, why);
	case OPT_PID_FILE:
		return set_text(&options->pid_file, given, why);
	case OPT_CONTROL:
		return set_text(&options->control, given, why);
	case OPT_USER:
		return set_text(&options->user, given, why);
	case OPT_EXPLAIN:
		return add_explained(options, given->value, why);
	case WORD:
		if (options->explain_count > 0)
			return add_explained(options, given->value, why);
		return why_set(why, "unexpected word '%.100s'", given->value);
	case OPT_TAP:
		return set_text(&options->tap, given, why);
	case OPT_CAPTURE:
		return set_text(&options->capture, given, why);
	default:
		return why_set(why, "unexpected word '%.100s'", given->value);
	}
}

static int take(struct options *options, const struct given *given, struct why *why)
{
	for (int i = 0; i < NUMBERS; i++) {
		if (numbers[i].option == given->option)
			return set_number(options, &numbers[i], given, why);
	}
	switch (given->option) {
	case 'p':
		return add_pair(options, given, why);
	case 'a':
		return acl_add(&options->acl, given->value, why) < 0 ? blame(given, why) : 0;
	case 'x':
		return add_command(options, given, why);
	case 'n':
		set_foreground(options, LOG_LEVEL_INFO);
		return 0;
	case 'd':
		set_foreground(options, LOG_LEVEL_DEBUG);
		return 0;
	case 'e':
		set_foreground(options, LOG_LEVEL_DUMP);
		return 0;
	case OPT_CHECK:
		options->check = true;
		return 0;
	case OPT_SHOW:
		return set_show(options, given, why);
	case OPT_JSON:
		options->json = true;
		return 0;
	case OPT_WATCH:
		options->watch = true;
		return 0;
	case OPT_END:
		return set_end(options, given, why);
	case OPT_READY_FD:
		return set_ready_fd(options, given, why);
	case OPT_STATS:
		return set_stats(options, given, why);
	case OPT_DOCTOR_CALL:
		options->doctor_call = true;
		/* fall through */
	case OPT_DOCTOR:
		options->doctor = true;
		return 0;
	case OPT_ACL_MODE:
		return set_acl_mode(options, given, why);
	case OPT_FASTPATH:
		return set_fastpath(options, given, why);
	case OPT_FASTPATH_INTERFACE:
		return add_interface(options, given, why);
	default:
		return take_text(options, given, why);
	}
}

/* What getopt does not understand. */

static int count_matches(const char *name, size_t length)
{
	int count = 0;
	for (const struct option *option = long_options; option->name; option++)
		if (strncmp(option->name, name, length) == 0)
			count++;
	return count;
}

/* The whole name for what getopt stumbled over: "-p" or "--proxy". */
static void explain(int answer, const char *word, struct why *why)
{
	const char *name = strncmp(word, "--", 2) == 0 ? word + 2 : NULL;
	int length = name ? (int)strcspn(name, "=") : 0;
	if (answer == ':' && name)
		why_set(why, "option --%.*s needs a value", length > 100 ? 100 : length, name);
	else if (answer == ':')
		why_set(why, "option -%c needs a value", optopt);
	else if (!name)
		why_set(why, "unknown option -%c", optopt);
	else if (optopt != 0)
		why_set(why, "option --%.*s takes no value", length > 100 ? 100 : length, name);
	else if (count_matches(name, (size_t)length) > 1)
		why_set(why, "option --%.100s is ambiguous", name);
	else
		why_set(why, "unknown option --%.100s", name);
}

/* Words. */

/* The next option among the words, as getopt_long answers; *at is the word that it is in. */
static int next_option(int argc, char **argv, int *at)
{
	/* getopt moves on while it reads the word. */
	*at = optind > 0 ? optind : 1;
	return getopt_long(argc, argv, short_options, long_options, NULL);
}

static void start_over(void)
{
	opterr = 0;
	/* Not 1: glibc then starts anew, even in the middle of a word of the last time. */
	optind = 0;
}

const char *options_config(int argc, char **argv)
{
	const char *path = NULL;
	int option, at;
	start_over();
	while ((option = next_option(argc, argv, &at)) != -1) {
		if (option == 'c')
			path = *optarg != '\0' ? optarg : NULL;
	}
	return path;
}

/* By its letter if it has one, however it was given. */
static void name_given(struct given *given)
{
	const struct option *option = long_options;
	if (given->option < OPT_ACL_MODE) {
		snprintf(given->name, sizeof(given->name), "-%c", given->option);
		return;
	}
	while (option->val != given->option)
		option++;
	snprintf(given->name, sizeof(given->name), "--%s", option->name);
}

static int take_option(struct options *options, int option, struct why *why)
{
	struct given given = {.option = option, .value = optarg ? optarg : ""};
	name_given(&given);
	return take(options, &given, why);
}

/* What an error is to be told with, and how; it may stand behind what is bad. */
static bool matters_to_errors(int option)
{
	return option == 'l' || option == OPT_CHECK || option == OPT_DOCTOR ||
	       option == OPT_DOCTOR_CALL;
}

/* Those that a question to a running instance may have beside it. */
static bool goes_with_questions(int option)
{
	return option == 'c' || option == OPT_CONTROL || option == OPT_SHOW || option == OPT_JSON ||
	       option == OPT_WATCH || option == OPT_END || option == OPT_TAP;
}

static bool goes_with_tap(int option)
{
	return option == OPT_CAPTURE || option == OPT_CAPTURE_LIMIT;
}

/* The first options of the words that do not go with questions. */
struct others {
	struct given any, but_with_tap;
};

static void note_other(struct others *others, int option)
{
	struct given *other = goes_with_tap(option) ? &others->but_with_tap : &others->any;
	if (other->option != 0 || goes_with_questions(option))
		return;
	other->option = option;
	name_given(other);
}

static enum options_answer take_words(struct options *options, int argc, char **argv,
				      struct others *others, struct why *why)
{
	struct why ignored;
	bool bad = false;
	int option, at;
	start_over();
	while ((option = next_option(argc, argv, &at)) != -1) {
		options->asks =
		    options->asks || option == OPT_SHOW || option == OPT_END || option == OPT_TAP;
		if (bad) {
			if (matters_to_errors(option))
				take_option(options, option, &ignored);
			continue;
		}
		if (option == 'h')
			return OPTIONS_HELP;
		if (option == 'v')
			return OPTIONS_VERSION;
		if (option == '?' || option == ':') {
			explain(option, argv[at], why);
			bad = true;
		} else if (take_option(options, option, why) < 0) {
			bad = true;
		} else {
			note_other(others, option);
		}
	}
	if (!bad && optind < argc) {
		/* What follows "--". */
		why_set(why, "unexpected word '%.100s'", argv[optind]);
		bad = true;
	}
	return bad ? OPTIONS_BAD : OPTIONS_RUN;
}

/* Of good words: is there any but this option, which does something of its own? */
static int check_alone(int alone, int argc, char **argv, struct why *why)
{
	struct given own = {.option = alone}, given;
	int at;
	name_given(&own);
	start_over();
	while ((given.option = next_option(argc, argv, &at)) != -1) {
		if (given.option == alone || given.option == WORD)
			continue;
		name_given(&given);
		return why_set(why, "%s: %s cannot stand beside it", own.name, given.name);
	}
	return 0;
}

/* The file. */

/* No abbreviations: what is unambiguous today need not be so tomorrow. */
static const struct option *find_option(const char *name)
{
	for (const struct option *option = long_options; option->name; option++)
		if (strcmp(option->name, name) == 0)
			return option;
	return NULL;
}

static int reject_name(const char *name, struct why *why)
{
	if (name[0] == '-')
		return why_set(why, "'%.100s': an option stands here without its dashes", name);
	if (strchr(name, '='))
		return why_set(why, "'%.100s': a blank is between option and value, not '='", name);
	return why_set(why, "unknown option '%.100s'", name);
}

/* What is asked of this one process, or of a running one. */
static const int words_only[] = {
    'c',       'h',	'v',	 OPT_CHECK,   OPT_READY_FD, OPT_SHOW,	     OPT_JSON,
    OPT_WATCH, OPT_END, OPT_TAP, OPT_EXPLAIN, OPT_DOCTOR,   OPT_DOCTOR_CALL,
};

static bool is_for_words_only(const struct option *option)
{
	for (size_t i = 0; i < sizeof(words_only) / sizeof(*words_only); i++) {
		if (words_only[i] == option->val)
			return true;
	}
	return false;
}

static int check_value(const struct option *option, const struct given *given, struct why *why)
{
	if (option->has_arg == no_argument && *given->value != '\0')
		return why_set(why, "option %s takes no value", given->name);
	if (option->has_arg != no_argument && *given->value == '\0')
		return why_set(why, "option %s needs a value", given->name);
	if (*given->value == '=')
		return why_set(why, "option %s: a blank is between option and value, not '='",
			       given->name);
	/* Out of habit from the shell; it would become part of a file's name. */
	if (given->option != 'x' && (*given->value == '"' || *given->value == '\''))
		return why_set(why, "%s %.100s: only commands have quotes here", given->name,
			       given->value);
	return 0;
}

/* errors_only: there was a bad line before. */
static int take_line(struct options *options, struct options_reader *reader, bool errors_only,
		     struct why *why)
{
	const struct option *option = find_option(reader->name);
	if (!option)
		return reject_name(reader->name, why);
	if (is_for_words_only(option))
		return why_set(why, "option %s is for the command line only", option->name);
	if (errors_only && !matters_to_errors(option->val))
		return 0;
	struct given given = {
	    .option = option->val,
	    .value = options_file_value(reader->rest, option->val == 'x'),
	};
	snprintf(given.name, sizeof(given.name), "%s", option->name);
	return check_value(option, &given, why) < 0 ? -1 : take(options, &given, why);
}

static int take_file(struct options *options, const struct options_file *file, struct why *why)
{
	struct options_reader reader = {.file = file};
	struct why ignored;
	bool bad = false;
	int found;
	while ((found = options_file_next(&reader, bad ? &ignored : why)) != 0) {
		if (found > 0 && take_line(options, &reader, bad, bad ? &ignored : why) < 0) {
			found = -1;
			options_file_blame(&reader, bad ? &ignored : why);
		}
		bad = bad || found < 0;
	}
	return bad ? -1 : 0;
}

/* Both. */

/* Names may be any address; the worker sees to those. */
static int check_stats(const struct options *options, struct why *why)
{
	for (size_t i = 0; options->stats.port != 0 && i < options->pair_count; i++) {
		char text[PAIR_TEXT_MAX], other[PAIR_TEXT_MAX];
		if (pair_conflict(&options->stats, &options->pairs[i].listen))
			return why_set(why,
				       "--stats %.80s: it conflicts with a pair's listen "
				       "address, %.80s",
				       pair_endpoint_text(&options->stats, text),
				       pair_endpoint_text(&options->pairs[i].listen, other));
	}
	return 0;
}

/* Each would spoil the other, the log a capture, say. Only names are compared: this is no look at
 * the disk. */
static int check_files(const struct options *options, struct why *why)
{
	const struct {
		const char *option, *path;
	} files[] = {
	    {"-l", options->log_file},
	    {"--pid-file", options->pid_file},
	    {"--capture", options->capture},
	    {"--control", options->control[0] != '@' ? options->control : NULL},
	};
	enum { FILES = sizeof(files) / sizeof(*files) };
	for (int i = 0; i < FILES; i++) {
		for (int k = 0; k < i; k++) {
			if (files[i].path && files[k].path &&
			    strcmp(files[i].path, files[k].path) == 0)
				return why_set(why, "%s %.100s: %s has the same file",
					       files[i].option, files[i].path, files[k].option);
		}
	}
	return 0;
}

static int check_whole(const struct options *options, const struct options_file *file,
		       struct why *why)
{
	if (options->json || options->watch)
		return why_set(why, "%s: it goes with --show only",
			       options->json ? "--json" : "--watch");
	if (options->capture && strcmp(options->capture, "-") == 0)
		return why_set(why, "--capture -: standard output goes with --tap only");
	if (check_files(options, why) < 0)
		return -1;
	/* With an off that was asked for they may stay where they are. */
	if (options->interface_count > 0 && !options->fastpath_given)
		return why_set(
		    why, "--fastpath-interface %.100s: it needs --fastpath auto, native or generic",
		    options->interfaces[0]);
	/* The host can be looked at without. */
	if (options->pair_count == 0 && options->doctor)
		return 0;
	if (options->pair_count == 0 && file)
		return why_set(why,
			       "nothing to forward: at least one -p is needed, or a line with "
			       "proxy in %.100s",
			       file->path);
	if (options->pair_count == 0)
		return why_set(why, "nothing to forward: at least one -p is needed (try --help)");
	return check_stats(options, why);
}

/* Of what asks a running instance. */
static enum options_answer check_question(const struct options *options,
					  const struct others *others, struct why *why)
{
	const char *question = options->show ? "--show" : options->end_call ? "--end" : "--tap";
	const struct given *other =
	    others->any.option == 0 && !options->tap ? &others->but_with_tap : &others->any;
	if (options->show && options->end_call)
		why_set(why, "--end: it does not go with --show");
	else if (options->tap && (options->show || options->end_call))
		why_set(why, "--tap: it does not go with %s", question);
	else if (other->option != 0)
		why_set(why, "%s: it does not go with %s", other->name, question);
	else if (options->show && options->json && options->watch)
		why_set(why, "--watch: it does not go with --json");
	else if (!options->show && (options->json || options->watch))
		why_set(why, "%s: it does not go with %s", options->json ? "--json" : "--watch",
			question);
	else if (options->tap && !options->capture)
		why_set(why, "--tap %.100s: it needs --capture FILE, or - for standard output",
			options->tap);
	else
		return options->show ? OPTIONS_SHOW : options->tap ? OPTIONS_TAP : OPTIONS_END;
	return OPTIONS_BAD;
}

static int set_defaults(struct options *options, struct why *why)
{
	*options = (struct options){
	    .log_level = LOG_LEVEL_INFO,
	    .ready_fd = -1,
	    .control = strdup("@pptpproxy"),
	};
	for (int i = 0; i < NUMBERS; i++)
		*number_in(options, &numbers[i]) = numbers[i].otherwise;
	return options->control ? 0 : why_set(why, "no memory for the options");
}

/* What the file has is the instance's that is asked, and not to be written by somebody else. */
static void use_files_capture(struct options *options, char *capture)
{
	if (!options->capture && !options->tap)
		options->capture = capture;
	else
		free(capture);
}

enum options_answer options_parse(struct options *options, int argc, char **argv,
				  const struct options_file *file, struct why *why)
{
	struct others others = {0};
	struct why file_why;
	if (set_defaults(options, why) < 0)
		return OPTIONS_BAD;
	bool file_bad = file && take_file(options, file, &file_why) < 0;
	char *files_capture = options->capture;
	options->capture = NULL;
	enum options_answer answer = take_words(options, argc, argv, &others, why);
	use_files_capture(options, files_capture);
	if (answer != OPTIONS_RUN)
		return answer;
	if (options->explain_count > 0)
		return check_alone(OPT_EXPLAIN, argc, argv, why) < 0 ? OPTIONS_BAD
								     : OPTIONS_EXPLAIN;
	if (file_bad)
		*why = file_why;
	if (!file_bad && (options->show || options->end_call || options->tap))
		return check_question(options, &others, why);
	if (file_bad || check_whole(options, file, why) < 0)
		return OPTIONS_BAD;
	if (options->doctor)
		return OPTIONS_DOCTOR;
	return options->check ? OPTIONS_CHECK : OPTIONS_RUN;
}

void options_clear(struct options *options)
{
	free(options->pairs);
	acl_clear(&options->acl);
	for (size_t i = 0; i < options->command_count; i++)
		acl_cmd_words_free(&options->commands[i]);
	free(options->commands);
	for (size_t i = 0; i < options->interface_count; i++)
		free((char *)options->interfaces[i]);
	free(options->interfaces);
	free(options->config);
	free(options->log_file);
	free(options->pid_file);
	free(options->control);
	free(options->user);
	free(options->show);
	free(options->end_call);
	for (size_t i = 0; i < options->explain_count; i++)
		free(options->explain[i]);
	free(options->explain);
	free(options->tap);
	free(options->capture);
	*options = (struct options){0};
}
