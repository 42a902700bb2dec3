/*
 * Both sides' order of stores: the worker changes the pair, then `ask`, then the bits; the hop
 * thread takes the bits, then reads `ask`, then the pair. So what he answers is never younger than
 * what he has seen.
 */
#include "fastpath/fastpath_wanted.h"

#include "callid/callid_index.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/queue.h>
#include <unistd.h>

struct hop {
	struct callid_node node;
	uint64_t pair; /* 0: none; what the table says may be somebody else's doing */
	uint32_t ask;
	unsigned users;
	TAILQ_ENTRY(hop) in_free;
};

struct fastpath_wanted {
	struct fastpath_wanted_table *table;
	int wake_fd;
	struct callid_index index;
	struct hop *of;		/* FASTPATH_HOPS */
	uint32_t used;		/* those from here on have never been asked for */
	TAILQ_HEAD(, hop) free; /* of those below; the longest free first */
};

/* ---- the memory ---- */

int fastpath_wanted_make(int *table_fd, int *wake_fd, struct why *why)
{
	enum { SEALS = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL };
	*wake_fd = -1;
	*table_fd = memfd_create("pptpproxy hops", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (*table_fd >= 0 && ftruncate(*table_fd, sizeof(struct fastpath_wanted_table)) == 0 &&
	    fcntl(*table_fd, F_ADD_SEALS, SEALS) == 0)
		*wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (*wake_fd >= 0)
		return 0;
	why_set(why, "next hops: %s", strerror(errno));
	if (*table_fd >= 0)
		close(*table_fd);
	*table_fd = -1;
	return -1;
}

struct fastpath_wanted_table *fastpath_wanted_map(int table_fd)
{
	void *table = mmap(NULL, sizeof(struct fastpath_wanted_table), PROT_READ | PROT_WRITE,
			   MAP_SHARED, table_fd, 0);
	return table == MAP_FAILED ? NULL : table;
}

void fastpath_wanted_unmap(struct fastpath_wanted_table *table)
{
	if (table)
		munmap(table, sizeof(*table));
}

/* ---- changes ---- */

static uint32_t number_of(const struct fastpath_wanted *wanted, const struct hop *hop)
{
	return (uint32_t)(hop - wanted->of);
}

static void mark(struct fastpath_wanted *wanted, uint32_t number)
{
	uint32_t word = number / 64;
	__atomic_fetch_or(&wanted->table->changed[word], UINT64_C(1) << number % 64,
			  __ATOMIC_RELEASE);
	__atomic_fetch_or(&wanted->table->groups[word / 64], UINT64_C(1) << word % 64,
			  __ATOMIC_RELEASE);
}

static void wake(struct fastpath_wanted *wanted)
{
	uint64_t one = 1;
	if (write(wanted->wake_fd, &one, sizeof(one)) < 0)
		return; /* full: it is awake already */
}

static void ask_for(struct fastpath_wanted *wanted, struct hop *hop, uint64_t pair)
{
	struct fastpath_wanted_hop *entry = &wanted->table->hops[number_of(wanted, hop)];
	hop->pair = pair;
	__atomic_store_n(&entry->pair, pair, __ATOMIC_RELAXED);
	__atomic_store_n(&entry->ask, ++hop->ask, __ATOMIC_RELEASE);
	mark(wanted, number_of(wanted, hop));
}

static bool is_answered(const struct fastpath_wanted *wanted, const struct hop *hop)
{
	const struct fastpath_wanted_hop *entry = &wanted->table->hops[number_of(wanted, hop)];
	return __atomic_load_n(&entry->answer, __ATOMIC_ACQUIRE) == hop->ask;
}

/* ---- numbers ---- */

static uint32_t hash_of(uint64_t pair)
{
	return (uint32_t)(pair * UINT64_C(0x9E3779B97F4A7C15) >> 32);
}

static struct hop *find(struct fastpath_wanted *wanted, uint64_t pair)
{
	for (struct callid_node *node = callid_index_first(&wanted->index, hash_of(pair)); node;
	     node = node->next) {
		struct hop *hop = (struct hop *)node;
		if (hop->pair == pair)
			return hop;
	}
	return NULL;
}

static void add_to_index(struct fastpath_wanted *wanted, struct hop *hop)
{
	hop->node.hash = hash_of(hop->pair);
	callid_index_add(&wanted->index, &hop->node);
}

static void set_free(struct fastpath_wanted *wanted, struct hop *hop)
{
	ask_for(wanted, hop, 0);
	TAILQ_INSERT_TAIL(&wanted->free, hop, in_free);
}

static struct hop *make(struct fastpath_wanted *wanted, uint64_t pair)
{
	struct hop *hop = TAILQ_FIRST(&wanted->free);
	if (hop && is_answered(wanted, hop))
		TAILQ_REMOVE(&wanted->free, hop, in_free);
	else if (wanted->used < FASTPATH_HOPS)
		hop = &wanted->of[wanted->used++];
	else
		return NULL;
	ask_for(wanted, hop, pair);
	add_to_index(wanted, hop);
	wake(wanted);
	return hop;
}

static void drop(struct fastpath_wanted *wanted, struct hop *hop)
{
	callid_index_del(&wanted->index, &hop->node);
	set_free(wanted, hop);
}

int fastpath_wanted_get(struct fastpath_wanted *wanted, uint32_t proxy_addr, uint32_t peer_addr)
{
	uint64_t pair = (uint64_t)proxy_addr << 32 | peer_addr;
	struct hop *hop = find(wanted, pair);
	if (!hop)
		hop = make(wanted, pair);
	if (!hop)
		return -1;
	hop->users++;
	return (int)number_of(wanted, hop);
}

void fastpath_wanted_put(struct fastpath_wanted *wanted, int number)
{
	struct hop *hop = &wanted->of[number];
	if (--hop->users > 0)
		return;
	drop(wanted, hop);
	wake(wanted);
}

void fastpath_wanted_put_unused(struct fastpath_wanted *wanted)
{
	for (uint32_t i = 0; i < wanted->used; i++) {
		struct hop *hop = &wanted->of[i];
		if (hop->pair != 0 && hop->users == 0)
			drop(wanted, hop);
	}
	wake(wanted);
}

/* ---- birth and death ---- */

/* All that was ever asked for is looked at again: who wrote it may have died before he said so. */
static void take_over(struct fastpath_wanted *wanted)
{
	for (uint32_t i = 0; i < FASTPATH_HOPS; i++) {
		const struct fastpath_wanted_hop *entry = &wanted->table->hops[i];
		if (entry->pair != 0 || entry->ask != 0)
			wanted->used = i + 1;
	}
	for (uint32_t i = 0; i < wanted->used; i++) {
		const struct fastpath_wanted_hop *entry = &wanted->table->hops[i];
		struct hop *hop = &wanted->of[i];
		hop->pair = entry->pair;
		hop->ask = entry->ask;
		if (hop->pair == 0) {
			set_free(wanted, hop);
			continue;
		}
		add_to_index(wanted, hop);
		mark(wanted, i);
	}
	wake(wanted);
}

struct fastpath_wanted *fastpath_wanted_open(int table_fd, int wake_fd, struct why *why)
{
	struct fastpath_wanted *wanted = calloc(1, sizeof(*wanted));
	if (!wanted) {
		why_set(why, "no memory");
		return NULL;
	}
	TAILQ_INIT(&wanted->free);
	wanted->wake_fd = fcntl(wake_fd, F_DUPFD_CLOEXEC, 0);
	wanted->table = fastpath_wanted_map(table_fd);
	wanted->of = calloc(FASTPATH_HOPS, sizeof(*wanted->of));
	if (wanted->wake_fd < 0 || !wanted->table || !wanted->of ||
	    callid_index_init(&wanted->index) != 0) {
		why_set(why, "next hops: %s", strerror(errno));
		fastpath_wanted_close(wanted);
		return NULL;
	}
	take_over(wanted);
	return wanted;
}

void fastpath_wanted_close(struct fastpath_wanted *wanted)
{
	if (!wanted)
		return;
	if (wanted->wake_fd >= 0)
		close(wanted->wake_fd);
	fastpath_wanted_unmap(wanted->table);
	callid_index_clear(&wanted->index);
	free(wanted->of);
	free(wanted);
}
