/*
 * keeper: the supervised process: it starts the worker, holds what must outlive it, and does for it
 * what takes rights. It reads nothing from the network.
 *
 *   keeper, keeper_life, _wishes, _change, _upgrade    the keeper; keeper_own.h draws them
 *   keeper_worker      the worker as a process      link    messages between the two
 *   keeper_hold        descriptors and kept memory  letter  what an executed process is told
 *   keeper_commands    access commands              keeper_trial, keeper_spawn: our own program
 *   configuration      words and file, read whole   keeper_log, keeper_capture: files
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

#endif
