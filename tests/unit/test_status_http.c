/*
 * The status page's server, asked over loopback, octet by octet: what it gives, what it refuses,
 * who has to leave, and that it outlives a lack of memory.
 */
#include "status/status_http.h"

#include "host/monotonic.h"
#include "tests/unit/a_snapshot.h"
#include "tests/unit/loopback.h"

#include <errno.h>
#include <event2/event.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include <cmocka.h>

static struct event_base *base;
static struct status_http *http;
static int listener;
static uint16_t port;
static size_t calls;
static bool no_figures;
static unsigned looks;

/* Time that has not passed. */
static uint64_t later_ms;

static struct timespec stands; /* the clock, at this moment; 0: it goes */

int __real_clock_gettime(clockid_t clock, struct timespec *now);
int __wrap_clock_gettime(clockid_t clock, struct timespec *now);
int __wrap_clock_gettime(clockid_t clock, struct timespec *now)
{
	int result = __real_clock_gettime(clock, now);
	if (stands.tv_sec != 0) {
		*now = stands;
		return 0;
	}
	uint64_t ns = (uint64_t)now->tv_nsec + later_ms % 1000 * 1000000;
	now->tv_sec += (time_t)(later_ms / 1000 + ns / 1000000000);
	now->tv_nsec = (long)(ns % 1000000000);
	return result;
}

/* ---- memory of libevent's ---- */

static int fails_in = -1; /* below 0: none fails */

static bool fails(void)
{
	return fails_in >= 0 && fails_in-- == 0;
}

static void *take(size_t size)
{
	return fails() ? NULL : malloc(size);
}

static void *take_other(void *old, size_t size)
{
	return fails() ? NULL : realloc(old, size);
}

static int look(void *arg, struct snapshot *snapshot, struct why *why)
{
	assert_ptr_equal(arg, &looks);
	looks++;
	if (no_figures)
		return why_set(why, "not just now");
	a_snapshot_make(snapshot, calls);
	return 0;
}

static int set_up(void **state)
{
	struct status_http_config config = {.look = look, .arg = &looks};
	struct why why;
	(void)state;
	later_ms = 0;
	looks = 0;
	calls = 3;
	no_figures = false;
	base = config.base = event_base_new();
	listener = config.fd = loopback_listen(1, 0);
	port = loopback_port(listener);
	evutil_make_socket_nonblocking(listener);
	http = status_http_open(&config, &why);
	return http ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	fails_in = -1;
	status_http_close(http);
	event_base_free(base);
	loopback_close_all();
	return 0;
}

/* ---- a client ---- */

enum { ANSWER_MAX = 64 << 20 };

static char *answer;
static size_t answered;

static int ask(const char *request)
{
	int fd = loopback_connect(1, 1, port);
	loopback_send(fd, (const uint8_t *)request, strlen(request));
	return fd;
}

static void turn(void)
{
	event_base_loop(base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
}

/* Until the server ends the connection. */
static void hear(int fd)
{
	uint64_t deadline = monotonic_ms() + LOOPBACK_DEADLINE_MS;
	ssize_t got;
	answered = 0;
	for (;;) {
		turn();
		got = recv(fd, answer + answered, ANSWER_MAX - 1 - answered, MSG_DONTWAIT);
		if (got > 0)
			answered += (size_t)got;
		else if (got == 0 || errno != EAGAIN)
			break;
		assert_true(monotonic_ms() < deadline);
	}
	answer[answered] = '\0';
	loopback_close(fd);
}

static void say(const char *request)
{
	hear(ask(request));
}

static void assert_status(const char *status)
{
	char line[64];
	snprintf(line, sizeof(line), "HTTP/1.1 %s", status);
	if (strncmp(answer, line, strlen(line)) != 0)
		fail_msg("not %s but: %.300s", status, answer);
}

static void assert_has(const char *part)
{
	if (!strstr(answer, part))
		fail_msg("no '%s' in: %.2000s", part, answer);
}

static const char *body(void)
{
	const char *end = strstr(answer, "\r\n\r\n");
	assert_non_null(end);
	return end + 4;
}

static void assert_whole(void)
{
	const char *length = strstr(answer, "Content-Length: ");
	assert_non_null(length);
	assert_int_equal(strtoul(length + 16, NULL, 10), answered - (size_t)(body() - answer));
}

#define GET(path) "GET " path " HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"

/* ---- what it gives ---- */

static void each_place_has_its_type(void **state)
{
	static const struct {
		const char *request, *type, *part;
	} rows[] = {
	    {GET("/"), "text/html; charset=utf-8", "<!doctype html>"},
	    {GET("/page.js"), "text/javascript; charset=utf-8", "calls.json"},
	    {GET("/page.css"), "text/css; charset=utf-8", "prefers-color-scheme"},
	    {GET("/calls.json"), "application/json", "{\"calls\":[{\"call\":\"12:49750\""},
	    {GET("/metrics"), "text/plain; version=0.0.4; charset=utf-8", "pptpproxy_calls 3\n"},
	    {GET("/healthz"), "text/plain; charset=utf-8", "ok\n"},
	    {GET("/?any=thing"), "text/html; charset=utf-8", "<!doctype html>"},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		char type[80];
		say(rows[i].request);
		assert_status("200 ");
		snprintf(type, sizeof(type), "\r\nContent-Type: %s\r\n", rows[i].type);
		assert_has(type);
		assert_non_null(strstr(body(), rows[i].part));
		assert_whole();
	}
}

static void every_answer_has_the_headers_that_guard_it(void **state)
{
	static const char *const requests[] = {GET("/"), GET("/calls.json"), GET("/nowhere"),
					       "POST / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
					       "GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n"};
	(void)state;
	for (size_t i = 0; i < sizeof(requests) / sizeof(*requests); i++) {
		say(requests[i]);
		assert_has("\r\nContent-Security-Policy: default-src 'none'; script-src 'self'; "
			   "style-src 'self'; connect-src 'self'; ");
		assert_has("\r\nX-Content-Type-Options: nosniff\r\n");
		assert_has("\r\nX-Frame-Options: DENY\r\n");
		assert_has("\r\nReferrer-Policy: no-referrer\r\n");
		assert_has("\r\nCache-Control: no-store\r\n");
		assert_has("\r\nConnection: close\r\n");
	}
}

static void head_has_no_body(void **state)
{
	char length[64];
	(void)state;
	say(GET("/calls.json"));
	snprintf(length, sizeof(length), "\r\nContent-Length: %zu\r\n", strlen(body()));
	say("HEAD /calls.json HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n");
	assert_status("200 ");
	assert_has(length);
	assert_string_equal(body(), "");
}

static void figures_are_looked_up_for_each_request(void **state)
{
	(void)state;
	looks = 0;
	say(GET("/healthz"));
	say(GET("/page.js"));
	assert_int_equal(looks, 0);
	say(GET("/metrics"));
	assert_int_equal(looks, 1);
	calls = 4;
	say(GET("/metrics"));
	assert_int_equal(looks, 2);
	assert_non_null(strstr(body(), "pptpproxy_calls 4\n"));
}

static void an_old_client_is_answered(void **state)
{
	(void)state;
	say("GET /healthz HTTP/1.0\r\n\r\n");
	assert_non_null(strstr(answer, " 200 "));
	assert_string_equal(body(), "ok\n");
}

/* ---- what it refuses ---- */

static void other_methods_are_refused(void **state)
{
	static const char *const methods[] = {"POST",  "PUT",	"DELETE", "OPTIONS",
					      "TRACE", "PATCH", "BREW"};
	(void)state;
	for (size_t i = 0; i < sizeof(methods) / sizeof(*methods); i++) {
		char request[80];
		snprintf(request, sizeof(request), "%s / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
			 methods[i]);
		say(request);
		assert_status("405 ");
		assert_has("\r\nAllow: GET, HEAD\r\n");
	}
}

static void unknown_paths_are_refused(void **state)
{
	static const char *const requests[] = {GET("/nowhere"), GET("/calls.json/"),
					       GET("/../calls.json"), GET("/%00"),
					       GET("/favicon.ico")};
	(void)state;
	for (size_t i = 0; i < sizeof(requests) / sizeof(*requests); i++) {
		say(requests[i]);
		assert_status("404 ");
	}
}

static void assert_host(const char *host, const char *status)
{
	char request[512];
	snprintf(request, sizeof(request), "GET /healthz HTTP/1.1\r\nHost: %s\r\n\r\n", host);
	say(request);
	assert_status(status);
}

static void only_addresses_and_localhost_are_hosts(void **state)
{
	static const char *const good[] = {"127.0.0.1",	 "127.0.0.1:8723", "192.0.2.1",
					   "localhost",	 "LocalHost:80",   "[::1]",
					   "[::1]:8080", "[2001:db8::1]"};
	static const char *const bad[] = {
	    "evil.example",
	    "evil.example:80",
	    "localhost.evil.example",
	    "127.0.0.1.evil.example",
	    "127.0.0.1:80:80",
	    "127.0.0.1:x",
	    "localhostx",
	    "localhos",
	    "[::1",
	    "[::1]x",
	    "[]",
	    "[127.0.0.1]",
	    "1.2.3",
	    "0x7f.1",
	    "::1",
	    "127.0.0.1, evil.example",
	    "a@127.0.0.1",
	    "255.255.255.255.255.255.255.255.255.255.255.255.255.255"};
	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++)
		assert_host(good[i], "200 ");
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_host(bad[i], "403 ");
}

static void a_second_host_is_looked_at_too(void **state)
{
	(void)state;
	say("GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nhost: evil.example\r\n\r\n");
	assert_status("403 ");
	say("GET http://evil.example/ HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n");
	assert_status("403 ");
	say("GET http://localhost:80/healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n");
	assert_status("200 ");
}

static void a_long_head_is_refused(void **state)
{
	char *request = malloc(STATUS_HTTP_HEAD_MAX + 100);
	int length = sprintf(request, "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: ");
	(void)state;
	memset(request + length, 'x', STATUS_HTTP_HEAD_MAX);
	strcpy(request + length + STATUS_HTTP_HEAD_MAX, "\r\n\r\n");
	looks = 0;
	say(request);
	assert_status("400 ");
	assert_int_equal(looks, 0);
	free(request);
}

static void a_body_is_not_read(void **state)
{
	(void)state;
	say("POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000000000\r\n\r\n");
	assert_status("413 ");
	say("POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 2\r\n\r\nab");
	assert_status("405 ");
	assert_string_equal(body(), "GET and HEAD only\n");
}

static void who_has_said_all_is_answered(void **state)
{
	(void)state;
	calls = 5000;
	int fd = ask(GET("/calls.json"));
	shutdown(fd, SHUT_WR);
	hear(fd);
	assert_status("200 ");
	assert_whole();
}

static void a_request_may_come_in_pieces(void **state)
{
	const char *request = GET("/healthz");
	(void)state;
	int fd = loopback_connect(1, 1, port);
	for (size_t i = 0; request[i]; i++) {
		loopback_send(fd, (const uint8_t *)request + i, 1);
		turn();
	}
	hear(fd);
	assert_string_equal(body(), "ok\n");
}

static void rubbish_is_refused(void **state)
{
	static const struct {
		const char *request, *status;
	} rows[] = {
	    {"\r\n\r\n", "400 "},
	    {"GET\r\n\r\n", "400 "},
	    {"GET /\r\n\r\n", "400 "},
	    {" / HTTP/1.1\r\n\r\n", "400 "},
	    {"GET / HTTP/9.9\r\n\r\n", "400 "},
	    {"PRI * HTTP/2.0\r\n\r\n", "400 "},
	    {"GET * HTTP/1.1\r\n\r\n", "404 "},
	    {"\x16\x03\x01\x02\r\n\r\n", "400 "},
	    {"GET / HTTP/1.1\r\nno colon\r\n\r\n", "400 "},
	};
	(void)state;
	looks = 0;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		say(rows[i].request);
		assert_status(rows[i].status);
	}
	assert_int_equal(looks, 0);
}

static void an_unfinished_request_is_forgotten(void **state)
{
	(void)state;
	int fd = ask("GET / HT");
	shutdown(fd, SHUT_WR);
	hear(fd);
	assert_int_equal(answered, 0);
}

static void one_request_a_connection(void **state)
{
	(void)state;
	say(GET("/healthz") GET("/healthz") GET("/healthz"));
	assert_string_equal(body(), "ok\n");
}

/* ---- who has to leave ---- */

static void wait_for_end(int fd)
{
	uint64_t deadline = monotonic_ms() + LOOPBACK_DEADLINE_MS;
	while (!loopback_is(fd, POLLIN)) {
		turn();
		assert_true(monotonic_ms() < deadline);
	}
}

static void who_says_nothing_is_cut(void **state)
{
	(void)state;
	int fd = ask("GET / HT");
	uint64_t until = monotonic_ms() + 500;
	while (monotonic_ms() < until)
		turn();
	assert_false(loopback_is(fd, POLLIN));
	later_ms = STATUS_HTTP_PATIENCE_MS;
	wait_for_end(fd);
}

static void the_oldest_gives_way(void **state)
{
	int fds[STATUS_HTTP_CLIENTS + 1];
	(void)state;
	for (int i = 0; i < STATUS_HTTP_CLIENTS; i++) {
		fds[i] = ask("GET / HT");
		for (int k = 0; k < 3; k++)
			turn();
		later_ms += 5; /* each is younger than the one before */
	}
	for (int i = 0; i < STATUS_HTTP_CLIENTS; i++)
		assert_false(loopback_is(fds[i], POLLIN));
	say(GET("/healthz"));
	assert_string_equal(body(), "ok\n");
	assert_true(loopback_is(fds[0], POLLIN));
	assert_false(loopback_is(fds[1], POLLIN));
}

static void who_does_not_take_his_answer_fills_no_memory(void **state)
{
	int fds[STATUS_HTTP_CLIENTS];
	int small = 4096, count;
	(void)state;
	calls = 20000; /* 10 MB an answer, of which the system is to take little */
	setsockopt(listener, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
	/* However long it takes to make them. */
	__real_clock_gettime(CLOCK_MONOTONIC, &stands);
	for (count = 0; count < STATUS_HTTP_CLIENTS - 1; count++) {
		fds[count] = loopback_connect(1, 1, port);
		setsockopt(fds[count], SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
		loopback_send(fds[count], (const uint8_t *)GET("/calls.json"),
			      strlen(GET("/calls.json")));
		for (int k = 0; k < 5; k++)
			turn();
	}
	say(GET("/calls.json"));
	assert_status("503 ");
	say(GET("/healthz"));
	assert_status("503 ");
	stands = (struct timespec){0};
	for (int i = 0; i < count; i++)
		loopback_reset(fds[i]);
	for (int k = 0; k < 100; k++)
		turn();
	say(GET("/healthz"));
	assert_status("200 ");
}

/* A long answer is made in pieces, and others are answered meanwhile. */
static void a_long_answer_keeps_nobody_waiting(void **state)
{
	(void)state;
	calls = 20000;
	int patient = ask(GET("/calls.json"));
	for (int k = 0; looks == 0; k++) {
		turn();
		assert_true(k < 100);
	}
	say(GET("/healthz"));
	assert_string_equal(body(), "ok\n");
	assert_false(loopback_is(patient, POLLIN));
	hear(patient);
	assert_status("200 ");
	assert_non_null(strstr(body(), "\"call\":\"20011:4213\""));
	assert_string_equal(answer + answered - 3, "}}\n");
	assert_int_equal(looks, 1);
}

static void who_leaves_a_long_answer_is_forgotten(void **state)
{
	(void)state;
	calls = 20000;
	/* In the midst; before the first word; the oldest gives way; he has no patience left. */
	int fds[STATUS_HTTP_CLIENTS + 1];
	for (int i = 0; i <= STATUS_HTTP_CLIENTS; i++) {
		fds[i] = ask(GET("/calls.json"));
		for (int k = 0; k < 3; k++)
			turn();
		later_ms += 5;
	}
	wait_for_end(fds[0]);
	loopback_reset(fds[1]);
	loopback_reset(fds[2]);
	later_ms += STATUS_HTTP_PATIENCE_MS;
	for (int i = 3; i <= STATUS_HTTP_CLIENTS; i++)
		wait_for_end(fds[i]);
	calls = 3;
	uint64_t deadline = monotonic_ms() + LOOPBACK_DEADLINE_MS;
	do {
		say(GET("/calls.json"));
		assert_true(monotonic_ms() < deadline);
	} while (strncmp(answer, "HTTP/1.1 200 ", 13) != 0);
}

static void it_ends_while_an_answer_is_made(void **state)
{
	(void)state;
	calls = 20000;
	int first = ask(GET("/calls.json")), second = ask(GET("/calls.json"));
	for (int k = 0; k < 10; k++)
		turn();
	assert_int_equal(looks, 1);
	status_http_close(http);
	http = NULL;
	wait_for_end(first);
	wait_for_end(second);
}

static void who_leaves_early_leaves_nothing(void **state)
{
	(void)state;
	for (int i = 0; i < 5 * STATUS_HTTP_CLIENTS; i++) {
		int fd = ask(i % 2 ? "GET / HT" : GET("/calls.json"));
		turn();
		if (i % 3 == 0)
			loopback_reset(fd);
		else
			loopback_close(fd);
		turn();
	}
	say(GET("/healthz"));
	assert_string_equal(body(), "ok\n");
}

static void it_ends_with_connections_open(void **state)
{
	(void)state;
	int idle = ask("GET / HT"), busy = ask(GET("/calls.json"));
	turn();
	status_http_close(http);
	http = NULL;
	wait_for_end(idle);
	wait_for_end(busy);
}

/* ---- no memory ---- */

static void without_figures_it_says_so(void **state)
{
	(void)state;
	no_figures = true;
	say(GET("/calls.json"));
	assert_status("503 ");
	assert_string_equal(body(), "not just now\n");
	no_figures = false;
	say(GET("/calls.json"));
	assert_status("200 ");
}

static void it_does_not_open_without_memory(void **state)
{
	struct status_http_config config = {
	    .base = base, .fd = listener, .look = look, .arg = &looks};
	struct status_http *another = NULL;
	(void)state;
	for (int n = 0; !another; n++) {
		struct why why = {"untouched"};
		fails_in = n;
		another = status_http_open(&config, &why);
		fails_in = -1;
		if (!another)
			assert_string_equal(why.text, "status page: no memory");
		assert_true(n < 100);
	}
	status_http_close(another);
}

#define WITH(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    WITH(each_place_has_its_type),
	    WITH(every_answer_has_the_headers_that_guard_it),
	    WITH(head_has_no_body),
	    WITH(figures_are_looked_up_for_each_request),
	    WITH(an_old_client_is_answered),
	    WITH(other_methods_are_refused),
	    WITH(unknown_paths_are_refused),
	    WITH(only_addresses_and_localhost_are_hosts),
	    WITH(a_second_host_is_looked_at_too),
	    WITH(a_long_head_is_refused),
	    WITH(a_body_is_not_read),
	    WITH(who_has_said_all_is_answered),
	    WITH(a_request_may_come_in_pieces),
	    WITH(rubbish_is_refused),
	    WITH(an_unfinished_request_is_forgotten),
	    WITH(one_request_a_connection),
	    WITH(who_says_nothing_is_cut),
	    WITH(the_oldest_gives_way),
	    WITH(who_does_not_take_his_answer_fills_no_memory),
	    WITH(a_long_answer_keeps_nobody_waiting),
	    WITH(who_leaves_a_long_answer_is_forgotten),
	    WITH(it_ends_while_an_answer_is_made),
	    WITH(who_leaves_early_leaves_nothing),
	    WITH(it_ends_with_connections_open),
	    WITH(without_figures_it_says_so),
	    WITH(it_does_not_open_without_memory),
	};
	signal(SIGPIPE, SIG_IGN);
	event_set_mem_functions(take, take_other, free);
	answer = malloc(ANSWER_MAX);
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	free(answer);
	return failed;
}
