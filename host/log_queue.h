/*
 * log_queue: a bounded ring of whole lines between those who log and the one who writes. Internal
 * to log.
 *
 * Once something did not fit, nothing more is taken until the owner has fetched the count with
 * log_queue_forgive (and, usually, put a line that tells it): so the note stands where the gap is.
 * Pure, no lock: the owner has one.
 */
#ifndef HOST_LOG_QUEUE_H
#define HOST_LOG_QUEUE_H

#include <stdbool.h>
#include <stddef.h>

struct log_queue {
	char *octets;
	size_t size, start, used;
	unsigned long lost; /* lines that did not fit */
};

/* 0, or -1 where there is no memory. */
int log_queue_init(struct log_queue *queue, size_t size);
void log_queue_clear(struct log_queue *queue);

/* Takes text (whole lines, each ending in a newline) as a whole, or counts its lines as lost. */
bool log_queue_put(struct log_queue *queue, const char *text, size_t length);

/* Moves as many whole lines as fit into out; returns their octets. A line that is longer than size
 * comes in pieces. */
size_t log_queue_take(struct log_queue *queue, char *out, size_t size);

size_t log_queue_room(const struct log_queue *queue);

/* Returns the number of lost lines and sets it to zero. */
unsigned long log_queue_forgive(struct log_queue *queue);

/* How many lines a text has. */
unsigned long log_queue_lines(const char *text, size_t length);

#endif
