/*
 * The hop thread: records that follow what the host says, while calls come and go; also beside a
 * worker who lies.
 */
#include "fastpath/fastpath_hops.h"
#include "fastpath/fastpath_wanted.h"

#include "tests/unit/own_net.h"
#include <fcntl.h>
#include <setjmp.h>
#include <stddef.h>

#include <cmocka.h>

#define FAR 0x0A090001U /* 10.9.0.1, behind a gateway */

static struct fastpath_maps *maps;
static struct fastpath_netlink *netlink;
static struct fastpath_ports *ports;
static int fds[2] = {-1, -1};
static struct fastpath_hops *hops;
static struct fastpath_hop *records;
static struct fastpath_wanted *wanted;
static struct fastpath_wanted_table *table;

static int set_up(void **state)
{
	static const uint32_t listens[] = {0};
	struct fastpath_keeper_config config = {
	    .mode = FASTPATH_GENERIC,
	    .listen_addrs = listens,
	    .listen_count = 1,
	};
	struct why why;
	(void)state;
	if (own_net_lacks[0])
		return 0;
	maps = fastpath_maps_open(&why);
	if (!maps)
		return OWN_NET_CANNOT(&why);
	netlink = fastpath_netlink_open(&why);
	ports = netlink ? fastpath_ports_open(&config, maps, netlink, &why) : NULL;
	records = fastpath_maps_hops(maps);
	if (!ports || fastpath_wanted_make(&fds[0], &fds[1], &why) != 0)
		return OWN_NET_CANNOT(&why);
	hops = fastpath_hops_open(records, netlink, ports, fds, &why);
	wanted = hops ? fastpath_wanted_open(fds[0], fds[1], &why) : NULL;
	table = fastpath_wanted_map(fds[0]);
	return wanted && table ? 0 : OWN_NET_CANNOT(&why);
}

static int tear_down(void **state)
{
	(void)state;
	fastpath_wanted_unmap(table);
	fastpath_wanted_close(wanted);
	fastpath_hops_close(hops);
	for (int i = 0; i < 2; i++) {
		if (fds[i] >= 0)
			close(fds[i]);
		fds[i] = -1;
	}
	fastpath_ports_close(ports);
	fastpath_netlink_close(netlink);
	fastpath_maps_close(maps);
	table = NULL;
	wanted = NULL;
	hops = NULL;
	ports = NULL;
	netlink = NULL;
	maps = NULL;
	return 0;
}

static void ip(const char *command)
{
	assert_true(own_net_ip(command));
}

/* A whole record, as the eBPF half takes it. */
static struct fastpath_hop look(int number)
{
	struct fastpath_hop copy;
	const uint32_t *from = (const uint32_t *)&records[number];
	uint32_t *to = (uint32_t *)&copy;
	do {
		for (size_t i = 0; i < sizeof(copy) / sizeof(*to); i++)
			to[i] = __atomic_load_n(&from[i], __ATOMIC_SEQ_CST);
	} while (copy.seq & 1 ||
		 __atomic_load_n(&records[number].seq, __ATOMIC_SEQ_CST) != copy.seq);
	return copy;
}

static bool leads_by(int number, const char *device)
{
	return look(number).ifindex == if_nametoindex(device);
}

static bool leads_nowhere(int number)
{
	return look(number).ifindex == 0;
}

static bool leads_to(int number, uint8_t last_of_mac)
{
	struct fastpath_hop hop = look(number);
	return hop.ifindex != 0 && hop.destination_mac[OWN_NET_MAC - 1] == last_of_mac;
}

/* The hop thread has seen all that was asked for, of this number. */
static bool is_answered(int number)
{
	const struct fastpath_wanted_hop *entry = &table->hops[number];
	return __atomic_load_n(&entry->answer, __ATOMIC_SEQ_CST) ==
	       __atomic_load_n(&entry->ask, __ATOMIC_SEQ_CST);
}

static int hop_to_server(void)
{
	int hop = fastpath_wanted_get(wanted, OWN_NET_OUTSIDE, OWN_NET_SERVER);
	assert_true(hop >= 0);
	OWN_NET_WAIT(leads_by(hop, "outside"));
	return hop;
}

static int hop_to(uint32_t addr)
{
	int hop = fastpath_wanted_get(wanted, OWN_NET_OUTSIDE, addr);
	assert_true(hop >= 0);
	return hop;
}

/* ---- numbers ---- */

static void a_record_is_filled(void **state)
{
	struct fastpath_link link;
	(void)state;
	OWN_NET_NEEDED();
	struct fastpath_hop hop = look(hop_to_server());
	assert_int_equal(hop.mtu, OWN_NET_MTU_OUTSIDE);
	assert_int_equal(hop.port, fastpath_ports_find(ports, if_nametoindex("outside"), &link));
	assert_memory_equal(hop.destination_mac, own_net_server_mac, OWN_NET_MAC);
	assert_memory_equal(hop.source_mac, own_net_outside_mac, OWN_NET_MAC);
	assert_int_equal(hop.sends_native, link.sends_native);
}

static void one_number_a_pair(void **state)
{
	(void)state;
	OWN_NET_NEEDED();
	int one = hop_to_server(), again = hop_to_server();
	int other = fastpath_wanted_get(wanted, OWN_NET_INSIDE, OWN_NET_CLIENT);
	assert_int_equal(one, again);
	assert_int_not_equal(one, other);
	fastpath_wanted_put(wanted, one);
	assert_true(leads_by(one, "outside"));
	fastpath_wanted_put(wanted, again);
	OWN_NET_WAIT(is_answered(one));
	assert_true(leads_nowhere(one));
	assert_int_equal(fastpath_wanted_get(wanted, OWN_NET_OUTSIDE, OWN_NET_CLIENT), one);
}

static void so_many_hops(void **state)
{
	(void)state;
	OWN_NET_NEEDED();
	for (uint32_t i = 0; i < FASTPATH_HOPS; i++)
		assert_true(fastpath_wanted_get(wanted, OWN_NET_OUTSIDE, 0x0B000000 + i) >= 0);
	assert_int_equal(fastpath_wanted_get(wanted, OWN_NET_OUTSIDE, OWN_NET_SERVER), -1);
	fastpath_wanted_put(wanted, 77);
	OWN_NET_WAIT(is_answered(77));
	assert_int_equal(fastpath_wanted_get(wanted, OWN_NET_OUTSIDE, OWN_NET_SERVER), 77);
}

/* ---- changes ---- */

static void route_changes(void **state)
{
	(void)state;
	OWN_NET_NEEDED();
	int server = hop_to_server(), far = hop_to(FAR);
	assert_true(leads_nowhere(far));
	ip("route add 10.9.0.0/24 via 10.2.0.10");
	OWN_NET_WAIT(leads_by(far, "outside"));
	ip("route add 10.9.0.1 via 10.1.0.10");
	OWN_NET_WAIT(leads_by(far, "inside"));
	assert_memory_equal(look(far).destination_mac, own_net_client_mac, OWN_NET_MAC);
	ip("route replace 10.9.0.1 via 10.1.0.10 mtu 1234");
	OWN_NET_WAIT(look(far).mtu == 1234);
	ip("route replace unreachable 10.9.0.1");
	OWN_NET_WAIT(leads_nowhere(far));
	ip("route del 10.9.0.1");
	OWN_NET_WAIT(leads_by(far, "outside"));
	ip("route del 10.9.0.0/24");
	OWN_NET_WAIT(leads_nowhere(far));
	assert_true(leads_by(server, "outside"));
}

static void rule_changes(void **state)
{
	(void)state;
	OWN_NET_NEEDED();
	ip("route add 10.9.0.1 via 10.2.0.10\n"
	   "route add 10.9.0.1 via 10.1.0.10 table 77");
	int far = hop_to(FAR);
	OWN_NET_WAIT(leads_by(far, "outside"));
	ip("rule add from 10.2.0.1 lookup 77");
	OWN_NET_WAIT(leads_by(far, "inside"));
	ip("rule del from 10.2.0.1 lookup 77");
	OWN_NET_WAIT(leads_by(far, "outside"));
	ip("route del 10.9.0.1 table 77\nroute del 10.9.0.1");
}

static void neighbour_changes(void **state)
{
	(void)state;
	OWN_NET_NEEDED();
	int server = hop_to_server();
	ip("neigh replace 10.2.0.10 lladdr 02:00:00:00:02:99 dev outside");
	OWN_NET_WAIT(leads_to(server, 0x99));
	ip("neigh replace 10.2.0.10 nud failed dev outside");
	OWN_NET_WAIT(leads_nowhere(server));
	ip("neigh replace 10.2.0.10 lladdr 02:00:00:00:02:0a dev outside");
	OWN_NET_WAIT(leads_to(server, 0x0A));
}

static bool host_looks_for(const char *addr)
{
	char command[128];
	snprintf(command, sizeof(command), "ip neigh show %s dev outside | grep -q .", addr);
	return own_net_run(command) == 0;
}

static void unknown_neighbour_is_looked_for(void **state)
{
	(void)state;
	OWN_NET_NEEDED();
	int nobody = hop_to(OWN_NET_SERVER + 5);
	OWN_NET_WAIT(host_looks_for("10.2.0.15"));
	assert_true(leads_nowhere(nobody));
	ip("neigh replace 10.2.0.15 lladdr 02:00:00:00:02:0f dev outside");
	OWN_NET_WAIT(leads_to(nobody, 0x0F));
	ip("neigh del 10.2.0.15 dev outside");
}

static void doubted_neighbour_stays_in_use(void **state)
{
	(void)state;
	OWN_NET_NEEDED();
	ip("neigh replace 10.2.0.16 lladdr 02:00:00:00:02:10 nud reachable dev outside");
	int doubted = hop_to(OWN_NET_SERVER + 6);
	OWN_NET_WAIT(leads_to(doubted, 0x10));
	ip("neigh change 10.2.0.16 nud stale dev outside");
	OWN_NET_WAIT(own_net_run("ip neigh show 10.2.0.16 | grep -qE 'DELAY|PROBE|FAILED'") == 0);
	ip("neigh del 10.2.0.16 dev outside");
	OWN_NET_WAIT(leads_nowhere(doubted));
}

static void interface_changes(void **state)
{
	(void)state;
	OWN_NET_NEEDED();
	int server = hop_to_server();
	ip("link set outside mtu 1300");
	OWN_NET_WAIT(look(server).mtu == 1300);
	/* The host forgets its neighbours with it. */
	ip("link set outside mtu 1400\nlink set outside address 02:00:00:00:02:78");
	OWN_NET_WAIT(leads_nowhere(server));
	ip("neigh replace 10.2.0.10 lladdr 02:00:00:00:02:0a dev outside");
	OWN_NET_WAIT(look(server).source_mac[5] == 0x78 && look(server).mtu == 1400);
	ip("link set server down");
	OWN_NET_WAIT(leads_nowhere(server));
	ip("link set outside address 02:00:00:00:02:01\nlink set server up");
	ip("neigh replace 10.2.0.10 lladdr 02:00:00:00:02:0a dev outside");
	OWN_NET_WAIT(leads_by(server, "outside"));
}

static void interface_that_is_no_port(void **state)
{
	(void)state;
	OWN_NET_NEEDED();
	ip("link add later type veth peer by\nlink set by up\nlink set later up\n"
	   "addr add 10.5.0.1/24 dev later\n"
	   "neigh add 10.5.0.10 lladdr 02:00:00:00:05:0a dev later");
	int later = hop_to(0x0A05000A), server = hop_to_server();
	(void)server; /* asked for behind it */
	assert_true(leads_nowhere(later));
	ip("link del later");
}

/* ---- both threads at once ---- */

static void calls_come_and_go_meanwhile(void **state)
{
	(void)state;
	OWN_NET_NEEDED();
	enum { PAIRS = 50 };
	int of[PAIRS];
	for (int round = 0; round < 20; round++) {
		for (uint32_t i = 0; i < PAIRS; i++)
			of[i] = hop_to(FAR + i);
		ip(round % 2 ? "route replace 10.9.0.0/24 via 10.2.0.10"
			     : "route replace 10.9.0.0/24 via 10.1.0.10");
		for (int i = round % 3; i < PAIRS; i++)
			OWN_NET_WAIT(leads_by(of[i], round % 2 ? "outside" : "inside"));
		for (int i = 0; i < PAIRS; i++)
			fastpath_wanted_put(wanted, of[i]);
	}
	ip("route del 10.9.0.0/24");
}

/* ---- beside a worker who lies ---- */

static uint64_t pair_of(uint32_t proxy_addr, uint32_t peer_addr)
{
	return (uint64_t)proxy_addr << 32 | peer_addr;
}

static void say_changed(void)
{
	uint64_t one = 1;
	for (int i = 0; i < FASTPATH_WANTED_WORDS; i++)
		__atomic_store_n(&table->changed[i], UINT64_MAX, __ATOMIC_SEQ_CST);
	for (int i = 0; i < FASTPATH_WANTED_GROUPS; i++)
		__atomic_store_n(&table->groups[i], UINT64_MAX, __ATOMIC_SEQ_CST);
	assert_int_equal(write(fds[1], &one, sizeof(one)), sizeof(one));
}

static bool all_answered(void)
{
	for (int i = 0; i < FASTPATH_HOPS; i++) {
		if (!is_answered(i))
			return false;
	}
	return true;
}

static void garbage_everywhere(void **state)
{
	uint64_t noise = 12345;
	(void)state;
	OWN_NET_NEEDED();
	for (int round = 0; round < 3; round++) {
		for (uint32_t i = 0; i < FASTPATH_HOPS; i++) {
			noise = noise * 6364136223846793005 + 1442695040888963407;
			__atomic_store_n(&table->hops[i].pair, i % 3 ? noise : 0, __ATOMIC_SEQ_CST);
			__atomic_store_n(&table->hops[i].answer, (uint32_t)noise, __ATOMIC_SEQ_CST);
			__atomic_store_n(&table->hops[i].ask, (uint32_t)(noise >> 32),
					 __ATOMIC_SEQ_CST);
		}
		__atomic_store_n(&table->hops[FASTPATH_HOPS - 1].pair,
				 pair_of(OWN_NET_OUTSIDE, OWN_NET_SERVER), __ATOMIC_SEQ_CST);
		say_changed();
	}
	OWN_NET_WAIT(all_answered());
	for (int i = 0; i < FASTPATH_HOPS - 1; i += 3)
		assert_true(leads_nowhere(i));
	OWN_NET_WAIT(leads_by(FASTPATH_HOPS - 1, "outside"));
	ip("neigh replace 10.2.0.10 lladdr 02:00:00:00:02:99 dev outside");
	OWN_NET_WAIT(leads_to(FASTPATH_HOPS - 1, 0x99));
	ip("neigh replace 10.2.0.10 lladdr 02:00:00:00:02:0a dev outside");
}

/* A pair that changes without a word of it, and without waiting for an answer. */
static void pairs_under_its_feet(void **state)
{
	(void)state;
	OWN_NET_NEEDED();
	int hop = hop_to_server();
	for (int i = 0; i < 10000; i++) {
		__atomic_store_n(&table->hops[hop].pair,
				 i % 2 ? pair_of(OWN_NET_OUTSIDE, OWN_NET_SERVER)
				       : pair_of(OWN_NET_INSIDE, OWN_NET_CLIENT),
				 __ATOMIC_SEQ_CST);
		if (i % 10 == 0)
			say_changed();
	}
	say_changed();
	OWN_NET_WAIT(leads_by(hop, "outside"));
	assert_memory_equal(look(hop).destination_mac, own_net_server_mac, OWN_NET_MAC);
}

/* The eventfd is shared: full, or one that blocks and has nothing to read, it holds nobody up. */
static void wakes_that_lead_nowhere(void **state)
{
	uint64_t count = UINT64_MAX - 1;
	(void)state;
	OWN_NET_NEEDED();
	int server = hop_to_server();
	assert_true(read(fds[1], &count, sizeof(count)) == sizeof(count));
	assert_int_equal(fcntl(fds[1], F_SETFL, 0), 0);
	ip("neigh replace 10.2.0.10 lladdr 02:00:00:00:02:99 dev outside");
	OWN_NET_WAIT(leads_to(server, 0x99));
	assert_int_equal(fcntl(fds[1], F_SETFL, O_NONBLOCK), 0);
	count = UINT64_MAX - 1;
	assert_int_equal(write(fds[1], &count, sizeof(count)), sizeof(count));
	ip("neigh replace 10.2.0.10 lladdr 02:00:00:00:02:0a dev outside");
	OWN_NET_WAIT(leads_to(server, 0x0A));
}

/* ---- after another hop thread ---- */

static int open_hops(void)
{
	struct why why;
	hops = fastpath_hops_open(records, netlink, ports, fds, &why);
	return hops ? 0 : OWN_NET_CANNOT(&why);
}

static void the_next_one_goes_on(void **state)
{
	(void)state;
	OWN_NET_NEEDED();
	int server = hop_to_server(), client = hop_to(OWN_NET_CLIENT), far = hop_to(FAR);
	struct fastpath_hop before = look(server);
	fastpath_hops_close(hops);
	assert_true(leads_by(server, "outside"));
	/* Meanwhile one is given up, one is new, and of one the route changes. */
	fastpath_wanted_put(wanted, client);
	int later = hop_to(OWN_NET_CLIENT + 1);
	ip("route add 10.9.0.1 via 10.2.0.10");
	assert_false(is_answered(client));
	assert_int_equal(open_hops(), 0);
	OWN_NET_WAIT(is_answered(client) && is_answered(later));
	assert_true(leads_nowhere(client));
	OWN_NET_WAIT(leads_by(far, "outside"));
	struct fastpath_hop after = look(server);
	assert_memory_equal(&after, &before, sizeof(after)); /* not even written anew */
	ip("route del 10.9.0.1");
	OWN_NET_WAIT(leads_nowhere(far));
}

/* Who asked may have died before he set a bit. */
static void asked_while_nobody_listened(void **state)
{
	(void)state;
	OWN_NET_NEEDED();
	int hop = hop_to_server();
	fastpath_hops_close(hops);
	table->hops[hop].pair = pair_of(OWN_NET_INSIDE, OWN_NET_CLIENT);
	table->hops[hop].ask++;
	assert_int_equal(open_hops(), 0);
	OWN_NET_WAIT(is_answered(hop));
	OWN_NET_WAIT(leads_by(hop, "inside"));
}

static void a_record_that_was_half_written(void **state)
{
	(void)state;
	OWN_NET_NEEDED();
	int server = hop_to_server();
	fastpath_hops_close(hops);
	records[server].seq++;
	assert_int_equal(open_hops(), 0);
	OWN_NET_WAIT(!(__atomic_load_n(&records[server].seq, __ATOMIC_SEQ_CST) & 1));
	OWN_NET_WAIT(leads_by(server, "outside"));
	assert_memory_equal(look(server).destination_mac, own_net_server_mac, OWN_NET_MAC);
}

static void none_is_fine(void **state)
{
	(void)state;
	fastpath_hops_close(NULL);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest cases[] = {
	    CASE(a_record_is_filled),
	    CASE(one_number_a_pair),
	    CASE(so_many_hops),
	    CASE(route_changes),
	    CASE(rule_changes),
	    CASE(neighbour_changes),
	    CASE(unknown_neighbour_is_looked_for),
	    CASE(doubted_neighbour_stays_in_use),
	    CASE(interface_changes),
	    CASE(interface_that_is_no_port),
	    CASE(calls_come_and_go_meanwhile),
	    CASE(garbage_everywhere),
	    CASE(pairs_under_its_feet),
	    CASE(wakes_that_lead_nowhere),
	    CASE(the_next_one_goes_on),
	    CASE(asked_while_nobody_listened),
	    CASE(a_record_that_was_half_written),
	    CASE(none_is_fine),
	};
	own_net_enter_for_xdp();
	return cmocka_run_group_tests(cases, NULL, NULL);
}
