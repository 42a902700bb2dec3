/*
 * Raw GRE sockets, their filters and options.
 */
#include "gre/gre_socket.h"

#include "wire/gre_wire.h"

#include <errno.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <pcap/pcap.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { SNAPSHOT_ALL = 65535 };

/* Raw sockets show the filter packets from the IP header on. */
static void make_filter(char *out, size_t size)
{
	snprintf(out, size, "ip proto 47 and (ip[(ip[0] & 0x0f) << 2 : 4] & 0x%x) = 0x%x",
		 GRE_FIRST_MASK, GRE_FIRST_VALUE);
}

static int attach_compiled(int fd, const char *expression, struct why *why)
{
	struct bpf_program program;
	pcap_t *pcap = pcap_open_dead(DLT_RAW, SNAPSHOT_ALL);
	if (!pcap)
		return why_set(why, "packet filter: no memory");
	if (pcap_compile(pcap, &program, expression, 1, PCAP_NETMASK_UNKNOWN) != 0) {
		why_set(why, "packet filter '%s': %s", expression, pcap_geterr(pcap));
		pcap_close(pcap);
		return -1;
	}
	/* libpcap's instructions are the kernel's, octet for octet (struct bpf_insn, struct
	 * sock_filter). */
	struct sock_fprog kernel = {(unsigned short)program.bf_len,
				    (struct sock_filter *)(void *)program.bf_insns};
	int result = setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &kernel, sizeof(kernel));
	if (result != 0)
		why_set(why, "packet filter: %s", strerror(errno));
	pcap_freecode(&program);
	pcap_close(pcap);
	return result;
}

static int attach_nothing(int fd, struct why *why)
{
	struct sock_filter nothing = BPF_STMT(BPF_RET | BPF_K, 0);
	struct sock_fprog kernel = {1, &nothing};
	if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &kernel, sizeof(kernel)) != 0)
		return why_set(why, "packet filter: %s", strerror(errno));
	return 0;
}

static int open_raw(struct why *why)
{
	int fd = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_GRE);
	if (fd < 0)
		why_set(why, "raw GRE socket: %s%s", strerror(errno),
			errno == EPERM ? " (it needs root or CAP_NET_RAW)" : "");
	return fd;
}

/* The FORCE option passes the system's limit, but needs CAP_NET_ADMIN. */
static void enlarge_buffer(int fd, int force_option, int option)
{
	int size = GRE_RECEIVE_BUFFER;
	if (setsockopt(fd, SOL_SOCKET, force_option, &size, sizeof(size)) != 0)
		setsockopt(fd, SOL_SOCKET, option, &size, sizeof(size));
}

size_t gre_socket_receive_buffer(int receive_fd)
{
	int size;
	socklen_t length = sizeof(size);
	if (getsockopt(receive_fd, SOL_SOCKET, SO_RCVBUF, &size, &length) != 0)
		return 0;
	return (size_t)size / 2; /* the kernel doubles it for its own bookkeeping */
}

int gre_socket_open(struct gre_socket *sockets, struct why *why)
{
	int no_dont_fragment = IP_PMTUDISC_DONT;
	char filter[96];

	*sockets = GRE_SOCKET_NONE;
	sockets->send_fd = open_raw(why);
	if (sockets->send_fd < 0 || attach_nothing(sockets->send_fd, why) != 0)
		goto failed;
	/* PPTP's ends do not lower their MTU on ICMP: what is too large leaves in fragments, here
	 * or further on. */
	if (setsockopt(sockets->send_fd, IPPROTO_IP, IP_MTU_DISCOVER, &no_dont_fragment,
		       sizeof(no_dont_fragment)) != 0) {
		why_set(why, "IP_MTU_DISCOVER: %s", strerror(errno));
		goto failed;
	}
	/* Room enough that one neighbour who does not answer ARP cannot fill it with what waits for
	 * him. */
	enlarge_buffer(sockets->send_fd, SO_SNDBUFFORCE, SO_SNDBUF);

	make_filter(filter, sizeof(filter));
	sockets->receive_fd = open_raw(why);
	if (sockets->receive_fd < 0 || attach_compiled(sockets->receive_fd, filter, why) != 0)
		goto failed;
	enlarge_buffer(sockets->receive_fd, SO_RCVBUFFORCE, SO_RCVBUF);
	sockets->receive_buffer = gre_socket_receive_buffer(sockets->receive_fd);
	return 0;
failed:
	gre_socket_close(sockets);
	return -1;
}

void gre_socket_close(struct gre_socket *sockets)
{
	if (sockets->receive_fd >= 0)
		close(sockets->receive_fd);
	if (sockets->send_fd >= 0)
		close(sockets->send_fd);
	*sockets = GRE_SOCKET_NONE;
}
