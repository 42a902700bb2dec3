/*
 * Which files a worker is given, and when.
 */
#include "keeper/keeper_capture.h"

#include "host/capture_file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define SCRATCH_FILE "x.pcap"
#include "tests/unit/scratch.h"

static char older[64];
static struct options options;
static struct keeper_capture capture;
static struct link_message answer;
static struct why why;

static int set_up(void **state)
{
	if (scratch_set_up(state) != 0)
		return -1;
	snprintf(older, sizeof(older), "%s/x.pcap.1", directory);
	options = (struct options){.capture = path, .capture_limit_mib = 1};
	capture = KEEPER_CAPTURE_NONE;
	return 0;
}

static int tear_down(void **state)
{
	keeper_capture_close(&capture);
	return scratch_tear_down_all(state);
}

static void ask(void)
{
	keeper_capture_give(&capture, &options, &answer);
	assert_int_equal(answer.type, LINK_CAPTURE);
}

/* As a worker does. */
static void fill(size_t octets)
{
	static uint8_t packet[1000];
	struct capture_file *file = capture_file_open(dup(capture.file));
	while (capture_file_size(file) < octets)
		assert_int_equal(capture_file_add(file, 1, packet, sizeof(packet)), 0);
	capture_file_close(file);
}

static void refused(const char *reason)
{
	ask();
	assert_int_equal(answer.fd_count, 0);
	assert_non_null(strstr(answer.text, reason));
}

static void another_one_only_for_a_full_one(void **state)
{
	(void)state;
	refused("it is not full"); /* no worker has begun */
	keeper_capture_begin(&capture);
	ask();
	fill(5000);
	refused("it is not full");
	fill((1 << 20) - CAPTURE_FILE_RECORD_MAX);
	ask();
	assert_int_equal(answer.fd_count, 1);
	assert_int_equal(access(older, F_OK), 0);
	refused("it is not full");
}

static void a_worker_begins_with_a_new_one(void **state)
{
	(void)state;
	for (int i = 0; i < 2; i++) {
		keeper_capture_begin(&capture);
		ask();
		fill(100);
	}
	assert_int_equal(access(older, F_OK), 0);
	refused("it is not full");
}

static void there_is_none(void **state)
{
	(void)state;
	keeper_capture_begin(&capture);
	options.capture = NULL;
	assert_int_equal(keeper_capture_check(&capture, &options, &why), 0);
	refused("there is none");
}

static void what_cannot_be_made(void **state)
{
	static char nowhere[] = "/nowhere/x.pcap";
	(void)state;
	keeper_capture_begin(&capture);
	options.capture = nowhere;
	assert_int_equal(keeper_capture_check(&capture, &options, &why), -1);
	assert_string_equal(why.text, "capture file /nowhere/x.pcap: No such file or directory");
	refused("capture file /nowhere/x.pcap: No such file or directory");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(another_one_only_for_a_full_one, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(a_worker_begins_with_a_new_one, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(there_is_none, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(what_cannot_be_made, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
