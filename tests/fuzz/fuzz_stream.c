/*
 * Both streams of one control connection, in pieces. The input is a sequence of pieces: an octet
 * whose highest bit is the side and whose other bits are a length, then that many octets. They are
 * put together again as the daemon does it, and each whole message goes through call_snoop onto a
 * real table. A length of 0 is short for a whole message, of which six octets follow: type, call
 * IDs, result; so that an input of few octets can hold many calls, of both directions.
 *
 * Whatever comes: no length changes; an ID that passes is one that the other side assigned, or was
 * shown (a refusing Reply's own excepted); our answers are messages; nothing is left in the end.
 */
#include "call_snoop.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *octets, size_t length);

enum { NOTES_MAX = 4096 };

static const struct callid_leg legs[2] = {{0x0A000001, 0x0A000002}, {0xC0000201, 0xC0000202}};

/* IDs that a side has assigned, or been shown, so far. Which of them still mean something is the
 * unit test's question; that no other ever passes is this one's. */
struct notes {
	uint16_t ids[NOTES_MAX];
	size_t count;
};

struct stream {
	uint8_t buffer[PPTP_MESSAGE_MAX];
	size_t used;
};

struct connection {
	struct callid_db *db;
	struct call_snoop *snoop;
	struct stream streams[2];
	struct notes assigned[2], shown[2]; /* by that side; to that side */
	size_t opened, ended;
	uint64_t now;
};

static bool noted(const struct notes *notes, uint16_t id)
{
	for (size_t i = 0; i < notes->count; i++) {
		if (notes->ids[i] == id)
			return true;
	}
	return false;
}

static void note(struct notes *notes, uint16_t id)
{
	if (noted(notes, id))
		return;
	assert(notes->count < NOTES_MAX);
	notes->ids[notes->count++] = id;
}

static void on_opened(void *arg, callid_ref call)
{
	struct connection *connection = arg;
	struct callid_info info;
	assert(callid_db_get(connection->db, call, &info) && info.open);
	connection->opened++;
}

static void on_ended(void *arg, const struct callid_info *info, const char *reason)
{
	struct connection *connection = arg;
	assert(info->connection == 7 && reason[0] != '\0');
	connection->ended++;
}

static const struct call_snoop_events events = {on_opened, on_ended};

static void check_answer(const struct snoop_answer *answer)
{
	struct pptp_header header;
	const char *why;
	if (answer->length == 0)
		return;
	assert(pptp_wire_parse(answer->octets, answer->length, &header, &why) == WIRE_OK);
	assert(header.length == answer->length);
}

static void check_own(struct connection *connection, enum callid_side to, const uint8_t *message,
		      uint16_t type)
{
	uint16_t id = pptp_wire_at12(message);
	bool is_request = type == PPTP_OUTGOING_CALL_REQUEST || type == PPTP_INCOMING_CALL_REQUEST;
	bool is_reply = type == PPTP_OUTGOING_CALL_REPLY || type == PPTP_INCOMING_CALL_REPLY;

	if (is_reply && pptp_wire_result(message) != PPTP_RESULT_OK)
		return;
	if (is_request || is_reply)
		note(&connection->shown[to], id);
	assert(noted(&connection->shown[to], id));
}

static void check_passed(struct connection *connection, enum callid_side from,
			 const uint8_t *before, const uint8_t *after,
			 const struct pptp_header *header)
{
	const struct pptp_shape *shape = pptp_wire_shape(header->type);
	enum callid_side to = callid_other(from);
	size_t same_from = PPTP_HEADER_LEN;

	assert(memcmp(before, after, PPTP_HEADER_LEN) == 0);
	if (shape && shape->at12 == PPTP_ID_OWN) {
		check_own(connection, to, after, header->type);
		same_from = 14;
	} else if (shape && shape->at12 == PPTP_ID_PEER) {
		assert(noted(&connection->assigned[to], pptp_wire_at12(after)));
		same_from = 14;
	}
	if (shape && shape->at14 == PPTP_ID_PEER) {
		assert(noted(&connection->assigned[to], pptp_wire_at14(after)));
		same_from = 16;
	}
	assert(memcmp(before + same_from, after + same_from, header->length - same_from) == 0);
}

static void on_message(struct connection *connection, enum callid_side from, uint8_t *message,
		       const struct pptp_header *header)
{
	uint8_t before[PPTP_MESSAGE_MAX];
	struct snoop_step step;
	struct callid_totals totals;

	memcpy(before, message, header->length);
	const struct pptp_shape *shape = pptp_wire_shape(header->type);
	if (shape && shape->at12 == PPTP_ID_OWN && header->type <= PPTP_INCOMING_CALL_REPLY)
		note(&connection->assigned[from], pptp_wire_at12(message));
	call_snoop_message(connection->snoop, from, message, header->length, connection->now,
			   &step);
	check_answer(&step.answer[0]);
	check_answer(&step.answer[1]);
	assert((step.verdict == SNOOP_DROP) == (step.reason != NULL));
	if (step.verdict == SNOOP_PASS) {
		check_passed(connection, from, before, message, header);
		call_snoop_written(connection->snoop, from);
	}
	callid_db_totals(connection->db, &totals);
	assert(totals.calls == call_snoop_calls(connection->snoop));
}

/* False: a lie ends the connection. */
static bool on_octets(struct connection *connection, enum callid_side from)
{
	struct stream *stream = &connection->streams[from];
	for (;;) {
		struct pptp_header header;
		const char *why = NULL;
		switch (pptp_wire_parse(stream->buffer, stream->used, &header, &why)) {
		case WIRE_BAD:
			assert(why);
			return false;
		case WIRE_MORE:
			assert(stream->used < PPTP_MESSAGE_MAX);
			return true;
		case WIRE_OK:
			assert(header.length >= PPTP_HEADER_LEN && header.length <= stream->used);
			on_message(connection, from, stream->buffer, &header);
			stream->used -= header.length;
			memmove(stream->buffer, stream->buffer + header.length, stream->used);
		}
	}
}

static bool on_piece(struct connection *connection, enum callid_side from, const uint8_t *octets,
		     size_t length)
{
	struct stream *stream = &connection->streams[from];
	while (length > 0) {
		size_t room = sizeof(stream->buffer) - stream->used;
		size_t part = length < room ? length : room;
		memcpy(stream->buffer + stream->used, octets, part);
		stream->used += part;
		octets += part;
		length -= part;
		if (!on_octets(connection, from))
			return false;
	}
	return true;
}

enum { SHORT_LEN = 6 };

/* The message that six octets stand for. */
static bool on_short(struct connection *connection, enum callid_side from, const uint8_t *octets)
{
	uint8_t message[256] = {0, 0, 0, 1, 0x1A, 0x2B, 0x3C, 0x4D};
	const struct pptp_shape *shape = pptp_wire_shape(octets[0]);
	uint8_t length = shape ? (uint8_t)shape->length : PPTP_HEADER_LEN;

	message[1] = length;
	message[9] = octets[0];
	if (shape && shape->at12 != PPTP_ID_NONE)
		memcpy(message + 12, octets + 1, 2);
	if (shape && shape->at14 != PPTP_ID_NONE)
		memcpy(message + 14, octets + 3, 2);
	if (shape && shape->result_at)
		message[shape->result_at] = octets[5];
	return on_piece(connection, from, message, length);
}

static void check_farewell(struct connection *connection, enum callid_side to)
{
	uint8_t message[PPTP_ANSWER_MAX];
	struct pptp_header header;
	const char *why;
	size_t length, count = 0;

	while ((length = call_snoop_farewell(connection->snoop, to, message)) > 0) {
		assert(pptp_wire_parse(message, length, &header, &why) == WIRE_OK);
		assert(header.length == length);
		count++;
	}
	assert(count == call_snoop_calls(connection->snoop) + 1);
}

static void finish(struct connection *connection)
{
	struct callid_totals totals;
	check_farewell(connection, CALLID_CLIENT);
	check_farewell(connection, CALLID_SERVER);
	call_snoop_end(connection->snoop, connection->now, "end of input");
	assert(call_snoop_calls(connection->snoop) == 0);
	assert(connection->opened <= connection->ended);
	call_snoop_free(connection->snoop);
	callid_db_expire(connection->db, connection->now + CALLID_QUARANTINE_MS);
	callid_db_totals(connection->db, &totals);
	assert(totals.calls == 0 && totals.closing == 0);
	callid_db_free(connection->db);
}

/* Others' calls, so that not every ID can be kept. */
static void crowd(struct callid_db *db)
{
	for (uint16_t id = 0; id < 16; id++) {
		struct callid_request request = {.legs = {legs[0], legs[1]}, .caller_id = id};
		uint16_t shown;
		request.caller = id % 2 ? CALLID_CLIENT : CALLID_SERVER;
		callid_ref call = callid_db_reserve(db, &request, 1, &shown);
		callid_db_end(db, call, 1, NULL);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *octets, size_t length)
{
	static struct connection connection;
	memset(connection.streams, 0, sizeof(connection.streams));
	for (int side = 0; side < 2; side++)
		connection.assigned[side].count = connection.shown[side].count = 0;
	connection.opened = connection.ended = 0;
	connection.now = 1;
	connection.db = callid_db_new(NULL);
	if (!connection.db)
		abort();
	crowd(connection.db);
	connection.snoop = call_snoop_new(connection.db, legs, 7, &events, &connection);
	if (!connection.snoop)
		abort();

	while (length > 0) {
		enum callid_side from = octets[0] & 0x80 ? CALLID_SERVER : CALLID_CLIENT;
		size_t piece = octets[0] & 0x7F;
		octets++;
		length--;
		bool is_short = piece == 0 && length >= SHORT_LEN;
		if (is_short)
			piece = SHORT_LEN;
		if (piece > length)
			piece = length;
		bool goes_on = is_short ? on_short(&connection, from, octets)
					: on_piece(&connection, from, octets, piece);
		if (!goes_on)
			break;
		octets += piece;
		length -= piece;
		connection.now += 10;
	}
	finish(&connection);
	return 0;
}
