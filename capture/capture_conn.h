/*
 * capture_conn: control messages, for those who want to see them: each is a segment of a TCP stream
 * that has been made up; see capture.h.
 *
 * Thread: any, but for one connection always the same.
 */
#ifndef CAPTURE_CONN_H
#define CAPTURE_CONN_H

#include "capture/capture.h"

/* One TCP leg; positions are octets since it was connected. */
struct capture_leg {
	uint32_t proxy_addr, peer_addr;
	uint16_t proxy_port, peer_port; /* 0: not connected yet */
	uint64_t in, out;
	bool peer_closed; /* at its end: the peer was first */
};

/* A control connection; zero at first, with capture, number and legs filled in by its owner. */
struct capture_conn {
	struct capture *capture; /* NULL: nothing is to be seen of it */
	uint64_t number;
	struct capture_leg legs[2];
	uint64_t begun[CAPTURE_SINKS_MAX]; /* the sinks, by number, that have seen it begin */
};

enum capture_direction { CAPTURE_IN, CAPTURE_OUT };

/* A message, or what came in the place of one, of the leg of that side. */
void capture_conn_message(struct capture_conn *conn, enum callid_side side,
			  enum capture_direction direction, const uint8_t *octets, size_t length);

/* It has ended. */
void capture_conn_end(struct capture_conn *conn);

#endif
