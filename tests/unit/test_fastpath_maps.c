/*
 * The eBPF half's maps as memory of this process: what is written there is what the maps hold.
 */
#include "fastpath/fastpath_maps.h"

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

static int cannot(const struct why *reason)
{
	print_message("# %s\n", reason->text);
	return -1;
}

static int set_up(void **state)
{
	struct why why;
	(void)state;
	if (own_net_lacks[0])
		return 0;
	maps = fastpath_maps_open(&why);
	return maps ? 0 : cannot(&why);
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
	fastpath_maps_routes(maps, OWN_NET_INSIDE);
	fastpath_maps_count_from_zero(maps, 0);
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

static void routes_of_an_address_are_made_once(void **state)
{
	(void)state;
	OWN_NET_NEEDED();
	struct fastpath_route *inside = fastpath_maps_routes(maps, OWN_NET_INSIDE);
	assert_non_null(inside);
	assert_ptr_equal(fastpath_maps_routes(maps, OWN_NET_INSIDE), inside);
	struct fastpath_route *outside = fastpath_maps_routes(maps, OWN_NET_OUTSIDE);
	assert_non_null(outside);
	assert_true(outside >= inside + FASTPATH_IDS || inside >= outside + FASTPATH_IDS);
	for (int id = 0; id < FASTPATH_IDS; id++)
		assert_int_equal(inside[id].peer_be, 0);
	inside[0].peer_be = inside[FASTPATH_IDS - 1].peer_be = 7;
	assert_int_equal(outside[0].peer_be, 0);
	assert_ptr_equal(fastpath_maps_routes(maps, OWN_NET_INSIDE), inside);
	assert_int_equal(inside[FASTPATH_IDS - 1].peer_be, 7);
}

static void so_many_addresses(void **state)
{
	(void)state;
	OWN_NET_NEEDED();
	struct fastpath_route *first = fastpath_maps_routes(maps, 1);
	fastpath_maps_use(maps, first, true);
	for (uint32_t addr = 2; addr <= FASTPATH_LOCALS; addr++)
		fastpath_maps_use(maps, fastpath_maps_routes(maps, addr) + addr, true);
	errno = 0;
	assert_null(fastpath_maps_routes(maps, FASTPATH_LOCALS + 1));
	assert_int_equal(errno, ENOSPC);
	assert_ptr_equal(fastpath_maps_routes(maps, 1), first);

	/* One has no route any more: another address gets its place. */
	struct fastpath_route *third = fastpath_maps_routes(maps, 3);
	fastpath_maps_use(maps, third + 3, false);
	assert_ptr_equal(fastpath_maps_routes(maps, FASTPATH_LOCALS + 1), third);
	fastpath_maps_use(maps, third, true);
	assert_null(fastpath_maps_routes(maps, 3));
	assert_ptr_equal(fastpath_maps_routes(maps, FASTPATH_LOCALS + 1), third);
}

static void hops_are_empty_at_first(void **state)
{
	(void)state;
	OWN_NET_NEEDED();
	const struct fastpath_hop *hops = fastpath_maps_hops(maps);
	for (int i = 0; i < FASTPATH_HOPS; i++)
		assert_int_equal(hops[i].ifindex, 0);
}

static void counters_start_from_zero(void **state)
{
	(void)state;
	OWN_NET_NEEDED();
	const uint32_t slots[] = {0, 1, FASTPATH_COUNTS_CALLS - 1, FASTPATH_COUNTS_CALLS,
				  FASTPATH_COUNTS_CALLS * FASTPATH_COUNTS_CHUNKS - 1};
	for (size_t i = 0; i < sizeof(slots) / sizeof(slots[0]); i++) {
		struct fastpath_sum from[2] = {{.packets = 1}, {.packets = 1}};
		fastpath_maps_counts(maps, slots[i], from); /* before there is room */
		assert_int_equal(from[0].packets, 0);
		for (int again = 0; again < 2; again++)
			assert_int_equal(fastpath_maps_count_from_zero(maps, slots[i]), 0);
		fastpath_maps_counts(maps, slots[i], from);
		assert_int_equal(from[0].packets, 0);
		assert_int_equal(from[1].seen_ns, 0);
	}
	errno = 0;
	assert_int_equal(
	    fastpath_maps_count_from_zero(maps, FASTPATH_COUNTS_CALLS * FASTPATH_COUNTS_CHUNKS),
	    -1);
	assert_int_equal(errno, ENOSPC);
}

/* ---- records that are written while they are read ---- */

static void sequence_numbers(void **state)
{
	(void)state;
	uint32_t seq = 6;
	fastpath_maps_write_begin(&seq);
	assert_int_equal(seq, 7);
	fastpath_maps_write_end(&seq);
	assert_int_equal(seq, 8);
	seq = UINT32_MAX - 1;
	fastpath_maps_write_begin(&seq);
	assert_true(seq & 1);
	fastpath_maps_write_end(&seq);
	assert_int_equal(seq, 0);
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
	    CASE(nothing_is_left_open),
	    CASE(both_programs),
	    CASE(ports_are_interfaces),
	    CASE(routes_of_an_address_are_made_once),
	    CASE(so_many_addresses),
	    CASE(hops_are_empty_at_first),
	    CASE(counters_start_from_zero),
	    cmocka_unit_test(sequence_numbers),
	    cmocka_unit_test(reason_without_rights),
	};
	own_net_enter_for_xdp();
	return cmocka_run_group_tests(cases, NULL, NULL);
}
