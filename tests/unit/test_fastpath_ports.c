/*
 * Which interfaces are attached to, in which mode, and what is told of those that cannot be.
 */
#include "fastpath/fastpath_ports.h"

#include "tests/unit/own_net.h"
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/if_link.h>
#include <setjmp.h>
#include <stddef.h>

#include <cmocka.h>

static struct fastpath_maps *maps, *others;
static struct fastpath_netlink *netlink;
static struct fastpath_ports *ports;
static struct why why;
static int other_fd = -1; /* somebody else's attachment */

static int set_up(void **state)
{
	(void)state;
	if (own_net_lacks[0])
		return 0;
	maps = fastpath_maps_open(&why);
	netlink = fastpath_netlink_open(&why);
	if (!maps || !netlink)
		return OWN_NET_CANNOT(&why);
	why.text[0] = '\0';
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	fastpath_ports_close(ports);
	ports = NULL;
	fastpath_netlink_close(netlink);
	netlink = NULL;
	fastpath_maps_close(maps);
	maps = NULL;
	if (other_fd >= 0)
		close(other_fd);
	other_fd = -1;
	fastpath_maps_close(others);
	others = NULL;
	return 0;
}

/* ---- what is attached ---- */

static uint32_t attached(const char *name, uint32_t mode)
{
	uint32_t id = 0;
	int result = bpf_xdp_query_id((int)if_nametoindex(name), (int)mode, &id);
	assert_int_equal(result, 0);
	return id;
}

static bool native_on(const char *name)
{
	return attached(name, XDP_FLAGS_DRV_MODE) != 0;
}

static bool generic_on(const char *name)
{
	return attached(name, XDP_FLAGS_SKB_MODE) != 0;
}

static bool nothing_on(const char *name)
{
	return !native_on(name) && !generic_on(name);
}

static void occupy(const char *name)
{
	LIBBPF_OPTS(bpf_link_create_opts, options, .flags = XDP_FLAGS_SKB_MODE);
	others = fastpath_maps_open(&why);
	assert_non_null(others);
	other_fd = bpf_link_create(fastpath_maps_program(others, false), (int)if_nametoindex(name),
				   BPF_XDP, &options);
	assert_true(other_fd >= 0);
}

static void ip(const char *command)
{
	assert_true(own_net_ip(command));
}

/* ---- opening ---- */

static struct fastpath_ports *open_at(enum fastpath_mode mode, const char *const *names,
				      size_t count)
{
	static const uint32_t listens[] = {OWN_NET_INSIDE}, peers[] = {OWN_NET_SERVER};
	struct fastpath_keeper_config config = {
	    .mode = mode,
	    .interfaces = names,
	    .interface_count = count,
	    .listen_addrs = listens,
	    .listen_count = 1,
	    .peer_addrs = peers,
	    .peer_count = 1,
	};
	ports = fastpath_ports_open(&config, maps, netlink, &why);
	return ports;
}

static struct fastpath_ports *open_found(enum fastpath_mode mode)
{
	return open_at(mode, NULL, 0);
}

static bool is_port(const char *name)
{
	struct fastpath_link link;
	return fastpath_ports_find(ports, if_nametoindex(name), &link) >= 0;
}

static void found_by_addresses(void **state)
{
	(void)state;
	OWN_NET_NEEDED();
	assert_non_null(open_found(FASTPATH_GENERIC));
	assert_true(generic_on("inside") && generic_on("outside"));
	assert_true(is_port("inside") && is_port("outside"));
	assert_true(nothing_on("client") && nothing_on("lo"));
	assert_false(is_port("client") || is_port("lo"));
	fastpath_ports_close(ports);
	ports = NULL;
	assert_true(nothing_on("inside") && nothing_on("outside"));
	fastpath_ports_close(NULL);
}

static void found_by_any_address(void **state)
{
	static const uint32_t any[] = {0};
	(void)state;
	OWN_NET_NEEDED();
	struct fastpath_keeper_config config = {
	    .mode = FASTPATH_GENERIC,
	    .listen_addrs = any,
	    .listen_count = 1,
	};
	ports = fastpath_ports_open(&config, maps, netlink, &why);
	assert_non_null(ports);
	assert_true(is_port("inside") && is_port("outside") && !is_port("lo"));
	assert_false(is_port("client")); /* it has no address */
}

static void none_found(void **state)
{
	static const uint32_t loopback[] = {0x7F000001};
	(void)state;
	OWN_NET_NEEDED();
	struct fastpath_keeper_config config = {
	    .mode = FASTPATH_GENERIC,
	    .listen_addrs = loopback,
	    .listen_count = 1,
	    .peer_addrs = loopback,
	    .peer_count = 1,
	};
	ports = fastpath_ports_open(&config, maps, netlink, &why);
	assert_null(ports);
	assert_string_equal(why.text, "no interface that calls would use");
}

static void named(void **state)
{
	static const char *const names[] = {"outside", "client", "outside"};
	(void)state;
	OWN_NET_NEEDED();
	assert_non_null(open_at(FASTPATH_GENERIC, names, 3));
	assert_true(is_port("outside") && is_port("client") && !is_port("inside"));
	assert_true(nothing_on("inside"));
}

static void named_ones_that_cannot(void **state)
{
	static const char *const names[][2] = {{"inside", "nowhere"}, {"inside", "lo"}};
	(void)state;
	OWN_NET_NEEDED();
	for (int i = 0; i < 2; i++) {
		for (int first = 0; first < 2; first++) {
			assert_null(
			    open_at(FASTPATH_AUTO, &names[i][1 - first], (size_t)first + 1));
			assert_non_null(strstr(why.text, names[i][1]));
			assert_true(nothing_on("inside"));
		}
	}
}

/* ---- modes ---- */

static void set_gro(const char *device, const char *value)
{
	char command[64];
	snprintf(command, sizeof(command), "ethtool -K %s gro %s", device, value);
	if (own_net_run(command) != 0)
		OWN_NET_SKIP("ethtool is missing, or the kernel is too old");
}

static void native_or_generic(void **state)
{
	(void)state;
	OWN_NET_NEEDED();
	set_gro("server", "on");
	assert_non_null(open_found(FASTPATH_NATIVE));
	assert_true(native_on("inside") && native_on("outside"));
	assert_true(!generic_on("inside"));
	set_gro("server", "off");
}

static void native_with_no_way_out(void **state)
{
	(void)state;
	OWN_NET_NEEDED();
	set_gro("server", "on"); /* skips where the kernel cannot tell */
	set_gro("server", "off");
	assert_null(open_found(FASTPATH_NATIVE));
	assert_string_equal(why.text,
			    "inside: it takes no frames from native XDP, nor does another");
	assert_true(nothing_on("inside") && nothing_on("outside"));
}

/* veth takes frames from native XDP where its other end has a program, too, or GRO. */
static void auto_takes_what_works(void **state)
{
	(void)state;
	OWN_NET_NEEDED();
	struct fastpath_link link;
	assert_true(fastpath_netlink_link(netlink, if_nametoindex("inside"), &link));
	if (link.sends_native)
		OWN_NET_SKIP("the kernel cannot tell");
	assert_non_null(open_found(FASTPATH_AUTO));
	assert_true(generic_on("inside") && generic_on("outside"));
	fastpath_ports_close(ports);
	ports = NULL;
	if (own_net_run("ethtool -K client gro on && ethtool -K server gro on") != 0)
		OWN_NET_SKIP("the kernel cannot tell, or ethtool is missing");
	assert_non_null(open_found(FASTPATH_AUTO));
	assert_true(native_on("inside") && native_on("outside"));
	assert_int_equal(own_net_run("ethtool -K client gro off && ethtool -K server gro off"), 0);
}

static void without_native(void **state)
{
	static const char *const names[] = {"plain"};
	(void)state;
	OWN_NET_NEEDED();
	ip("link add plain type bridge");
	assert_null(open_at(FASTPATH_NATIVE, names, 1));
	assert_string_equal(why.text, "plain: its driver has no native XDP");
	assert_non_null(open_at(FASTPATH_AUTO, names, 1));
	assert_true(generic_on("plain"));
	ip("link del plain");
}

static void not_ethernet(void **state)
{
	static const char *const names[] = {"tunnel"};
	(void)state;
	OWN_NET_NEEDED();
	if (!own_net_ip("tuntap add dev tunnel mode tun"))
		OWN_NET_SKIP("no TUN device");
	assert_null(open_at(FASTPATH_GENERIC, names, 1));
	assert_string_equal(why.text, "tunnel: not an Ethernet interface");
	ip("link del tunnel");
}

/* ---- beside others ---- */

static void busy(void **state)
{
	static const enum fastpath_mode modes[] = {FASTPATH_AUTO, FASTPATH_NATIVE,
						   FASTPATH_GENERIC};
	static const char *const names[] = {"outside", "inside"};
	(void)state;
	OWN_NET_NEEDED();
	set_gro("server", "on");
	occupy("inside");
	uint32_t there = attached("inside", XDP_FLAGS_SKB_MODE);
	for (int i = 0; i < 3; i++) {
		assert_non_null(open_found(modes[i]));
		assert_true(is_port("outside") && !is_port("inside"));
		fastpath_ports_close(ports);
		assert_null(open_at(modes[i], names, 2));
		assert_string_equal(why.text,
				    "inside: an XDP program is there already, and left alone");
		assert_true(nothing_on("outside"));
		assert_int_equal(attached("inside", XDP_FLAGS_SKB_MODE), there);
		assert_false(native_on("inside"));
	}
	set_gro("server", "off");
}

/* ---- changes ---- */

static struct fastpath_link link_of(const char *name)
{
	struct fastpath_link link = {0};
	assert_true(fastpath_ports_find(ports, if_nametoindex(name), &link) >= 0);
	return link;
}

static void changes(void **state)
{
	(void)state;
	OWN_NET_NEEDED();
	assert_non_null(open_found(FASTPATH_GENERIC));
	assert_false(fastpath_ports_refresh(ports));
	ip("link set outside mtu 1300");
	assert_true(fastpath_ports_refresh(ports));
	assert_int_equal(link_of("outside").mtu, 1300);
	ip("link set outside mtu 1400\nlink set outside address 02:00:00:00:02:77");
	assert_true(fastpath_ports_refresh(ports));
	assert_int_equal(link_of("outside").mac[5], 0x77);
	ip("link set outside address 02:00:00:00:02:01\nlink set server down");
	assert_true(fastpath_ports_refresh(ports));
	assert_false(link_of("outside").up);
	ip("link set server up");
	assert_true(fastpath_ports_refresh(ports));
	assert_true(link_of("outside").up);
	ip("link set client alias nothing-to-us");
	assert_false(fastpath_ports_refresh(ports));
}

static void gone(void **state)
{
	static const char *const names[] = {"inside", "passing"};
	(void)state;
	OWN_NET_NEEDED();
	ip("link add passing type veth peer by\nlink set by up\nlink set passing up");
	assert_non_null(open_at(FASTPATH_GENERIC, names, 2));
	unsigned ifindex = if_nametoindex("passing");
	ip("link del passing");
	assert_true(fastpath_ports_refresh(ports));
	struct fastpath_link link;
	assert_int_equal(fastpath_ports_find(ports, ifindex, &link), -1);
	assert_false(fastpath_ports_refresh(ports));

	ip("link add passing type veth peer by\nlink set by up\nlink set passing up");
	assert_true(fastpath_ports_refresh(ports));
	assert_true(link_of("passing").up);
	assert_true(generic_on("passing"));
	assert_false(fastpath_ports_refresh(ports));
	ip("link del passing");
}

/* As if nothing had been: the number is the same, the attachment is not there. */
static void another_with_its_number(void **state)
{
	static const char *const names[] = {"inside", "passing"};
	(void)state;
	OWN_NET_NEEDED();
	ip("link add passing index 77 type veth peer by\nlink set by up\nlink set passing up");
	assert_non_null(open_at(FASTPATH_GENERIC, names, 2));
	ip("link del passing\nlink add passing index 77 type veth peer by\nlink set by up\n"
	   "link set passing up");
	assert_false(generic_on("passing"));
	assert_true(fastpath_ports_refresh(ports));
	assert_true(generic_on("passing"));
	assert_int_equal(link_of("passing").ifindex, 77);
	ip("link del passing");
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest cases[] = {
	    CASE(found_by_addresses),
	    CASE(found_by_any_address),
	    CASE(none_found),
	    CASE(named),
	    CASE(named_ones_that_cannot),
	    CASE(native_or_generic),
	    CASE(native_with_no_way_out),
	    CASE(auto_takes_what_works),
	    CASE(without_native),
	    CASE(not_ethernet),
	    CASE(busy),
	    CASE(changes),
	    CASE(gone),
	    CASE(another_with_its_number),
	};
	own_net_enter_for_xdp();
	return cmocka_run_group_tests(cases, NULL, NULL);
}
