/*
 * capture_queue: a bounded ring of packets between those who see them and the one who writes them.
 *
 * Who reads does so where they lie, so that a lock need not be held meanwhile: what capture_queue_
 * first has given stays where it is until capture_queue_drop. Pure, no lock: the owner has one.
 */
#ifndef CAPTURE_QUEUE_H
#define CAPTURE_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct capture_queue {
	uint8_t *octets;
	size_t size;
	size_t first, end; /* of what is taken: [first, end), or [first, turn) and [0, end) */
	size_t turn;	   /* where the ring goes on at 0; 0: it does not */
	uint64_t lost;	   /* packets that did not fit */
};

/* A packet in two pieces that go together. */
struct capture_piece {
	const uint8_t *octets;
	size_t length;
};

struct capture_packet {
	uint64_t time_us;
	const uint8_t *octets;
	size_t length;
};

/* 0, or -1: no memory. */
int capture_queue_init(struct capture_queue *queue, size_t size);
void capture_queue_clear(struct capture_queue *queue);

/* Copies it; false: it did not fit, and was counted. */
bool capture_queue_put(struct capture_queue *queue, uint64_t time_us, struct capture_piece head,
		       struct capture_piece body);

/* The one that was put first; false: there is none. */
bool capture_queue_first(const struct capture_queue *queue, struct capture_packet *packet);
void capture_queue_drop(struct capture_queue *queue); /* that one; there must be one */

#endif
