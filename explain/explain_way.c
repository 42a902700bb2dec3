#include "explain/explain_way.h"

#include <string.h>

enum { US = 1000000 };

static void mark(struct explain_way *way, uint32_t number, bool seen)
{
	uint32_t at = number % EXPLAIN_WAY_WINDOW;
	uint64_t bit = (uint64_t)1 << at % 64;
	if (seen)
		way->seen[at / 64] |= bit;
	else
		way->seen[at / 64] &= ~bit;
}

static bool is_marked(const struct explain_way *way, uint32_t number)
{
	uint32_t at = number % EXPLAIN_WAY_WINDOW;
	return way->seen[at / 64] >> at % 64 & 1;
}

static void begin_at(struct explain_way *way, uint32_t number)
{
	/* What is below the first number was not sent: it is not waited for. */
	memset(way->seen, 0xFF, sizeof(way->seen));
	way->highest = number;
	mark(way, number, true);
}

static void go_up_to(struct explain_way *way, uint32_t number)
{
	uint32_t step = number - way->highest;
	way->missing += step - 1;
	if (step >= EXPLAIN_WAY_WINDOW)
		memset(way->seen, 0, sizeof(way->seen));
	else
		for (uint32_t skipped = way->highest + 1; skipped != number; skipped++)
			mark(way, skipped, false);
	mark(way, number, true);
	way->highest = number;
}

static void come_late(struct explain_way *way, uint32_t number)
{
	uint32_t behind = way->highest - number;
	if (behind < EXPLAIN_WAY_WINDOW && is_marked(way, number)) {
		way->twice++;
		return;
	}
	way->late++;
	if (way->missing > 0)
		way->missing--;
	if (behind < EXPLAIN_WAY_WINDOW)
		mark(way, number, true);
}

static void count_number(struct explain_way *way, uint32_t number)
{
	int32_t step = (int32_t)(number - way->highest);
	way->numbered++;
	if (way->numbered == 1) {
		begin_at(way, number);
	} else if (step >= EXPLAIN_WAY_JUMP || step <= -EXPLAIN_WAY_JUMP) {
		way->restarts++;
		begin_at(way, number);
	} else if (step > 0) {
		go_up_to(way, number);
	} else {
		come_late(way, number);
	}
}

bool explain_way_silent(const struct explain_way *way, const struct explain_way *other,
			int64_t now_us, struct explain_silence *silence)
{
	*silence = (struct explain_silence){
	    .from_us = way->last_us,
	    .to_us = now_us,
	    .packets = other->packets - way->other_packets,
	};
	return way->packets > 0 && now_us - way->last_us > (int64_t)EXPLAIN_SILENCE_S * US &&
	       silence->packets >= EXPLAIN_SILENCE_PACKETS;
}

void explain_way_take(struct explain_way *way, struct explain_way *other,
		      const struct gre_header *header, int64_t time_us)
{
	struct explain_silence silence;
	if (explain_way_silent(way, other, time_us, &silence)) {
		if (way->silence_count < EXPLAIN_SILENCES)
			way->silences[way->silence_count] = silence;
		way->silence_count++;
	}
	if (way->packets == 0)
		way->first_us = time_us;
	way->packets++;
	way->last_us = time_us;
	way->other_packets = other->packets;
	if (header->has_sequence)
		count_number(way, header->sequence);
	else if (header->payload_length == 0)
		way->acks++;
	if (header->has_acknowledgement) {
		other->acknowledged = true;
		other->acknowledged_to = header->acknowledgement;
	}
}
