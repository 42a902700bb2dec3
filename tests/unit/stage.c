/*
 * See stage.h. The log is closed to read it, so that nothing is on its way any more.
 */
#include "tests/unit/stage.h"

#include "host/log.h"
#include "host/names.h"
#include "tests/unit/loopback.h"

#include <dirent.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

enum { DEADLINE_S = 20, LOG_MAX = 256 * 1024 };

struct event_base *stage_base;
struct names *stage_names;

static char directory[] = "/tmp/stage.XXXXXX";
static char hosts_path[64], log_path[64];
static size_t descriptors_before;
static struct rlimit limit_before;
static time_t wait_ends;
static enum log_level level;

/* ---- life ---- */

static void write_hosts(const char *text)
{
	FILE *file = fopen(hosts_path, "we");
	assert_non_null(file);
	fputs(text, file);
	fclose(file);
}

static int open_log(void)
{
	struct why why;
	struct log_config config = {.target = LOG_TO_FILE, .path = log_path, .level = level};
	return log_open(&config, &why);
}

int stage_open(void **state)
{
	(void)state;
	if (!mkdtemp(directory))
		return -1;
	snprintf(hosts_path, sizeof(hosts_path), "%s/hosts", directory);
	snprintf(log_path, sizeof(log_path), "%s/log", directory);
	return 0;
}

int stage_close(void **state)
{
	(void)state;
	unlink(hosts_path);
	return rmdir(directory);
}

int stage_set_up(void **state)
{
	(void)state;
	struct why why;
	getrlimit(RLIMIT_NOFILE, &limit_before);
	descriptors_before = stage_descriptors();
	write_hosts("");
	level = LOG_LEVEL_DEBUG;
	stage_base = event_base_new();
	if (open_log() != 0)
		return -1;
	stage_names = names_new_from(stage_base, hosts_path, "/nonexistent/resolv.conf", &why);
	return stage_names ? 0 : -1;
}

int stage_tear_down(void **state)
{
	(void)state;
	setrlimit(RLIMIT_NOFILE, &limit_before);
	loopback_close_all();
	names_free(stage_names);
	stage_turn(); /* what evdns still has to give back */
	event_base_free(stage_base);
	log_close();
	unlink(log_path);
	assert_int_equal(stage_descriptors(), descriptors_before);
	return 0;
}

/* ---- what there is ---- */

void stage_hosts(const char *text)
{
	write_hosts(text);
	names_reload(stage_names);
}

size_t stage_descriptors(void)
{
	DIR *open_ones = opendir("/proc/self/fd");
	size_t count = 0;
	assert_non_null(open_ones);
	while (readdir(open_ones))
		count++;
	closedir(open_ones);
	return count;
}

int stage_events(void)
{
	return event_base_get_num_events(stage_base, EVENT_BASE_COUNT_ADDED);
}

void stage_exhaust_descriptors(bool exhausted)
{
	struct rlimit limit = limit_before;
	if (exhausted) {
		int lowest = dup(STDIN_FILENO);
		assert_true(lowest >= 0);
		close(lowest);
		limit.rlim_cur = (rlim_t)lowest;
	}
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

/* ---- the log ---- */

const char *stage_log(void)
{
	static char text[LOG_MAX];
	log_close();
	FILE *file = fopen(log_path, "re");
	assert_non_null(file);
	text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
	fclose(file);
	assert_int_equal(open_log(), 0);
	return text;
}

void stage_log_without_debug(void)
{
	log_close();
	level = LOG_LEVEL_INFO;
	assert_int_equal(open_log(), 0);
}

int stage_log_count(const char *text)
{
	int count = 0;
	for (const char *at = stage_log(); (at = strstr(at, text)); at += strlen(text))
		count++;
	return count;
}

bool stage_logged(const char *text)
{
	return stage_log_count(text) > 0;
}

/* ---- the loop ---- */

void stage_turn(void)
{
	event_base_loop(stage_base, EVLOOP_NONBLOCK | EVLOOP_ONCE);
}

static time_t seconds(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC_RAW, &now);
	return now.tv_sec;
}

void stage_begin_wait(void)
{
	wait_ends = seconds() + DEADLINE_S;
}

static void nothing(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what, (void)arg;
}

/* A far end's state is no event of the loop, so the loop comes back now and then to let it be
 * looked at. */
void stage_wait(const char *condition, const char *file, int line)
{
	struct timeval soon = {.tv_usec = 5000};
	struct event timer;
	if (seconds() > wait_ends) {
		print_error("waited %d s in vain for: %s\n", DEADLINE_S, condition);
		_fail(file, line);
	}
	evtimer_assign(&timer, stage_base, nothing, NULL);
	event_add(&timer, &soon);
	event_base_loop(stage_base, EVLOOP_ONCE);
	event_del(&timer);
}

void stage_hear(int fd, const uint8_t *octets, size_t length)
{
	STAGE_UNTIL(loopback_waiting(fd) >= length || loopback_has_ended(fd));
	loopback_hear(fd, octets, length);
}

void stage_hear_end(int fd)
{
	STAGE_UNTIL(loopback_has_ended(fd) || loopback_waiting(fd) > 0);
	assert_int_equal(loopback_waiting(fd), 0);
}
