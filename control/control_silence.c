/*
 * What is known of a call stands by its slot, and is a call's as long as the reference is the same.
 * Memory for it comes with the first look at its part of the table; without any nobody is warned.
 */
#include "control/control_silence.h"

#include "host/log.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/queue.h>

/* A call that opened, and is looked at once, later. */
struct watch {
	callid_ref call;
	uint64_t due;
	STAILQ_ENTRY(watch) in_watches;
};

struct side {
	uint64_t heard_at; /* the last packet that is known; 0: none yet */
	uint64_t others;   /* packets of the other side that were known then */
	bool silent;
};

struct known {
	callid_ref call;
	struct side sides[2];
};

struct control_silence {
	struct callid_db *db;
	struct log_limit *lines;
	STAILQ_HEAD(, watch) watches; /* in order of due */
	size_t watch_count;
	struct known *chunks[CALLID_CHUNKS_MAX]; /* of CALLID_SLOTS_A_CHUNK */
	size_t next;				 /* slot to be looked at */
	uint64_t now;				 /* of the look */
};

struct control_silence *control_silence_new(struct callid_db *db, struct log_limit *lines)
{
	struct control_silence *silence = calloc(1, sizeof(*silence));
	if (!silence)
		return NULL;
	silence->db = db;
	silence->lines = lines;
	STAILQ_INIT(&silence->watches);
	return silence;
}

static void forget_first(struct control_silence *silence)
{
	struct watch *watch = STAILQ_FIRST(&silence->watches);
	STAILQ_REMOVE_HEAD(&silence->watches, in_watches);
	silence->watch_count--;
	free(watch);
}

void control_silence_free(struct control_silence *silence)
{
	if (!silence)
		return;
	while (!STAILQ_EMPTY(&silence->watches))
		forget_first(silence);
	for (size_t i = 0; i < CALLID_CHUNKS_MAX; i++)
		free(silence->chunks[i]);
	free(silence);
}

/* ---- what the log says ---- */

enum { CALL_TEXT = 2 * INET_ADDRSTRLEN + 96, SINCE_TEXT = 64 };

static const char *address_of(const struct callid_info *info, int side,
			      char out[static INET_ADDRSTRLEN])
{
	inet_ntop(AF_INET, &(struct in_addr){htonl(info->legs[side].peer_addr)}, out,
		  INET_ADDRSTRLEN);
	return out;
}

static const char *call_text(const struct callid_info *info, char out[static CALL_TEXT])
{
	char client[INET_ADDRSTRLEN], server[INET_ADDRSTRLEN];
	snprintf(out, CALL_TEXT, "#%llu %s -> %s: call of client ID %u, server ID %u",
		 (unsigned long long)info->connection, address_of(info, CALLID_CLIENT, client),
		 address_of(info, CALLID_SERVER, server), info->id[CALLID_CLIENT],
		 info->id[CALLID_SERVER]);
	return out;
}

/* for_how_long: "10 s", "47 s, while the client sends". */
static void warn(struct control_silence *silence, const struct callid_info *info, int side,
		 const char *for_how_long)
{
	char call[CALL_TEXT], address[INET_ADDRSTRLEN];
	if (!log_limit_allows(silence->lines, silence->now))
		return;
	log_warning("%s: no GRE from %s %s for %s: is IP protocol 47 blocked on the way?",
		    call_text(info, call), callid_side_name((enum callid_side)side),
		    address_of(info, side, address), for_how_long);
}

static void tell_heard(struct control_silence *silence, const struct callid_info *info, int side,
		       uint64_t heard_before)
{
	uint64_t since = heard_before ? heard_before : info->opened_at;
	char call[CALL_TEXT], address[INET_ADDRSTRLEN];
	if (!log_limit_allows(silence->lines, silence->now))
		return;
	log_info("%s: GRE from %s %s comes %s, after %llu s", call_text(info, call),
		 callid_side_name((enum callid_side)side), address_of(info, side, address),
		 heard_before ? "again" : "now",
		 (unsigned long long)(info->from[side].seen_at - since) / 1000);
}

/* ---- calls that are up ---- */

static struct known *known_at(const struct control_silence *silence, callid_ref call)
{
	uint32_t slot = callid_slot(call);
	struct known *chunk = slot / CALLID_SLOTS_A_CHUNK < CALLID_CHUNKS_MAX
				  ? silence->chunks[slot / CALLID_SLOTS_A_CHUNK]
				  : NULL;
	return chunk ? &chunk[slot % CALLID_SLOTS_A_CHUNK] : NULL;
}

static struct known *make_known(struct control_silence *silence, callid_ref call)
{
	struct known **chunk = &silence->chunks[callid_slot(call) / CALLID_SLOTS_A_CHUNK];
	if (!*chunk)
		*chunk = calloc(CALLID_SLOTS_A_CHUNK, sizeof(**chunk));
	return known_at(silence, call);
}

/* One that has not sent anything is silent as soon as it was warned of, by the watch: whatever the
 * other side does, as where protocol 47 is blocked both ways neither is heard. */
static bool has_never_sent(const struct control_silence *silence, const struct callid_info *info,
			   int side)
{
	return info->from[side].seen_at == 0 &&
	       silence->now >= info->opened_at + CONTROL_SILENCE_OPENED_MS;
}

static bool is_behind(const struct callid_info *info, int side)
{
	uint64_t heard_at = info->from[side].seen_at;
	return heard_at != 0 && info->from[!side].seen_at >= heard_at + CONTROL_SILENCE_MS;
}

static void look_at_silent(struct control_silence *silence, const struct callid_info *info,
			   int side, struct side *known)
{
	char since[SINCE_TEXT];

	if (known->silent)
		return;
	known->silent = has_never_sent(silence, info, side);
	if (!is_behind(info, side) ||
	    info->from[!side].packets - known->others < CONTROL_SILENCE_PACKETS)
		return;
	known->silent = true;
	snprintf(since, sizeof(since), "%llu s, while the %s sends",
		 (unsigned long long)(silence->now - info->from[side].seen_at) / 1000,
		 callid_side_name((enum callid_side) !side));
	warn(silence, info, side, since);
}

static void look_at_side(struct control_silence *silence, const struct callid_info *info, int side,
			 struct side *known)
{
	uint64_t heard_at = info->from[side].seen_at;
	if (heard_at == known->heard_at) {
		look_at_silent(silence, info, side, known);
		return;
	}
	if (known->silent)
		tell_heard(silence, info, side, known->heard_at);
	*known = (struct side){.heard_at = heard_at, .others = info->from[!side].packets};
}

/* One of the process before may have been silent there: then it was warned of. */
static void meet(const struct control_silence *silence, struct known *known, callid_ref call,
		 const struct callid_info *info)
{
	known->call = call;
	for (int side = 0; side < 2; side++)
		known->sides[side] = (struct side){
		    .heard_at = info->from[side].seen_at,
		    .others = info->from[!side].packets,
		    .silent = is_behind(info, side) || has_never_sent(silence, info, side),
		};
}

static void look_at_call(void *arg, callid_ref call, const struct callid_info *info)
{
	struct control_silence *silence = arg;
	struct known *known = info->open ? make_known(silence, call) : NULL;
	if (!known)
		return;
	if (known->call != call)
		meet(silence, known, call, info);
	for (int side = 0; side < 2; side++)
		look_at_side(silence, info, side, &known->sides[side]);
}

/* ---- calls that have opened ---- */

void control_silence_watch(struct control_silence *silence, callid_ref call, uint64_t opened_at)
{
	struct watch *watch =
	    silence->watch_count < CONTROL_SILENCE_WATCHES ? malloc(sizeof(*watch)) : NULL;
	if (!watch)
		return;
	silence->watch_count++;
	*watch = (struct watch){.call = call, .due = opened_at + CONTROL_SILENCE_OPENED_MS};
	STAILQ_INSERT_TAIL(&silence->watches, watch, in_watches);
}

static void look_at_opened(struct control_silence *silence)
{
	const struct watch *watch;
	struct callid_info info;
	char since[SINCE_TEXT];

	snprintf(since, sizeof(since), "%d s", CONTROL_SILENCE_OPENED_MS / 1000);
	while ((watch = STAILQ_FIRST(&silence->watches)) && watch->due <= silence->now) {
		bool there = callid_db_get(silence->db, watch->call, &info);
		for (int side = 0; there && side < 2; side++) {
			if (info.from[side].seen_at == 0)
				warn(silence, &info, side, since);
		}
		if (there)
			look_at_call(silence, watch->call, &info);
		forget_first(silence);
	}
}

/* ---- a look ---- */

static void look_at_some(struct control_silence *silence)
{
	size_t slots = callid_db_slots(silence->db);
	size_t count = slots / CONTROL_SILENCE_TURNS + 1;
	if (silence->next >= slots)
		silence->next = 0;
	callid_db_each_in(silence->db, silence->next, count, look_at_call, silence);
	silence->next += count;
}

void control_silence_look(struct control_silence *silence, uint64_t now)
{
	silence->now = now;
	look_at_opened(silence);
	look_at_some(silence);
}

bool control_silence_is(const struct control_silence *silence, callid_ref call,
			enum callid_side side)
{
	const struct known *known = known_at(silence, call);
	return known && known->call == call && known->sides[side].silent;
}
