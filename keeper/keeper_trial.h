/*
 * keeper_trial: whether a program file can go on where we are: it is executed with --check and a
 * letter, and says so, or why not.
 *
 * Thread: main.
 */
#ifndef KEEPER_TRIAL_H
#define KEEPER_TRIAL_H

#include "host/why.h"

struct event_base;
struct keeper_trial;

/* failure: NULL, or the sentence that it said; valid during the call only. The trial is over and
 * freed by then. */
typedef void keeper_trial_done(void *arg, const char *failure);

/* letter_fd: of a letter to LETTER_TO_TRIAL, not closed. NULL with a sentence: it cannot even be
 * executed. done is called from the event loop. */
struct keeper_trial *keeper_trial_start(struct event_base *base, const char *path, int letter_fd,
					keeper_trial_done *done, void *arg, struct why *why);
void keeper_trial_cancel(struct keeper_trial *trial); /* NULL is fine */

#endif
