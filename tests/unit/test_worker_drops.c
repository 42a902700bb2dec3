/*
 * What the log says of packets that are dropped, and how often.
 */
#include "worker/worker_drops.h"

#include "tests/unit/stage.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static struct worker_drops drops;
static uint64_t counts[REASON_PACKET_COUNT];

static int set_up(void **state)
{
	for (int i = 0; i < REASON_PACKET_COUNT; i++)
		counts[i] = 0;
	counts[REASON_NO_CALL] = 100; /* by the worker before */
	worker_drops_begin(&drops, counts);
	return stage_set_up(state);
}

static void one_line_a_minute(void **state)
{
	(void)state;
	uint64_t now = 5000;
	worker_drops_look(&drops, counts, now);
	assert_false(stage_logged("dropped"));
	counts[REASON_NO_CALL] += 17;
	worker_drops_look(&drops, counts, now);
	assert_true(stage_logged("GRE packets dropped lately: 17 no such call\n"));
	counts[REASON_NO_CALL] += 2;
	counts[REASON_SEND_ERROR] += 3;
	for (int i = 1; i < WORKER_DROPS_MS / 1000; i++)
		worker_drops_look(&drops, counts, now + (uint64_t)i * 1000);
	assert_int_equal(stage_log_count("dropped"), 1);
	worker_drops_look(&drops, counts, now + WORKER_DROPS_MS);
	assert_true(stage_logged("GRE packets dropped lately: 2 no such call, 3 send error\n"));
	worker_drops_look(&drops, counts, now + 10 * WORKER_DROPS_MS);
	assert_int_equal(stage_log_count("dropped"), 2);
}

static void all_reasons_have_room(void **state)
{
	(void)state;
	for (int i = 0; i < REASON_PACKET_COUNT; i++)
		counts[i] = UINT64_MAX;
	worker_drops_look(&drops, counts, 1);
	assert_true(stage_logged(", 18446744073709551615 send error\n"));
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, stage_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    CASE(one_line_a_minute),
	    CASE(all_reasons_have_room),
	};
	return cmocka_run_group_tests_name("worker_drops", tests, stage_open, stage_close) != 0;
}
