/*
 * log: callers format into the queue, one writer thread waits for the outside.
 *
 * What log_open makes is one struct writer. It is kept on the heap, because a writer that hangs in
 * the system is left behind by log_close, and a later log_open must not meet it again. `lock`
 * guards `current` and all fields of a writer that both sides use; where lines go belongs to the
 * thread, but for two things of it that never change, and that callers look at: of what kind that
 * is, and the style of its lines.
 */
#include "host/log.h"

#include "host/log_line.h"
#include "host/log_queue.h"
#include "host/log_sink.h"
#include "host/thread.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

enum {
	CHUNK_OCTETS = 16 * 1024,
	CLOSE_MS = 1000,
	FLUSH_MS = 1000,
	GATHER_MS = 5, /* for more lines, after some have been written */
	DUMP_OCTETS_MAX = 65535,
};

struct writer {
	struct log_queue queue;
	pthread_t thread;
	pthread_cond_t work, ended; /* ended: also that it has nothing more to write */
	bool reopen, closing, done, abandoned;
	int next;	/* descriptor to go on with, or -1 */
	bool idle;	/* waits for the next line, whatever it is */
	bool gathering; /* waits for many, or until time is up */

	/* The thread's own, once it runs; but target and style, which stay as they are. */
	struct log_sink sink;
	char chunk[CHUNK_OCTETS];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct writer *current;
static atomic_int wanted = LOG_LEVEL_INFO;
static atomic_uint style;

/* The callers' side. */

static void tell_lost(struct writer *writer)
{
	struct log_line line;
	log_line_begin(&line, writer->sink.style, LOG_LEVEL_WARNING);
	log_line_set(&line, "%lu log lines were lost", log_queue_forgive(&writer->queue));
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
		struct log_line line;                                                              \
		va_list args;                                                                      \
		va_start(args, format);                                                            \
		log_line_begin(&line, atomic_load(&style), level);                                 \
		log_line_format(&line, format, args);                                              \
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

void log_dump(const char *title, const uint8_t *octets, size_t length)
{
	if (!log_wants(LOG_LEVEL_DUMP))
		return;
	if (length > DUMP_OCTETS_MAX)
		length = DUMP_OCTETS_MAX;

	struct log_line head;
	unsigned how = atomic_load(&style);
	log_line_begin(&head, how, LOG_LEVEL_DUMP);
	log_line_set(&head, "%s", title);
	size_t lines = (length + LOG_LINE_OCTETS - 1) / LOG_LINE_OCTETS;
	char *text = malloc(head.length + lines * LOG_LINE_OCTETS_TEXT);
	if (!text)
		return;
	memcpy(text, head.text, head.length);
	size_t used = head.length;
	for (size_t at = 0; at < length; at += LOG_LINE_OCTETS) {
		size_t left = length - at;
		used += log_line_put_octets(text + used, how, octets, at,
					    left < LOG_LINE_OCTETS ? left : LOG_LINE_OCTETS);
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

static void writer_free(struct writer *writer)
{
	log_sink_close(&writer->sink);
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

static struct timespec in_ms(unsigned ms)
{
	struct timespec at;
	clock_gettime(CLOCK_MONOTONIC, &at);
	at.tv_sec += ms / 1000;
	at.tv_nsec += ms % 1000 * 1000000L;
	if (at.tv_nsec >= 1000000000L) {
		at.tv_nsec -= 1000000000L;
		at.tv_sec++;
	}
	return at;
}

/* A line that comes alone is written at once; where they come in crowds, a wakeup and a write for
 * each would cost more than all else that is done for them. */
static void gather(struct writer *writer)
{
	const struct timespec until = in_ms(GATHER_MS);
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
		pthread_cond_signal(&writer->ended);
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
			log_sink_reopen(&writer->sink);
		if (next >= 0)
			log_sink_change(&writer->sink, next);
		log_sink_write(&writer->sink, writer->chunk, length);

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

int log_open(const struct log_config *config, struct why *why)
{
	struct writer *writer = writer_new();
	if (!writer)
		return why_set(why, "no memory for the log");
	if (log_sink_open(&writer->sink, config, why) != 0) {
		writer_free(writer);
		return -1;
	}

	int error = thread_start(&writer->thread, writer_main, writer);
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
	return log_sink_open_file(path, why);
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

void log_flush(void)
{
	const struct timespec deadline = in_ms(FLUSH_MS);
	int error = 0;

	pthread_mutex_lock(&lock);
	struct writer *writer = current;
	if (writer)
		wake(writer);
	while (writer && !writer->idle && error == 0)
		error = pthread_cond_timedwait(&writer->ended, &lock, &deadline);
	pthread_mutex_unlock(&lock);
}

void log_close(void)
{
	log_close_within(CLOSE_MS);
}

void log_close_within(unsigned ms)
{
	const struct timespec deadline = in_ms(ms);

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
