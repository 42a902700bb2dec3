#include "options/options_take.h"

#include "status/status_call.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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

static unsigned *number_in(struct options *options, const struct number *number)
{
	return (unsigned *)((char *)options + number->offset);
}

int options_take_defaults(struct options *options, struct why *why)
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

static int set_number(struct options *options, const struct number *number,
		      const struct options_given *given, struct why *why)
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
static int blame(const struct options_given *given, struct why *why)
{
	struct why reason = *why;
	return why_set(why, "%s %.80s: %s", given->name, given->value, reason.text);
}

static int no_memory(const struct options_given *given, struct why *why)
{
	return why_set(why, "%s %.80s: no memory", given->name, given->value);
}

static int set_text(char **text, const struct options_given *given, struct why *why)
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
static int set_ready_fd(struct options *options, const struct options_given *given, struct why *why)
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

static int set_acl_mode(struct options *options, const struct options_given *given, struct why *why)
{
	options->acl_any = strcmp(given->value, "any") == 0;
	if (!options->acl_any && strcmp(given->value, "all") != 0)
		return why_set(why, "%s %.100s: must be all or any", given->name, given->value);
	return 0;
}

static int set_fastpath(struct options *options, const struct options_given *given, struct why *why)
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

static int set_show(struct options *options, const struct options_given *given, struct why *why)
{
	if (strcmp(given->value, "calls") != 0 && strcmp(given->value, "pairs") != 0 &&
	    strcmp(given->value, "totals") != 0)
		return why_set(why, "%s %.100s: must be calls, pairs or totals", given->name,
			       given->value);
	return set_text(&options->show, given, why);
}

static int set_end(struct options *options, const struct options_given *given, struct why *why)
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
	struct options_given given = {.option = OPT_EXPLAIN, .name = "--explain", .value = path};
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

static int add_interface(struct options *options, const struct options_given *given,
			 struct why *why)
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

static int add_pair(struct options *options, const struct options_given *given, struct why *why)
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

static int set_stats(struct options *options, const struct options_given *given, struct why *why)
{
	struct pair_endpoint at;
	if (pair_address_parse(given->value, &at, why) < 0)
		return blame(given, why);
	options->stats = at;
	return 0;
}

static int add_command(struct options *options, const struct options_given *given, struct why *why)
{
	struct acl_cmd_words words;
	if (acl_cmd_split(given->value, &words, why) < 0)
		return blame(given, why);
	size_t count = options->command_count + 1;
	struct acl_cmd_words *commands =
	    realloc(options->commands, count * sizeof(*options->commands));
	if (commands)
		options->commands = commands;
	unsigned *lines = realloc(options->command_lines, count * sizeof(*lines));
	if (lines)
		options->command_lines = lines;
	if (!commands || !lines) {
		acl_cmd_words_free(&words);
		return no_memory(given, why);
	}
	commands[options->command_count] = words;
	lines[options->command_count++] = given->line;
	return 0;
}

static int take_text(struct options *options, const struct options_given *given, struct why *why)
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
	case OPT_WORD:
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

static int take(struct options *options, const struct options_given *given, struct why *why)
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

static void note_line(struct options *options, const struct options_given *given)
{
	const struct {
		int option;
		unsigned *line;
	} noted[] = {
	    {'l', &options->lines.log_file},
	    {OPT_PID_FILE, &options->lines.pid_file},
	    {OPT_CAPTURE, &options->lines.capture},
	    {OPT_CONTROL, &options->lines.control},
	    {OPT_STATS, &options->lines.stats},
	    {OPT_FASTPATH_INTERFACE,
	     options->interface_count == 1 ? &options->lines.interface : NULL},
	};
	for (size_t i = 0; i < sizeof(noted) / sizeof(*noted); i++) {
		if (noted[i].option == given->option && noted[i].line)
			*noted[i].line = given->line;
	}
}

int options_take(struct options *options, const struct options_given *given, struct why *why)
{
	if (take(options, given, why) < 0)
		return -1;
	note_line(options, given);
	return 0;
}
