#include "snoop/snoop_calls.h"

#include "snoop/snoop_cleared.h"

#include <errno.h>
#include <search.h>
#include <stdlib.h>

enum { NOTE_OUTGOING, NOTE_INCOMING }; /* in the table, of the Request */

/* ---- finding calls ---- */

static int compare_ids(const void *a, const void *b)
{
	return ((const struct snoop_id *)a)->value - ((const struct snoop_id *)b)->value;
}

static struct snoop_call *find(void *const *tree, uint16_t value)
{
	struct snoop_id key = {.value = value};
	struct snoop_id *const *found = tfind(&key, tree, compare_ids);
	return found ? (*found)->call : NULL;
}

struct snoop_call *snoop_calls_find_own(const struct call_snoop *snoop, enum callid_side side,
					uint16_t id)
{
	return find(&snoop->own[side], id);
}

struct snoop_call *snoop_calls_find_shown(const struct call_snoop *snoop, enum callid_side side,
					  uint16_t id)
{
	return find(&snoop->shown[side], id);
}

static int enter(void **tree, struct snoop_id *id, struct snoop_call *call, uint16_t value)
{
	*id = (struct snoop_id){value, call};
	if (tsearch(id, tree, compare_ids))
		return 0;
	id->call = NULL;
	errno = ENOMEM;
	return -1;
}

static void leave(void **tree, struct snoop_id *id)
{
	if (id->call)
		tdelete(id, tree, compare_ids);
}

/* ---- an end ---- */

static void remember_ended(struct call_snoop *snoop, int side, const struct snoop_id *id)
{
	uint32_t *count = &snoop->record->ended[side].count;
	if (!id->call)
		return;
	kept_save(snoop->kept, &snoop->record->ended[side], sizeof(snoop->record->ended[side]));
	snoop->record->ended[side].ids[*count % CALL_SNOOP_ENDED_KEPT] = id->value;
	++*count;
}

bool snoop_calls_names_ended(const struct call_snoop *snoop, enum callid_side side, uint16_t id)
{
	uint32_t count = snoop->record->ended[side].count;
	for (uint32_t i = 0; i < count && i < CALL_SNOOP_ENDED_KEPT; i++) {
		if (snoop->record->ended[side].ids[i] == id)
			return true;
	}
	return false;
}

void snoop_calls_forget(struct call_snoop *snoop, struct snoop_call *call)
{
	for (int side = 0; side < 2; side++) {
		leave(&snoop->own[side], &call->own[side]);
		leave(&snoop->shown[side], &call->shown[side]);
		if (snoop->replied[side] == call->ref)
			snoop->replied[side] = 0;
	}
	TAILQ_REMOVE(&snoop->calls, call, in_calls);
	snoop->count--;
	free(call);
}

void snoop_calls_end(struct call_snoop *snoop, struct snoop_call *call, uint64_t now,
		     const char *reason)
{
	struct callid_info info;
	bool known = callid_db_end(snoop->db, call->ref, now, &info);

	for (int side = 0; side < 2; side++) {
		remember_ended(snoop, side, &call->own[side]);
		remember_ended(snoop, side, &call->shown[side]);
	}
	snoop_calls_forget(snoop, call);
	if (known)
		snoop->events->ended(snoop->arg, &info, reason);
}

/* ---- a beginning ---- */

static void add_call(struct call_snoop *snoop, struct snoop_call *call)
{
	TAILQ_INSERT_TAIL(&snoop->calls, call, in_calls);
	snoop->count++;
}

int snoop_calls_adopt(struct call_snoop *snoop, callid_ref ref, const struct callid_info *info)
{
	struct snoop_call *call = calloc(1, sizeof(*call));
	enum callid_side caller = info->caller, callee = callid_other(caller);

	if (!call)
		return -1;
	call->ref = ref;
	call->incoming = info->note == NOTE_INCOMING;
	call->open = info->open;
	call->caller = caller;
	add_call(snoop, call);
	if (enter(&snoop->own[caller], &call->own[caller], call, info->id[caller]) != 0 ||
	    enter(&snoop->shown[callee], &call->shown[callee], call, info->shown[callee]) != 0)
		return -1;
	if (info->open &&
	    (enter(&snoop->own[callee], &call->own[callee], call, info->id[callee]) != 0 ||
	     enter(&snoop->shown[caller], &call->shown[caller], call, info->shown[caller]) != 0))
		return -1;
	if (info->open && !info->released)
		snoop->replied[callee] = ref;
	return 0;
}

struct snoop_call *snoop_calls_reserve(struct call_snoop *snoop, enum callid_side caller,
				       uint16_t caller_id, bool incoming, uint64_t now)
{
	struct snoop_call *call = calloc(1, sizeof(*call));
	struct callid_request request = {
	    .legs = {snoop->legs[0], snoop->legs[1]},
	    .caller = caller,
	    .caller_id = caller_id,
	    .connection = snoop->connection,
	    .note = incoming ? NOTE_INCOMING : NOTE_OUTGOING,
	};
	enum callid_side callee = callid_other(caller);
	uint16_t shown;

	if (!call)
		return NULL;
	call->ref = callid_db_reserve(snoop->db, &request, now, &shown);
	if (!call->ref) {
		free(call);
		return NULL;
	}
	call->caller = caller;
	call->incoming = incoming;
	add_call(snoop, call);
	snoop_cleared_forget(snoop, caller, caller_id, now);
	if (enter(&snoop->own[caller], &call->own[caller], call, caller_id) != 0 ||
	    enter(&snoop->shown[callee], &call->shown[callee], call, shown) != 0) {
		snoop_calls_end(snoop, call, now, reason_message_name(REASON_MESSAGE_MEMORY));
		errno = ENOMEM;
		return NULL;
	}
	return call;
}

int snoop_calls_open(struct call_snoop *snoop, struct snoop_call *call, uint16_t callee_id,
		     uint64_t now)
{
	enum callid_side caller = call->caller, callee = callid_other(caller);
	uint16_t shown;

	if (callid_db_open(snoop->db, call->ref, callee_id, now, &shown) != 0 ||
	    enter(&snoop->own[callee], &call->own[callee], call, callee_id) != 0 ||
	    enter(&snoop->shown[caller], &call->shown[caller], call, shown) != 0)
		return -1;
	call->open = true;
	snoop_cleared_forget(snoop, callee, callee_id, now);
	return 0;
}
