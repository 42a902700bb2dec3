/*
 * The stream is read here and not by libpcap, which would not tell when nothing waits any more:
 * then what has been read is to be seen by who reads along.
 */
#include "capture/capture_tap.h"

#include "host/capture_file.h"
#include "host/instance.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

enum {
	ANSWER_S = 5,
	ANSWER_MAX = 512,
	HEADER = 24,
	BUFFER = 4 * CAPTURE_FILE_RECORD_MAX,
};

/* As libpcap has it, in this machine's order of octets. */
struct record {
	uint32_t seconds, micros, length, original;
};

struct tap {
	const struct capture_tap_config *config;
	struct capture_tap_figures *figures;
	int fd;
	struct capture_file *file;
	uint64_t before; /* packets in files before this one */
	uint8_t *octets; /* read, not yet taken apart */
	size_t length;
	bool header_seen, end_seen;
};

/* ---- interruption: the instance is told, and ends the stream in order ---- */

static volatile int interrupted_fd = -1;

static void on_interrupt(int number)
{
	(void)number;
	int error = errno;
	shutdown(interrupted_fd, SHUT_WR);
	errno = error;
}

/* The second one is meant. */
static void handle_signals(int fd)
{
	struct sigaction action = {.sa_handler = on_interrupt,
				   .sa_flags = (int)(SA_RESTART | SA_RESETHAND)};
	interrupted_fd = fd;
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	signal(SIGPIPE, SIG_IGN);
}

/* ---- the question ---- */

/* A line without its newline, and nothing behind it. -1: none has come. */
static int read_line(int fd, char line[static ANSWER_MAX])
{
	size_t length = 0;
	while (length < ANSWER_MAX - 1) {
		ssize_t got = recv(fd, line + length, 1, 0);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return -1;
		if (line[length] == '\n')
			break;
		/* It is printed. */
		if (line[length] < ' ' || line[length] > '~')
			line[length] = '?';
		length++;
	}
	line[length] = '\0';
	return 0;
}

static int ask(struct tap *tap, struct why *why)
{
	const struct capture_tap_config *config = tap->config;
	const struct timeval none = {0};
	char line[ANSWER_MAX];

	tap->fd = instance_call(config->control, ANSWER_S, why);
	if (tap->fd < 0)
		return -1;
	handle_signals(tap->fd);
	int length = snprintf(line, sizeof(line), "tap %s\n", config->what);
	if (length >= (int)sizeof(line))
		return why_set(why, "--tap %.100s...: neither a call nor an address", config->what);
	/* Whom it does not let ask has been told so, perhaps before this. */
	send(tap->fd, line, (size_t)length, MSG_NOSIGNAL);
	if (read_line(tap->fd, line) != 0)
		return why_set(why, "the instance at control socket %.100s does not answer",
			       config->control);
	if (strcmp(line, "OK tap") != 0)
		return why_set(why, "%.400s", line);
	setsockopt(tap->fd, SOL_SOCKET, SO_RCVTIMEO, &none, sizeof(none));
	return 0;
}

/* ---- the file ---- */

static bool is_standard_output(const struct tap *tap)
{
	return strcmp(tap->config->path, "-") == 0;
}

static int open_file(struct tap *tap, struct why *why)
{
	int fd = is_standard_output(tap) ? fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3)
					 : capture_file_create(tap->config->path, NULL, why);
	if (fd < 0)
		return is_standard_output(tap)
			   ? why_set(why, "standard output: %s", strerror(errno))
			   : -1;
	tap->file = capture_file_open(fd);
	return tap->file ? 0 : why_set(why, "capture: %s", strerror(errno));
}

static int fail_to_write(const struct tap *tap, struct why *why)
{
	return why_set(why, "%.200s: %s",
		       is_standard_output(tap) ? "standard output" : tap->config->path,
		       strerror(errno));
}

static void count(struct tap *tap)
{
	tap->figures->packets = tap->before + capture_file_packets(tap->file);
}

static int flush(struct tap *tap, struct why *why)
{
	if (capture_file_flush(tap->file) != 0)
		return fail_to_write(tap, why);
	count(tap);
	return 0;
}

static int go_on_in_next(struct tap *tap, struct why *why)
{
	if (flush(tap, why) != 0)
		return -1;
	tap->before = tap->figures->packets;
	capture_file_close(tap->file);
	tap->file = NULL;
	return open_file(tap, why);
}

/* ---- the stream ---- */

static int take_record(struct tap *tap, const struct record *record, const uint8_t *octets,
		       struct why *why)
{
	uint64_t limit = is_standard_output(tap) ? 0 : tap->config->limit;
	if (record->length == 0) {
		tap->end_seen = true;
		tap->figures->lost = record->original;
		return 0;
	}
	if (limit != 0 && capture_file_size(tap->file) + CAPTURE_FILE_RECORD_MAX > limit &&
	    go_on_in_next(tap, why) != 0)
		return -1;
	uint64_t time_us = (uint64_t)record->seconds * 1000000 + record->micros;
	if (capture_file_add(tap->file, time_us, octets, record->length) != 0)
		return fail_to_write(tap, why);
	count(tap);
	return 0;
}

/* Whole records of what has been read; the rest moves to the front. */
static int take_apart(struct tap *tap, struct why *why)
{
	struct record record;
	size_t at = 0;

	if (!tap->header_seen && tap->length >= HEADER) {
		tap->header_seen = true;
		at = HEADER;
	}
	while (tap->header_seen && tap->length - at >= sizeof(record)) {
		memcpy(&record, tap->octets + at, sizeof(record));
		if (record.length > CAPTURE_FILE_PACKET_MAX)
			return why_set(why, "the instance sends what is no capture");
		if (tap->length - at - sizeof(record) < record.length)
			break;
		if (take_record(tap, &record, tap->octets + at + sizeof(record), why) != 0)
			return -1;
		at += sizeof(record) + record.length;
	}
	tap->length -= at;
	memmove(tap->octets, tap->octets + at, tap->length);
	return 0;
}

static int copy(struct tap *tap, struct why *why)
{
	if (flush(tap, why) != 0) /* its header, for who waits for that */
		return -1;
	for (;;) {
		ssize_t got = recv(tap->fd, tap->octets + tap->length, BUFFER - tap->length, 0);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			break;
		tap->length += (size_t)got;
		if (take_apart(tap, why) != 0 || flush(tap, why) != 0)
			return -1;
	}
	return tap->end_seen ? 0 : why_set(why, "the instance has ended, or was replaced");
}

int capture_tap_run(const struct capture_tap_config *config, struct capture_tap_figures *figures,
		    struct why *why)
{
	struct tap tap = {.config = config, .figures = figures, .fd = -1};
	int result = -1;

	*figures = (struct capture_tap_figures){0};
	tap.octets = malloc(BUFFER);
	if (!tap.octets)
		why_set(why, "no memory");
	else if (ask(&tap, why) == 0 && open_file(&tap, why) == 0)
		result = copy(&tap, why);
	/* Never standard output: what it has, it may have from others, too. */
	if (result != 0 && tap.file && !is_standard_output(&tap))
		capture_file_cut(tap.file);
	if (result != 0 && tap.file)
		count(&tap);
	capture_file_close(tap.file);
	if (tap.fd >= 0)
		close(tap.fd);
	free(tap.octets);
	return result;
}
