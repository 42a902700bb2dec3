#include "explain/explain_events.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void explain_events_clear(struct explain_events *events)
{
	for (struct explain_event *event = events->first, *next; event; event = next) {
		next = event->next;
		free(event);
	}
	*events = (struct explain_events){0};
}

/* The end of a story is what people want to know. */
static void leave_one_out(struct explain_events *events)
{
	struct explain_event *oldest = events->middle->next;
	events->middle->next = oldest->next;
	events->left_out++;
	events->count--;
	free(oldest);
}

static void append(struct explain_events *events, struct explain_event *event)
{
	if (events->last)
		events->last->next = event;
	else
		events->first = event;
	events->last = event;
	events->count++;
	if (events->count == EXPLAIN_EVENTS_FIRST)
		events->middle = event;
	if (events->count > EXPLAIN_EVENTS_FIRST + EXPLAIN_EVENTS_LAST)
		leave_one_out(events);
}

void explain_events_add(struct explain_events *events, int64_t time_us, const char *format, ...)
{
	char text[EXPLAIN_EVENT_TEXT_MAX];
	va_list args;
	va_start(args, format);
	if (vsnprintf(text, sizeof(text), format, args) < 0)
		text[0] = '\0';
	va_end(args);

	if (events->last && strcmp(events->last->text, text) == 0) {
		events->last->times++;
		events->last->last_us = time_us;
		return;
	}
	size_t size = strlen(text) + 1;
	struct explain_event *event = malloc(sizeof(*event) + size);
	if (!event) {
		events->left_out++;
		return;
	}
	*event = (struct explain_event){.time_us = time_us, .last_us = time_us, .times = 1};
	memcpy(event->text, text, size);
	append(events, event);
}
