/*
 * Connections first, as calls name theirs by its number; then the calls; then messages may pass.
 */
#include "control/control_restore.h"

#include "control/control_conn.h"
#include "control/control_env.h"
#include "control/control_kept.h"
#include "control/control_silence.h"
#include "host/log.h"
#include "host/monotonic.h"

#include <stdlib.h>

struct restored_conn {
	uint64_t number;
	struct control_conn *conn; /* NULL: it is over */
};

struct recent {
	callid_ref call;
	uint64_t opened_at;
};

struct restoring {
	struct control_env *env;
	struct restored_conn *conns; /* in order of their numbers, once all are there */
	size_t count, room;
	struct recent *recent; /* calls that opened not long ago; as many as there is memory for */
	size_t recent_count, recent_room;
	size_t calls, lost;
};

static void *room_for_one(void **array, size_t count, size_t *room, size_t size)
{
	if (count == *room) {
		size_t more = *room ? 2 * *room : 64;
		void *grown = realloc(*array, more * size);
		if (!grown)
			return NULL;
		*array = grown;
		*room = more;
	}
	return (char *)*array + count * size;
}

static void restore_conn(void *arg, struct control_record *record, const int fds[2])
{
	struct restoring *all = arg;
	void *array = all->conns;
	struct restored_conn *entry =
	    room_for_one(&array, all->count, &all->room, sizeof(*all->conns));
	uint64_t number = record->number;

	all->conns = array;
	struct control_conn *conn = control_conn_kept_restore(all->env, record, fds);
	if (!conn)
		return;
	if (!entry) {
		control_conn_abort(conn);
		return;
	}
	*entry = (struct restored_conn){number, conn};
	all->count++;
}

static int by_number(const void *a, const void *b)
{
	uint64_t first = ((const struct restored_conn *)a)->number,
		 second = ((const struct restored_conn *)b)->number;
	return (first > second) - (first < second);
}

static void watch_later(struct restoring *all, callid_ref call, const struct callid_info *info)
{
	if (!info->open || monotonic_ms() - info->opened_at >= CONTROL_SILENCE_OPENED_MS)
		return;
	void *array = all->recent;
	struct recent *recent =
	    room_for_one(&array, all->recent_count, &all->recent_room, sizeof(*all->recent));
	all->recent = array;
	if (!recent)
		return;
	*recent = (struct recent){call, info->opened_at};
	all->recent_count++;
}

static int by_opening(const void *a, const void *b)
{
	uint64_t first = ((const struct recent *)a)->opened_at,
		 second = ((const struct recent *)b)->opened_at;
	return (first > second) - (first < second);
}

static void restore_call(void *arg, callid_ref call, const struct callid_info *info)
{
	struct restoring *all = arg;
	struct restored_conn key = {.number = info->connection};
	struct restored_conn *found =
	    all->count > 0 ? bsearch(&key, all->conns, all->count, sizeof(key), by_number) : NULL;

	if (found && found->conn && control_conn_kept_adopt(found->conn, call, info) == 0) {
		all->calls++;
		watch_later(all, call, info);
		return;
	}
	if (found && found->conn) {
		control_conn_abort(found->conn); /* no memory; ends this call, too */
		found->conn = NULL;
	}
	log_info("#%llu: call ended: %s ID %u: its connection ended with the process before",
		 (unsigned long long)info->connection, callid_side_name(info->caller),
		 info->id[info->caller]);
	callid_db_end(all->env->db, call, monotonic_ms(), NULL);
	all->env->counts->calls_ended += info->open;
	all->lost++;
}

void control_restore(struct control_env *env, struct control_silence *silence)
{
	struct restoring all = {.env = env};

	if (env->kept)
		env->counts->ends[REASON_FAILED] +=
		    control_kept_each(env->kept, restore_conn, &all);
	if (all.count > 0)
		qsort(all.conns, all.count, sizeof(*all.conns), by_number);
	callid_db_each(env->db, restore_call, &all);
	if (all.recent_count > 0)
		qsort(all.recent, all.recent_count, sizeof(*all.recent), by_opening);
	for (size_t i = 0; i < all.recent_count; i++)
		control_silence_watch(silence, all.recent[i].call, all.recent[i].opened_at);
	for (size_t i = 0; i < all.count; i++) {
		if (all.conns[i].conn)
			control_conn_kept_go_on(all.conns[i].conn);
	}
	if (all.count > 0 || all.lost > 0)
		log_info("going on with %zu connections and %zu calls; %zu calls lost", all.count,
			 all.calls, all.lost);
	free(all.conns);
	free(all.recent);
}
