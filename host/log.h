/*
 * log: one line an event, to standard output, a file or syslog, by a thread of its own.
 *
 * A line is formatted by the caller and put into a bounded queue; only the writer thread touches
 * the outside, so a full disk, a stopped reader or a slow syslog never holds a caller. What does
 * not fit is counted, and told ("N log lines were lost") as soon as there is room; what the
 * system refuses, too, with its reason ("...: No space left on device"). A line is
 * written at once; those that come right behind it are gathered for some milliseconds. There is one
 * log a process.
 *
 * Threads: log_open, log_reopen, log_replace and log_close from the main thread; the rest from any.
 */
#ifndef HOST_LOG_H
#define HOST_LOG_H

#include "host/why.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum log_level {
	LOG_LEVEL_ERROR,
	LOG_LEVEL_WARNING,
	LOG_LEVEL_INFO,
	LOG_LEVEL_DEBUG,
	LOG_LEVEL_DUMP
};

enum log_target { LOG_TO_STDOUT, LOG_TO_FILE, LOG_TO_DESCRIPTOR, LOG_TO_SYSLOG };

struct log_config {
	enum log_target target;
	/* of LOG_TO_FILE; appended to, made with mode 0640; copied */
	const char *path;
	/* of LOG_TO_DESCRIPTOR: a file that somebody else has opened (log_open_file); the log's
	 * from now on, if it opens */
	int fd;
	enum log_level level; /* what is above it is not formatted at all */
	const char *name;     /* syslog's identity; must outlive the log */
};

enum {
	LOG_LINE_MAX = 1024,	    /* octets of one line; longer ones are cut and end in "..." */
	LOG_QUEUE_OCTETS = 1 << 20, /* what waits for the writer at most */
};

/*
 * Opens the target and starts the writer thread (all signals but SIGSYS blocked in it). Before it,
 * and after log_close, lines go to standard error, written by the caller. Time stamps
 * (2026-01-31T12:00:00.123, local time) are added for a file, and for standard output where it is a
 * terminal; elsewhere a supervisor or syslog adds them. Levels below info (error, warning) are
 * named at the head of the line ("error: ", "warning: "); syslog gets the daemon facility and the
 * matching priority. Returns 0, or -1 with the path and the system's reason in why.
 */
int log_open(const struct log_config *config, struct why *why);

/* Asks the writer to close the file and open the path anew (log rotation); a no-op for other
 * targets. The old file is kept where the new one cannot be opened, and a line says so. */
void log_reopen(void);

/* A log's file for a process that may not open it: a descriptor, or -1 with a sentence. */
int log_open_file(const char *path, struct why *why);

/* Has the writer of LOG_TO_DESCRIPTOR go on in this file, the log's from now on. */
void log_replace(int fd);

/* Waits until what is queued is written, for at most a second. Only for the thread that closes. */
void log_flush(void);

/* Writes what is queued, for at most a second or that many milliseconds, and ends the writer; a
 * writer that hangs in the system is left behind. */
void log_close(void);
void log_close_within(unsigned ms);

/* Whether lines of this level are wanted: ask before building something costly. */
bool log_wants(enum log_level level);

void log_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_warning(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_info(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_debug(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Its arguments are not even evaluated where nobody wants the line. */
#define log_debug(...) (log_wants(LOG_LEVEL_DEBUG) ? (log_debug)(__VA_ARGS__) : (void)0)

/* A line of text and then the octets, 16 a line, hexadecimal and text: the dump of -e. Queued as a
 * whole or not at all. */
void log_dump(const char *title, const uint8_t *octets, size_t length);

/* Copies untrusted octets into a terminated string that is safe in a log: printable ASCII as it is
 * (backslash doubled), the rest as \xNN; stops at a NUL or at length; cut to size. Returns out. */
char *log_escape(char *out, size_t size, const void *octets, size_t length);

#endif
