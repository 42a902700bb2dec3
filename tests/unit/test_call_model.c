/*
 * A state machine of control connections against the snoop and its table, driven at random.
 *
 * The model has calls as the RFC and the manuals in the headers tell them: who asked, which ID each
 * side assigned and was shown, which ways there are, held, open or in quarantine. It has no index,
 * no tree and no hash; IDs are an array for each pair of addresses. A step is a message of either
 * side with IDs that are right, nearly right or wrong, a Reply that has been written on, some time,
 * packets, a call that we end ourselves, the end of a connection and a new one. After each one:
 * verdict, each octet of what passes, answers, what observers and events were told, totals, and
 * ways of the calls concerned; at times, each ID between each pair of addresses.
 *
 * Connections share addresses of ours and peers, and in some rounds nearly all IDs of an address
 * are taken, so that IDs are doubled, taken from quarantine, or refused. At times an allocation
 * fails: then the step may refuse, but must leave everything in order.
 *
 *   PPTPPROXY_MODEL_SEED=N   repeats a run: all chance, the table's too, comes from it
 *   PPTPPROXY_MODEL_STEPS=N  how many; without, 1,000,000, with a sanitizer 100,000
 */
#include "call_snoop.h"

#include <errno.h>
#include <inttypes.h>
#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#endif
#ifdef SANITIZED
enum { STEPS = 100000, OWN_MALLOC = 0 };
#else
enum { STEPS = 1000000, OWN_MALLOC = 1 };
#endif

enum {
	IDS = 65536,
	HOMES = 2,
	PEERS = 3,
	SPACES = HOMES * PEERS,
	CONNECTIONS = 6,
	CALLS_A_CONNECTION = 12,
	POOL = 90000,	  /* calls that are there or in quarantine, the crowd's too */
	ROUND = 20000,	  /* steps with one table */
	ENDED_NAMED = 16, /* IDs of ended calls that a side may name again */
	CLEARED = 8,	  /* of a connection's calls that we have ended, the last ones */
	CLEARED_MS = 30000,
	TOLD_MAX = 64,
};

enum way { NO_WAY, HELD, OPEN, RESTING };

/* A call; its way "from" a side is the one of packets that this side sends. */
struct call {
	bool live, open, incoming;
	bool has_own[2], has_shown[2];
	enum callid_side caller;
	uint16_t own[2], shown[2];
	callid_ref ref;
	int connection; /* -1: one of the crowd */
	uint64_t number, reserved_at, opened_at, ended_at;
	int space[2];
	enum way ways[2];
	struct callid_counts from[2];
};

/* A call that we have ended, whose PAC is to say so. */
struct cleared {
	bool waits, own_known;
	uint64_t since;
	int pac;
	uint16_t own, shown;
};

struct connection {
	struct call_snoop *snoop;
	uint64_t number;
	int space[2];
	struct call *calls[CALLS_A_CONNECTION]; /* as they were made */
	size_t count;
	struct call *replied[2]; /* a Reply of that side is on its way to the other */
	bool unwritten[2];	 /* that side's last message passed, and is not written on yet */
	uint16_t ended[2][ENDED_NAMED];
	unsigned ended_count[2];
	struct cleared cleared[CLEARED]; /* the oldest first */
};

/* What observers and events were told in a step, or should have been. */
struct told {
	enum { DB_EVENT, SNOOP_OPENED, SNOOP_ENDED } kind;
	callid_ref call;
	enum callid_event event;
	struct callid_info info;
	char reason[64];
};

struct telling {
	struct told told[TOLD_MAX];
	size_t count;
};

static struct {
	uint64_t seed, random, table_random;
	uint64_t step, now, connection_numbers;
	struct callid_db *db;
	struct connection connections[CONNECTIONS];
	struct call pool[POOL];
	uint32_t unused[POOL];
	size_t unused_count, calls, resting;
	struct call *takers[SPACES][IDS]; /* whose way from a peer an ID stands for */
	uint16_t homes[HOMES][IDS];	  /* how many of the spaces have it taken */
	unsigned space_taken[SPACES], home_taken[HOMES];
	struct call *rest[2 * POOL]; /* a ring: calls in the order of their ends */
	size_t rest_first, rest_end;
	callid_ref gone[64]; /* a ring: some calls that have ended */
	unsigned gone_count;
	uint16_t gone_ids[64]; /* and IDs of theirs */
	struct telling got, want;
	uint64_t generation;
	char doing[160];
	bool failed_one; /* an allocation, in this step */
	struct {
		unsigned passed[16], dropped[16];
		unsigned opened, refused, doubled, hurried, short_of_memory, taken;
	} seen;
} model;

#define EXPECT(condition)                                                                          \
	do {                                                                                       \
		if (!(condition))                                                                  \
			fail_msg("PPTPPROXY_MODEL_SEED=%" PRIu64 ", step %" PRIu64                 \
				 ", line %d: %s; after %s",                                        \
				 model.seed, model.step, __LINE__, #condition, model.doing);       \
	} while (0)

#define DOING(...) snprintf(model.doing, sizeof(model.doing), __VA_ARGS__)

/* ---- chance ---- */

static uint64_t next_random(uint64_t *state)
{
	*state += UINT64_C(0x9E3779B97F4A7C15);
	uint64_t z = *state;
	z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
	z = (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
	return z ^ z >> 31;
}

static uint32_t draw(uint32_t below)
{
	return (uint32_t)((next_random(&model.random) >> 32) % below);
}

static enum callid_side draw_side(void)
{
	return draw(2) ? CALLID_SERVER : CALLID_CLIENT;
}

/* In place of the system's, so that a seed repeats a run; with more zeros than by chance, as 0 is
 * no ID to choose. */
ssize_t __wrap_getrandom(void *out, size_t size, unsigned flags);
ssize_t __wrap_getrandom(void *out, size_t size, unsigned flags)
{
	(void)flags;
	uint8_t *octets = out;
	/* Seldom there is none; whoever fills a seed gets his. */
	if (size > 16 && next_random(&model.table_random) % 64 == 0) {
		errno = EINTR;
		return -1;
	}
	for (size_t i = 0; i < size; i++) {
		uint64_t chance = next_random(&model.table_random);
		octets[i] = chance >> 62 ? (uint8_t)chance : 0;
	}
	return (ssize_t)size;
}

/* ---- memory: blocks in use, and the n-th allocation that fails ---- */

static size_t blocks;
static int fail_in = -1; /* so many more succeed before one fails; -1: all do */

#ifndef SANITIZED
extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *old, size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);
extern void __libc_free(void *block);

static bool fails(void)
{
	if (fail_in < 0 || fail_in-- > 0)
		return false;
	model.failed_one = true;
	errno = ENOMEM;
	return true;
}

/* The C library's own search trees allocate by these names, too. */
void *malloc(size_t size)
{
	void *block = fails() ? NULL : __libc_malloc(size);
	blocks += block != NULL;
	return block;
}

void *calloc(size_t count, size_t size)
{
	void *block = fails() ? NULL : __libc_calloc(count, size);
	blocks += block != NULL;
	return block;
}

void *realloc(void *old, size_t size)
{
	void *block = fails() ? NULL : __libc_realloc(old, size);
	blocks += block != NULL && old == NULL;
	return block;
}

void *aligned_alloc(size_t alignment, size_t size)
{
	void *block = fails() ? NULL : __libc_memalign(alignment, size);
	blocks += block != NULL;
	return block;
}

void free(void *block)
{
	blocks -= block != NULL;
	__libc_free(block);
}
#endif

/* ---- addresses ---- */

/* A space is a pair of addresses; any may be on either side, as where we have one address only. */
static struct callid_leg leg_of(int space)
{
	return (struct callid_leg){0x0A000001U + (uint32_t)(space / PEERS),
				   0xC0000201U + (uint32_t)(space % PEERS)};
}

static int home_of(int space)
{
	return space / PEERS;
}

/* ---- telling ---- */

static struct told *tell(struct telling *telling, int kind, callid_ref call)
{
	EXPECT(telling->count < TOLD_MAX);
	struct told *told = &telling->told[telling->count++];
	memset(told, 0, sizeof(*told));
	told->kind = kind;
	told->call = call;
	return told;
}

static void on_event(void *arg, callid_ref call, enum callid_event event)
{
	tell(arg, DB_EVENT, call)->event = event;
}

static void on_opened(void *arg, callid_ref call)
{
	tell(arg, SNOOP_OPENED, call);
}

static void on_ended(void *arg, const struct callid_info *info, const char *reason)
{
	struct told *told = tell(arg, SNOOP_ENDED, 0);
	told->info = *info;
	snprintf(told->reason, sizeof(told->reason), "%s", reason);
}

static const struct call_snoop_events events = {on_opened, on_ended};

/* Whoever carries packets by another way. */
static void on_count(void *arg, callid_ref call, struct callid_counts from[2])
{
	(void)arg;
	from[0].packets += call & 3;
	from[1].octets += 100 + (call & 7);
}

static struct callid_info info_of(const struct call *call)
{
	struct callid_info info = {
	    .connection = call->number,
	    .open = call->open,
	    .caller = call->caller,
	    .legs = {leg_of(call->space[0]), leg_of(call->space[1])},
	    .id = {call->own[0], call->own[1]},
	    .shown = {call->shown[0], call->shown[1]},
	    .reserved_at = call->reserved_at,
	    .opened_at = call->opened_at,
	    .from = {call->from[0], call->from[1]},
	};
	on_count(NULL, call->ref, info.from);
	return info;
}

static void check_counts(const struct callid_counts *a, const struct callid_counts *b)
{
	EXPECT(a->packets == b->packets);
	EXPECT(a->octets == b->octets);
	EXPECT(a->drops == b->drops);
	EXPECT(a->seen_at == b->seen_at);
}

static void check_info(const struct callid_info *got, const struct callid_info *want)
{
	EXPECT(got->connection == want->connection);
	EXPECT(got->open == want->open);
	EXPECT(got->caller == want->caller);
	EXPECT(got->reserved_at == want->reserved_at);
	EXPECT(got->opened_at == want->opened_at);
	for (int side = 0; side < 2; side++) {
		EXPECT(got->legs[side].proxy_addr == want->legs[side].proxy_addr);
		EXPECT(got->legs[side].peer_addr == want->legs[side].peer_addr);
		EXPECT(got->id[side] == want->id[side]);
		EXPECT(got->shown[side] == want->shown[side]);
		check_counts(&got->from[side], &want->from[side]);
	}
}

static void check_told(void)
{
	EXPECT(model.got.count == model.want.count);
	for (size_t i = 0; i < model.want.count; i++) {
		const struct told *got = &model.got.told[i], *want = &model.want.told[i];
		EXPECT(got->kind == want->kind);
		EXPECT(got->call == want->call);
		EXPECT(got->event == want->event);
		EXPECT(strcmp(got->reason, want->reason) == 0);
		if (want->kind == SNOOP_ENDED)
			check_info(&got->info, &want->info);
	}
}

/* ---- IDs ---- */

/* From here on the model says what must be, by what it knows and, where the table had a choice, by
 * what it chose: *chosen is NULL where the table refused. */

static void rest_over(struct call *call, int from);

static void take(struct call *call, int from, uint16_t id, enum way way)
{
	int space = call->space[from], home = home_of(space);
	call->shown[from] = id;
	call->has_shown[from] = true;
	call->ways[from] = way;
	EXPECT(!model.takers[space][id]);
	model.takers[space][id] = call;
	model.space_taken[space]++;
	model.home_taken[home] += model.homes[home][id]++ == 0;
}

/* In a space that is full of calls and of resting IDs: those that have rested longest. */
static uint64_t longest_rest(int space)
{
	uint64_t since = UINT64_MAX;
	for (size_t i = model.rest_first; i != model.rest_end; i++) {
		const struct call *call = model.rest[i % COUNT(model.rest)];
		for (int side = 0; call && side < 2; side++) {
			if (call->ways[side] == RESTING && call->space[side] == space &&
			    call->ended_at < since)
				since = call->ended_at;
		}
	}
	return since;
}

/* May, and must, this ID be shown to this side for that one? */
static void show(struct call *call, int to, uint16_t wanted, const uint16_t *chosen, enum way way)
{
	int space = call->space[to], home = home_of(space);
	unsigned left = IDS - model.home_taken[home];

	EXPECT(chosen);
	uint16_t id = *chosen;
	if (left > 0) {
		EXPECT(model.homes[home][id] == 0);
		EXPECT(id == wanted || model.homes[home][wanted] > 0);
	} else if (model.space_taken[space] < IDS) {
		left = IDS - model.space_taken[space];
		EXPECT(!model.takers[space][id]);
		EXPECT(id == wanted || model.takers[space][wanted]);
		model.seen.doubled++;
	} else {
		struct call *before = model.takers[space][id];
		uint64_t since = longest_rest(space);
		EXPECT(since != UINT64_MAX);
		EXPECT(before->ended_at == since);
		bool rests = before->space[to] == space && before->shown[to] == id &&
			     before->ways[to] == RESTING;
		int side = rests ? to : 1 - to;
		EXPECT(before->ways[side] == RESTING && before->shown[side] == id);
		rest_over(before, side);
		model.seen.hurried++;
	}
	if (left > IDS / 4 && id != wanted)
		EXPECT(id != 0);
	take(call, to, id, way);
}

static bool could_show(int space)
{
	return model.space_taken[space] < IDS || longest_rest(space) != UINT64_MAX;
}

static void rest_over(struct call *call, int from)
{
	int space = call->space[from], home = home_of(space);
	uint16_t id = call->shown[from];

	call->ways[from] = NO_WAY;
	EXPECT(model.takers[space][id] == call);
	model.takers[space][id] = NULL;
	model.space_taken[space]--;
	model.home_taken[home] -= --model.homes[home][id] == 0;
	model.resting--;
}

/* ---- a call's life ---- */

static struct call *new_call(int connection, int client_space, int server_space,
			     enum callid_side caller, uint16_t own)
{
	EXPECT(model.unused_count > 0);
	struct call *call = &model.pool[model.unused[--model.unused_count]];
	*call = (struct call){
	    .live = true,
	    .caller = caller,
	    .connection = connection,
	    .number = connection < 0 ? 0 : model.connections[connection].number,
	    .reserved_at = model.now,
	    .space = {client_space, server_space},
	};
	call->own[caller] = own;
	call->has_own[caller] = true;
	model.calls++;
	return call;
}

static void expect_event(callid_ref call, enum callid_event event)
{
	tell(&model.want, DB_EVENT, call)->event = event;
}

static void end_in_table(struct call *call)
{
	model.gone[model.gone_count % COUNT(model.gone)] = call->ref;
	model.gone_ids[model.gone_count++ % COUNT(model.gone_ids)] = call->shown[draw(2)];
	call->live = false;
	call->ended_at = model.now;
	for (int side = 0; side < 2; side++) {
		if (call->ways[side] == NO_WAY)
			continue;
		call->ways[side] = RESTING;
		model.resting++;
	}
	EXPECT(model.rest_end - model.rest_first < COUNT(model.rest));
	model.rest[model.rest_end++ % COUNT(model.rest)] = call;
	model.calls--;
	expect_event(call->ref, CALLID_ENDED);
}

static void forget_in_connection(struct connection *connection, const struct call *call)
{
	size_t at = 0;
	while (connection->calls[at] != call)
		at++;
	connection->count--;
	memmove(&connection->calls[at], &connection->calls[at + 1],
		(connection->count - at) * sizeof(connection->calls[0]));
	for (int side = 0; side < 2; side++) {
		if (connection->replied[side] == call)
			connection->replied[side] = NULL;
	}
}

static void name_ended(struct connection *connection, int side, uint16_t id)
{
	connection->ended[side][connection->ended_count[side]++ % ENDED_NAMED] = id;
}

static void end_call(struct connection *connection, struct call *call, const char *reason)
{
	for (int side = 0; side < 2; side++) {
		if (call->has_own[side])
			name_ended(connection, side, call->own[side]);
		if (call->has_shown[side])
			name_ended(connection, side, call->shown[side]);
	}
	struct callid_info info = info_of(call);
	end_in_table(call);
	forget_in_connection(connection, call);
	struct told *told = tell(&model.want, SNOOP_ENDED, 0);
	told->info = info;
	snprintf(told->reason, sizeof(told->reason), "%s", reason);
}

static void expire(void)
{
	callid_db_expire(model.db, model.now);
	while (model.rest_first != model.rest_end) {
		struct call *call = model.rest[model.rest_first % COUNT(model.rest)];
		if (model.now - call->ended_at < 30000)
			break;
		for (int side = 0; side < 2; side++) {
			if (call->ways[side] == RESTING)
				rest_over(call, side);
		}
		model.unused[model.unused_count++] = (uint32_t)(call - model.pool);
		model.rest_first++;
	}
}

/* ---- what must come of a message ---- */

/* RFC 2637, section 2: octets of each type, where its call IDs stand, and its result. */
static const struct {
	uint16_t length;
	uint8_t own_at, peers_at, result_at;
} types[16] = {
    [1] = {156, 0, 0, 0},    [2] = {156, 0, 0, 14},   [3] = {16, 0, 0, 0},   [4] = {16, 0, 0, 12},
    [5] = {16, 0, 0, 0},     [6] = {20, 0, 0, 16},    [7] = {168, 12, 0, 0}, [8] = {32, 12, 14, 16},
    [9] = {220, 12, 0, 0},   [10] = {24, 12, 14, 16}, [11] = {28, 0, 12, 0}, [12] = {16, 12, 0, 0},
    [13] = {148, 12, 0, 14}, [14] = {40, 0, 12, 0},   [15] = {24, 0, 12, 0},
};

enum { OCRQ = 7, OCRP, ICRQ, ICRP, ICCN, CCRQ, CDN, WEN, SLI };

static uint16_t get16(const uint8_t *at)
{
	return (uint16_t)(at[0] * 256 + at[1]);
}

static void put16(uint8_t *at, uint16_t value)
{
	at[0] = (uint8_t)(value / 256);
	at[1] = (uint8_t)(value % 256);
}

struct message {
	struct connection *connection;
	enum callid_side from, to;
	uint16_t type, length;
	uint8_t octets[512];	  /* as it came, then as it must leave */
	const uint8_t *passed;	  /* as it left; NULL: dropped */
	const char *drop;	  /* why it must be dropped; NULL: it must pass */
	enum reason_message kind; /* of the drop */
	bool take;		  /* it must go no further without a word */
	struct snoop_answer answer[2];
};

static void drop(struct message *m, enum reason_message kind, const char *reason)
{
	m->kind = kind;
	m->drop = reason;
}

static void begin_message(uint8_t *octets, uint16_t type, size_t length)
{
	memset(octets, 0, length);
	put16(octets, (uint16_t)length);
	put16(octets + 2, 1);
	memcpy(octets + 4, "\x1A\x2B\x3C\x4D", 4);
	put16(octets + 8, type);
}

static void answer(struct message *m, int to, uint16_t type, uint16_t at12, uint16_t at14,
		   uint8_t result, uint8_t error)
{
	struct snoop_answer *out = &m->answer[to];
	out->length = types[type].length;
	begin_message(out->octets, type, out->length);
	put16(out->octets + 12, at12);
	if (types[type].peers_at == 14)
		put16(out->octets + 14, at14);
	if (types[type].result_at)
		out->octets[types[type].result_at] = result;
	if (type == OCRP || type == ICRP)
		out->octets[17] = error;
}

/* "Result 2, general error 4: insufficient resources", as from the other end. */
static void answer_refusal(struct message *m, int to, bool incoming, uint16_t id)
{
	answer(m, to, incoming ? ICRP : OCRP, 0, id, 2, 4);
	model.seen.refused++;
}

/* Calls of this connection only. */
static struct call *by_own(const struct connection *connection, int side, uint16_t id)
{
	for (size_t i = 0; i < connection->count; i++) {
		struct call *call = connection->calls[i];
		if (call->has_own[side] && call->own[side] == id)
			return call;
	}
	return NULL;
}

static struct call *by_shown(const struct connection *connection, int side, uint16_t id)
{
	for (size_t i = 0; i < connection->count; i++) {
		struct call *call = connection->calls[i];
		if (call->has_shown[side] && call->shown[side] == id)
			return call;
	}
	return NULL;
}

/* Of an ID, or of memory; of both: either may be said. */
static void drop_for_want(struct message *m, bool full)
{
	if (!full)
		drop(m, REASON_MESSAGE_MEMORY, "call refused");
	else if (!model.failed_one)
		drop(m, REASON_NO_ID, "none is free, call refused");
	else
		drop(m, REASON_MESSAGE_COUNT, "either");
}

/* ---- calls that we have ended ---- */

static void clear_call(struct connection *connection, const struct call *call, int pac)
{
	memmove(&connection->cleared[0], &connection->cleared[1],
		(CLEARED - 1) * sizeof(connection->cleared[0]));
	connection->cleared[CLEARED - 1] = (struct cleared){
	    .waits = true,
	    .own_known = call->has_own[pac],
	    .since = model.now,
	    .pac = pac,
	    .own = call->own[pac],
	    .shown = call->shown[pac],
	};
}

enum kind { BY_OWN, BY_SHOWN, BY_ANY };

static struct cleared *cleared_of(const struct message *m, enum kind kind, uint16_t id)
{
	for (int i = 0; i < CLEARED; i++) {
		struct cleared *cleared = &m->connection->cleared[i];
		if (!cleared->waits || cleared->pac != (int)m->from ||
		    model.now - cleared->since >= CLEARED_MS)
			continue;
		if (kind == BY_ANY || (kind == BY_SHOWN && cleared->shown == id) ||
		    (kind == BY_OWN && cleared->own_known && cleared->own == id))
			return cleared;
	}
	return NULL;
}

/* The PAC assigns this ID to a call. */
static void assigned(const struct message *m, uint16_t id)
{
	struct cleared *cleared = cleared_of(m, BY_OWN, id);
	if (cleared)
		cleared->waits = false;
}

/* Where memory was short after a call had got its way: it is there for a moment. */
static void want_request_without_memory(struct message *m, struct call *call)
{
	struct telling *got = &model.got;
	size_t at = model.want.count;
	if (at == got->count) { /* before it was known to the table */
		call->live = false;
		model.calls--;
		model.unused[model.unused_count++] = (uint32_t)(call - model.pool);
		return;
	}
	call->ref = got->told[at].call;
	expect_event(call->ref, CALLID_RESERVED);
	EXPECT(got->count == at + 3 && got->told[at + 2].kind == SNOOP_ENDED);
	show(call, m->to, call->own[m->from], &got->told[at + 2].info.shown[m->to], HELD);
	m->connection->calls[m->connection->count++] = call;
	end_call(m->connection, call, "no memory");
}

static void want_request(struct message *m)
{
	struct connection *connection = m->connection;
	uint16_t id = get16(m->octets + 12);
	struct call *before = by_own(connection, m->from, id);

	if (before)
		end_call(connection, before, "replaced: its call ID came in a new request");
	struct call *call = new_call((int)(connection - model.connections), connection->space[0],
				     connection->space[1], m->from, id);
	call->incoming = m->type == ICRQ;
	bool no_memory = model.failed_one && !m->passed;
	if (no_memory || !could_show(connection->space[m->to])) {
		answer_refusal(m, m->from, call->incoming, id);
		drop_for_want(m, !could_show(connection->space[m->to]));
		want_request_without_memory(m, call);
		EXPECT(no_memory || model.want.count == model.got.count);
		return;
	}
	EXPECT(m->passed);
	uint16_t chosen = get16(m->passed + 12);
	show(call, m->to, id, &chosen, HELD);
	EXPECT(model.want.count < model.got.count);
	call->ref = model.got.told[model.want.count].call;
	EXPECT(call->ref != 0);
	expect_event(call->ref, CALLID_RESERVED);
	connection->calls[connection->count++] = call;
	put16(m->octets + 12, chosen);
	assigned(m, id);
}

/* The callee agreed, and nothing can be shown to the caller. */
static void want_no_opening(struct message *m, struct call *call)
{
	size_t at = model.want.count;
	bool full = !could_show(m->connection->space[m->to]);
	answer_refusal(m, call->caller, call->incoming, call->own[call->caller]);
	answer(m, m->from, call->incoming ? CDN : CCRQ, call->shown[m->from], 0, 3, 0);
	/* The call's record has the callee's ID already. */
	uint16_t callee_id = get16(m->octets + 12);
	if (model.got.count > at && model.got.told[at].kind == DB_EVENT &&
	    model.got.told[at].event == CALLID_OPENED) {
		EXPECT(model.failed_one);
		EXPECT(model.got.count == at + 3 && model.got.told[at + 2].kind == SNOOP_ENDED);
		expect_event(call->ref, CALLID_OPENED);
		show(call, m->to, callee_id, &model.got.told[at + 2].info.shown[m->to], OPEN);
		call->open = true;
		call->opened_at = model.now;
	}
	call->own[m->from] = callee_id;
	drop_for_want(m, full);
	if (m->kind == REASON_MESSAGE_COUNT)
		end_call(m->connection, call, model.got.told[model.got.count - 1].reason);
	else
		end_call(m->connection, call, reason_message_name(m->kind));
}

static void want_opening(struct message *m, struct call *call)
{
	struct connection *connection = m->connection;
	uint16_t id = get16(m->octets + 12);
	struct call *before = by_own(connection, m->from, id);

	if (before)
		end_call(connection, before, "replaced: its call ID came in a new reply");
	if ((model.failed_one && !m->passed) || !could_show(connection->space[m->to])) {
		want_no_opening(m, call);
		return;
	}
	EXPECT(m->passed);
	uint16_t chosen = get16(m->passed + 12);
	show(call, m->to, id, &chosen, OPEN);
	call->open = true;
	call->opened_at = model.now;
	call->own[m->from] = id;
	call->has_own[m->from] = true;
	connection->replied[m->from] = call;
	expect_event(call->ref, CALLID_OPENED);
	tell(&model.want, SNOOP_OPENED, call->ref);
	model.seen.opened++;
	assigned(m, id);
}

static void want_reply(struct message *m)
{
	struct call *call = by_shown(m->connection, m->from, get16(m->octets + 14));
	char reason[64];

	struct cleared *cleared = NULL;
	if (!call || call->caller == m->from || call->incoming != (m->type == ICRP))
		cleared = cleared_of(m, BY_SHOWN, get16(m->octets + 14));
	if (cleared && !cleared->own_known && m->octets[16] == 1) {
		cleared->own = get16(m->octets + 12);
		cleared->own_known = true;
	}
	if (!call) {
		drop(m, REASON_MISMATCHED_ID, "it names no call of this connection");
		return;
	}
	if (call->caller == m->from || call->incoming != (m->type == ICRP)) {
		drop(m, REASON_OUT_OF_ORDER, "its call waits for no such reply");
		return;
	}
	put16(m->octets + 14, call->own[m->to]);
	if (m->octets[16] != 1) {
		snprintf(reason, sizeof(reason), "refused: result %u", m->octets[16]);
		end_call(m->connection, call, reason);
		return;
	}
	if (!call->open)
		want_opening(m, call);
	else if (call->own[m->from] != get16(m->octets + 12))
		drop(m, REASON_OUT_OF_ORDER, "a second reply with another call ID");
	if (!m->drop)
		put16(m->octets + 12, call->shown[m->to]);
}

static bool names_ended(const struct message *m, uint16_t id)
{
	const struct connection *connection = m->connection;
	for (unsigned i = 0; i < ENDED_NAMED && i < connection->ended_count[m->from]; i++) {
		if (connection->ended[m->from][i] == id)
			return true;
	}
	return false;
}

/* The sender's own ID; else its peer's, as it was shown; else, unless it was one of an ended call,
 * that with its octets swapped; else the only call that there is. */
static struct call *disconnected(const struct message *m)
{
	const struct connection *connection = m->connection;
	uint16_t id = get16(m->octets + 12);
	struct call *call = by_own(connection, m->from, id);
	if (call || (call = by_shown(connection, m->from, id)) || names_ended(m, id))
		return call;
	call = by_shown(connection, m->from, (uint16_t)(id % 256 * 256 + id / 256));
	return call || connection->count != 1 ? call : connection->calls[0];
}

/* It answers us, if by the sender's own ID; or by its peer's, if that names no call that there is;
 * or, if its ID names nothing at all. */
static struct cleared *answers_us(const struct message *m)
{
	const struct connection *connection = m->connection;
	uint16_t id = get16(m->octets + 12), swapped = (uint16_t)(id % 256 * 256 + id / 256);
	struct cleared *cleared = cleared_of(m, BY_OWN, id);
	if (cleared)
		return cleared;
	if (by_own(connection, m->from, id) || by_shown(connection, m->from, id))
		return NULL;
	cleared = cleared_of(m, BY_SHOWN, id);
	if (cleared)
		return cleared;
	if (names_ended(m, id) || by_shown(connection, m->from, swapped))
		return NULL;
	return cleared_of(m, BY_ANY, id);
}

static void want_disconnect(struct message *m)
{
	struct cleared *cleared = answers_us(m);
	struct call *call = disconnected(m);
	char reason[64];

	if (cleared) {
		cleared->waits = false;
		m->take = true;
		model.seen.taken++;
		return;
	}
	if (!call) {
		drop(m, REASON_MISMATCHED_ID, "it names no call of this connection");
		return;
	}
	snprintf(reason, sizeof(reason), "disconnected: result %u", m->octets[14]);
	if (call->has_shown[m->to]) {
		put16(m->octets + 12, call->shown[m->to]);
	} else {
		answer_refusal(m, m->to, call->incoming, call->own[m->to]);
		drop(m, REASON_OUT_OF_ORDER, "it came instead of the reply, call refused");
	}
	end_call(m->connection, call, reason);
}

static void want_of_a_call(struct message *m)
{
	uint16_t id = get16(m->octets + 12);
	bool is_own = m->type == CCRQ;
	struct call *call =
	    is_own ? by_own(m->connection, m->from, id) : by_shown(m->connection, m->from, id);
	if (!call)
		drop(m, REASON_MISMATCHED_ID, "it names no call of this connection");
	else
		put16(m->octets + 12, is_own ? call->shown[m->to] : call->own[m->to]);
}

static void want(struct message *m)
{
	switch (m->type) {
	case OCRQ:
	case ICRQ:
		want_request(m);
		break;
	case OCRP:
	case ICRP:
		want_reply(m);
		break;
	case CDN:
		want_disconnect(m);
		break;
	case ICCN:
	case CCRQ:
	case WEN:
	case SLI:
		want_of_a_call(m);
		break;
	}
}

/* ---- packets ---- */

static void send_packet(int space, uint16_t id)
{
	struct callid_leg leg = leg_of(space);
	struct callid_key key = {leg.proxy_addr, leg.peer_addr, id};
	struct callid_route route;
	struct call *call = model.takers[space][id];
	int from = call && call->space[1] == space && call->has_shown[1] && call->shown[1] == id;
	if (from == 1 && call->space[0] == space && call->shown[0] == id && call->ways[0] != NO_WAY)
		from = call->ways[1] == NO_WAY ? 0 : 1;
	size_t octets = 20 + id % 1000U;

	callid_db_read_begin(model.db);
	enum callid_answer got = callid_db_route(model.db, &key, octets, model.now, &route);
	callid_db_read_end(model.db);
	if (!call || call->ways[from] == RESTING) {
		EXPECT(got == CALLID_NONE);
		return;
	}
	enum callid_side to = callid_other((enum callid_side)from);
	struct callid_leg out = leg_of(call->space[to]);
	EXPECT(got == (call->ways[from] == OPEN ? CALLID_ROUTE : CALLID_HELD));
	EXPECT(route.proxy_addr == out.proxy_addr && route.peer_addr == out.peer_addr);
	EXPECT(route.call_id == call->own[to]);
	EXPECT(route.call == call->ref);
	EXPECT(route.from == (enum callid_side)from);
	call->from[from].seen_at = model.now;
	if (got == CALLID_ROUTE) {
		call->from[from].packets++;
		call->from[from].octets += octets;
	}
}

/* ---- the table as a whole ---- */

static void check_call(const struct call *call)
{
	struct callid_info info, expected = info_of(call);
	EXPECT(callid_db_get(model.db, call->ref, &info));
	check_info(&info, &expected);
	for (int side = 0; side < 2; side++) {
		if (call->ways[side] != NO_WAY)
			EXPECT(model.takers[call->space[side]][call->shown[side]] == call);
	}
}

static void check_connection(const struct connection *connection)
{
	EXPECT(call_snoop_calls(connection->snoop) == connection->count);
	for (size_t i = 0; i < connection->count; i++)
		check_call(connection->calls[i]);
}

static void check_totals(void)
{
	struct callid_totals totals;
	callid_db_totals(model.db, &totals);
	EXPECT(totals.calls == model.calls);
	EXPECT(totals.closing == model.resting);
	uint64_t generation = callid_db_generation(model.db);
	EXPECT(generation >= model.generation + (model.want.count > 0));
	model.generation = generation;
}

static void check_gone(void)
{
	struct callid_info info;
	callid_ref gone = model.gone[draw(COUNT(model.gone))];
	EXPECT(!callid_db_get(model.db, gone, &info));
	callid_db_count_drop(model.db, gone, draw_side());
}

/* Each ID between each pair of addresses. */
static void check_all(void)
{
	DOING("a look at everything");
	for (int space = 0; space < SPACES; space++) {
		for (unsigned id = 0; id < IDS; id++)
			send_packet(space, (uint16_t)id);
	}
	for (size_t i = 0; i < COUNT(model.connections); i++)
		check_connection(&model.connections[i]);
}

/* ---- steps ---- */

static void begin_step(void)
{
	model.got.count = model.want.count = 0;
	model.failed_one = false;
}

static void end_step(void)
{
	fail_in = -1;
	check_told();
	check_totals();
}

static const struct call *any_call(const struct connection *connection)
{
	return connection->count ? connection->calls[draw((uint32_t)connection->count)] : NULL;
}

/* Of a call: right, of the wrong end or in the wrong place, with its octets swapped. */
static uint16_t draw_id_of(const struct call *call)
{
	uint16_t id = draw(2) ? call->own[draw(2)] : call->shown[draw(2)];
	return draw(8) ? id : (uint16_t)(id << 8 | id >> 8);
}

static uint16_t draw_wrong_id(void)
{
	const struct call *call = any_call(&model.connections[draw(CONNECTIONS)]);
	switch (draw(5)) {
	case 0:
		return call ? draw_id_of(call) : 7;
	case 1:
		return model.gone_ids[draw(COUNT(model.gone_ids))];
	case 2:
		return (uint16_t)draw(24);
	case 3:
		return (uint16_t)draw(IDS);
	default:
		return (uint16_t)(draw(24) << 8);
	}
}

/* One by which that side knew a call that has ended; often the oldest that is still remembered. */
static uint16_t draw_ended_id(const struct message *m)
{
	unsigned count = m->connection->ended_count[m->from];
	unsigned back = draw(3) ? draw(ENDED_NAMED) : ENDED_NAMED - 1;
	return back < count ? m->connection->ended[m->from][(count - 1 - back) % ENDED_NAMED] : 9;
}

/* What the field should hold, mostly. */
static void draw_ids(struct message *m)
{
	const struct call *call = any_call(m->connection);
	const struct call *other = any_call(m->connection);
	uint16_t at12 = draw_wrong_id(), at14 = draw_wrong_id();

	if (call && draw(8)) {
		at14 = call->shown[m->from];
		bool is_new = m->type == OCRQ || m->type == ICRQ;
		if (m->type == OCRP || m->type == ICRP)
			at12 = call->open ? call->own[m->from] : at12;
		else if (!is_new)
			at12 = types[m->type].own_at ? call->own[m->from] : call->shown[m->from];
	}
	if (other && draw(8) == 0)
		at12 = draw_id_of(other);
	if (m->type == CDN && draw(4) == 0)
		at12 = draw_ended_id(m);
	if (types[m->type].own_at || types[m->type].peers_at)
		put16(m->octets + 12, at12);
	if (types[m->type].peers_at == 14)
		put16(m->octets + 14, at14);
}

static uint16_t draw_type(const struct connection *connection)
{
	static const uint16_t usual[] = {OCRQ, OCRP, OCRP, OCRP, ICRQ, ICRP, ICRP, ICRP, CDN};
	uint16_t type = draw(3) ? usual[draw(COUNT(usual))] : (uint16_t)draw(18);
	bool is_new = type == OCRQ || type == ICRQ;
	if (draw(200) == 0)
		type = (uint16_t)draw(IDS);
	return is_new && connection->count == CALLS_A_CONNECTION ? CDN : type;
}

static void draw_message(struct message *m)
{
	m->connection = &model.connections[draw(CONNECTIONS)];
	m->from = draw_side();
	m->to = callid_other(m->from);
	m->type = draw_type(m->connection);
	bool is_known = m->type >= 1 && m->type <= 15;
	m->length = (uint16_t)((is_known ? types[m->type].length : 12) + (draw(8) ? 0 : draw(40)));
	begin_message(m->octets, m->type, m->length);
	for (size_t i = 10; i < m->length; i++)
		m->octets[i] = (uint8_t)draw(256);
	if (!is_known)
		return;
	draw_ids(m);
	if (types[m->type].result_at && draw(8))
		m->octets[types[m->type].result_at] = 1;
}

static void written(struct connection *connection, enum callid_side from)
{
	begin_step();
	DOING("a message of the %s was written on", callid_side_name(from));
	call_snoop_written(connection->snoop, from);
	connection->unwritten[from] = false;
	struct call *call = connection->replied[from];
	connection->replied[from] = NULL;
	if (call) {
		call->ways[from] = OPEN;
		expect_event(call->ref, CALLID_RELEASED);
	}
	end_step();
	check_connection(connection);
}

static void open_connection_between(struct connection *connection, int one, int other)
{
	*connection = (struct connection){.number = ++model.connection_numbers};
	int first = (int)draw(2);
	connection->space[first] = one;
	connection->space[!first] = other;
	struct callid_leg legs[2] = {leg_of(connection->space[0]), leg_of(connection->space[1])};
	connection->snoop = call_snoop_new(model.db, legs, connection->number, &events, &model.got);
	EXPECT(connection->snoop);
}

static void open_connection(struct connection *connection)
{
	open_connection_between(connection, (int)draw(SPACES), (int)draw(SPACES));
}

/* An outgoing call is asked for by the PNS, an incoming one by the PAC. */
static bool is_pns(const struct call *call, int side)
{
	bool is_caller = side == (int)call->caller;
	return call->incoming ? !is_caller : is_caller;
}

/* What that side is told of the call's end by us. */
static void answer_end(struct message *m, const struct call *call, int to)
{
	if (!call->has_shown[to])
		answer_refusal(m, to, call->incoming, call->own[to]);
	else
		answer(m, to, is_pns(call, to) ? CDN : CCRQ, call->shown[to], 0, 3, 0);
}

static void check_farewell(struct connection *connection, enum callid_side to)
{
	uint8_t octets[PPTP_ANSWER_MAX];
	struct message m = {.connection = connection};
	for (size_t i = 0; i < connection->count; i++) {
		answer_end(&m, connection->calls[i], to);
		EXPECT(call_snoop_farewell(connection->snoop, to, octets) == m.answer[to].length);
		EXPECT(memcmp(octets, m.answer[to].octets, m.answer[to].length) == 0);
	}
	EXPECT(call_snoop_farewell(connection->snoop, to, octets) == 16);
	begin_message(m.octets, 3, 16);
	m.octets[12] = 3;
	EXPECT(memcmp(octets, m.octets, 16) == 0);
	EXPECT(call_snoop_farewell(connection->snoop, to, octets) == 0);
}

static void close_connection(struct connection *connection)
{
	begin_step();
	DOING("a connection's end");
	if (draw(2)) {
		check_farewell(connection, CALLID_CLIENT);
		check_farewell(connection, CALLID_SERVER);
	}
	check_connection(connection);
	call_snoop_end(connection->snoop, model.now, "over");
	while (connection->count > 0)
		end_call(connection, connection->calls[0], "over");
	EXPECT(call_snoop_calls(connection->snoop) == 0);
	call_snoop_free(connection->snoop);
	end_step();
}

/* As an operator ends one. */
static void ending_step(struct connection *connection)
{
	struct call *call = (struct call *)any_call(connection);
	struct message m = {.connection = connection};
	struct snoop_answer answers[2];
	unsigned unassigned = 0;

	if (!call)
		return;
	begin_step();
	DOING("an end by us of a call of %td", connection - model.connections);
	for (size_t i = 0; i < connection->count; i++)
		unassigned += !connection->calls[i]->has_own[CALLID_CLIENT];
	bool named = call->has_own[CALLID_CLIENT];
	callid_ref found =
	    call_snoop_find(connection->snoop, named ? call->own[CALLID_CLIENT] : -1);
	EXPECT(found == (named || unassigned == 1 ? call->ref : 0));
	if (!found)
		return;
	call_snoop_end_one(connection->snoop, found, model.now, "by us", answers);
	for (int side = 0; side < 2; side++) {
		answer_end(&m, call, side);
		EXPECT(answers[side].length == m.answer[side].length);
		EXPECT(memcmp(answers[side].octets, m.answer[side].octets, m.answer[side].length) ==
		       0);
		if (!is_pns(call, side) && call->has_shown[side])
			clear_call(connection, call, side);
	}
	end_call(connection, call, "by us");
	end_step();
	check_connection(connection);
}

static void check_message(struct message *m, const struct snoop_step *step)
{
	EXPECT((step->verdict == SNOOP_DROP) == (m->drop != NULL));
	EXPECT((step->verdict == SNOOP_TAKE) == m->take);
	if (m->kind == REASON_MESSAGE_COUNT && m->drop)
		EXPECT(step->kind == REASON_NO_ID || step->kind == REASON_MESSAGE_MEMORY);
	else if (m->drop)
		EXPECT(step->kind == m->kind && step->reason && strcmp(step->reason, m->drop) == 0);
	else if (!m->take)
		EXPECT(memcmp(m->octets, m->passed, m->length) == 0);
	for (int side = 0; side < 2; side++) {
		EXPECT(step->answer[side].length == m->answer[side].length);
		EXPECT(memcmp(step->answer[side].octets, m->answer[side].octets,
			      m->answer[side].length) == 0);
	}
	if (m->type <= 15)
		(m->drop ? model.seen.dropped : model.seen.passed)[m->type]++;
}

static void message_step(void)
{
	static struct message m;
	static uint8_t octets[sizeof(m.octets)];
	struct snoop_step step;

	memset(&m, 0, sizeof(m));
	draw_message(&m);
	if (m.connection->unwritten[m.from])
		written(m.connection, m.from);
	begin_step();
	DOING("type %u from the %s of %td, IDs %u and %u, result %u", m.type,
	      callid_side_name(m.from), m.connection - model.connections, get16(m.octets + 12),
	      get16(m.octets + 14), m.type <= 15 ? m.octets[types[m.type].result_at] : 0);
	memcpy(octets, m.octets, m.length);
	fail_in = OWN_MALLOC && draw(100) == 0 ? (int)draw(4) : -1;
	call_snoop_message(m.connection->snoop, m.from, octets, m.length, model.now, &step);
	fail_in = -1;
	m.passed = step.verdict == SNOOP_PASS ? octets : NULL;
	want(&m);
	check_message(&m, &step);
	m.connection->unwritten[m.from] = !m.drop && !m.take;
	end_step();
	check_connection(m.connection);
	if (model.failed_one) {
		/* Which of its IDs it remembers of a call that came so far is not told. */
		model.seen.short_of_memory++;
		close_connection(m.connection);
		open_connection(m.connection);
	}
}

static void packet_step(void)
{
	const struct connection *connection = &model.connections[draw(CONNECTIONS)];
	struct call *call = (struct call *)any_call(connection);
	int side = (int)draw(2);
	bool right = call && draw(4);

	begin_step();
	DOING("a packet");
	send_packet(right ? call->space[side] : (int)draw(SPACES),
		    right ? call->shown[side] : draw_wrong_id());
	if (call && draw(4) == 0) {
		callid_db_count_drop(model.db, call->ref, (enum callid_side)side);
		call->from[side].drops += call->ways[side] != NO_WAY;
		if (call->ways[side] == NO_WAY)
			call = NULL;
	}
	check_gone();
	end_step();
	if (call)
		check_call(call);
}

static void time_step(void)
{
	begin_step();
	DOING("some time");
	model.now += draw(8) ? draw(2000) : draw(40000);
	if (draw(4))
		expire();
	end_step();
}

static void step(void)
{
	model.now += draw(20);
	struct connection *connection = &model.connections[draw(CONNECTIONS)];
	enum callid_side side = draw_side();
	switch (draw(32)) {
	case 0 ... 21:
		message_step();
		break;
	case 22 ... 25:
		if (connection->unwritten[side])
			written(connection, side);
		break;
	case 26 ... 29:
		packet_step();
		break;
	case 30:
		time_step();
		break;
	default:
		if (draw(8) == 0) {
			close_connection(connection);
			open_connection(connection);
		} else {
			ending_step(connection);
		}
	}
}

/* ---- rounds ---- */

/* The one place that makes a table; in the first round, without some or all of the memory, too. */
static struct callid_db *new_table(bool is_first)
{
	for (int n = 0; is_first && OWN_MALLOC; n++) {
		size_t before = blocks;
		model.failed_one = false;
		fail_in = n;
		struct callid_db *db = callid_db_new(NULL);
		fail_in = -1;
		EXPECT((db == NULL) == model.failed_one);
		callid_db_free(db);
		EXPECT(blocks == before);
		if (db)
			break;
	}
	return callid_db_new(NULL);
}

/* A call of nobody's connection, so that the callee's address has that ID taken. */
static struct call *crowd_one(int space, uint16_t id)
{
	uint16_t shown;
	struct call *call = new_call(-1, space, space, CALLID_CLIENT, id);
	struct callid_request request = {
	    .legs = {leg_of(space), leg_of(space)},
	    .caller = CALLID_CLIENT,
	    .caller_id = id,
	};
	begin_step();
	fail_in = OWN_MALLOC && draw(4) == 0 ? (int)draw(2) : -1;
	call->ref = callid_db_reserve(model.db, &request, model.now, &shown);
	fail_in = -1;
	if (!call->ref) {
		EXPECT(model.failed_one && errno == ENOMEM);
		model.seen.short_of_memory++;
		call->ref = callid_db_reserve(model.db, &request, model.now, &shown);
		EXPECT(call->ref != 0);
	}
	show(call, CALLID_SERVER, id, &shown, HELD);
	return call;
}

/* Leaves few IDs, in one pair of addresses or, where it shares them with another, in both. */
static void crowd(bool is_shared)
{
	int home = (int)draw(HOMES), space = home * PEERS + (int)draw(PEERS);
	int other = home * PEERS + (space + 1) % PEERS;
	uint32_t left = draw(12);
	uint16_t id = (uint16_t)draw(IDS);

	DOING("a crowd");
	while ((is_shared ? model.home_taken[home] : model.space_taken[space]) < IDS - left) {
		struct call *call = crowd_one(is_shared && id % 2 ? other : space, id);
		id++;
		if (draw(5000) == 0) {
			EXPECT(callid_db_end(model.db, call->ref, model.now, NULL));
			end_in_table(call);
		}
	}
	/* Those that will meet it. */
	for (size_t i = 0; i < COUNT(model.connections); i++) {
		if (draw(3))
			continue;
		close_connection(&model.connections[i]);
		open_connection_between(&model.connections[i], space, (int)draw(SPACES));
	}
}

static void empty_the_table(void)
{
	for (size_t i = 0; i < POOL; i++) {
		struct call *call = &model.pool[i];
		if (!call->live || call->connection >= 0)
			continue;
		begin_step();
		struct callid_info info, expected = info_of(call);
		EXPECT(callid_db_end(model.db, call->ref, model.now, &info));
		check_info(&info, &expected);
		end_in_table(call);
		EXPECT(!callid_db_end(model.db, call->ref, model.now, NULL));
	}
	begin_step();
	model.now += CALLID_QUARANTINE_MS - 1;
	expire();
	check_totals();
	model.now++;
	expire();
	EXPECT(model.calls == 0 && model.resting == 0);
	check_totals();
}

static void round_of_steps(uint64_t number, uint64_t steps)
{
	size_t blocks_before = blocks;
	memset(model.gone, 0, sizeof(model.gone));
	model.generation = 0;
	model.unused_count = 0;
	for (uint32_t i = POOL; i-- > 0;)
		model.unused[model.unused_count++] = i;
	model.db = new_table(number == 0);
	EXPECT(model.db);
	callid_db_observe(model.db, on_event, &model.got);
	callid_db_count_also(model.db, on_count, NULL);
	for (size_t i = 0; i < COUNT(model.connections); i++)
		open_connection(&model.connections[i]);
	for (uint64_t i = 0; i < steps; i++, model.step++) {
		if (number % 4 > 1 && i == ROUND / 8)
			crowd(number % 4 == 3);
		step();
	}
	check_all();
	for (size_t i = 0; i < COUNT(model.connections); i++)
		close_connection(&model.connections[i]);
	empty_the_table();
	callid_db_free(model.db);
	DOING("a table's end");
	EXPECT(blocks == blocks_before);
}

static uint64_t number_from(const char *variable, uint64_t otherwise)
{
	const char *text = getenv(variable);
	return text ? strtoull(text, NULL, 0) : otherwise;
}

/* It was no idle run. */
static void check_seen(uint64_t steps)
{
	for (unsigned type = 1; type <= 15; type++)
		EXPECT(model.seen.passed[type] > steps / 2000);
	for (unsigned type = OCRP; type <= SLI; type++)
		EXPECT(type == ICRQ || model.seen.dropped[type] > steps / 2000);
	EXPECT(model.seen.opened > steps / 100);
	EXPECT(model.seen.refused > steps / 2000);
	EXPECT(model.seen.taken > steps / 2000);
	/* Not every crowd is met. */
	EXPECT(steps < 20 * ROUND || (model.seen.doubled > 100 && model.seen.hurried > 100));
	EXPECT(!OWN_MALLOC || model.seen.short_of_memory > steps / 2000);
}

static void any_run_agrees_with_the_model(void **state)
{
	(void)state;
	uint64_t chance = 0;
	FILE *urandom = fopen("/dev/urandom", "r");
	if (!urandom || fread(&chance, sizeof(chance), 1, urandom) != 1)
		fail_msg("no chance to be had");
	fclose(urandom);
	model.seed = number_from("PPTPPROXY_MODEL_SEED", chance >> 32);
	uint64_t steps = number_from("PPTPPROXY_MODEL_STEPS", STEPS);
	model.random = model.seed;
	model.table_random = ~model.seed;
	model.now = 1;
	print_message("# PPTPPROXY_MODEL_SEED=%" PRIu64 " PPTPPROXY_MODEL_STEPS=%" PRIu64 "\n",
		      model.seed, steps);
	for (uint64_t round = 0; model.step < steps; round++)
		round_of_steps(round, steps - model.step < ROUND ? steps - model.step : ROUND);
	if (steps >= 4 * ROUND)
		check_seen(steps);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(any_run_agrees_with_the_model),
	};
	return cmocka_run_group_tests_name("call_model", tests, NULL, NULL) != 0;
}
