/*
 * options: words (argv, and the lines of a configuration file) -> one struct, or one sentence that
 * names the bad word. Pure: prints nothing, opens nothing; who calls reads the file. getopt is in
 * it: one thread at a time.
 */
#ifndef OPTIONS_H
#define OPTIONS_H

#include "acl.h"
#include "acl_cmd.h"
#include "fastpath/fastpath.h"
#include "host/log.h"
#include "host/why.h"
#include "options/options_file.h"
#include "pair.h"

#include <stdbool.h>
#include <stddef.h>

enum options_answer {
	OPTIONS_RUN,
	OPTIONS_CHECK,
	OPTIONS_SHOW,
	OPTIONS_TAP,
	OPTIONS_END,
	OPTIONS_EXPLAIN,
	OPTIONS_DOCTOR,
	OPTIONS_HELP,
	OPTIONS_VERSION,
	OPTIONS_BAD,
};

/* Which line of the file has what counts, from 1; 0: it is of a word, or the default. For sentences
 * about what does not go together. */
struct options_lines {
	unsigned log_file, pid_file, capture, control, stats, interface; /* interface: the first */
};

/* Everything that a pointer leads to is the struct's own. */
struct options {
	struct pair *pairs; /* in the order given */
	size_t pair_count;
	struct acl acl;
	struct acl_cmd_words *commands; /* split, not yet looked up */
	size_t command_count;
	unsigned *command_lines; /* of the file, each command's; 0: a word */
	bool acl_any; /* --acl-mode any: a rule or a command is enough; else both where both are
			 given */
	bool check;   /* --check was given */
	bool doctor;  /* --doctor or --doctor-call was */
	bool doctor_call;
	bool asks;		      /* --show, --end or --tap was among the words, good or bad */
	char *show;		      /* --show: "calls", "pairs" or "totals"; else NULL */
	bool json, watch;	      /* with --show, not both */
	char *end_call;		      /* --end: a call's name, see status_call.h; else NULL */
	bool foreground;	      /* -n, -d or -e */
	enum log_level log_level;     /* info; debug with -d; dump with -e */
	char *config;		      /* path of the configuration file, or NULL */
	char *log_file;		      /* NULL: standard output in the foreground, else syslog */
	char *pid_file;		      /* or NULL */
	int ready_fd;		      /* descriptor to write a newline to, 3 to 1023; -1: none */
	char *control;		      /* "@NAME" or a path; default "@pptpproxy" */
	char **explain;		      /* paths of captures to tell of, and nothing else */
	size_t explain_count;	      /* 0: there is nothing to tell of */
	struct pair_endpoint stats;   /* where the status page is; port 0: nowhere */
	char *user;		      /* whom to become; NULL: the default of whoever does it */
	unsigned acl_timeout_s;	      /* 1 to 3600, default 10 */
	unsigned acl_parallel;	      /* 1 to 1024, default 16 */
	unsigned connect_timeout_s;   /* 1 to 3600, default 10 */
	unsigned handshake_timeout_s; /* 1 to 3600, default 60 */
	unsigned keepalive_s;	      /* 1 to 10800, default 60 */
	/* Of clients' connections; 1 to 1000000. */
	unsigned max_connections; /* default 0: as the limit of descriptors allows */
	unsigned max_per_source;  /* default 0: off */
	/* New ones in a second; 1 to 100000, default 0: off. */
	unsigned max_rate_per_source;
	unsigned max_calls;	     /* of one connection; 1 to 65535, default 1000 */
	unsigned max_waiting_checks; /* clients that wait for commands; 1 to 65535, default 1000 */
	unsigned max_early_packets;  /* 1 to 2048, default 2048 */
	enum fastpath_mode fastpath; /* default off */
	bool fastpath_given;	     /* --fastpath was, if only as off */
	const char **interfaces;     /* of --fastpath-interface */
	size_t interface_count;
	char *tap;		    /* --tap: a call, a client, "all"; else NULL */
	char *capture;		    /* path of the file for Wireshark, or NULL */
	unsigned capture_limit_mib; /* of its size; 1 to 1048576, default 100 */
	struct options_lines lines;
};

/* The path of -c among the words, the last one's, or NULL; into argv. Says nothing about words that
 * are bad. */
const char *options_config(int argc, char **argv);

/* Fills *options with the defaults, then what the file says (NULL: there is none), then what the
 * words say: lists go on, of single values the words' counts, switches count wherever they stand.
 *
 * OPTIONS_CHECK: as OPTIONS_RUN, but --check was given. OPTIONS_SHOW, OPTIONS_END: questions to a
 * running instance; what counts beside show, json, watch and end_call is control. OPTIONS_TAP: the
 * same with tap; capture, which is then of the words, and capture_limit_mib. OPTIONS_EXPLAIN:
 * explain was given, and nothing else. OPTIONS_DOCTOR: --doctor was; there may be no pair then.
 * OPTIONS_BAD: the sentence about the first bad word is in why, or if all words are good, about the
 * file's first bad line; log_file, check and asks are set all the same if they were given.
 * OPTIONS_HELP, OPTIONS_VERSION: whatever the file says. In every case options_clear is called
 * afterwards by the caller. */
enum options_answer options_parse(struct options *options, int argc, char **argv,
				  const struct options_file *file, struct why *why);
void options_clear(struct options *options);

extern const char options_help[];    /* the text of --help, no line of which has 80 columns */
extern const char options_version[]; /* "pptpproxy X.Y.Z" */

#endif
