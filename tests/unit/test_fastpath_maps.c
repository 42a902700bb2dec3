/*
 * The eBPF half, loaded, and the room in its maps that workers are granted.
 */
#include "fastpath/fastpath_maps.h"
#include "fastpath/fastpath_record.h"

#include "tests/unit/own_net.h"
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <dirent.h>
#include <linux/bpf.h>
#include <setjmp.h>
#include <stddef.h>
#include <sys/wait.h>

#include <cmocka.h>

static struct fastpath_maps *maps;

static int set_up(void **state)
{
	struct why why;
	(void)state;
	if (own_net_lacks[0])
		return 0;
	maps = fastpath_maps_open(&why);
	return maps ? 0 : OWN_NET_CANNOT(&why);
}

static int tear_down(void **state)
{
	(void)state;
	fastpath_maps_close(maps);
	maps = NULL;
	return 0;
}

static int descriptors(void)
{
	int count = 0;
	DIR *directory = opendir("/proc/self/fd");
	assert_non_null(directory);
	while (readdir(directory))
		count++;
	closedir(directory);
	return count;
}

static void nothing_is_left_open(void **state)
{
	(void)state;
	OWN_NET_NEEDED();
	fastpath_maps_close(maps);
	int before = descriptors();
	struct why why;
	maps = fastpath_maps_open(&why);
	assert_non_null(maps);
	assert_true(fastpath_maps_routes(maps, 0, OWN_NET_INSIDE) >= 0);
	assert_true(fastpath_maps_counts(maps, 0) >= 0);
	fastpath_maps_close(maps);
	maps = NULL;
	assert_int_equal(descriptors(), before);
	fastpath_maps_close(NULL);
}

static void both_programs(void **state)
{
	(void)state;
	OWN_NET_NEEDED();
	int native = fastpath_maps_program(maps, true),
	    generic = fastpath_maps_program(maps, false);
	assert_true(native >= 0 && generic >= 0 && native != generic);
	const int fds[] = {native, generic};
	for (int i = 0; i < 2; i++) {
		struct bpf_prog_info info = {0};
		uint32_t size = sizeof(info);
		assert_int_equal(bpf_obj_get_info_by_fd(fds[i], &info, &size), 0);
		assert_int_equal(info.type, BPF_PROG_TYPE_XDP);
	}
}

static void ports_are_interfaces(void **state)
{
	(void)state;
	OWN_NET_NEEDED();
	assert_int_equal(fastpath_maps_set_port(maps, 0, if_nametoindex("inside")), 0);
	assert_int_equal(
	    fastpath_maps_set_port(maps, FASTPATH_PORTS - 1, if_nametoindex("outside")), 0);
	assert_int_equal(fastpath_maps_set_port(maps, FASTPATH_PORTS, if_nametoindex("inside")),
			 -1);
	assert_int_equal(fastpath_maps_set_port(maps, 1, 12345), -1);
	assert_true(fastpath_maps_has_port(maps, 0));
	assert_false(fastpath_maps_has_port(maps, 1));
}

/* ---- room ---- */

static uint32_t map_id(int fd)
{
	struct bpf_map_info info = {0};
	uint32_t size = sizeof(info);
	assert_int_equal(bpf_obj_get_info_by_fd(fd, &info, &size), 0);
	return info.id;
}

/* What the eBPF half finds at that place of a map of maps. */
static uint32_t inner_id(int position, uint32_t at)
{
	static struct fastpath_letter letter;
	uint32_t id = 0;
	fastpath_maps_describe(maps, &letter);
	return bpf_map_lookup_elem(letter.fds[position], &at, &id) == 0 ? id : 0;
}

static struct fastpath_setup setup(void)
{
	static struct fastpath_letter letter;
	struct fastpath_setup now;
	uint32_t zero = 0;
	fastpath_maps_describe(maps, &letter);
	assert_int_equal(bpf_map_lookup_elem(letter.fds[FASTPATH_LETTER_SETUP], &zero, &now), 0);
	return now;
}

static void routes_of_an_address_are_made_once(void **state)
{
	(void)state;
	OWN_NET_NEEDED();
	assert_int_equal(inner_id(FASTPATH_LETTER_LOCALS, 0), 0);
	int inside = fastpath_maps_routes(maps, 0, OWN_NET_INSIDE);
	assert_true(inside >= 0);
	assert_int_equal(fastpath_maps_routes(maps, 0, OWN_NET_INSIDE), inside);
	int outside = fastpath_maps_routes(maps, 1, OWN_NET_OUTSIDE);
	assert_true(outside >= 0 && map_id(outside) != map_id(inside));
	assert_int_equal(inner_id(FASTPATH_LETTER_LOCALS, 0), map_id(inside));
	assert_int_equal(inner_id(FASTPATH_LETTER_LOCALS, 1), map_id(outside));
	assert_int_equal(setup().local_count, 2);
	assert_int_equal(setup().locals_be[1], htonl(OWN_NET_OUTSIDE));
}

static void a_place_may_become_anothers(void **state)
{
	(void)state;
	OWN_NET_NEEDED();
	int first = fastpath_maps_routes(maps, 0, 1);
	assert_true(fastpath_maps_routes(maps, 1, 2) >= 0);
	assert_int_equal(fastpath_maps_routes(maps, 0, 3), first);
	assert_int_equal(setup().local_count, 2);
	assert_int_equal(setup().locals_be[0], htonl(3));
}

/* Whoever asks may be in a stranger's hands. */
static void requests_that_make_no_sense(void **state)
{
	static const struct {
		uint32_t at, addr;
		int error;
	} bad[] = {{1, 5, EINVAL}, /* leaves a gap */
		   {0, 0, EINVAL},
		   {FASTPATH_LOCALS, 5, EINVAL},
		   {UINT32_MAX, 5, EINVAL}};
	(void)state;
	OWN_NET_NEEDED();
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		errno = 0;
		assert_int_equal(fastpath_maps_routes(maps, bad[i].at, bad[i].addr), -1);
		assert_int_equal(errno, bad[i].error);
	}
	assert_int_equal(setup().local_count, 0);
	for (uint32_t at = 0; at < FASTPATH_LOCALS; at++)
		assert_true(fastpath_maps_routes(maps, at, 100 + at) >= 0);
	errno = 0;
	assert_int_equal(fastpath_maps_routes(maps, 0, 101), -1);
	assert_int_equal(errno, EEXIST);
	assert_int_equal(setup().locals_be[0], htonl(100));
	errno = 0;
	assert_int_equal(fastpath_maps_routes(maps, FASTPATH_LOCALS, 5), -1);
	assert_int_equal(errno, EINVAL);
	assert_int_equal(fastpath_maps_counts(maps, FASTPATH_COUNTS_CHUNKS), -1);
	assert_int_equal(fastpath_maps_counts(maps, UINT32_MAX), -1);
}

/* What a worker writes into memory that he has, too, changes nothing of what is granted. */
static void setup_is_not_read_back(void **state)
{
	static struct fastpath_letter letter;
	uint32_t zero = 0;
	struct fastpath_setup lie = {.local_count = UINT32_MAX};
	(void)state;
	OWN_NET_NEEDED();
	assert_true(fastpath_maps_routes(maps, 0, 1) >= 0);
	fastpath_maps_describe(maps, &letter);
	assert_int_equal(bpf_map_update_elem(letter.fds[FASTPATH_LETTER_SETUP], &zero, &lie, 0), 0);
	assert_int_equal(fastpath_maps_routes(maps, 2, 3), -1);
	assert_true(fastpath_maps_routes(maps, 1, 2) >= 0);
	assert_int_equal(setup().local_count, 2);
}

static void what_a_worker_is_given(void **state)
{
	static struct fastpath_given given;
	(void)state;
	OWN_NET_NEEDED();
	int routes = fastpath_maps_routes(maps, 0, OWN_NET_INSIDE),
	    counts = fastpath_maps_counts(maps, 7);
	assert_true(routes >= 0 && counts >= 0);
	fastpath_maps_give(maps, &given);
	assert_int_equal(given.layout, FASTPATH_LAYOUT);
	assert_in_range(given.cpus, sysconf(_SC_NPROCESSORS_ONLN), 1 << 16);
	for (int i = 0; i < FASTPATH_GIVEN_FDS; i++)
		assert_int_equal(given.fds[i], i == FASTPATH_GIVEN_ROUTES	? routes
					       : i == FASTPATH_GIVEN_COUNTS + 7 ? counts
										: -1);
	assert_int_equal(given.locals[0], OWN_NET_INSIDE);
	assert_int_equal(given.locals[1], 0);
}

static void hops_are_empty_at_first(void **state)
{
	(void)state;
	OWN_NET_NEEDED();
	const struct fastpath_hop *hops = fastpath_maps_hops(maps);
	for (int i = 0; i < FASTPATH_HOPS; i++)
		assert_int_equal(hops[i].ifindex, 0);
}

static void counters_are_made_once(void **state)
{
	(void)state;
	OWN_NET_NEEDED();
	int last = fastpath_maps_counts(maps, FASTPATH_COUNTS_CHUNKS - 1);
	assert_true(last >= 0);
	assert_int_equal(fastpath_maps_counts(maps, FASTPATH_COUNTS_CHUNKS - 1), last);
	assert_int_equal(inner_id(FASTPATH_LETTER_COUNTERS, FASTPATH_COUNTS_CHUNKS - 1),
			 map_id(last));
	assert_int_equal(inner_id(FASTPATH_LETTER_COUNTERS, 0), 0);
}

/* ---- records that are written while they are read ---- */

static void sequence_numbers(void **state)
{
	(void)state;
	uint32_t seq = 6;
	fastpath_record_begin(&seq);
	assert_int_equal(seq, 7);
	fastpath_record_end(&seq);
	assert_int_equal(seq, 8);
	seq = UINT32_MAX - 1;
	fastpath_record_begin(&seq);
	assert_true(seq & 1);
	fastpath_record_end(&seq);
	assert_int_equal(seq, 0);
	/* Somebody has died between the two. */
	seq = 7;
	fastpath_record_begin(&seq);
	assert_true(seq & 1);
	fastpath_record_end(&seq);
	assert_int_equal(seq & 1, 0);
}

/* ---- without rights ---- */

static void reason_without_rights(void **state)
{
	struct why why = {""};
	int status = -1;
	(void)state;
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		bool gone = geteuid() != 0 || setresuid(65534, 65534, 65534) == 0;
		_exit(gone && !fastpath_maps_open(&why) && strstr(why.text, "needs root") ? 0 : 1);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest cases[] = {
	    CASE(nothing_is_left_open),		CASE(both_programs),
	    CASE(ports_are_interfaces),		CASE(routes_of_an_address_are_made_once),
	    CASE(a_place_may_become_anothers),	CASE(requests_that_make_no_sense),
	    CASE(setup_is_not_read_back),	CASE(what_a_worker_is_given),
	    CASE(hops_are_empty_at_first),	CASE(counters_are_made_once),
	    cmocka_unit_test(sequence_numbers), cmocka_unit_test(reason_without_rights),
	};
	own_net_enter_for_xdp();
	return cmocka_run_group_tests(cases, NULL, NULL);
}
