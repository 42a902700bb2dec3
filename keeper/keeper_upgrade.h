/*
 * keeper_upgrade: another program in this process's place, from SIGUSR2 to the exec, and what that
 * program does first. ARCHITECTURE.md, "An upgrade", draws it.
 *
 * One of the keeper's pieces, see keeper_own.h. Thread: main.
 */
#ifndef KEEPER_UPGRADE_H
#define KEEPER_UPGRADE_H

#include "host/why.h"
#include "keeper/letter.h"

struct keeper;

/* 0, or -1 with a sentence. */
int keeper_upgrade_open(struct keeper *keeper, struct why *why);
void keeper_upgrade_close(struct keeper *keeper); /* of any half-born keeper */

/* SIGUSR2: tries our program file, and if that can go on from here the worker leaves off. */
void keeper_upgrade_asked(struct keeper *keeper);

/* It has left off: executes the file, with all signals blocked, a turn of the event loop later. If
 * that fails another worker starts; at the keeper's end somebody says farewell. */
void keeper_upgrade_execute_soon(struct keeper *keeper);

/* ---- in the next image ---- */

/*
 * After an upgrade there is no way back, and all calls end with this process: what fails for lack
 * of something is tried anew, by another image of this program with the same letter. keeper_run
 * does so itself. Returns where that cannot be, or was done too often; nothing of the letter is
 * closed.
 */
void keeper_upgrade_again(char **argv, const struct letter *letter, const struct why *failure);

/* The same for a half-born keeper: what it has taken over of the letter is given on. */
void keeper_upgrade_open_again(struct keeper *keeper, const struct letter *letter,
			       const struct why *failure);

/* In a trial: whether this program could go on from there. Returns the exit status; standard error
 * has been told why not. */
int keeper_upgrade_try(const struct letter *letter);

#endif
