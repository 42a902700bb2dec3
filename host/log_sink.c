#include "host/log_sink.h"

#include "host/log_line.h"
#include "host/log_queue.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

/* Non-blocking, so that a FIFO without a reader fails instead of holding the start. */
enum { HOW = O_APPEND | O_CLOEXEC | O_NOCTTY | O_NONBLOCK };

static int open_file(const char *path)
{
	return open(path, O_WRONLY | O_CREAT | HOW, 0640);
}

/* A file's end is read, too, where that is allowed: ends_within_line. Never a FIFO's: who reads
 * from it himself has no reader to wait for. */
static int open_own_file(const char *path)
{
	struct stat status, again;
	int fd = open_file(path);
	if (fd < 0 || fstat(fd, &status) != 0 || !S_ISREG(status.st_mode))
		return fd;
	int both = open(path, O_RDWR | HOW);
	if (both < 0)
		return fd;
	bool same = fstat(both, &again) == 0 && again.st_dev == status.st_dev &&
		    again.st_ino == status.st_ino;
	close(same ? fd : both);
	return same ? both : fd;
}

/* Returns how many octets the system took; errno says why if that is not all. */
static size_t write_all(int fd, const char *text, size_t length)
{
	size_t done = 0;
	while (done < length) {
		ssize_t n = write(fd, text + done, length - done);
		if (n >= 0) {
			done += (size_t)n;
		} else if (errno == EAGAIN) {
			struct pollfd ready = {.fd = fd, .events = POLLOUT};
			poll(&ready, 1, -1);
		} else if (errno != EINTR) {
			break;
		}
	}
	return done;
}

/* Two processes append to one file: what one of them left on a full disk the other one must not go
 * on with. Who may not read it only knows that something failed, and rather leaves a line empty. */
static bool ends_within_line(const struct log_sink *sink)
{
	struct stat status;
	char last;
	if (fstat(sink->fd, &status) != 0 || !S_ISREG(status.st_mode))
		return sink->torn;
	if (status.st_size == 0)
		return false;
	if (pread(sink->fd, &last, 1, status.st_size - 1) == 1)
		return last != '\n';
	return sink->torn || sink->unwritten > 0;
}

/* Returns how many octets are written. */
static size_t write_text(struct log_sink *sink, const char *text, size_t length)
{
	size_t done = write_all(sink->fd, text, length);
	if (done < length)
		sink->error = errno;
	if (done > 0)
		sink->torn = text[done - 1] != '\n';
	return done;
}

/* Before the first line after a failure: whether the outside takes lines again. */
static bool tell_unwritten(struct log_sink *sink)
{
	struct log_line line;
	log_line_begin(&line, sink->style, LOG_LEVEL_WARNING);
	log_line_set(&line, "%lu log lines were lost: %s", sink->unwritten, strerror(sink->error));
	if (write_text(sink, line.text, line.length) < line.length)
		return false;
	sink->unwritten = 0;
	return true;
}

static void emit_text(struct log_sink *sink, const char *text, size_t length)
{
	size_t done = 0;
	bool goes_on = sink->torn && sink->unwritten == 0; /* a line that comes in pieces */
	if ((goes_on || !ends_within_line(sink) || write_text(sink, "\n", 1) == 1) &&
	    (sink->unwritten == 0 || tell_unwritten(sink)))
		done = write_text(sink, text, length);
	sink->unwritten += log_queue_lines(text + done, length - done);
}

static void emit_syslog(const char *text, size_t length)
{
	static const int priorities[] = {
	    [LOG_LEVEL_ERROR] = LOG_ERR,  [LOG_LEVEL_WARNING] = LOG_WARNING,
	    [LOG_LEVEL_INFO] = LOG_INFO,  [LOG_LEVEL_DEBUG] = LOG_DEBUG,
	    [LOG_LEVEL_DUMP] = LOG_DEBUG,
	};
	for (const char *end = text + length; text < end;) {
		const char *newline = memchr(text, '\n', (size_t)(end - text));
		const char *stop = newline ? newline : end;
		/* A line that was formatted just before log_open has no digit. */
		bool marked = *text >= '0' && *text <= '0' + LOG_LEVEL_DUMP;
		syslog(marked ? priorities[*text - '0'] : LOG_NOTICE, "%.*s",
		       (int)(stop - text - marked), text + marked);
		text = stop + 1;
	}
}

void log_sink_write(struct log_sink *sink, const char *text, size_t length)
{
	if (sink->target == LOG_TO_SYSLOG)
		emit_syslog(text, length);
	else if (length > 0)
		emit_text(sink, text, length);
}

void log_sink_change(struct log_sink *sink, int next)
{
	close(sink->fd);
	sink->fd = next;
	sink->torn = false;
}

void log_sink_reopen(struct log_sink *sink)
{
	struct log_line line;
	int fd = open_own_file(sink->path);
	if (fd < 0) {
		log_line_begin(&line, sink->style, LOG_LEVEL_WARNING);
		log_line_set(&line, "cannot open %s anew: %s; the old file is kept", sink->path,
			     strerror(errno));
		emit_text(sink, line.text, line.length);
		return;
	}
	log_sink_change(sink, fd);
}

static int check_file(int fd, const char *path, struct why *why)
{
	if (fd < 0)
		why_set(why, "cannot open log file %.200s: %s", path, strerror(errno));
	return fd;
}

int log_sink_open_file(const char *path, struct why *why)
{
	return check_file(open_file(path), path, why);
}

int log_sink_open(struct log_sink *sink, const struct log_config *config, struct why *why)
{
	sink->target = config->target;
	if (config->target == LOG_TO_FILE) {
		sink->path = strdup(config->path);
		if (!sink->path)
			return why_set(why, "no memory for the log");
		sink->fd = check_file(open_own_file(config->path), config->path, why);
		if (sink->fd < 0)
			return -1;
	} else if (config->target == LOG_TO_DESCRIPTOR) {
		sink->fd = config->fd;
	} else if (config->target == LOG_TO_STDOUT) {
		/* One of its own, whatever becomes of descriptor 1. Without one, lines are lost. */
		sink->fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
	} else {
		openlog(config->name, LOG_PID | LOG_NDELAY, LOG_DAEMON);
	}

	if (config->target == LOG_TO_SYSLOG)
		sink->style = LOG_LINE_PRIORITY;
	else if (config->target != LOG_TO_STDOUT || isatty(STDOUT_FILENO))
		sink->style = LOG_LINE_STAMPED;
	return 0;
}

void log_sink_close(struct log_sink *sink)
{
	if (sink->fd >= 0)
		close(sink->fd);
	free(sink->path);
}
