/*
 * stepping: a child process that is run instruction by instruction, and can be killed at any.
 */
#ifndef TESTS_UNIT_STEPPING_H
#define TESTS_UNIT_STEPPING_H

#include <stdbool.h>
#include <sys/types.h>

/* Runs body(arg) in a child, which stops before the first instruction of it and ends with _exit(0)
 * behind the last. Its pid; -1: this system lets nobody be traced. */
pid_t stepping_start(void (*body)(void *arg), void *arg);

bool stepping_step(pid_t child); /* false: it has ended, well; anything else fails the case */
void stepping_kill(pid_t child); /* and waits until nothing of it is left */

#endif
