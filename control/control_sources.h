/*
 * control_sources: who has how many control connections: by source address, their number, how fast
 * new ones come, and those that are half open.
 *
 * Half open is a connection that no server has accepted yet: no successful
 * Start-Control-Connection-Reply, and no call. What it costs to open one is nothing, so they are
 * what a flood consists of, and what gives way when there is no room: the oldest one of the source
 * that has most of them.
 *
 * Every operation takes the same time however many connections and sources there are: a flood must
 * not make its own answer dear. A source without connections is remembered for
 * CONTROL_SOURCES_REST_MS, with its rate and with what the log has heard of it.
 *
 * Knows no sockets and no clock: times are milliseconds, as in callid_db.h. Host byte order.
 * Thread: control thread.
 */
#ifndef CONTROL_SOURCES_H
#define CONTROL_SOURCES_H

#include "host/log_limit.h"

#include <stddef.h>

struct control_source;
struct control_sources;

enum {
	CONTROL_SOURCES_REST_MS = LOG_LIMIT_MS,
	CONTROL_SOURCES_RESTING = 16384, /* sources; the one that has rested longest goes earlier */
};

/* One connection among those of its source; lives in the connection. All zero: in no table. */
struct control_guest {
	struct control_source *source;
	bool half_open;
	uint64_t since; /* when it came */
	TAILQ_ENTRY(control_guest) in_half_open;
};

struct control_sources_config {
	unsigned max;	   /* connections of a source; 0: any number */
	unsigned max_rate; /* new ones a second and source, all of them at once at most; 0: any */
	struct log_limits *limited; /* for each source's lines; outlives the table */
};

struct control_sources *control_sources_new(const struct control_sources_config *config);
void control_sources_free(struct control_sources *sources); /* NULL is fine; no guest is left */

/* Other limits from now on; whoever is there stays. */
void control_sources_set(struct control_sources *sources, unsigned max, unsigned max_rate);

enum control_sources_answer {
	CONTROL_SOURCES_WELCOME,
	CONTROL_SOURCES_TOO_MANY, /* connections of it are there */
	CONTROL_SOURCES_TOO_FAST,
};

/* Whether one more connection of this source may come now. Changes nothing, takes no memory. */
enum control_sources_answer control_sources_ask(const struct control_sources *sources,
						uint32_t addr, uint64_t now);

/* Counts a connection, half open. 0, or -1: no memory. */
int control_sources_add(struct control_sources *sources, struct control_guest *guest, uint32_t addr,
			uint64_t now);
/* Counts a connection that has come long ago: it is not half open, and nothing to its source's
 * rate. 0, or -1: no memory. */
int control_sources_restore(struct control_sources *sources, struct control_guest *guest,
			    uint32_t addr, uint64_t now);
void control_sources_settle(struct control_sources *sources,
			    struct control_guest *guest); /* half open no more; any state */
void control_sources_del(struct control_sources *sources, struct control_guest *guest,
			 uint64_t now); /* any state */

/* The oldest half-open one of the source that has most of them (of several such sources the one
 * that has had so many for longest). NULL: none is half open. */
struct control_guest *control_sources_oldest(const struct control_sources *sources);

/* Half open, of this guest's source. */
unsigned control_sources_half_open(const struct control_guest *guest);

/* What the log hears of this guest's source. NULL where it is in no table. */
struct log_limit *control_sources_lines(const struct control_guest *guest);

/* Forgets those that have rested. To be called once a second or so. */
void control_sources_expire(struct control_sources *sources, uint64_t now);

#endif
