/*
 * a_snapshot: figures made by hand, for whatever writes or serves them.
 */
#ifndef TESTS_A_SNAPSHOT_H
#define TESTS_A_SNAPSHOT_H

#include "status/snapshot.h"

/* Two pairs, two rules, and calls: the first open and silent from the client, the second reserved,
 * others open. The snapshot is to be cleared. */
void a_snapshot_make(struct snapshot *snapshot, size_t calls);

#endif
