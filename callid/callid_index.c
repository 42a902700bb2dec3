/*
 * Linear hashing. Buckets 0 to level + split - 1 exist; those below split, and their images from
 * level up, have been split already and use one bit of the hash more.
 */
#include "callid/callid_index.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static struct callid_node **bucket(const struct callid_index *index, uint32_t number)
{
	return &index->segments[number / CALLID_SEGMENT][number % CALLID_SEGMENT];
}

static uint32_t bucket_of(const struct callid_index *index, uint32_t hash)
{
	uint32_t number = hash & (index->level - 1);
	return number < index->split ? hash & (2 * index->level - 1) : number;
}

int callid_index_init(struct callid_index *index)
{
	memset(index, 0, sizeof(*index));
	index->segments[0] = calloc(CALLID_SEGMENT, sizeof(*index->segments[0]));
	index->level = CALLID_SEGMENT;
	return index->segments[0] ? 0 : -1;
}

void callid_index_clear(struct callid_index *index)
{
	for (size_t i = 0; i < CALLID_SEGMENTS_MAX; i++)
		free(index->segments[i]);
	memset(index, 0, sizeof(*index));
}

static void grow(struct callid_index *index)
{
	uint32_t image = index->level + index->split;
	uint32_t segment = image / CALLID_SEGMENT;
	if (segment >= CALLID_SEGMENTS_MAX)
		return;
	if (!index->segments[segment])
		index->segments[segment] =
		    calloc(CALLID_SEGMENT, sizeof(*index->segments[segment]));
	if (!index->segments[segment])
		return;

	struct callid_node **stay = bucket(index, index->split), **move = bucket(index, image);
	while (*stay) {
		struct callid_node *node = *stay;
		if (node->hash & index->level) {
			*stay = node->next;
			node->next = *move;
			*move = node;
		} else {
			stay = &node->next;
		}
	}
	if (++index->split == index->level) {
		index->level *= 2;
		index->split = 0;
	}
}

static void shrink(struct callid_index *index)
{
	if (index->split == 0) {
		if (index->level == CALLID_SEGMENT)
			return;
		index->level /= 2;
		index->split = index->level;
	}
	index->split--;
	uint32_t image = index->level + index->split;
	struct callid_node **end = bucket(index, index->split), **gone = bucket(index, image);
	while (*end)
		end = &(*end)->next;
	*end = *gone;
	*gone = NULL;
	if (image % CALLID_SEGMENT == 0) {
		free(index->segments[image / CALLID_SEGMENT]);
		index->segments[image / CALLID_SEGMENT] = NULL;
	}
}

void callid_index_add(struct callid_index *index, struct callid_node *node)
{
	struct callid_node **head = bucket(index, bucket_of(index, node->hash));
	node->next = *head;
	*head = node;
	if (++index->count > index->level + index->split)
		grow(index);
}

void callid_index_del(struct callid_index *index, struct callid_node *node)
{
	struct callid_node **at = bucket(index, bucket_of(index, node->hash));
	while (*at && *at != node)
		at = &(*at)->next;
	assert(*at == node);
	*at = node->next;
	node->next = NULL;
	/* Well below the load that grows it, or a table that hovers would split and merge for ever.
	 */
	if (--index->count < (index->level + index->split) / 4)
		shrink(index);
}

struct callid_node *callid_index_first(const struct callid_index *index, uint32_t hash)
{
	return *bucket(index, bucket_of(index, hash));
}
