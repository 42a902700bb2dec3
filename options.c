#include "options.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VERSION "3.0.0"

const char options_version[] = "pptpproxy " VERSION;

const char options_help[] =
    "usage: pptpproxy [options] -p [listenAddress[:port],]peerAddress[:port] ...\n"
    "Forwards PPTP calls through a firewall.\n"
    "\n"
    "  -p, --proxy PAIR           listen here, dial there; repeatable\n"
    "                             (listen address 0.0.0.0, ports 1723 unless given)\n"
    "  -a, --acl SUBNET/MASK      an allowed source; also 10.0.0.0/8, 10.1.2.3\n"
    "  -x, --aclCmd 'CMD [WORD]'  a command that allows a source by exit status 0\n"
    "      --acl-mode all|any     with -a and -x: both must allow, or one\n"
    "      --acl-timeout S        deadline of one command (10)\n"
    "      --acl-parallel N       commands at once (16)\n"
    "      --connect-timeout S    deadline for reaching the peer (10)\n"
    "      --handshake-timeout S  deadline for a client's start of a connection (60)\n"
    "      --keepalive S          idle time before a TCP peer is probed (60)\n"
    "      --fastpath MODE        calls in the kernel: auto, native, generic (off)\n"
    "      --fastpath-interface IF  only there; repeatable\n"
    "  -l, --log FILE             log there; reopened on SIGHUP\n"
    "      --pid-file FILE        write the pid there\n"
    "      --control NAME         control socket, @NAME or a path (@pptpproxy)\n"
    "  -n, --nofork               stay in the foreground, log to standard output\n"
    "  -d, --debug                as -n, with every message and decision\n"
    "  -e, --extensive            as -d, with a dump of every packet\n"
    "  -h, --help                 this text\n"
    "  -v, --version              the version\n";

/* Values of options that have no letter. */
enum {
	OPT_ACL_MODE = 256,
	OPT_ACL_TIMEOUT,
	OPT_ACL_PARALLEL,
	OPT_CONNECT_TIMEOUT,
	OPT_HANDSHAKE_TIMEOUT,
	OPT_KEEPALIVE,
	OPT_PID_FILE,
	OPT_CONTROL,
	OPT_FASTPATH,
	OPT_FASTPATH_INTERFACE,
};

/* '-': words that are no options come as the value 1, where they stand; ':': a missing value is
 * told apart from an unknown option. */
static const char short_options[] = "-:p:a:x:l:ndehv";

static const struct option long_options[] = {
    {"proxy", required_argument, NULL, 'p'},
    {"acl", required_argument, NULL, 'a'},
    {"aclCmd", required_argument, NULL, 'x'},
    {"acl-cmd", required_argument, NULL, 'x'},
    {"acl-mode", required_argument, NULL, OPT_ACL_MODE},
    {"acl-timeout", required_argument, NULL, OPT_ACL_TIMEOUT},
    {"acl-parallel", required_argument, NULL, OPT_ACL_PARALLEL},
    {"connect-timeout", required_argument, NULL, OPT_CONNECT_TIMEOUT},
    {"handshake-timeout", required_argument, NULL, OPT_HANDSHAKE_TIMEOUT},
    {"keepalive", required_argument, NULL, OPT_KEEPALIVE},
    {"pid-file", required_argument, NULL, OPT_PID_FILE},
    {"control", required_argument, NULL, OPT_CONTROL},
    {"fastpath", required_argument, NULL, OPT_FASTPATH},
    {"fastpath-interface", required_argument, NULL, OPT_FASTPATH_INTERFACE},
    {"log", required_argument, NULL, 'l'},
    {"nofork", no_argument, NULL, 'n'},
    {"debug", no_argument, NULL, 'd'},
    {"extensive", no_argument, NULL, 'e'},
    {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, 'v'},
    {NULL, 0, NULL, 0},
};

/* Values. */

static int set_number(unsigned *number, const char *name, unsigned max, struct why *why)
{
	size_t length = strlen(optarg);
	unsigned long value = 0;
	if (length <= 9 && strspn(optarg, "0123456789") == length)
		value = strtoul(optarg, NULL, 10);
	if (value < 1 || value > max)
		return why_set(why, "%s %.100s: must be 1 to %u", name, optarg, max);
	*number = (unsigned)value;
	return 0;
}

static int set_word(const char **word, const char *name, struct why *why)
{
	if (*optarg == '\0')
		return why_set(why, "%s needs a value that is not empty", name);
	*word = optarg;
	return 0;
}

static int set_acl_mode(struct options *options, struct why *why)
{
	options->acl_any = strcmp(optarg, "any") == 0;
	if (!options->acl_any && strcmp(optarg, "all") != 0)
		return why_set(why, "--acl-mode %.100s: must be all or any", optarg);
	return 0;
}

static int set_fastpath(struct options *options, struct why *why)
{
	static const char *const modes[] = {
	    [FASTPATH_OFF] = "off",
	    [FASTPATH_AUTO] = "auto",
	    [FASTPATH_NATIVE] = "native",
	    [FASTPATH_GENERIC] = "generic",
	};
	for (int mode = FASTPATH_OFF; mode <= FASTPATH_GENERIC; mode++) {
		if (strcmp(optarg, modes[mode]) == 0) {
			options->fastpath = (enum fastpath_mode)mode;
			return 0;
		}
	}
	return why_set(why, "--fastpath %.100s: must be off, auto, native or generic", optarg);
}

static int add_interface(struct options *options, struct why *why)
{
	const char *word = NULL;
	if (set_word(&word, "--fastpath-interface", why) != 0)
		return -1;
	const char **interfaces = realloc(options->interfaces, (options->interface_count + 1) *
								   sizeof(*options->interfaces));
	if (!interfaces)
		return why_set(why, "--fastpath-interface %.80s: no memory", word);
	interfaces[options->interface_count++] = word;
	options->interfaces = interfaces;
	return 0;
}

static void set_foreground(struct options *options, enum log_level level)
{
	options->foreground = true;
	if (level > options->log_level)
		options->log_level = level;
}

/* Puts the option before a sentence that is about its value. */
static int blame(const char *name, struct why *why)
{
	struct why reason = *why;
	return why_set(why, "%s %.80s: %s", name, optarg, reason.text);
}

static int add_pair(struct options *options, struct why *why)
{
	struct pair pair;
	if (pair_parse(optarg, &pair, why) < 0)
		return blame("-p", why);
	struct pair *pairs =
	    realloc(options->pairs, (options->pair_count + 1) * sizeof(*options->pairs));
	if (!pairs)
		return why_set(why, "-p %.80s: no memory", optarg);
	pairs[options->pair_count++] = pair;
	options->pairs = pairs;
	return 0;
}

static int add_command(struct options *options, struct why *why)
{
	struct acl_cmd_words words;
	if (acl_cmd_split(optarg, &words, why) < 0)
		return blame("-x", why);
	struct acl_cmd_words *commands =
	    realloc(options->commands, (options->command_count + 1) * sizeof(*options->commands));
	if (!commands) {
		acl_cmd_words_free(&words);
		return why_set(why, "-x %.80s: no memory", optarg);
	}
	commands[options->command_count++] = words;
	options->commands = commands;
	return 0;
}

static int take(struct options *options, int option, struct why *why)
{
	switch (option) {
	case 'p':
		return add_pair(options, why);
	case 'a':
		return acl_add(&options->acl, optarg, why) < 0 ? blame("-a", why) : 0;
	case 'x':
		return add_command(options, why);
	case 'l':
		return set_word(&options->log_file, "-l", why);
	case 'n':
		set_foreground(options, LOG_LEVEL_INFO);
		return 0;
	case 'd':
		set_foreground(options, LOG_LEVEL_DEBUG);
		return 0;
	case 'e':
		set_foreground(options, LOG_LEVEL_DUMP);
		return 0;
	case OPT_ACL_MODE:
		return set_acl_mode(options, why);
	case OPT_ACL_TIMEOUT:
		return set_number(&options->acl_timeout_s, "--acl-timeout", 3600, why);
	case OPT_ACL_PARALLEL:
		return set_number(&options->acl_parallel, "--acl-parallel", 1024, why);
	case OPT_CONNECT_TIMEOUT:
		return set_number(&options->connect_timeout_s, "--connect-timeout", 3600, why);
	case OPT_HANDSHAKE_TIMEOUT:
		return set_number(&options->handshake_timeout_s, "--handshake-timeout", 3600, why);
	case OPT_KEEPALIVE:
		return set_number(&options->keepalive_s, "--keepalive", 10800, why);
	case OPT_PID_FILE:
		return set_word(&options->pid_file, "--pid-file", why);
	case OPT_CONTROL:
		return set_word(&options->control, "--control", why);
	case OPT_FASTPATH:
		return set_fastpath(options, why);
	case OPT_FASTPATH_INTERFACE:
		return add_interface(options, why);
	default:
		return why_set(why, "unexpected word '%.100s'", optarg);
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

static enum options_answer parse(struct options *options, int argc, char **argv, struct why *why)
{
	opterr = 0;
	/* Not 1: glibc then starts anew, even in the middle of a word of the last time. */
	optind = 0;
	struct why ignored;
	bool bad = false;
	for (;;) {
		/* The word that the next option is in; getopt moves on while it reads it. */
		int at = optind > 0 ? optind : 1;
		int option = getopt_long(argc, argv, short_options, long_options, NULL);
		if (option == -1)
			break;
		if (bad) {
			/* Where the log is may stand behind what it is to be told of. */
			if (option == 'l')
				take(options, option, &ignored);
			continue;
		}
		if (option == 'h')
			return OPTIONS_HELP;
		if (option == 'v')
			return OPTIONS_VERSION;
		if (option == '?' || option == ':') {
			explain(option, argv[at], why);
			bad = true;
		} else if (take(options, option, why) < 0) {
			bad = true;
		}
	}
	if (bad)
		return OPTIONS_BAD;
	if (optind < argc) {
		/* What follows "--". */
		why_set(why, "unexpected word '%.100s'", argv[optind]);
		return OPTIONS_BAD;
	}
	if (options->interface_count > 0 && options->fastpath == FASTPATH_OFF) {
		why_set(why,
			"--fastpath-interface %.100s: it needs --fastpath auto, native or generic",
			options->interfaces[0]);
		return OPTIONS_BAD;
	}
	if (options->pair_count == 0) {
		why_set(why, "nothing to forward: at least one -p is needed (try --help)");
		return OPTIONS_BAD;
	}
	return OPTIONS_RUN;
}

enum options_answer options_parse(struct options *options, int argc, char **argv, struct why *why)
{
	*options = (struct options){
	    .log_level = LOG_LEVEL_INFO,
	    .control = "@pptpproxy",
	    .acl_timeout_s = 10,
	    .acl_parallel = 16,
	    .connect_timeout_s = 10,
	    .handshake_timeout_s = 60,
	    .keepalive_s = 60,
	};
	return parse(options, argc, argv, why);
}

void options_clear(struct options *options)
{
	free(options->pairs);
	free(options->interfaces);
	acl_clear(&options->acl);
	for (size_t i = 0; i < options->command_count; i++)
		acl_cmd_words_free(&options->commands[i]);
	free(options->commands);
	*options = (struct options){0};
}
