/*
 * stage: what the control modules' units stand on: an event loop, a resolver with a hosts file and
 * no name server, and the log's lines.
 *
 * stage_open and stage_close are a group's set-up and tear-down, stage_set_up and stage_tear_down a
 * case's. A case that leaves a descriptor open fails.
 */
#ifndef TESTS_UNIT_STAGE_H
#define TESTS_UNIT_STAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct event_base;
struct names;

extern struct event_base *stage_base;
extern struct names *stage_names;

int stage_open(void **state);
int stage_close(void **state);
int stage_set_up(void **state);
int stage_tear_down(void **state);

void stage_hosts(const char *text); /* the hosts file from now on */
size_t stage_descriptors(void);	    /* open now */
int stage_events(void);		    /* that wait in the loop */

/* No descriptor more can be opened, until it is told otherwise; the case's end undoes it. */
void stage_exhaust_descriptors(bool exhausted);

/* All lines of the case so far; debug ones too unless told otherwise. */
const char *stage_log(void);
void stage_log_without_debug(void);
bool stage_logged(const char *text);
int stage_log_count(const char *text); /* how often */

void stage_turn(void); /* of the loop, without waiting */

/* Runs the loop until the condition is true; fails the case after a deadline. */
#define STAGE_UNTIL(condition)                                                                     \
	for (stage_begin_wait(); !(condition);)                                                    \
	stage_wait(#condition, __FILE__, __LINE__)
void stage_begin_wait(void);
void stage_wait(const char *condition, const char *file, int line);

/* While the loop runs, exactly these octets, or the end and no octet before it, come to a far end.
 */
void stage_hear(int fd, const uint8_t *octets, size_t length);
void stage_hear_end(int fd);

#endif
