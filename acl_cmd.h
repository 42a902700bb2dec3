/*
 * acl_cmd: external commands that say who may connect: started without a shell, timed, limited in
 * number.
 *
 * The contract that a command sees: its words, then the client's address as the last one; standard
 * input /dev/null; output goes to the log at debug level (16 KiB of it; beyond 1 MiB it is not even
 * read); no other descriptor; the environment is
 * PATH, PPTPPROXY_CLIENT (address:port), PPTPPROXY_LISTEN (address:port) and PPTPPROXY_PEER (name
 * or address:port); a process group of its own, killed whole at the deadline. Status 0 allows;
 * anything else is a no, and the next command is asked; nobody says yes: denied.
 *
 * Thread: the one that runs the event base. It handles SIGCHLD for the processes that it started,
 * and for no others.
 */
#ifndef ACL_CMD_H
#define ACL_CMD_H

#include "acl.h"
#include "host/user.h"
#include "host/why.h"

#include <stddef.h>
#include <stdint.h>

struct event_base;

/* Where programs are looked for, and what commands get as PATH, if the daemon has none. */
#define ACL_CMD_DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/* A command split into words as a shell would split and unquote them ('..', "..", backslash),
 * without expansions. */
struct acl_cmd_words {
	char **words; /* NULL-terminated, at least one */
	size_t count;
};

/* Pure. 0, or -1 with a sentence (open quote, no word). */
int acl_cmd_split(const char *text, struct acl_cmd_words *words, struct why *why);
void acl_cmd_words_free(struct acl_cmd_words *words);

/* Finds the program (by PATH where the word has no '/') and replaces words[0] by its path. -1 with
 * a sentence that names it where it does not exist, is no regular file, may not be executed, or is
 * a script whose interpreter cannot be. */
int acl_cmd_find(struct acl_cmd_words *words, struct why *why);

struct acl_cmd_config {
	const struct acl_cmd_words *commands; /* asked in order; outlive the runner */
	size_t count;
	unsigned timeout_s; /* deadline of one command, from its start */
	unsigned parallel;  /* processes at once; more wait their turn, first come first served */
	/* Checks that wait their turn; 0: any number. One more is denied; or the oldest of the
	 * source that has most of them, if that has two more than the newcomer's. */
	unsigned waiting_max;
	/* whom they become, outlives the runner; NULL: they stay who we are */
	const struct user *as;
};

struct acl_cmd_client {
	uint32_t addr;			    /* host byte order: the word that is appended */
	const char *client, *listen, *peer; /* for the environment; copied */
	const char *label;		    /* heads each log line, "#12"; copied */
};

struct acl_cmd; /* the runner */
struct acl_cmd_check;

/* which: the place of the command that said yes; those before it did not, and of another answer
 * than ACL_ALLOW as many did not. why: a short reason for the log
 * ("/etc/allow said yes", "/etc/allow: exit status 3", "/etc/allow: no answer in 10 s"); valid
 * during the call only. done may start and cancel checks, and free the runner. */
typedef void acl_cmd_done(void *arg, enum acl_answer answer, size_t which, const char *why);

struct acl_cmd *acl_cmd_new(struct event_base *base, const struct acl_cmd_config *config,
			    struct why *why);
void acl_cmd_free(struct acl_cmd *runner); /* kills what runs; their done are not called */

/* done is called exactly once, from the event loop and never from within this call, unless
 * cancelled. NULL: no memory. */
struct acl_cmd_check *acl_cmd_start(struct acl_cmd *runner, const struct acl_cmd_client *client,
				    acl_cmd_done *done, void *arg);
void acl_cmd_cancel(struct acl_cmd_check *check); /* NULL is fine; kills the group if it runs */

#endif
