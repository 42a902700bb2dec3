/*
 * keeper_own: what the keeper's pieces share. Nobody else includes it.
 *
 *   keeper           birth, death, signals; what supervisors hear
 *    |- keeper_life      when a worker starts, what it means when one is ready, or dies
 *    |- keeper_wishes    what it says and wants
 *    |- keeper_change    another configuration
 *    '- keeper_upgrade   another program
 *
 * Each of them works on the whole keeper, and they know each other: what one does depends on what
 * another one is about. The rest of this room is objects that know no keeper. Thread: main.
 */
#ifndef KEEPER_OWN_H
#define KEEPER_OWN_H

#include "host/user.h"
#include "keeper/configuration.h"
#include "keeper/keeper_capture.h"
#include "keeper/keeper_log.h"
#include "keeper/letter.h"

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

struct event;
struct event_base;

enum keeper_state { KEEPER_RUNNING, KEEPER_HANDING_OVER, KEEPER_ENDING };

enum { KEEPER_SIGNALS = 4 };

struct keeper {
	char **argv;
	struct configuration configuration; /* in use */
	enum keeper_state state;
	struct event_base *base;
	struct event *signals[KEEPER_SIGNALS];
	size_t descriptors; /* that a process may have */
	struct user user;   /* whom commands become */
	int ready_fd;	    /* who started us waits there; -1: nobody */
	unsigned pairs;	    /* that the worker serves */
	bool upgraded;	    /* another image of us was here before */
	bool announced;	    /* a worker has been ready */
	bool pid_written;
	bool failed; /* for which there is a reason */
	struct why failure;

	struct keeper_hold *hold;
	struct keeper_worker *worker;
	struct keeper_commands *commands;
	struct keeper_fastpath *fastpath;
	struct keeper_capture capture;
	struct keeper_log log;

	/* keeper_life's */
	struct event *restart;
	bool failure_told;	    /* by this worker */
	bool end_told, last_chance; /* at the end: to the worker; it is the second one */

	/* keeper_wishes's */
	bool fastpath_asked;  /* by this worker; with the next, keeper_life forgets it */
	uint64_t unkept_told; /* when; 0: never */

	/* keeper_change's */
	struct configuration wanted; /* told to the worker, which has not answered yet */
	bool changing;		     /* it has not answered */
	bool change_again;	     /* then, or once there is a worker that is ready */

	/* keeper_upgrade's */
	char path[PATH_MAX]; /* of our program file; "": not known */
	struct keeper_trial *trial;
	int trial_letter;
	struct event *next_image;
};

static inline const struct options *keeper_options(const struct keeper *keeper)
{
	return &keeper->configuration.options;
}

/* Ends the event loop, and the keeper with this sentence. */
void keeper_give_up(struct keeper *keeper, const struct why *failure);

/* That all is well, unless a change of the configuration is still to come, whose end is told.
 * trouble: what people should know besides, or NULL. */
void keeper_tell_supervisor(struct keeper *keeper, const char *trouble);

/* Whoever reaches the status page sees all calls: a line, if that may be anybody. */
void keeper_warn_of_page(const struct options *options);

/* What whoever is executed is told in any case; for letter_clear. 0, or -1 with a sentence. */
int keeper_fill_letter(struct keeper *keeper, struct letter *letter, struct why *why);

/* Signals come again: whoever started us may have blocked some, or we have, for an exec. */
void keeper_hear_signals(void);

#endif
