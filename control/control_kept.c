/*
 * Records are handed out lowest first, and again before a new one: memory that has been touched
 * stays.
 */
#include "control/control_kept.h"

#include "host/log.h"
#include "host/monotonic.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { TOLD_AGAIN_MS = 60000 }; /* that a connection is not kept */

/* In the section KEPT_CONTROL. */
struct totals {
	uint64_t last_number;
	uint32_t records; /* that have ever been used */
};

struct control_kept {
	struct control_keeping keeping;
	struct totals *totals;
	struct control_record *records;
	uint32_t *free; /* indexes below totals->records */
	size_t free_count, free_room;
	uint64_t told; /* when the log was told that a connection is not kept; 0: never */
};

struct control_kept *control_kept_new(const struct control_keeping *keeping, struct why *why)
{
	struct control_kept *kept = calloc(1, sizeof(*kept));
	if (!kept) {
		why_set(why, "control relay: no memory");
		return NULL;
	}
	kept->keeping = *keeping;
	kept->totals = kept_section(keeping->kept, KEPT_CONTROL, sizeof(*kept->totals), 1);
	kept->records = kept_section(keeping->kept, KEPT_CONNECTIONS, sizeof(*kept->records),
				     CONTROL_RECORDS_MAX);
	if (!kept->totals || !kept->records) {
		why_set(why, "kept memory: connections: %s", strerror(errno));
		free(kept);
		return NULL;
	}
	return kept;
}

void control_kept_free(struct control_kept *kept)
{
	if (kept)
		free(kept->free);
	free(kept);
}

struct kept *control_kept_memory(const struct control_kept *kept)
{
	return kept->keeping.kept;
}

uint64_t control_kept_next_number(struct control_kept *kept)
{
	return ++kept->totals->last_number;
}

/* ---- which records are free ---- */

static uint32_t index_of(const struct control_kept *kept, const struct control_record *record)
{
	return (uint32_t)(record - kept->records);
}

/* Without memory the record is not used again; the next process finds it. */
static void give_back(struct control_kept *kept, uint32_t index)
{
	if (kept->free_count == kept->free_room) {
		size_t room = kept->free_room ? 2 * kept->free_room : 64;
		uint32_t *more = realloc(kept->free, room * sizeof(*more));
		if (!more)
			return;
		kept->free = more;
		kept->free_room = room;
	}
	kept->free[kept->free_count++] = index;
}

/* 0, or -1 with errno. */
static int take_index(struct control_kept *kept, uint32_t *index)
{
	if (kept->free_count > 0) {
		*index = kept->free[--kept->free_count];
		return 0;
	}
	*index = kept->totals->records;
	if (*index == CONTROL_RECORDS_MAX) {
		errno = ENOSPC;
		return -1;
	}
	if (kept_provide(kept->keeping.kept, &kept->records[*index], sizeof(*kept->records)) != 0)
		return -1;
	kept->totals->records = *index + 1;
	return 0;
}

static void tell_not_kept(struct control_kept *kept, const char *reason)
{
	uint64_t now = monotonic_ms();
	if (kept->told != 0 && now - kept->told < TOLD_AGAIN_MS)
		return;
	kept->told = now;
	log_warning("a connection will not outlive a restart: %s", reason);
}

struct control_record *control_kept_take(struct control_kept *kept, const int fds[2])
{
	uint32_t index;
	if (take_index(kept, &index) != 0) {
		tell_not_kept(kept, strerror(errno));
		return NULL;
	}
	struct control_record *record = &kept->records[index];
	assert(!record->used);
	if (kept->keeping.keep(kept->keeping.arg, index, fds) != 0) {
		tell_not_kept(kept, "nobody takes its descriptors");
		give_back(kept, index);
		return NULL;
	}
	memset(record, 0, sizeof(*record));
	return record;
}

void control_kept_release(struct control_kept *kept, struct control_record *record)
{
	uint32_t index = index_of(kept, record);
	record->used = false;
	kept_fence();
	kept->keeping.release(kept->keeping.arg, index);
	give_back(kept, index);
}

size_t control_kept_each(struct control_kept *kept,
			 void (*told)(void *arg, struct control_record *record, const int fds[2]),
			 void *arg)
{
	size_t lost = 0;
	for (uint32_t index = kept->totals->records; index-- > 0;) {
		struct control_record *record = &kept->records[index];
		int fds[2];
		if (!record->used) {
			give_back(kept, index);
		} else if (kept->keeping.fds && kept->keeping.fds(kept->keeping.arg, index, fds)) {
			told(arg, record, fds);
		} else {
			log_warning("#%llu: closed: %s: its descriptors were not kept",
				    (unsigned long long)record->number,
				    reason_end_name(REASON_FAILED));
			record->used = false;
			lost++;
			give_back(kept, index);
		}
	}
	return lost;
}
