/*
 * options: words (argv) -> one struct, or one sentence that names the bad word. Pure: prints
 * nothing, opens nothing.
 */
#ifndef OPTIONS_H
#define OPTIONS_H

#include "acl.h"
#include "acl_cmd.h"
#include "fastpath/fastpath.h"
#include "host/log.h"
#include "host/why.h"
#include "pair.h"

#include <stdbool.h>
#include <stddef.h>

enum options_answer { OPTIONS_RUN, OPTIONS_HELP, OPTIONS_VERSION, OPTIONS_BAD };

struct options {
	struct pair *pairs; /* in the order given */
	size_t pair_count;
	struct acl acl;
	struct acl_cmd_words *commands; /* split, not yet looked up */
	size_t command_count;
	bool acl_any;	 /* --acl-mode any: a rule or a command is enough; else both where both are
			    given */
	bool foreground; /* -n, -d or -e */
	enum log_level log_level; /* info; debug with -d; dump with -e */
	/* NULL: standard output in the foreground, else syslog; points into argv */
	const char *log_file;
	const char *pid_file;	      /* or NULL; points into argv */
	const char *control;	      /* "@NAME" or a path; default "@pptpproxy" */
	unsigned acl_timeout_s;	      /* 1 to 3600, default 10 */
	unsigned acl_parallel;	      /* 1 to 1024, default 16 */
	unsigned connect_timeout_s;   /* 1 to 3600, default 10 */
	unsigned handshake_timeout_s; /* 1 to 3600, default 60 */
	unsigned keepalive_s;	      /* 1 to 10800, default 60 */
	enum fastpath_mode fastpath;  /* default off */
	const char **interfaces;      /* of --fastpath-interface; words point into argv */
	size_t interface_count;
};

/* Fills *options with the defaults and then the words. OPTIONS_BAD: the sentence about the first
 * bad word is in why, and log_file is set all the same if it was given. In every case options_clear
 * is called afterwards by the caller. */
enum options_answer options_parse(struct options *options, int argc, char **argv, struct why *why);
void options_clear(struct options *options);

extern const char options_help[];    /* the text of --help, under one screen of 80 columns */
extern const char options_version[]; /* "pptpproxy X.Y.Z" */

#endif
