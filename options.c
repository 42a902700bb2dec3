#include "options.h"

#include "options/options_check.h"
#include "options/options_own.h"
#include "options/options_take.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VERSION "3.0.0"

const char options_version[] = "pptpproxy " VERSION;

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
static void name_given(struct options_given *given)
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
	struct options_given given = {.option = option, .value = optarg ? optarg : ""};
	name_given(&given);
	return options_take(options, &given, why);
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

static void note_other(struct options_others *others, int option)
{
	struct options_given *other = goes_with_tap(option) ? &others->but_with_tap : &others->any;
	if (other->option != 0 || goes_with_questions(option))
		return;
	other->option = option;
	name_given(other);
}

static enum options_answer take_words(struct options *options, int argc, char **argv,
				      struct options_others *others, struct why *why)
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
	/* What follows "--": more captures, whose names may begin with a dash, or nothing. */
	for (; !bad && optind < argc; optind++) {
		const struct options_given word = {.option = OPT_WORD, .value = argv[optind]};
		bad = options_take(options, &word, why) < 0;
	}
	return bad ? OPTIONS_BAD : OPTIONS_RUN;
}

/* Of good words: is there any but this option, which does something of its own? */
static int check_alone(int alone, int argc, char **argv, struct why *why)
{
	struct options_given own = {.option = alone}, given;
	int at;
	name_given(&own);
	start_over();
	while ((given.option = next_option(argc, argv, &at)) != -1) {
		if (given.option == alone || given.option == OPT_WORD)
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

static int check_value(const struct option *option, const struct options_given *given,
		       struct why *why)
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
	struct options_given given = {
	    .option = option->val,
	    .value = options_file_value(reader->rest, option->val == 'x'),
	    .line = reader->number,
	};
	snprintf(given.name, sizeof(given.name), "%s", option->name);
	return check_value(option, &given, why) < 0 ? -1 : options_take(options, &given, why);
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
			options_file_blame(file, reader.number, bad ? &ignored : why);
		}
		bad = bad || found < 0;
	}
	return bad ? -1 : 0;
}

/* Both. */

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
	struct options_others others = {0};
	struct why file_why;
	if (options_take_defaults(options, why) < 0)
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
		return options_check_question(options, &others, why);
	if (file_bad || options_check_whole(options, file, why) < 0)
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
	free(options->command_lines);
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
