/*
 * What the host says about its routes, neighbours and interfaces, and the news of their changes.
 */
#include "fastpath/fastpath_netlink.h"

#include "tests/unit/own_net.h"
#include <poll.h>
#include <setjmp.h>
#include <stddef.h>

#include <cmocka.h>

#define FAR 0x0A090001U /* 10.9.0.1, behind a gateway */

static struct fastpath_netlink *netlink;

static int set_up(void **state)
{
	struct why why;
	(void)state;
	if (own_net_lacks[0])
		return 0;
	netlink = fastpath_netlink_open(&why);
	return netlink ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	fastpath_netlink_close(netlink);
	netlink = NULL;
	return 0;
}

static void ip(const char *command)
{
	assert_true(own_net_ip(command));
}

/* ---- routes ---- */

static void expect_route(uint32_t destination, const char *device, uint32_t gateway, unsigned mtu)
{
	struct fastpath_next next;
	assert_true(fastpath_netlink_route(netlink, 0, destination, &next));
	assert_int_equal(next.ifindex, if_nametoindex(device));
	assert_int_equal(next.gateway, gateway);
	assert_int_equal(next.mtu, mtu);
}

static void routes(void **state)
{
	struct fastpath_next next;
	(void)state;
	OWN_NET_NEEDED();
	expect_route(OWN_NET_SERVER, "outside", OWN_NET_SERVER, 0);
	expect_route(OWN_NET_CLIENT, "inside", OWN_NET_CLIENT, 0);
	assert_false(fastpath_netlink_route(netlink, 0, FAR, &next));
	ip("route add 10.9.0.1 via 10.2.0.10 mtu 1234");
	expect_route(FAR, "outside", OWN_NET_SERVER, 1234);
	ip("route replace 10.9.0.1 via 10.1.0.10");
	expect_route(FAR, "inside", OWN_NET_CLIENT, 0);
	ip("route del 10.9.0.1");
	assert_false(fastpath_netlink_route(netlink, 0, FAR, &next));
}

static void routes_that_lead_nowhere(void **state)
{
	struct fastpath_next next;
	static const char *const kinds[] = {"unreachable", "blackhole", "prohibit"};
	(void)state;
	OWN_NET_NEEDED();
	for (int i = 0; i < 3; i++) {
		char command[64];
		snprintf(command, sizeof(command), "route replace %s 10.9.0.1", kinds[i]);
		ip(command);
		assert_false(fastpath_netlink_route(netlink, 0, FAR, &next));
	}
	ip("route del 10.9.0.1");
	/* Ourselves. */
	assert_false(fastpath_netlink_route(netlink, 0, OWN_NET_INSIDE, &next));
	/* Everybody. */
	assert_false(fastpath_netlink_route(netlink, 0, OWN_NET_INSIDE | 0xFF, &next));
}

/* A rule may ask for the source, which is why it is told. */
static void routes_by_source(void **state)
{
	struct fastpath_next next;
	(void)state;
	OWN_NET_NEEDED();
	ip("route add 10.9.0.1 via 10.2.0.10\n"
	   "route add 10.9.0.1 via 10.1.0.10 table 77\n"
	   "rule add from 10.1.0.1 lookup 77");
	assert_true(fastpath_netlink_route(netlink, OWN_NET_OUTSIDE, FAR, &next));
	assert_int_equal(next.gateway, OWN_NET_SERVER);
	assert_true(fastpath_netlink_route(netlink, OWN_NET_INSIDE, FAR, &next));
	assert_int_equal(next.gateway, OWN_NET_CLIENT);
	ip("rule del from 10.1.0.1 lookup 77\n"
	   "route del 10.9.0.1 table 77\n"
	   "route del 10.9.0.1");
}

static void route_by_a_neighbour_of_another_family(void **state)
{
	struct fastpath_next next;
	(void)state;
	OWN_NET_NEEDED();
	if (!own_net_ip("route add 10.9.0.1 via inet6 fe80::1 dev outside"))
		OWN_NET_SKIP("no such routes here");
	assert_false(fastpath_netlink_route(netlink, 0, FAR, &next));
	ip("route del 10.9.0.1");
}

/* ---- neighbours ---- */

static enum fastpath_neighbour neighbour(uint32_t addr, uint8_t mac[OWN_NET_MAC])
{
	return fastpath_netlink_neighbour(netlink, if_nametoindex("outside"), addr, mac);
}

static void neighbours(void **state)
{
	uint8_t mac[OWN_NET_MAC];
	(void)state;
	OWN_NET_NEEDED();
	assert_int_equal(neighbour(OWN_NET_SERVER, mac), FASTPATH_NEIGHBOUR_GOOD);
	assert_memory_equal(mac, own_net_server_mac, OWN_NET_MAC);
	assert_int_equal(neighbour(OWN_NET_SERVER + 1, mac), FASTPATH_NEIGHBOUR_NONE);
	ip("neigh replace 10.2.0.11 lladdr 02:00:00:00:02:0b nud stale dev outside");
	assert_int_equal(neighbour(OWN_NET_SERVER + 1, mac), FASTPATH_NEIGHBOUR_OLD);
	ip("neigh replace 10.2.0.11 lladdr 02:00:00:00:02:0c nud reachable dev outside");
	assert_int_equal(neighbour(OWN_NET_SERVER + 1, mac), FASTPATH_NEIGHBOUR_GOOD);
	assert_int_equal(mac[5], 0x0C);
	ip("neigh replace 10.2.0.11 nud failed dev outside");
	assert_int_equal(neighbour(OWN_NET_SERVER + 1, mac), FASTPATH_NEIGHBOUR_LOST);
	/* The same address, but behind another interface. */
	assert_int_equal(
	    fastpath_netlink_neighbour(netlink, if_nametoindex("inside"), OWN_NET_SERVER, mac),
	    FASTPATH_NEIGHBOUR_NONE);
	ip("neigh del 10.2.0.11 dev outside");
}

static void kicking_makes_the_host_look(void **state)
{
	uint8_t mac[OWN_NET_MAC];
	(void)state;
	OWN_NET_NEEDED();
	const uint32_t nobody = OWN_NET_SERVER + 2;
	assert_int_equal(neighbour(nobody, mac), FASTPATH_NEIGHBOUR_NONE);
	fastpath_netlink_kick(netlink, if_nametoindex("outside"), nobody);
	assert_int_equal(neighbour(nobody, mac), FASTPATH_NEIGHBOUR_LOST);
	/* One that is doubted is asked soon. */
	ip("neigh replace 10.2.0.13 lladdr 02:00:00:00:02:0d nud stale dev outside");
	fastpath_netlink_kick(netlink, if_nametoindex("outside"), nobody + 1);
	assert_int_equal(neighbour(nobody + 1, mac), FASTPATH_NEIGHBOUR_GOOD);
	fastpath_netlink_kick(netlink, 12345, nobody); /* no such interface */
	ip("neigh flush dev outside to 10.2.0.12/31");
}

/* ---- interfaces ---- */

static struct fastpath_link link_of(const char *name)
{
	struct fastpath_link link;
	assert_true(fastpath_netlink_link(netlink, if_nametoindex(name), &link));
	assert_string_equal(link.name, name);
	assert_int_equal(link.ifindex, if_nametoindex(name));
	return link;
}

static void links(void **state)
{
	struct fastpath_link link;
	(void)state;
	OWN_NET_NEEDED();
	link = link_of("outside");
	assert_int_equal(link.mtu, OWN_NET_MTU_OUTSIDE);
	assert_memory_equal(link.mac, own_net_outside_mac, OWN_NET_MAC);
	assert_true(link.ethernet && !link.loopback && link.up);
	link = link_of("lo");
	assert_true(link.loopback && !link.ethernet);
	ip("link set server down"); /* no carrier */
	assert_false(link_of("outside").up);
	ip("link set server up\nlink set outside down");
	assert_false(link_of("outside").up);
	ip("link set outside up");
	assert_true(link_of("outside").up);
	assert_false(fastpath_netlink_link(netlink, 12345, &link));
	assert_false(fastpath_netlink_link(netlink, 0, &link));
}

/* A veth takes frames from native XDP once its other end has GRO on; kernels before 6.3 do not
 * tell. */
static void links_that_take_frames(void **state)
{
	(void)state;
	OWN_NET_NEEDED();
	if (link_of("outside").sends_native || own_net_run("ethtool -K server gro on") != 0)
		OWN_NET_SKIP("the kernel cannot tell, or ethtool is missing");
	assert_true(link_of("outside").sends_native);
	assert_false(link_of("inside").sends_native);
	assert_int_equal(own_net_run("ethtool -K server gro off"), 0);
	assert_false(link_of("outside").sends_native);
}

/* ---- news ---- */

struct told {
	int of[FASTPATH_CHANGE_ALL + 1];
	uint32_t addr;
	unsigned prefix;
};

static void note(void *arg, enum fastpath_change change, uint32_t addr, unsigned prefix)
{
	struct told *told = arg;
	told->of[change]++;
	if (change == FASTPATH_CHANGE_ROUTE || change == FASTPATH_CHANGE_NEIGHBOUR) {
		told->addr = addr;
		told->prefix = prefix;
	}
}

static struct told news_of(const char *commands)
{
	struct told before = {0}, told = {0};
	struct pollfd fds[2] = {{-1, POLLIN, 0}, {-1, POLLIN, 0}};
	int of[2], count = fastpath_netlink_fds(netlink, of);
	for (int i = 0; i < count; i++)
		fds[i].fd = of[i];
	fastpath_netlink_news(netlink, note, &before);
	ip(commands);
	assert_true(poll(fds, 2, 10000) > 0);
	fastpath_netlink_news(netlink, note, &told);
	return told;
}

static void news_of_routes(void **state)
{
	(void)state;
	OWN_NET_NEEDED();
	struct told told = news_of("route add 10.9.0.0/24 via 10.2.0.10");
	assert_int_equal(told.of[FASTPATH_CHANGE_ROUTE], 1);
	assert_int_equal(told.addr, FAR & 0xFFFFFF00);
	assert_int_equal(told.prefix, 24);
	told = news_of("route replace default via 10.2.0.10");
	assert_int_equal(told.of[FASTPATH_CHANGE_ROUTE], 1);
	assert_int_equal(told.addr, 0);
	assert_int_equal(told.prefix, 0);
	told = news_of("route del default\nroute del 10.9.0.0/24");
	assert_int_equal(told.of[FASTPATH_CHANGE_ROUTE], 2);
	assert_int_equal(told.of[FASTPATH_CHANGE_ALL], 0);
}

static void news_of_neighbours(void **state)
{
	(void)state;
	OWN_NET_NEEDED();
	struct told told = news_of("neigh replace 10.2.0.11 lladdr 02:00:00:00:02:0b dev outside");
	assert_true(told.of[FASTPATH_CHANGE_NEIGHBOUR] > 0);
	assert_int_equal(told.addr, OWN_NET_SERVER + 1);
	told = news_of("neigh del 10.2.0.11 dev outside");
	assert_true(told.of[FASTPATH_CHANGE_NEIGHBOUR] > 0);
	assert_int_equal(told.of[FASTPATH_CHANGE_ALL] + told.of[FASTPATH_CHANGE_LINK], 0);
}

static void news_of_links(void **state)
{
	(void)state;
	OWN_NET_NEEDED();
	assert_true(news_of("link set outside mtu 1300").of[FASTPATH_CHANGE_LINK] > 0);
	assert_true(news_of("link set outside mtu 1400").of[FASTPATH_CHANGE_LINK] > 0);
	assert_true(news_of("link set server down").of[FASTPATH_CHANGE_LINK] > 0);
	assert_true(news_of("link set server up").of[FASTPATH_CHANGE_LINK] > 0);
}

static void news_of_all_the_rest(void **state)
{
	(void)state;
	OWN_NET_NEEDED();
	assert_true(news_of("rule add from 10.1.0.1 lookup 77").of[FASTPATH_CHANGE_ALL] > 0);
	assert_true(news_of("rule del from 10.1.0.1 lookup 77").of[FASTPATH_CHANGE_ALL] > 0);
	assert_true(news_of("addr add 10.2.0.2/24 dev outside").of[FASTPATH_CHANGE_ALL] > 0);
	assert_true(news_of("addr del 10.2.0.2/24 dev outside").of[FASTPATH_CHANGE_ALL] > 0);
}

/* More than the socket holds: all is in doubt then. */
static void lost_news(void **state)
{
	struct told told = {0};
	(void)state;
	OWN_NET_NEEDED();
	assert_int_equal(
	    own_net_run("for i in $(seq 12000); do echo route replace 10.9.$((i / 250)).$((i % "
			"250)) via 10.2.0.10; done | ip -batch -"),
	    0);
	fastpath_netlink_news(netlink, note, &told);
	assert_true(told.of[FASTPATH_CHANGE_ALL] > 0);
	ip("route flush via 10.2.0.10");
}

static void none_is_fine(void **state)
{
	(void)state;
	fastpath_netlink_close(NULL);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest cases[] = {
	    CASE(routes),
	    CASE(routes_that_lead_nowhere),
	    CASE(routes_by_source),
	    CASE(route_by_a_neighbour_of_another_family),
	    CASE(neighbours),
	    CASE(kicking_makes_the_host_look),
	    CASE(links),
	    CASE(links_that_take_frames),
	    CASE(news_of_routes),
	    CASE(news_of_neighbours),
	    CASE(news_of_links),
	    CASE(news_of_all_the_rest),
	    CASE(lost_news),
	    CASE(none_is_fine),
	};
	own_net_enter();
	return cmocka_run_group_tests(cases, NULL, NULL);
}
