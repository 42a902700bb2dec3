/*
 * log_sink: where the log's lines go: a file, standard output, syslog; and what became of the last
 * ones. Internal to log.
 *
 * Waits for the outside as long as it takes, so only the log's writer may write. What the system
 * refuses is counted, and told in the first line that it takes again, with the system's reason. A
 * line always begins one, whoever else appends to the same file. Thread: one at a time.
 */
#ifndef HOST_LOG_SINK_H
#define HOST_LOG_SINK_H

#include "host/log.h"

struct log_sink {
	enum log_target target;
	char *path;		 /* of LOG_TO_FILE; its own */
	unsigned style;		 /* of its lines, LOG_LINE_* */
	int fd;			 /* -1: none, as of syslog */
	bool torn;		 /* the last write ended within a line */
	unsigned long unwritten; /* lines that the system refused, not told yet */
	int error;		 /* why, of the last one: errno */
};

/* Of a cleared one whose fd is -1. 0, or -1 with a sentence; log_sink_close is fine after both.
 * Of syslog that closes nothing: what the process has there is one, and log_close's. */
int log_sink_open(struct log_sink *sink, const struct log_config *config, struct why *why);
void log_sink_close(struct log_sink *sink);

/* Whole lines, or pieces of one. */
void log_sink_write(struct log_sink *sink, const char *text, size_t length);

/* Of LOG_TO_FILE: the path anew; where that fails the file stays, and a line in it says so. */
void log_sink_reopen(struct log_sink *sink);
/* Goes on in another file, its own from now on. */
void log_sink_change(struct log_sink *sink, int next);

/* As log_open_file. */
int log_sink_open_file(const char *path, struct why *why);

#endif
