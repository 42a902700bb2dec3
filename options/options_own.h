/*
 * options_own: an option as it was given, by a word or a line. options' own, shared by options.c,
 * options_take and options_check; nobody else includes it.
 */
#ifndef OPTIONS_OWN_H
#define OPTIONS_OWN_H

/* Values of options that have no letter. */
enum {
	OPT_WORD = 1, /* getopt_long's, of what is no option */
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

/* An option as it was given. */
struct options_given {
	int option;	   /* its letter or OPT_... */
	char name[32];	   /* for sentences: "-p", "--acl-mode"; of a file "proxy" */
	const char *value; /* "" where it takes none */
	unsigned line;	   /* of the file; 0: it is a word */
};

/* The first options of the words that do not go with questions. */
struct options_others {
	struct options_given any, but_with_tap;
};

#endif
