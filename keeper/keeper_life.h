/*
 * keeper_life: the worker's life, as the keeper decides it: when the first one starts, and the
 * next; what it means when one is ready, or dies. How one is started and missed is keeper_worker's.
 *
 * One of the keeper's pieces, see keeper_own.h. Thread: main.
 */
#ifndef KEEPER_LIFE_H
#define KEEPER_LIFE_H

#include "host/why.h"
#include "keeper/link.h"

#include <stdbool.h>

struct keeper;

/* 0, or -1 with a sentence. No worker runs yet. */
int keeper_life_open(struct keeper *keeper, struct why *why);
void keeper_life_close(struct keeper *keeper); /* of any half-born keeper; kills the worker */

/* The first worker; 0, or -1 with a sentence. */
int keeper_life_start(struct keeper *keeper, struct why *why);

/* The next one; if it cannot be started that is logged, and tried again soon, but for an end. */
void keeper_life_start_again(struct keeper *keeper);

/* The worker has died at the keeper's end: one more, once, if somebody is left without a farewell.
 * orderly: it ended by itself. False: there is none. */
bool keeper_life_start_for_farewell(struct keeper *keeper, bool orderly);

/* A worker that does not take what it is told is killed, as somebody might wait for it. */
void keeper_life_say(struct keeper *keeper, const struct link_message *message);
void keeper_life_tell(struct keeper *keeper, enum link_type type); /* a message without a word */

/* The worker is to say farewell and end. */
void keeper_life_end(struct keeper *keeper);

/* LINK_READY, LINK_FAILED. */
void keeper_life_ready(struct keeper *keeper, const struct link_message *message);
void keeper_life_failed(struct keeper *keeper, const struct link_message *message);

#endif
