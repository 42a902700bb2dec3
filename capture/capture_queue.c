#include "capture/capture_queue.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* Before each packet. */
struct record {
	uint64_t time_us;
	size_t length;
};

enum { ALIGNMENT = 16 };

static size_t room_of(size_t length)
{
	return (sizeof(struct record) + length + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

int capture_queue_init(struct capture_queue *queue, size_t size)
{
	*queue = (struct capture_queue){.octets = malloc(size), .size = size};
	return queue->octets ? 0 : -1;
}

void capture_queue_clear(struct capture_queue *queue)
{
	free(queue->octets);
	*queue = (struct capture_queue){0};
}

static bool is_empty(const struct capture_queue *queue)
{
	return queue->first == queue->end && queue->turn == 0;
}

/* A place of that size in one piece, or NULL. Where the ring has turned, one octet less would be
 * full and not empty: turn tells the two apart. */
static uint8_t *find_room(struct capture_queue *queue, size_t size)
{
	if (queue->turn != 0)
		return queue->first - queue->end >= size ? queue->octets + queue->end : NULL;
	if (queue->size - queue->end >= size)
		return queue->octets + queue->end;
	if (queue->first < size)
		return NULL;
	queue->turn = queue->end;
	queue->end = 0;
	return queue->octets;
}

bool capture_queue_put(struct capture_queue *queue, uint64_t time_us, struct capture_piece head,
		       struct capture_piece body)
{
	const struct record record = {time_us, head.length + body.length};
	size_t size = room_of(record.length);
	uint8_t *place = find_room(queue, size);

	if (!place) {
		queue->lost++;
		return false;
	}
	memcpy(place, &record, sizeof(record));
	memcpy(place + sizeof(record), head.octets, head.length);
	if (body.length > 0)
		memcpy(place + sizeof(record) + head.length, body.octets, body.length);
	queue->end += size;
	return true;
}

static struct record record_at(const struct capture_queue *queue, size_t at)
{
	struct record record;
	memcpy(&record, queue->octets + at, sizeof(record));
	return record;
}

bool capture_queue_first(const struct capture_queue *queue, struct capture_packet *packet)
{
	if (is_empty(queue))
		return false;
	struct record record = record_at(queue, queue->first);
	*packet = (struct capture_packet){
	    .time_us = record.time_us,
	    .octets = queue->octets + queue->first + sizeof(record),
	    .length = record.length,
	};
	return true;
}

void capture_queue_drop(struct capture_queue *queue)
{
	assert(!is_empty(queue));
	queue->first += room_of(record_at(queue, queue->first).length);
	if (queue->turn != 0 && queue->first == queue->turn)
		queue->first = queue->turn = 0;
	/* From the start again, so that one who keeps pace touches little memory. */
	if (is_empty(queue))
		queue->first = queue->end = 0;
}
