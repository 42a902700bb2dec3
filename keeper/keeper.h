/*
 * keeper: the supervised process: it starts the worker, holds what must outlive it, and does for it
 * what takes rights. It reads nothing from the network.
 *
 *   keeper.c           signals, reload, upgrade, the worker's wishes
 *   keeper_worker      the worker as a process      link    messages between the two
 *   keeper_hold        descriptors and kept memory  letter  what an executed process is told
 *   keeper_commands    access commands              keeper_trial, keeper_spawn: our own program
 *   configuration      words and file, read whole
 *
 * Thread: main.
 */
#ifndef KEEPER_H
#define KEEPER_H

#include "keeper/configuration.h"
#include "keeper/letter.h"

/* Runs until it is told to end. letter: of the image that was here before, NULL: this is the first.
 * configuration is the keeper's from now on. Returns the exit status; standard error has been told
 * why it is no success. */
int keeper_run(char **argv, struct configuration *configuration, const struct letter *letter);

/*
 * After an upgrade there is no way back, and all calls end with this process: what fails for lack
 * of something is tried anew, by another image of this program with the same letter. keeper_run
 * does so itself. Returns where that cannot be, or was done too often; nothing of the letter is
 * closed.
 */
void keeper_again(char **argv, const struct letter *letter, const struct why *failure);

/* Whether this program could go on from there. As above. */
int keeper_try(const struct letter *letter);

#endif
