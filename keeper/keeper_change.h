/*
 * keeper_change: another configuration, from SIGHUP to the worker's answer. ARCHITECTURE.md, "A
 * reload", draws it.
 *
 * Nothing is used before all of it is good, here and in the worker. One at a time: what comes
 * meanwhile is one more change afterwards.
 *
 * One of the keeper's pieces, see keeper_own.h. Thread: main.
 */
#ifndef KEEPER_CHANGE_H
#define KEEPER_CHANGE_H

#include "keeper/link.h"

struct keeper;

/* SIGHUP: opens the log anew, and begins, or will. */
void keeper_change_asked(struct keeper *keeper);

/* Reads what there is now, and tells the worker, which is ready. */
void keeper_change_begin(struct keeper *keeper);

/* LINK_CHANGED: the worker uses it, or the text says why it does not. */
void keeper_change_answered(struct keeper *keeper, const struct link_message *message);

/* The worker has died, and cannot answer any more: the next one is asked anew. */
void keeper_change_lost(struct keeper *keeper);

#endif
