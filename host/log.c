/*
 * log: callers format into the queue, one writer thread waits for the outside.
 *
 * What log_open makes is one struct writer. It is kept on the heap, because a writer that hangs in
 * the system is left behind by log_close, and a later log_open must not meet it again. `lock`
 * guards `current` and all fields of a writer that both sides use; the descriptor belongs to the
 * thread.
 */
#include "host/log.h"

#include "host/log_queue.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

enum {
	CHUNK_OCTETS = 16 * 1024,
	CLOSE_SECONDS = 1,
	GATHER_MS = 5,	/* for more lines, after some have been written */
	STAMP_MAX = 48, /* of any year that there is */
	HEAD_MAX = 1 + STAMP_MAX + 16,
	DUMP_OCTETS_A_LINE = 16,
	DUMP_LINE_MAX = 96,
	DUMP_OCTETS_MAX = 65535,
};

enum { STYLE_STAMP = 1, STYLE_PRIORITY = 2 };

/* Where lines go. */
struct sink {
	enum log_target target;
	char *path;		 /* of LOG_TO_FILE; its own */
	unsigned style;		 /* of its lines */
	int fd;			 /* not of syslog */
	bool torn;		 /* the last write ended within a line */
	unsigned long unwritten; /* lines that the system refused, not told yet */
};

struct writer {
	struct log_queue queue;
	pthread_t thread;
	pthread_cond_t work, ended;
	bool reopen, closing, done, abandoned;
	int next;	/* descriptor to go on with, or -1 */
	bool idle;	/* waits for the next line, whatever it is */
	bool gathering; /* waits for many, or until time is up */

	/* The thread's own, once it runs. */
	struct sink sink;
	char chunk[CHUNK_OCTETS];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct writer *current;
static atomic_int wanted = LOG_LEVEL_INFO;
static atomic_uint style;

/* Lines. */

struct line {
	char text[LOG_LINE_MAX + 1]; /* the newline is counted in, no NUL */
	size_t length;
};

/* "2026-01-31T12:00:00.123 ": the part that lasts a second is made once in that second. */
static size_t put_stamp(char *out)
{
	static _Thread_local struct {
		time_t at;
		size_t length;
		char text[STAMP_MAX];
	} second = {.at = -1};
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	if (now.tv_sec != second.at) {
		struct tm tm;
		localtime_r(&now.tv_sec, &tm);
		second.length = strftime(second.text, STAMP_MAX, "%Y-%m-%dT%H:%M:%S.", &tm);
		second.at = now.tv_sec;
	}
	long ms = now.tv_nsec / 1000000;
	char rest[] = {(char)('0' + ms / 100), (char)('0' + ms / 10 % 10), (char)('0' + ms % 10),
		       ' '};
	memcpy(out, second.text, second.length);
	memcpy(out + second.length, rest, sizeof(rest));
	return second.length + sizeof(rest);
}

/* What stands before the message. For syslog the line starts with its level as a digit, which the
 * writer takes off again. */
static size_t put_head(char out[static HEAD_MAX], unsigned how, enum log_level level)
{
	static const char *const names[] = {
	    [LOG_LEVEL_ERROR] = "error: ", [LOG_LEVEL_WARNING] = "warning: ",
	    [LOG_LEVEL_INFO] = "",	   [LOG_LEVEL_DEBUG] = "",
	    [LOG_LEVEL_DUMP] = "",
	};
	size_t length = 0;
	if (how & STYLE_PRIORITY)
		out[length++] = (char)('0' + level);
	if (how & STYLE_STAMP)
		length += put_stamp(out + length);
	return (size_t)(stpcpy(out + length, names[level]) - out);
}

static void line_begin(struct line *line, unsigned how, enum log_level level)
{
	line->length = put_head(line->text, how, level);
}

static void line_format(struct line *line, const char *format, va_list args)
{
	size_t room = LOG_LINE_MAX - line->length;
	int length = vsnprintf(line->text + line->length, room + 1, format, args);
	if (length < 0)
		length = 0;
	if ((size_t)length > room) {
		line->length = LOG_LINE_MAX;
		memcpy(line->text + line->length - 3, "...", 3);
	} else {
		line->length += (size_t)length;
	}
	for (size_t i = 0; i < line->length; i++)
		if ((unsigned char)line->text[i] < ' ' || line->text[i] == 0x7f)
			line->text[i] = '?';
	line->text[line->length++] = '\n';
}

__attribute__((format(printf, 2, 3))) static void line_set(struct line *line, const char *format,
							   ...)
{
	va_list args;
	va_start(args, format);
	line_format(line, format, args);
	va_end(args);
}

/* The callers' side. */

static void tell_lost(struct writer *writer)
{
	struct line line;
	line_begin(&line, writer->sink.style, LOG_LEVEL_WARNING);
	line_set(&line, "%lu log lines were lost", log_queue_forgive(&writer->queue));
	log_queue_put(&writer->queue, line.text, line.length);
}

static void wake(struct writer *writer)
{
	writer->idle = writer->gathering = false;
	pthread_cond_signal(&writer->work);
}

static void submit(const char *text, size_t length)
{
	pthread_mutex_lock(&lock);
	struct writer *writer = current;
	if (writer) {
		/* Only with a quarter free: else a slow reader gets a note for every few lines. */
		if (writer->queue.lost > 0 &&
		    log_queue_room(&writer->queue) >= LOG_QUEUE_OCTETS / 4)
			tell_lost(writer);
		log_queue_put(&writer->queue, text, length);
		if (writer->idle || (writer->gathering && writer->queue.used >= CHUNK_OCTETS))
			wake(writer);
	}
	pthread_mutex_unlock(&lock);
	if (!writer && write(STDERR_FILENO, text, length) < 0) {
		/* There is nobody left to tell. */
	}
}

bool log_wants(enum log_level level)
{
	return (int)level <= atomic_load_explicit(&wanted, memory_order_relaxed);
}

#define SUBMIT(level)                                                                              \
	do {                                                                                       \
		if (!log_wants(level))                                                             \
			return;                                                                    \
		int saved_errno = errno;                                                           \
		struct line line;                                                                  \
		va_list args;                                                                      \
		va_start(args, format);                                                            \
		line_begin(&line, atomic_load(&style), level);                                     \
		line_format(&line, format, args);                                                  \
		va_end(args);                                                                      \
		submit(line.text, line.length);                                                    \
		errno = saved_errno;                                                               \
	} while (0)

void log_error(const char *format, ...)
{
	SUBMIT(LOG_LEVEL_ERROR);
}

void log_warning(const char *format, ...)
{
	SUBMIT(LOG_LEVEL_WARNING);
}

void log_info(const char *format, ...)
{
	SUBMIT(LOG_LEVEL_INFO);
}

void(log_debug)(const char *format, ...)
{
	SUBMIT(LOG_LEVEL_DEBUG);
}

static size_t put_dump_line(char *out, unsigned how, const uint8_t *octets, size_t offset,
			    size_t count)
{
	size_t length = 0;
	if (how & STYLE_PRIORITY)
		out[length++] = '0' + LOG_LEVEL_DUMP;
	length += (size_t)sprintf(out + length, "    %04zx ", offset);
	for (size_t i = 0; i < DUMP_OCTETS_A_LINE; i++) {
		const char *gap = i == DUMP_OCTETS_A_LINE / 2 ? " " : "";
		if (i < count)
			length += (size_t)sprintf(out + length, "%s %02x", gap, octets[offset + i]);
		else
			length += (size_t)sprintf(out + length, "%s   ", gap);
	}
	length += (size_t)sprintf(out + length, "  ");
	for (size_t i = 0; i < count; i++) {
		uint8_t octet = octets[offset + i];
		out[length++] = octet >= ' ' && octet < 0x7f ? (char)octet : '.';
	}
	out[length++] = '\n';
	return length;
}

void log_dump(const char *title, const uint8_t *octets, size_t length)
{
	if (!log_wants(LOG_LEVEL_DUMP))
		return;
	if (length > DUMP_OCTETS_MAX)
		length = DUMP_OCTETS_MAX;

	struct line head;
	unsigned how = atomic_load(&style);
	line_begin(&head, how, LOG_LEVEL_DUMP);
	line_set(&head, "%s", title);
	size_t lines = (length + DUMP_OCTETS_A_LINE - 1) / DUMP_OCTETS_A_LINE;
	char *text = malloc(head.length + lines * DUMP_LINE_MAX);
	if (!text)
		return;
	memcpy(text, head.text, head.length);
	size_t used = head.length;
	for (size_t at = 0; at < length; at += DUMP_OCTETS_A_LINE) {
		size_t left = length - at;
		used += put_dump_line(text + used, how, octets, at,
				      left < DUMP_OCTETS_A_LINE ? left : DUMP_OCTETS_A_LINE);
	}
	submit(text, used);
	free(text);
}

char *log_escape(char *out, size_t size, const void *octets, size_t length)
{
	static const char digits[] = "0123456789abcdef";
	const uint8_t *in = octets;
	size_t used = 0;
	if (size == 0)
		return out;
	for (size_t i = 0; i < length && in[i]; i++) {
		char piece[4];
		size_t count = 0;
		if (in[i] == '\\') {
			memcpy(piece, "\\\\", count = 2);
		} else if (in[i] >= ' ' && in[i] < 0x7f) {
			piece[count++] = (char)in[i];
		} else {
			memcpy(piece, "\\x", count = 2);
			piece[count++] = digits[in[i] >> 4];
			piece[count++] = digits[in[i] & 15];
		}
		if (used + count >= size)
			break;
		memcpy(out + used, piece, count);
		used += count;
	}
	out[used] = '\0';
	return out;
}

/* The writer thread. */

static int open_file(const char *path)
{
	/* Non-blocking, so that a FIFO without a reader fails instead of holding the start. */
	return open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0640);
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

/* Before the first line after a failure: whether the outside takes lines again. */
static bool tell_unwritten(struct sink *sink)
{
	struct line line;
	if (sink->torn && write_all(sink->fd, "\n", 1) < 1)
		return false;
	sink->torn = false;
	line_begin(&line, sink->style, LOG_LEVEL_WARNING);
	line_set(&line, "%lu log lines were lost", sink->unwritten);
	size_t done = write_all(sink->fd, line.text, line.length);
	sink->torn = done > 0 && done < line.length;
	if (done < line.length)
		return false;
	sink->unwritten = 0;
	return true;
}

static void emit_text(struct sink *sink, const char *text, size_t length)
{
	size_t done = 0;
	if (sink->unwritten == 0 || tell_unwritten(sink)) {
		done = write_all(sink->fd, text, length);
		if (done > 0)
			sink->torn = text[done - 1] != '\n';
	}
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

static void emit(struct sink *sink, const char *text, size_t length)
{
	if (sink->target == LOG_TO_SYSLOG)
		emit_syslog(text, length);
	else if (length > 0)
		emit_text(sink, text, length);
}

static void change_file(struct sink *sink, int next)
{
	close(sink->fd);
	sink->fd = next;
	sink->torn = false;
}

static void reopen_file(struct sink *sink)
{
	struct line line;
	int fd = open_file(sink->path);
	if (fd < 0) {
		line_begin(&line, sink->style, LOG_LEVEL_WARNING);
		line_set(&line, "cannot open %s anew: %s; the old file is kept", sink->path,
			 strerror(errno));
		emit_text(sink, line.text, line.length);
		return;
	}
	change_file(sink, fd);
}

static int open_sink(struct sink *sink, const struct log_config *config, struct why *why)
{
	sink->target = config->target;
	if (config->target == LOG_TO_FILE) {
		sink->path = strdup(config->path);
		if (!sink->path)
			return why_set(why, "no memory for the log");
		sink->fd = log_open_file(config->path, why);
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
		sink->style = STYLE_PRIORITY;
	else if (config->target != LOG_TO_STDOUT || isatty(STDOUT_FILENO))
		sink->style = STYLE_STAMP;
	return 0;
}

static void close_sink(struct sink *sink)
{
	if (sink->fd >= 0)
		close(sink->fd);
	free(sink->path);
}

static void writer_free(struct writer *writer)
{
	close_sink(&writer->sink);
	if (writer->next >= 0)
		close(writer->next);
	log_queue_clear(&writer->queue);
	pthread_cond_destroy(&writer->work);
	pthread_cond_destroy(&writer->ended);
	free(writer);
}

static bool has_work(const struct writer *writer)
{
	return writer->reopen || writer->next >= 0 || writer->closing || writer->queue.used > 0;
}

/* A line that comes alone is written at once; where they come in crowds, a wakeup and a write for
 * each would cost more than all else that is done for them. */
static void gather(struct writer *writer)
{
	struct timespec until;
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += GATHER_MS * 1000000L;
	if (until.tv_nsec >= 1000000000L) {
		until.tv_nsec -= 1000000000L;
		until.tv_sec++;
	}
	writer->gathering =
	    !writer->closing && !writer->reopen && writer->queue.used < CHUNK_OCTETS;
	while (writer->gathering &&
	       pthread_cond_timedwait(&writer->work, &lock, &until) != ETIMEDOUT)
		;
	writer->gathering = false;
}

static void await_work(struct writer *writer)
{
	while (!has_work(writer)) {
		writer->idle = true;
		pthread_cond_wait(&writer->work, &lock);
	}
	writer->idle = false;
}

static void *writer_main(void *arg)
{
	struct writer *writer = arg;
	pthread_mutex_lock(&lock);
	for (;;) {
		await_work(writer);
		bool reopen = writer->reopen;
		int next = writer->next;
		writer->reopen = false;
		writer->next = -1;
		size_t length =
		    log_queue_take(&writer->queue, writer->chunk, sizeof(writer->chunk));
		if (writer->abandoned || (length == 0 && !reopen && writer->closing)) {
			writer->next = next; /* to be closed */
			break;
		}
		pthread_mutex_unlock(&lock);

		/* First: what was logged after log_reopen must not be in the old file. */
		if (reopen)
			reopen_file(&writer->sink);
		if (next >= 0)
			change_file(&writer->sink, next);
		emit(&writer->sink, writer->chunk, length);

		pthread_mutex_lock(&lock);
		if (writer->queue.used == 0 && writer->queue.lost > 0)
			tell_lost(writer);
		gather(writer);
	}
	writer->done = true;
	pthread_cond_signal(&writer->ended);
	bool abandoned = writer->abandoned;
	pthread_mutex_unlock(&lock);
	if (abandoned)
		writer_free(writer);
	return NULL;
}

/* Life. */

static struct writer *writer_new(void)
{
	struct writer *writer = calloc(1, sizeof(*writer));
	if (!writer)
		return NULL;
	writer->sink.fd = writer->next = -1;

	pthread_condattr_t attributes;
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&writer->work, &attributes);
	pthread_cond_init(&writer->ended, &attributes);
	pthread_condattr_destroy(&attributes);
	if (log_queue_init(&writer->queue, LOG_QUEUE_OCTETS) < 0) {
		writer_free(writer);
		return NULL;
	}
	return writer;
}

static int start_thread(struct writer *writer)
{
	sigset_t all, before;
	sigfillset(&all);
	sigdelset(&all, SIGSYS); /* a thread that blocks it dies without a word in the sandbox */
	pthread_sigmask(SIG_SETMASK, &all, &before);
	int error = pthread_create(&writer->thread, NULL, writer_main, writer);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return error;
}

int log_open(const struct log_config *config, struct why *why)
{
	struct writer *writer = writer_new();
	if (!writer)
		return why_set(why, "no memory for the log");
	if (open_sink(&writer->sink, config, why) != 0) {
		writer_free(writer);
		return -1;
	}

	int error = start_thread(writer);
	if (error) {
		if (config->target == LOG_TO_DESCRIPTOR)
			writer->sink.fd = -1;
		writer_free(writer);
		return why_set(why, "cannot start the log's thread: %s", strerror(error));
	}
	atomic_store(&style, writer->sink.style);
	atomic_store(&wanted, (int)config->level);
	pthread_mutex_lock(&lock);
	current = writer;
	pthread_mutex_unlock(&lock);
	return 0;
}

void log_reopen(void)
{
	pthread_mutex_lock(&lock);
	if (current && current->sink.target == LOG_TO_FILE) {
		current->reopen = true;
		wake(current);
	}
	pthread_mutex_unlock(&lock);
}

int log_open_file(const char *path, struct why *why)
{
	int fd = open_file(path);
	if (fd < 0)
		why_set(why, "cannot open log file %.200s: %s", path, strerror(errno));
	return fd;
}

void log_replace(int fd)
{
	pthread_mutex_lock(&lock);
	int unused = fd;
	if (current && current->sink.target == LOG_TO_DESCRIPTOR) {
		unused = current->next; /* of an earlier one */
		current->next = fd;
		wake(current);
	}
	pthread_mutex_unlock(&lock);
	if (unused >= 0)
		close(unused);
}

void log_close(void)
{
	struct timespec deadline;
	clock_gettime(CLOCK_MONOTONIC, &deadline);
	deadline.tv_sec += CLOSE_SECONDS;

	pthread_mutex_lock(&lock);
	struct writer *writer = current;
	current = NULL;
	atomic_store(&style, 0);
	if (!writer) {
		pthread_mutex_unlock(&lock);
		return;
	}
	writer->closing = true;
	wake(writer);
	int error = 0;
	while (!writer->done && error == 0)
		error = pthread_cond_timedwait(&writer->ended, &lock, &deadline);
	bool done = writer->done;
	writer->abandoned = !done;
	pthread_mutex_unlock(&lock);

	if (!done) {
		pthread_detach(writer->thread);
		return;
	}
	pthread_join(writer->thread, NULL);
	if (writer->sink.target == LOG_TO_SYSLOG)
		closelog();
	writer_free(writer);
}
