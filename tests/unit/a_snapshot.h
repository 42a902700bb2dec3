/*
 * a_snapshot: figures made by hand, for whatever writes or serves them.
 */
#ifndef TESTS_A_SNAPSHOT_H
#define TESTS_A_SNAPSHOT_H

#include "status/snapshot.h"

struct evbuffer;

/* Two pairs, two rules, and calls: the first open and silent from the client, the second reserved,
 * others open. The snapshot is to be cleared. */
void a_snapshot_make(struct snapshot *snapshot, size_t calls);

/* One of three calls around each case of a unit. */
extern struct snapshot a_snapshot_figures;
int a_snapshot_set_up(void **state);
int a_snapshot_tear_down(void **state);

/* What this makes of the figures, which it must be able to: a text, to be freed. */
char *a_snapshot_written(int (*write)(struct evbuffer *out, const struct snapshot *snapshot));

#endif
