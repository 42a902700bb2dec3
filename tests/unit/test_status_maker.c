/*
 * Texts in pieces: what is short is there at once, what is long a piece a turn, one after the
 * other; and what is cancelled never.
 */
#include "status/status_maker.h"

#include "status/status_json.h"
#include "tests/unit/a_snapshot.h"

#include <event2/buffer.h>
#include <event2/event.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

enum { MANY = 3 * STATUS_MAKER_CALLS + 7, PIECES = 4 };

static struct event_base *base;
static struct status_maker *maker;
static size_t calls;
static unsigned looks;
static bool no_figures;

static int look(void *arg, struct snapshot *snapshot, struct why *why)
{
	assert_ptr_equal(arg, &looks);
	assert_null(snapshot->calls);
	if (no_figures)
		return why_set(why, "not just now");
	looks++;
	a_snapshot_make(snapshot, calls);
	return 0;
}

static int set_up(void **state)
{
	(void)state;
	base = event_base_new();
	maker = status_maker_new(base, look, &looks);
	looks = 0;
	no_figures = false;
	return maker ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	status_maker_free(maker);
	event_base_free(base);
	return 0;
}

static void turn(void)
{
	event_base_loop(base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
}

/* ---- who waits for a text ---- */

struct waiting {
	struct status_making making;
	unsigned done;
	char *text; /* NULL: there was none */
	struct why why;
};

static void on_made(void *arg, struct evbuffer *text, const struct why *why)
{
	struct waiting *waiting = arg;
	waiting->done++;
	if (!text) {
		waiting->why = *why;
		return;
	}
	size_t length = evbuffer_get_length(text);
	waiting->text = calloc(1, length + 1);
	evbuffer_remove(text, waiting->text, length);
}

static const struct status_writer json = {.piece = status_json_all},
				  totals = {.whole = status_json_totals};

static void begin(struct waiting *waiting, const struct status_writer *writer)
{
	*waiting = (struct waiting){0};
	status_maker_begin(maker, &waiting->making, writer, on_made, waiting);
}

/* The same, without turns. */
static char *expected(void)
{
	struct snapshot snapshot = {0};
	struct evbuffer *out = evbuffer_new();
	size_t written = 0;
	a_snapshot_make(&snapshot, calls);
	do {
		size_t before = written;
		assert_int_equal(status_json_all(out, &snapshot, &written), 0);
		assert_true(written - before <= STATUS_MAKER_CALLS);
	} while (written < calls);
	snapshot_clear(&snapshot);
	size_t length = evbuffer_get_length(out);
	char *text = calloc(1, length + 1);
	evbuffer_remove(out, text, length);
	evbuffer_free(out);
	return text;
}

static void assert_made(struct waiting *waiting)
{
	char *text = expected();
	assert_int_equal(waiting->done, 1);
	assert_non_null(waiting->text);
	assert_string_equal(waiting->text, text);
	free(waiting->text);
	free(text);
}

/* ---- cases ---- */

static void what_is_short_is_there_at_once(void **state)
{
	static const size_t counts[] = {0, 1, STATUS_MAKER_CALLS};
	struct waiting waiting;
	(void)state;
	for (size_t i = 0; i < sizeof(counts) / sizeof(*counts); i++) {
		calls = counts[i];
		begin(&waiting, &json);
		assert_made(&waiting);
	}
	assert_int_equal(looks, 3);
	calls = MANY;
	begin(&waiting, &totals);
	assert_int_equal(waiting.done, 1);
	free(waiting.text);
}

static void what_is_long_comes_in_pieces(void **state)
{
	struct waiting waiting;
	(void)state;
	calls = MANY;
	begin(&waiting, &json);
	for (unsigned pieces = 1; pieces < PIECES; pieces++) {
		size_t octets = status_maker_octets(maker);
		assert_int_equal(waiting.done, 0);
		assert_true(octets > 0);
		turn();
		assert_true(pieces + 1 == PIECES || status_maker_octets(maker) > octets);
	}
	assert_made(&waiting);
	assert_int_equal(looks, 1);
	assert_int_equal(status_maker_octets(maker), 0);
}

/* Who has sent something is heard between two pieces. */
static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	char octet;
	bool *heard = arg;
	(void)what;
	*heard = recv(fd, &octet, 1, 0) == 1;
}

static void others_are_heard_meanwhile(void **state)
{
	struct waiting waiting;
	evutil_socket_t ends[2];
	bool heard = false;
	(void)state;
	calls = MANY;
	assert_int_equal(evutil_socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
	struct event *event = event_new(base, ends[0], EV_READ, on_readable, &heard);
	event_add(event, NULL);
	begin(&waiting, &json);
	assert_int_equal(send(ends[1], "x", 1, 0), 1);
	turn();
	assert_true(heard);
	assert_int_equal(waiting.done, 0);
	status_maker_cancel(&waiting.making);
	event_free(event);
	evutil_closesocket(ends[0]);
	evutil_closesocket(ends[1]);
}

static void one_after_the_other(void **state)
{
	struct waiting first, second, third;
	(void)state;
	calls = MANY;
	begin(&first, &json);
	begin(&second, &json);
	begin(&third, &totals);
	assert_int_equal(looks, 1);
	for (unsigned pieces = 1; pieces < PIECES; pieces++)
		turn();
	assert_made(&first);
	assert_int_equal(second.done, 0);
	assert_int_equal(looks, 1);
	/* Their figures are those of their turn. */
	calls = 2 * STATUS_MAKER_CALLS;
	turn();
	turn();
	assert_made(&second);
	assert_int_equal(third.done, 0);
	turn();
	assert_int_equal(third.done, 1);
	assert_int_equal(looks, 3);
	free(third.text);
}

static void what_is_cancelled_is_not_made(void **state)
{
	struct waiting first, second, third;
	(void)state;
	calls = MANY;
	begin(&first, &json);
	begin(&second, &json);
	begin(&third, &json);
	turn();
	status_maker_cancel(&first.making); /* in the midst */
	status_maker_cancel(&second.making);
	status_maker_cancel(&second.making);
	for (unsigned pieces = 0; pieces < PIECES; pieces++)
		turn();
	assert_int_equal(first.done + second.done, 0);
	assert_made(&third);
	status_maker_cancel(&third.making);
	assert_int_equal(looks, 2);
}

static void without_figures_it_says_why(void **state)
{
	struct waiting first, second;
	(void)state;
	calls = MANY;
	no_figures = true;
	begin(&first, &json);
	assert_int_equal(first.done, 1);
	assert_string_equal(first.why.text, "not just now");
	no_figures = false;
	begin(&first, &json);
	begin(&second, &json);
	no_figures = true;
	for (unsigned pieces = 0; pieces < PIECES; pieces++)
		turn();
	assert_made(&first);
	assert_int_equal(second.done, 1);
	assert_string_equal(second.why.text, "not just now");
}

static int fails(struct evbuffer *out, const struct snapshot *snapshot, size_t *written)
{
	if (*written > 0)
		return -1;
	return status_json_all(out, snapshot, written);
}

static void without_memory_there_is_no_text(void **state)
{
	static const struct status_writer poor = {.piece = fails};
	struct waiting waiting;
	(void)state;
	calls = MANY;
	begin(&waiting, &poor);
	assert_int_equal(waiting.done, 0);
	turn();
	assert_int_equal(waiting.done, 1);
	assert_null(waiting.text);
	assert_string_equal(waiting.why.text, "no memory");
}

/* Who is told may ask again at once, with the same struct. */
static void on_made_again(void *arg, struct evbuffer *text, const struct why *why)
{
	struct waiting *waiting = arg;
	(void)why;
	assert_non_null(text);
	if (++waiting->done < 3)
		status_maker_begin(maker, &waiting->making, &json, on_made_again, waiting);
}

static void done_may_begin_again(void **state)
{
	struct waiting waiting = {0};
	(void)state;
	calls = 3;
	status_maker_begin(maker, &waiting.making, &json, on_made_again, &waiting);
	assert_int_equal(waiting.done, 3);
	assert_int_equal(looks, 3);
}

#define WITH(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    WITH(what_is_short_is_there_at_once),  WITH(what_is_long_comes_in_pieces),
	    WITH(others_are_heard_meanwhile),	   WITH(one_after_the_other),
	    WITH(what_is_cancelled_is_not_made),   WITH(without_figures_it_says_why),
	    WITH(without_memory_there_is_no_text), WITH(done_may_begin_again),
	};
	return cmocka_run_group_tests_name("status_maker", tests, NULL, NULL) != 0;
}
