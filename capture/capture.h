/*
 * capture: control messages and GRE packets as they were on each side, for those who want to see
 * them: --capture's file, callers with --tap.
 *
 * What comes in is shown as the peer sent it, what goes out as it is sent to the other peer; what
 * is dropped has been seen on the side that it came from, what is our own on the side that it goes
 * to. Control messages become TCP streams that have been made up: true addresses, ports, octets and
 * positions, other segments. So do the IP headers of packets that the system sends for us.
 *
 * Each sink has a queue of CAPTURE_QUEUE octets and a thread that writes, so that neither the
 * control thread nor the GRE thread ever waits for a disk or a reader; what does not fit is
 * counted. While nobody wants to see anything, packets cost one relaxed load a batch, messages an
 * addition each.
 *
 * Calls that somebody wants to see are watched in the table (callid_db_set_watched), so that no
 * other way than ours carries their packets.
 *
 * Opens nothing: files and sockets to write to are given to it, and one whose reader takes nothing
 * is shut. Knows no events: its owner waits for capture_wake_fd. Threads: as each function says;
 * host byte order.
 */
#ifndef CAPTURE_H
#define CAPTURE_H

#include "callid_db.h"
#include "host/why.h"

enum {
	CAPTURE_SINKS_MAX = 8,
	CAPTURE_QUEUE = 8 << 20, /* octets of packets that wait to be written */
};

struct capture;
struct capture_sink;

/* ---- who wants to see what: control thread ---- */

enum capture_what {
	CAPTURE_ALL,
	CAPTURE_CLIENT, /* all connections and calls of client_addr, and its packets that name none
			 */
	CAPTURE_CALL,	/* its packets, and all messages of its connection */
};

struct capture_filter {
	enum capture_what what;
	uint32_t client_addr;
	callid_ref call;
	uint64_t connection;
};

struct capture_figures {
	uint64_t seen; /* packets that were written, or wait to be */
	uint64_t lost; /* those that did not fit into the queue */
};

/* Told from within capture_attend; may stop sinks. */
struct capture_events {
	void (*full)(void *arg);       /* give it the next file; packets wait */
	void (*call_ended)(void *arg); /* of CAPTURE_CALL: there is nothing more to see */
	/* It sees nothing any more, and writes nothing: stop it. error: errno, or 0 where
	 * capture_finish has asked for it. */
	void (*ended)(void *arg, int error);
	/* Told by capture_free, after the last of it; NULL: not wanted. The sink is gone. */
	void (*stopped)(void *arg, const struct capture_figures *figures);
};

struct capture_sink_config {
	struct capture_filter filter;
	uint64_t limit;	 /* octets of one file; 0: none */
	bool tells_lost; /* ends with a record that tells how many were lost: capture_file_end */
	const struct capture_events *events; /* outlives the sink */
	void *arg;
};

/* db outlives it. NULL with a sentence in why. */
struct capture *capture_new(struct callid_db *db, struct why *why);

/* Stops all sinks, and leaves calls watched as they are. A reader who does not read gets but a
 * moment, as a successor may wait for this; a file has a second. The GRE thread must have ended, no
 * message may come, and the table must not change any more: it still knows this observer. NULL is
 * fine. */
void capture_free(struct capture *capture);

int capture_wake_fd(const struct capture *capture); /* readable: call capture_attend */
void capture_attend(struct capture *capture);

/* From now on; what is seen waits for its first file (capture_next). NULL with a sentence in why:
 * there are CAPTURE_SINKS_MAX, or no memory. */
struct capture_sink *capture_start(struct capture *capture,
				   const struct capture_sink_config *config, struct why *why);

/* The file, or socket, to write to from now on, taken over; the one before is closed. */
void capture_next(struct capture_sink *sink, int fd);

void capture_figures(const struct capture_sink *sink, struct capture_figures *figures);

/* It sees nothing any more, writes what waits however long that takes, and ends. */
void capture_finish(struct capture_sink *sink);

/* Writes what waits, for a second at most, and lets go of it. figures, unless NULL: as they are
 * then: seen is what has left, and what could not be written is lost. */
void capture_stop(struct capture_sink *sink, struct capture_figures *figures);

/* ---- any thread ---- */

/* Whether anybody wants anything: before a batch. capture NULL: no. */
bool capture_is_on(const struct capture *capture);

#endif
