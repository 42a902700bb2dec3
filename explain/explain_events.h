/*
 * explain_events: what happened, in the order in which it did: a time and a sentence each.
 *
 * Bounded: of very many the first and the last stay. The same again at once is one event that knows
 * how often. Thread: one.
 */
#ifndef EXPLAIN_EXPLAIN_EVENTS_H
#define EXPLAIN_EXPLAIN_EVENTS_H

#include <stddef.h>
#include <stdint.h>

enum {
	EXPLAIN_EVENTS_FIRST = 32,
	EXPLAIN_EVENTS_LAST = 16,
	EXPLAIN_EVENT_TEXT_MAX = 400, /* octets; longer ones are cut */
};

struct explain_event {
	struct explain_event *next;
	int64_t time_us, last_us; /* of the first and of the last one */
	uint32_t times;
	char text[];
};

struct explain_events { /* all zero: empty */
	struct explain_event *first, *last;
	struct explain_event *middle; /* the last of EXPLAIN_EVENTS_FIRST, once there are as many */
	size_t count;
	uint64_t left_out; /* behind `middle` */
};

void explain_events_clear(struct explain_events *events);

/* Without memory it is one of those that are left out. */
void explain_events_add(struct explain_events *events, int64_t time_us, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
