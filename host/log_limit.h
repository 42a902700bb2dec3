/*
 * log_limit: lines that somebody outside can provoke at will: the first LOG_LIMIT_LINES of a kind
 * within LOG_LIMIT_MS are told, the others counted, and one more line tells their number once that
 * time is over: "clients refused: 4123 more lines like these in the last 5 s".
 *
 * Where debug lines are wanted everything is told. Times are milliseconds of one clock that only
 * goes forward. Thread: one, the owner's.
 */
#ifndef HOST_LOG_LIMIT_H
#define HOST_LOG_LIMIT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

enum {
	LOG_LIMIT_LINES = 200,
	LOG_LIMIT_MS = 5000,
	LOG_LIMIT_WHAT = 48, /* room for the kind's name */
};

/* Kinds that have lines to tell of. */
TAILQ_HEAD(log_limits, log_limit);

/* One kind. */
struct log_limit {
	struct log_limits *all;
	TAILQ_ENTRY(log_limit) in_all; /* while left_out > 0 */
	uint64_t began;
	unsigned told, left_out;
	char what[LOG_LIMIT_WHAT];
};

/* what is copied, and cut; all outlives the kind. */
void log_limit_init(struct log_limit *limit, struct log_limits *all, const char *what);

/* Whether a line of this kind may be told now; if not, it is counted. NULL: always. */
bool log_limit_allows(struct log_limit *limit, uint64_t now);

/* Tells what was left out, of the kinds whose time is over. To be called once a second or so. */
void log_limit_tell(struct log_limits *all, uint64_t now);

/* Tells what was left out, at once: the kind goes. */
void log_limit_clear(struct log_limit *limit, uint64_t now);

#endif
