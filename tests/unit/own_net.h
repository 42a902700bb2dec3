/*
 * A network namespace of a test's own, in which a firewall stands between two veth pairs:
 *
 *   "client" ---- inside [ firewall ] outside ---- "server"
 *   10.1.0.10     10.1.0.1    10.2.0.1            10.2.0.10
 *
 * All four devices are here; the ends have no addresses, only MAC addresses that the firewall's
 * neighbour table knows. For units that need root.
 */
#ifndef TESTS_OWN_NET_H
#define TESTS_OWN_NET_H

#include <bpf/bpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <net/if.h>
#include <sched.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#define OWN_NET_CLIENT	0x0A01000AU
#define OWN_NET_INSIDE	0x0A010001U
#define OWN_NET_OUTSIDE 0x0A020001U
#define OWN_NET_SERVER	0x0A02000AU
enum { OWN_NET_MTU_INSIDE = 1500, OWN_NET_MTU_OUTSIDE = 1400, OWN_NET_MAC = 6 };

static const uint8_t own_net_client_mac[OWN_NET_MAC] = {2, 0, 0, 0, 1, 0x0A};
static const uint8_t own_net_inside_mac[OWN_NET_MAC] = {2, 0, 0, 0, 1, 1};
static const uint8_t own_net_outside_mac[OWN_NET_MAC] = {2, 0, 0, 0, 2, 1};
static const uint8_t own_net_server_mac[OWN_NET_MAC] = {2, 0, 0, 0, 2, 0x0A};

/* Why there is none, or "". */
static char own_net_lacks[400];

static inline int own_net_run(const char *command)
{
	return system(command);
}

/* Runs each of these ip commands. */
static inline bool own_net_ip(const char *commands)
{
	char line[4096];
	snprintf(line, sizeof(line), "ip -batch - <<'END'\n%s\nEND\n", commands);
	return own_net_run(line) == 0;
}

static inline void own_net_enter(void)
{
	if (geteuid() != 0) {
		snprintf(own_net_lacks, sizeof(own_net_lacks), "needs root");
		return;
	}
	if (unshare(CLONE_NEWNET) != 0) {
		snprintf(own_net_lacks, sizeof(own_net_lacks),
			 "no network namespace of our own: %s", strerror(errno));
		return;
	}
	if (!own_net_ip("link set lo up\n"
			"link add inside address 02:00:00:00:01:01 type veth peer client "
			"address 02:00:00:00:01:0a\n"
			"link add outside address 02:00:00:00:02:01 mtu 1400 type veth peer server "
			"address 02:00:00:00:02:0a\n"
			"link set client up\n"
			"link set server up\n"
			"link set inside up\n"
			"link set outside up\n"
			"addr add 10.1.0.1/24 dev inside\n"
			"addr add 10.2.0.1/24 dev outside\n"
			"neigh add 10.1.0.10 lladdr 02:00:00:00:01:0a dev inside\n"
			"neigh add 10.2.0.10 lladdr 02:00:00:00:02:0a dev outside"))
		snprintf(own_net_lacks, sizeof(own_net_lacks), "ip cannot make veth pairs");
}

/* The same, where XDP is to be had at all; found out without what is tested. */
static inline void own_net_enter_for_xdp(void)
{
	const struct bpf_insn pass[] = {
	    {.code = BPF_ALU64 | BPF_MOV | BPF_K, .imm = XDP_PASS},
	    {.code = BPF_JMP | BPF_EXIT},
	};
	struct utsname kernel;
	int major = 0, minor = 0;

	own_net_enter();
	if (own_net_lacks[0])
		return;
	int fd = bpf_prog_load(BPF_PROG_TYPE_XDP, NULL, "GPL", pass, 2, NULL);
	if (fd < 0)
		snprintf(own_net_lacks, sizeof(own_net_lacks), "no XDP here: %s", strerror(errno));
	else
		close(fd);
	if (uname(&kernel) != 0 || sscanf(kernel.release, "%d.%d", &major, &minor) != 2 ||
	    major < 5 || (major == 5 && minor < 18))
		snprintf(own_net_lacks, sizeof(own_net_lacks), "needs a kernel from 5.18 on");
}

/* A set-up's answer: it has failed, for this struct why. */
#define OWN_NET_CANNOT(why) (print_message("# %s\n", (why)->text), -1)

/* Asks until it is true, for up to ten seconds. */
#define OWN_NET_WAIT(condition)                                                                    \
	do {                                                                                       \
		time_t until = time(NULL) + 10;                                                    \
		bool become;                                                                       \
		while (!(become = (condition)) && time(NULL) <= until)                             \
			usleep(2000);                                                              \
		if (!become)                                                                       \
			fail_msg("not within 10 s: %s", #condition);                               \
	} while (0)

#define OWN_NET_SKIP(...)                                                                          \
	do {                                                                                       \
		print_message("# skipped: " __VA_ARGS__);                                          \
		print_message("\n");                                                               \
		skip();                                                                            \
	} while (0)

#define OWN_NET_NEEDED()                                                                           \
	do {                                                                                       \
		if (own_net_lacks[0])                                                              \
			OWN_NET_SKIP("%s", own_net_lacks);                                         \
	} while (0)

#endif
