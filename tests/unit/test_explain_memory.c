/*
 * Each allocation of a story fails once: what is left is told, or a sentence says why there is
 * none.
 */
#include "explain/explain.h"
#include "explain/explain_events.h"
#include "explain/explain_index.h"
#include "tests/unit/frames.h"
#include "tests/unit/no_memory.h"
#include "wire/pptp_wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { C = FRAMES_CLIENT, S = FRAMES_SERVER, LCP = 0xC021, GRE = 47, MORE = 0x2000 };
enum { NEVER_SO_MANY = 1000 };

/* Something of everything: two connections, a call, a stray, a fragment, octets behind a hole. */
static void film(struct frames *frames)
{
	static const uint8_t zeros[16] = {0};
	frames_begin(frames, 1);
	frames_open(frames);
	frames_call(frames);
	frames_add_ppp(frames, C, LCP, 1, "\x05\x06\x11\x22\x33\x44", 6);
	frames_add_ppp(frames, S, LCP, 5, "bye", 3);
	frames_add_ip(frames, C, GRE, MORE, zeros, 16);
	frames->id[C] = 99;
	frames_add_ppp(frames, S, LCP, 1, "\x05\x06\x11\x22\x33\x44", 6);
	frames->sequence[C] += 20;
	frames_add_message(frames, C, PPTP_OUTGOING_CALL_REQUEST, 6, 0, 0);
	frames_add_message(frames, S, PPTP_OUTGOING_CALL_REPLY, 6, 9, 1);
	frames->port[C]++;
	frames_open(frames);
	frames_call(frames);
}

/* Returns whether the n-th allocation was there to fail. */
static bool tell(const struct frames *frames, int n)
{
	struct why why = {""};
	FILE *file = fmemopen(frames->octets, frames->length, "r");
	FILE *out = fopen("/dev/null", "w");
	assert_non_null(file);
	assert_non_null(out);
	no_memory_in = n;
	if (explain_open_file(file, "file", out, NULL, &why) != 0)
		assert_string_equal(why.text, "cannot explain file: Cannot allocate memory");
	bool failed = no_memory_in < 0;
	no_memory_in = -1;
	fclose(out);
	return failed;
}

static void each_allocation_once(void **state)
{
	(void)state;
	struct frames frames;
	int n = 0;
	film(&frames);
	while (n < NEVER_SO_MANY && tell(&frames, n))
		n++;
	assert_in_range(n, 40, NEVER_SO_MANY - 1);
	frames_clear(&frames);
}

static void events_that_are_not_kept_are_counted(void **state)
{
	(void)state;
	struct explain_events events = {0};
	no_memory_in = 0;
	explain_events_add(&events, 1, "lost");
	explain_events_add(&events, 2, "kept");
	assert_int_equal(events.left_out, 1);
	assert_int_equal(events.count, 1);
	explain_events_clear(&events);
}

static void without_memory_chains_get_longer(void **state)
{
	(void)state;
	enum { MANY = 3000 };
	static struct explain_node nodes[MANY];
	struct explain_index index;
	no_memory_in = 0;
	assert_int_equal(explain_index_init(&index), -1);
	explain_index_clear(&index);
	assert_int_equal(explain_index_init(&index), 0);
	size_t size = index.size;
	for (uint32_t i = 0; i < MANY; i++) {
		/* The table, or the ends of its chains. */
		no_memory_in = (int)(i % 2);
		explain_index_add(&index, &nodes[i], (struct explain_key){i, 0, 0});
	}
	no_memory_in = -1;
	assert_int_equal(index.size, size);
	for (uint32_t i = 0; i < MANY; i++)
		assert_ptr_equal(explain_index_find(&index, (struct explain_key){i, 0, 0}),
				 &nodes[i]);
	explain_index_clear(&index);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(each_allocation_once),
	    cmocka_unit_test(events_that_are_not_kept_are_counted),
	    cmocka_unit_test(without_memory_chains_get_longer),
	};
	return cmocka_run_group_tests_name("explain_memory", tests, NULL, NULL) != 0;
}
