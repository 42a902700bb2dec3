/*
 * A table of chains, doubled when there are as many nodes as chains. The latest node stands first
 * in its chain, and doubling keeps that order among equal keys.
 */
#include "explain/explain_index.h"

#include <stdbool.h>
#include <stdlib.h>
#include <sys/random.h>

enum { FIRST_SIZE = 1024 };

static uint64_t mix(uint64_t value)
{
	value ^= value >> 32;
	value *= 0x9E3779B97F4A7C15U;
	return value ^ value >> 29;
}

static size_t bucket_of(const struct explain_index *index, struct explain_key key)
{
	uint64_t hash = mix(index->secret[0] ^ ((uint64_t)key.a << 32 | key.b));
	return (size_t)mix(hash ^ index->secret[1] ^ key.c) & (index->size - 1);
}

static bool equal(struct explain_key one, struct explain_key other)
{
	return one.a == other.a && one.b == other.b && one.c == other.c;
}

int explain_index_init(struct explain_index *index)
{
	*index = (struct explain_index){.size = FIRST_SIZE};
	index->buckets = calloc(FIRST_SIZE, sizeof(struct explain_node *));
	if (!index->buckets)
		return -1;
	return getrandom(index->secret, sizeof(index->secret), 0) < 0 ? -1 : 0;
}

void explain_index_clear(struct explain_index *index)
{
	free(index->buckets);
	*index = (struct explain_index){0};
}

static void grow(struct explain_index *index)
{
	struct explain_index larger = *index;
	larger.size = 2 * index->size;
	larger.buckets = calloc(larger.size, sizeof(struct explain_node *));
	struct explain_node ***ends = calloc(larger.size, sizeof(struct explain_node **));
	if (!larger.buckets || !ends) {
		free(larger.buckets);
		free(ends);
		return;
	}
	for (size_t i = 0; i < larger.size; i++)
		ends[i] = &larger.buckets[i];
	for (size_t i = 0; i < index->size; i++) {
		for (struct explain_node *node = index->buckets[i], *next; node; node = next) {
			size_t at = bucket_of(&larger, node->key);
			next = node->next;
			node->next = NULL;
			*ends[at] = node;
			ends[at] = &node->next;
		}
	}
	free(ends);
	free(index->buckets);
	*index = larger;
}

void explain_index_add(struct explain_index *index, struct explain_node *node,
		       struct explain_key key)
{
	if (index->count >= index->size)
		grow(index);
	size_t at = bucket_of(index, key);
	node->key = key;
	node->next = index->buckets[at];
	index->buckets[at] = node;
	index->count++;
}

void explain_index_del(struct explain_index *index, struct explain_node *node)
{
	struct explain_node **at = &index->buckets[bucket_of(index, node->key)];
	while (*at && *at != node)
		at = &(*at)->next;
	if (!*at)
		return;
	*at = node->next;
	index->count--;
}

static struct explain_node *first_of(struct explain_node *node, struct explain_key key)
{
	while (node && !equal(node->key, key))
		node = node->next;
	return node;
}

struct explain_node *explain_index_find(const struct explain_index *index, struct explain_key key)
{
	return first_of(index->buckets[bucket_of(index, key)], key);
}

struct explain_node *explain_index_before(const struct explain_node *node)
{
	return first_of(node->next, node->key);
}
