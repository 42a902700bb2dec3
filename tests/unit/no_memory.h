/*
 * no_memory: allocations of a unit that fail when a test says so. The Makefile has the linker put
 * them in place of the system's, for the unit's own objects only.
 */
#ifndef TESTS_UNIT_NO_MEMORY_H
#define TESTS_UNIT_NO_MEMORY_H

/* Of those to come, so many succeed, then one fails with ENOMEM, and all succeed again. Below 0:
 * none fails. */
extern int no_memory_in;

#endif
