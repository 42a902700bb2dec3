#include "host/log_queue.h"

#include <stdlib.h>
#include <string.h>

int log_queue_init(struct log_queue *queue, size_t size)
{
	*queue = (struct log_queue){.octets = malloc(size), .size = size};
	return queue->octets ? 0 : -1;
}

void log_queue_clear(struct log_queue *queue)
{
	free(queue->octets);
	*queue = (struct log_queue){0};
}

unsigned long log_queue_lines(const char *text, size_t length)
{
	unsigned long lines = 0;
	for (const char *end = text + length; text < end; lines++) {
		const char *newline = memchr(text, '\n', (size_t)(end - text));
		text = newline ? newline + 1 : end;
	}
	return lines;
}

size_t log_queue_room(const struct log_queue *queue)
{
	return queue->size - queue->used;
}

bool log_queue_put(struct log_queue *queue, const char *text, size_t length)
{
	if (queue->lost > 0 || length > log_queue_room(queue)) {
		queue->lost += log_queue_lines(text, length);
		return false;
	}

	size_t at = (queue->start + queue->used) % queue->size;
	size_t before_wrap = queue->size - at;
	if (before_wrap > length)
		before_wrap = length;
	memcpy(queue->octets + at, text, before_wrap);
	memcpy(queue->octets, text + before_wrap, length - before_wrap);
	queue->used += length;
	return true;
}

size_t log_queue_take(struct log_queue *queue, char *out, size_t size)
{
	size_t length = queue->used < size ? queue->used : size;
	size_t before_wrap = queue->size - queue->start;
	if (before_wrap > length)
		before_wrap = length;
	memcpy(out, queue->octets + queue->start, before_wrap);
	memcpy(out + before_wrap, queue->octets, length - before_wrap);

	const char *newline = memrchr(out, '\n', length);
	if (newline)
		length = (size_t)(newline + 1 - out);
	queue->start = (queue->start + length) % queue->size;
	queue->used -= length;
	return length;
}

unsigned long log_queue_forgive(struct log_queue *queue)
{
	unsigned long lost = queue->lost;
	queue->lost = 0;
	return lost;
}
