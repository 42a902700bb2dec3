/*
 * Memory that outlives its writer: sections, and what the next process finds after a writer that
 * died at any instruction.
 */
#include "host/kept.h"

#include "tests/unit/stepping.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static int fd;
static struct kept *kept;
static struct why why;

static int set_up(void **state)
{
	(void)state;
	fd = kept_create(&why);
	kept = fd >= 0 ? kept_open(fd, &why) : NULL;
	return kept ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	kept_close(kept);
	close(fd);
	return 0;
}

static void open_again(void)
{
	kept_close(kept);
	kept = kept_open(fd, &why);
	assert_non_null(kept);
}

static void sections_are_there_again(void **state)
{
	(void)state;
	uint64_t *few = kept_section(kept, KEPT_TABLE, sizeof(*few), 3);
	uint32_t *many = kept_section(kept, KEPT_CALLS, 12, 100000);
	assert_int_equal((uintptr_t)few % 4096, 0);
	assert_int_equal((uintptr_t)many % 4096, 0);
	assert_true(few[0] == 0 && few[2] == 0 && many[299999] == 0);
	few[2] = 77;
	many[0] = 1;
	many[299999] = 88;
	open_again();
	many = kept_section(kept, KEPT_CALLS, 12, 100000);
	few = kept_section(kept, KEPT_TABLE, sizeof(*few), 3);
	assert_int_equal(few[2], 77);
	assert_int_equal(many[0], 1);
	assert_int_equal(many[299999], 88);
}

static void other_sizes_are_refused(void **state)
{
	(void)state;
	assert_non_null(kept_section(kept, KEPT_TABLE, 8, 3));
	assert_null(kept_section(kept, KEPT_TABLE, 8, 4));
	assert_int_equal(errno, EINVAL);
	assert_null(kept_section(kept, KEPT_TABLE, 4, 3));
	assert_int_equal(errno, EINVAL);
	assert_null(kept_section(kept, KEPT_CALLS, 1 << 20, 2048));
	assert_int_equal(errno, ENOSPC);
	assert_null(kept_section(kept, KEPT_CALLS, SIZE_MAX / 2, 3));
	assert_int_equal(errno, ENOSPC);
	assert_non_null(kept_section(kept, KEPT_CALLS, 1 << 20, 2046));
}

static void memory_is_asked_for(void **state)
{
	(void)state;
	uint8_t *octets = kept_section(kept, KEPT_CALLS, 100, 100000);
	assert_int_equal(kept_provide(kept, octets + 5000000, 300000), 0);
	octets[5299999] = 1;
}

/* Neither longer nor shorter: who has it mapped must not be killed by that. */
static void its_size_stays(void **state)
{
	(void)state;
	assert_int_equal(ftruncate(fd, 4096), -1);
	assert_int_equal(errno, EPERM);
	assert_int_equal(ftruncate(fd, (off_t)KEPT_SIZE + 4096), -1);
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
}

/* One that kills whoever goes beyond; a limit that we may not lift is an error like any other. */
static void a_limit_of_file_sizes_is_no_death(void **state)
{
	(void)state;
	for (int hard = 0; hard < 2; hard++) {
		int status;
		pid_t child = fork();
		if (child == 0) {
			struct rlimit small = {1 << 20, hard ? 1 << 20 : RLIM_INFINITY}, now;
			setrlimit(RLIMIT_FSIZE, &small);
			int made = kept_create(&why);
			bool refused =
			    made < 0 && strcmp(why.text, "kept memory: File too large") == 0;
			getrlimit(RLIMIT_FSIZE, &now);
			bool same =
			    now.rlim_cur == small.rlim_cur && now.rlim_max == small.rlim_max;
			_exit(same && (made >= 0 || (hard && refused)) ? 0 : 1);
		}
		assert_int_equal(waitpid(child, &status, 0), child);
		assert_true(WIFEXITED(status));
		assert_int_equal(WEXITSTATUS(status), 0);
	}
}

static void write_at(int file, off_t at, uint64_t value)
{
	assert_int_equal(pwrite(file, &value, sizeof(value), at), sizeof(value));
}

static void others_memory_is_refused(void **state)
{
	(void)state;
	int empty = memfd_create("test", MFD_CLOEXEC);
	assert_true(kept_readable(fd, &why));
	assert_false(kept_readable(empty, &why));
	assert_string_equal(why.text, "kept memory: the file is none");
	assert_int_equal(ftruncate(empty, (off_t)KEPT_SIZE), 0);
	assert_false(kept_readable(empty, &why));
	assert_null(kept_open(empty, &why));
	close(empty);
	assert_false(kept_readable(-1, &why));
	assert_string_equal(why.text, "kept memory: Bad file descriptor");
	write_at(fd, 8, KEPT_VERSION + 1);
	assert_false(kept_readable(fd, &why));
	char expected[64];
	snprintf(expected, sizeof(expected), "kept memory: of version %d, not %d", KEPT_VERSION + 1,
		 KEPT_VERSION);
	assert_string_equal(why.text, expected);
	write_at(fd, 8, KEPT_VERSION);
}

static void a_transaction_is_whole_or_not_at_all(void **state)
{
	(void)state;
	uint8_t *octets = kept_section(kept, KEPT_CALLS, 1, 1000);
	memset(octets, 1, 1000);
	kept_save(kept, octets, 1000); /* in none: nothing */
	assert_false(kept_is_open(kept));
	kept_begin(kept);
	assert_true(kept_is_open(kept));
	kept_save(kept, octets + 10, 20);
	memset(octets + 10, 2, 20);
	kept_save(kept, octets + 20, 20); /* in part for the second time */
	memset(octets + 20, 3, 20);
	kept_commit(kept);
	open_again();
	octets = kept_section(kept, KEPT_CALLS, 1, 1000);
	assert_int_equal(octets[9], 1);
	assert_int_equal(octets[10], 2);
	assert_int_equal(octets[39], 3);
	kept_begin(kept);
	for (uint8_t i = 0; i < 30; i++) {
		kept_save(kept, octets + i, 20);
		memset(octets + i, 100 + i, 20);
	}
	open_again();
	octets = kept_section(kept, KEPT_CALLS, 1, 1000);
	for (int i = 0; i < 60; i++)
		assert_int_equal(octets[i], i < 10 || i >= 40 ? 1 : i < 20 ? 2 : 3);
	assert_false(kept_is_open(kept));
}

static void without_memory_nothing_happens(void **state)
{
	(void)state;
	kept_begin(NULL);
	kept_save(NULL, &why, sizeof(why));
	assert_false(kept_is_open(NULL));
	kept_commit(NULL);
	kept_close(NULL);
}

/* ---- death at any instruction ---- */

enum { PAIRS = 40, ROUNDS = 3, COPIED = 4 * 65536 };

struct pair {
	uint64_t first;
	uint8_t between[40]; /* so that a copy of it is one of many instructions */
	uint64_t second;
};

static void change_pairs(void *arg)
{
	struct pair *pairs = arg;
	for (uint64_t round = 1; round <= ROUNDS; round++) {
		kept_begin(kept);
		for (size_t i = 0; i < PAIRS; i += 7) {
			kept_save(kept, &pairs[i], sizeof(pairs[i]));
			pairs[i].first = round;
			memset(pairs[i].between, (int)round, sizeof(pairs[i].between));
			kept_fence();
			pairs[i].second = round;
		}
		kept_commit(kept);
	}
}

/* The round that all pairs are of. */
static uint64_t check_pairs(const struct pair *pairs)
{
	for (size_t i = 0; i < PAIRS; i += 7) {
		assert_int_equal(pairs[i].first, pairs[0].first);
		assert_int_equal(pairs[i].second, pairs[0].first);
		for (size_t j = 0; j < sizeof(pairs[i].between); j++)
			assert_int_equal(pairs[i].between[j], pairs[0].first);
	}
	return pairs[0].first;
}

/* What the next process would find if the writer died now. */
static void copy_to(int other)
{
	static uint8_t octets[COPIED];
	assert_int_equal(pread(fd, octets, COPIED, 0), COPIED);
	assert_int_equal(pwrite(other, octets, COPIED, 0), COPIED);
}

static uint64_t look_at(int other)
{
	struct kept *next = kept_open(other, &why);
	assert_non_null(next);
	uint64_t round = check_pairs(kept_section(next, KEPT_CALLS, sizeof(struct pair), PAIRS));
	kept_close(next);
	return round;
}

static void its_writer_may_die_at_any_instruction(void **state)
{
	(void)state;
	struct pair *pairs = kept_section(kept, KEPT_CALLS, sizeof(*pairs), PAIRS);
	int other = kept_create(&why);
	pid_t child = stepping_start(change_pairs, pairs);
	uint64_t round = 0;
	size_t rolled_back = 0;

	if (child < 0)
		skip();
	while (stepping_step(child)) {
		copy_to(other);
		uint64_t found = look_at(other);
		assert_in_range(found, round, round + 1);
		round = found;
		rolled_back += pairs[0].first != found;
	}
	assert_int_equal(round, ROUNDS);
	assert_true(rolled_back > 100);
	close(other);
}

static void put_back(void *arg)
{
	int *other = arg;
	struct kept *next = kept_open(*other, &why);
	_exit(next ? 0 : 1);
}

/* A second writer dies while it puts back what the first left half done. */
static void whoever_puts_back_may_die_at_any_instruction(void **state)
{
	(void)state;
	struct pair *pairs = kept_section(kept, KEPT_CALLS, sizeof(*pairs), PAIRS);
	int half = kept_create(&why), other = kept_create(&why);

	kept_begin(kept);
	for (size_t i = 0; i < PAIRS; i += 7) {
		kept_save(kept, &pairs[i], sizeof(pairs[i]));
		pairs[i].first = 1;
		pairs[i].between[3] = 1;
	}
	copy_to(half);
	pid_t child = stepping_start(put_back, &half);
	if (child < 0)
		skip();
	kept_close(kept);
	close(fd);
	fd = half;
	while (stepping_step(child)) {
		copy_to(other);
		assert_int_equal(look_at(other), 0);
	}
	close(other);
	kept = kept_open(fd, &why);
	assert_non_null(kept);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	static const struct CMUnitTest tests[] = {
	    CASE(sections_are_there_again),
	    CASE(other_sizes_are_refused),
	    CASE(memory_is_asked_for),
	    CASE(its_size_stays),
	    CASE(a_limit_of_file_sizes_is_no_death),
	    CASE(others_memory_is_refused),
	    CASE(a_transaction_is_whole_or_not_at_all),
	    CASE(without_memory_nothing_happens),
	    CASE(its_writer_may_die_at_any_instruction),
	    CASE(whoever_puts_back_may_die_at_any_instruction),
	};
	return cmocka_run_group_tests_name("kept", tests, NULL, NULL) != 0;
}
