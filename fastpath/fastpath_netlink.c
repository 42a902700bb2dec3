/*
 * rtnetlink and netdev's generic netlink, by libmnl.
 */
#include "fastpath/fastpath_netlink.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/genetlink.h>
#include <linux/if_arp.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* linux/netdev.h of kernels from 6.3 on. */
enum {
	NETDEV_COMMAND_DEV_GET = 1,
	NETDEV_DEV_IFINDEX = 1,
	NETDEV_DEV_XDP_FEATURES = 3,
	NETDEV_SENDS_NATIVE = 4,
};

enum { EVENTS_BUFFER = 1 << 20 };

struct fastpath_netlink {
	struct mnl_socket *questions, *features;    /* asked, and answered at once */
	struct mnl_socket *events, *feature_events; /* listened to */
	uint16_t netdev_family;			    /* 0: this kernel has none */
	uint32_t netdev_group;
	uint32_t seq;
	char buffer[32768]; /* of questions */
	char news[32768];   /* a question may be asked while these are read */
};

/* ---- questions ---- */

static struct nlmsghdr *question(struct fastpath_netlink *netlink, uint16_t type, uint16_t flags,
				 size_t extra, void *extra_header)
{
	struct nlmsghdr *message = mnl_nlmsg_put_header(netlink->buffer);
	message->nlmsg_type = type;
	message->nlmsg_flags = NLM_F_REQUEST | flags;
	message->nlmsg_seq = ++netlink->seq;
	void **header = extra_header;
	*header = mnl_nlmsg_put_extra_header(message, extra);
	return message;
}

/* The answer to a question that has one message for an answer; false: an error instead. */
static bool ask(struct fastpath_netlink *netlink, struct mnl_socket *socket,
		const struct nlmsghdr *message, mnl_cb_t answer, void *arg)
{
	uint32_t seq = message->nlmsg_seq;
	if (mnl_socket_sendto(socket, message, message->nlmsg_len) < 0)
		return false;
	/* What comes late for an earlier question is thrown away. */
	const struct nlmsghdr *header = (const void *)netlink->buffer;
	ssize_t length;
	do
		length = mnl_socket_recvfrom(socket, netlink->buffer, sizeof(netlink->buffer));
	while (length >= (ssize_t)sizeof(*header) && header->nlmsg_seq != seq);
	if (length <= 0)
		return false;
	return mnl_cb_run(netlink->buffer, (size_t)length, seq, mnl_socket_get_portid(socket),
			  answer, arg) >= MNL_CB_OK;
}

/* Attributes by type; the highest one wanted is max. */
struct attributes {
	const struct nlattr *of[64];
};

static int note_attribute(const struct nlattr *attribute, void *arg)
{
	struct attributes *attributes = arg;
	uint16_t type = mnl_attr_get_type(attribute);
	if (type < sizeof(attributes->of) / sizeof(attributes->of[0]))
		attributes->of[type] = attribute;
	return MNL_CB_OK;
}

static struct attributes attributes_of(const struct nlmsghdr *message, size_t header)
{
	struct attributes attributes = {0};
	mnl_attr_parse(message, (unsigned)header, note_attribute, &attributes);
	return attributes;
}

static bool has(const struct attributes *attributes, int type, size_t octets)
{
	const struct nlattr *attribute = attributes->of[type];
	return attribute && mnl_attr_get_payload_len(attribute) >= octets;
}

/* ---- routes ---- */

struct route_answer {
	struct fastpath_next *next;
	bool usable;
};

static int on_route(const struct nlmsghdr *message, void *arg)
{
	struct route_answer *answer = arg;
	const struct rtmsg *route = mnl_nlmsg_get_payload(message);
	if (message->nlmsg_type != RTM_NEWROUTE)
		return MNL_CB_OK;
	struct attributes found = attributes_of(message, sizeof(*route));

	/* RTA_VIA is a gateway of another family. */
	if (route->rtm_type != RTN_UNICAST || !has(&found, RTA_OIF, 4) || found.of[RTA_VIA])
		return MNL_CB_OK;
	answer->next->ifindex = mnl_attr_get_u32(found.of[RTA_OIF]);
	if (has(&found, RTA_GATEWAY, 4))
		answer->next->gateway = ntohl(mnl_attr_get_u32(found.of[RTA_GATEWAY]));
	if (found.of[RTA_METRICS]) {
		struct attributes metrics = {0};
		mnl_attr_parse_nested(found.of[RTA_METRICS], note_attribute, &metrics);
		if (has(&metrics, RTAX_MTU, 4))
			answer->next->mtu = mnl_attr_get_u32(metrics.of[RTAX_MTU]);
		if (has(&metrics, RTAX_HOPLIMIT, 4))
			answer->next->ttl = mnl_attr_get_u32(metrics.of[RTAX_HOPLIMIT]);
	}
	answer->usable = true;
	return MNL_CB_OK;
}

/* What the kernel puts into packets of the host's own. */
static unsigned default_ttl(void)
{
	enum { LINUX_DEFAULT = 64 };
	unsigned ttl = 0;
	FILE *file = fopen("/proc/sys/net/ipv4/ip_default_ttl", "re");
	if (file && fscanf(file, "%u", &ttl) != 1)
		ttl = 0;
	if (file)
		fclose(file);
	return ttl >= 1 && ttl <= UINT8_MAX ? ttl : LINUX_DEFAULT;
}

bool fastpath_netlink_route(struct fastpath_netlink *netlink, uint32_t source, uint32_t destination,
			    struct fastpath_next *next)
{
	struct route_answer answer = {.next = next};
	struct rtmsg *route;
	struct nlmsghdr *message = question(netlink, RTM_GETROUTE, 0, sizeof(*route), &route);
	route->rtm_family = AF_INET;
	route->rtm_dst_len = 32;
	mnl_attr_put_u32(message, RTA_DST, htonl(destination));
	if (source != 0) {
		route->rtm_src_len = 32;
		mnl_attr_put_u32(message, RTA_SRC, htonl(source));
	}
	*next = (struct fastpath_next){.gateway = destination};
	if (!ask(netlink, netlink->questions, message, on_route, &answer) || !answer.usable)
		return false;
	if (next->ttl == 0 || next->ttl > UINT8_MAX)
		next->ttl = default_ttl();
	return true;
}

/* ---- neighbours ---- */

struct neighbour_answer {
	uint8_t *mac;
	enum fastpath_neighbour state;
};

static int on_neighbour(const struct nlmsghdr *message, void *arg)
{
	struct neighbour_answer *answer = arg;
	const struct ndmsg *neighbour = mnl_nlmsg_get_payload(message);
	if (message->nlmsg_type != RTM_NEWNEIGH)
		return MNL_CB_OK;
	struct attributes found = attributes_of(message, sizeof(*neighbour));

	answer->state = FASTPATH_NEIGHBOUR_LOST;
	if (!has(&found, NDA_LLADDR, FASTPATH_NETLINK_MAC))
		return MNL_CB_OK;
	memcpy(answer->mac, mnl_attr_get_payload(found.of[NDA_LLADDR]), FASTPATH_NETLINK_MAC);
	if (neighbour->ndm_state & (NUD_REACHABLE | NUD_PERMANENT | NUD_DELAY | NUD_PROBE))
		answer->state = FASTPATH_NEIGHBOUR_GOOD;
	else if (neighbour->ndm_state & NUD_STALE)
		answer->state = FASTPATH_NEIGHBOUR_OLD;
	return MNL_CB_OK;
}

static struct nlmsghdr *about_neighbour(struct fastpath_netlink *netlink, uint16_t type,
					uint16_t flags, uint8_t neighbour_flags, unsigned ifindex,
					uint32_t addr)
{
	struct ndmsg *neighbour;
	struct nlmsghdr *message = question(netlink, type, flags, sizeof(*neighbour), &neighbour);
	neighbour->ndm_family = AF_INET;
	neighbour->ndm_ifindex = (int)ifindex;
	neighbour->ndm_flags = neighbour_flags;
	mnl_attr_put_u32(message, NDA_DST, htonl(addr));
	return message;
}

enum fastpath_neighbour fastpath_netlink_neighbour(struct fastpath_netlink *netlink,
						   unsigned ifindex, uint32_t addr,
						   uint8_t mac[static FASTPATH_NETLINK_MAC])
{
	struct neighbour_answer answer = {.mac = mac, .state = FASTPATH_NEIGHBOUR_NONE};
	const struct nlmsghdr *message =
	    about_neighbour(netlink, RTM_GETNEIGH, 0, 0, ifindex, addr);
	return ask(netlink, netlink->questions, message, on_neighbour, &answer)
		   ? answer.state
		   : FASTPATH_NEIGHBOUR_NONE;
}

void fastpath_netlink_kick(struct fastpath_netlink *netlink, unsigned ifindex, uint32_t addr)
{
	const struct nlmsghdr *message = about_neighbour(
	    netlink, RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_ACK, NTF_USE, ifindex, addr);
	/* It helps if it can. */
	ask(netlink, netlink->questions, message, NULL, NULL);
}

/* ---- interfaces ---- */

static int on_link(const struct nlmsghdr *message, void *arg)
{
	struct fastpath_link *link = arg;
	const struct ifinfomsg *info = mnl_nlmsg_get_payload(message);
	if (message->nlmsg_type != RTM_NEWLINK)
		return MNL_CB_OK;
	struct attributes found = attributes_of(message, sizeof(*info));

	*link = (struct fastpath_link){
	    .ifindex = (unsigned)info->ifi_index,
	    .ethernet = info->ifi_type == ARPHRD_ETHER,
	    .loopback = (info->ifi_flags & IFF_LOOPBACK) != 0,
	    .up = (info->ifi_flags & IFF_UP) && (info->ifi_flags & IFF_RUNNING),
	    .sends_native = true,
	};
	if (has(&found, IFLA_MTU, 4))
		link->mtu = mnl_attr_get_u32(found.of[IFLA_MTU]);
	if (has(&found, IFLA_IFNAME, 1))
		strncpy(link->name, mnl_attr_get_str(found.of[IFLA_IFNAME]),
			sizeof(link->name) - 1);
	if (has(&found, IFLA_ADDRESS, FASTPATH_NETLINK_MAC))
		memcpy(link->mac, mnl_attr_get_payload(found.of[IFLA_ADDRESS]),
		       FASTPATH_NETLINK_MAC);
	return MNL_CB_OK;
}

static int on_features(const struct nlmsghdr *message, void *arg)
{
	struct fastpath_link *link = arg;
	struct attributes found = attributes_of(message, sizeof(struct genlmsghdr));
	if (has(&found, NETDEV_DEV_XDP_FEATURES, 8))
		link->sends_native = (mnl_attr_get_u64(found.of[NETDEV_DEV_XDP_FEATURES]) &
				      NETDEV_SENDS_NATIVE) != 0;
	return MNL_CB_OK;
}

bool fastpath_netlink_link(struct fastpath_netlink *netlink, unsigned ifindex,
			   struct fastpath_link *link)
{
	struct ifinfomsg *info;
	struct nlmsghdr *message = question(netlink, RTM_GETLINK, 0, sizeof(*info), &info);
	info->ifi_family = AF_UNSPEC;
	info->ifi_index = (int)ifindex;
	*link = (struct fastpath_link){0};
	if (!ask(netlink, netlink->questions, message, on_link, link) || link->ifindex == 0)
		return false;
	if (netlink->netdev_family == 0)
		return true;
	struct genlmsghdr *command;
	message = question(netlink, netlink->netdev_family, 0, sizeof(*command), &command);
	command->cmd = NETDEV_COMMAND_DEV_GET;
	command->version = 1;
	mnl_attr_put_u32(message, NETDEV_DEV_IFINDEX, ifindex);
	ask(netlink, netlink->features, message, on_features, link);
	return true;
}

/* ---- news ---- */

struct news {
	fastpath_netlink_change *told;
	void *arg;
};

static uint32_t addr_in(const struct attributes *found, int type)
{
	return has(found, type, 4) ? ntohl(mnl_attr_get_u32(found->of[type])) : 0;
}

static int on_news(const struct nlmsghdr *message, void *arg)
{
	const struct news *news = arg;
	struct attributes found;
	const struct rtmsg *route = mnl_nlmsg_get_payload(message);
	const struct ndmsg *neighbour = mnl_nlmsg_get_payload(message);

	switch (message->nlmsg_type) {
	case RTM_NEWROUTE:
	case RTM_DELROUTE:
		if (route->rtm_family != AF_INET)
			break;
		found = attributes_of(message, sizeof(*route));
		news->told(news->arg, FASTPATH_CHANGE_ROUTE, addr_in(&found, RTA_DST),
			   route->rtm_dst_len);
		break;
	case RTM_NEWNEIGH:
	case RTM_DELNEIGH:
		if (neighbour->ndm_family != AF_INET)
			break;
		found = attributes_of(message, sizeof(*neighbour));
		news->told(news->arg, FASTPATH_CHANGE_NEIGHBOUR, addr_in(&found, NDA_DST), 32);
		break;
	case RTM_NEWLINK:
	case RTM_DELLINK:
		news->told(news->arg, FASTPATH_CHANGE_LINK, 0, 0);
		break;
	default:
		news->told(news->arg, FASTPATH_CHANGE_ALL, 0, 0);
	}
	return MNL_CB_OK;
}

int fastpath_netlink_fds(const struct fastpath_netlink *netlink, int fds[static 2])
{
	fds[0] = mnl_socket_get_fd(netlink->events);
	fds[1] = netlink->feature_events ? mnl_socket_get_fd(netlink->feature_events) : -1;
	return netlink->feature_events ? 2 : 1;
}

void fastpath_netlink_news(struct fastpath_netlink *netlink, fastpath_netlink_change *told,
			   void *arg)
{
	struct news news = {told, arg};
	int fds[2], count = fastpath_netlink_fds(netlink, fds);
	for (int i = 0; i < count; i++) {
		ssize_t length;
		while ((length = recv(fds[i], netlink->news, sizeof(netlink->news), MSG_DONTWAIT)) >
			   0 ||
		       (length < 0 && errno == ENOBUFS)) {
			if (length < 0)
				told(arg, FASTPATH_CHANGE_ALL, 0, 0);
			else if (i == 1)
				told(arg, FASTPATH_CHANGE_LINK, 0, 0);
			else
				mnl_cb_run(netlink->news, (size_t)length, 0, 0, on_news, &news);
		}
	}
}

/* ---- birth and death ---- */

static struct mnl_socket *open_socket(int bus, unsigned groups)
{
	static const struct timeval patience = {.tv_sec = 5}; /* for an answer that got lost */
	struct mnl_socket *socket = mnl_socket_open2(bus, SOCK_CLOEXEC);
	if (socket)
		setsockopt(mnl_socket_get_fd(socket), SOL_SOCKET, SO_RCVTIMEO, &patience,
			   sizeof(patience));
	if (socket && mnl_socket_bind(socket, groups, MNL_SOCKET_AUTOPID) < 0) {
		mnl_socket_close(socket);
		return NULL;
	}
	return socket;
}

static int on_group(const struct nlattr *group, void *arg)
{
	struct fastpath_netlink *netlink = arg;
	struct attributes found = {0};
	mnl_attr_parse_nested(group, note_attribute, &found);
	if (has(&found, CTRL_ATTR_MCAST_GRP_ID, 4) && found.of[CTRL_ATTR_MCAST_GRP_NAME] &&
	    strcmp(mnl_attr_get_str(found.of[CTRL_ATTR_MCAST_GRP_NAME]), "mgmt") == 0)
		netlink->netdev_group = mnl_attr_get_u32(found.of[CTRL_ATTR_MCAST_GRP_ID]);
	return MNL_CB_OK;
}

static int on_family(const struct nlmsghdr *message, void *arg)
{
	struct fastpath_netlink *netlink = arg;
	struct attributes found = attributes_of(message, sizeof(struct genlmsghdr));
	if (has(&found, CTRL_ATTR_FAMILY_ID, 2))
		netlink->netdev_family = mnl_attr_get_u16(found.of[CTRL_ATTR_FAMILY_ID]);
	if (found.of[CTRL_ATTR_MCAST_GROUPS])
		mnl_attr_parse_nested(found.of[CTRL_ATTR_MCAST_GROUPS], on_group, netlink);
	return MNL_CB_OK;
}

/* Kernels before 6.3 have no such family, and nothing is missed then. */
static void find_features(struct fastpath_netlink *netlink)
{
	struct genlmsghdr *command;
	struct nlmsghdr *message = question(netlink, GENL_ID_CTRL, 0, sizeof(*command), &command);
	command->cmd = CTRL_CMD_GETFAMILY;
	command->version = 1;
	mnl_attr_put_strz(message, CTRL_ATTR_FAMILY_NAME, "netdev");
	ask(netlink, netlink->features, message, on_family, netlink);
	if (netlink->netdev_group == 0)
		return;
	netlink->feature_events = open_socket(NETLINK_GENERIC, 0);
	if (netlink->feature_events)
		mnl_socket_setsockopt(netlink->feature_events, NETLINK_ADD_MEMBERSHIP,
				      &netlink->netdev_group, sizeof(netlink->netdev_group));
}

struct fastpath_netlink *fastpath_netlink_open(struct why *why)
{
	static const unsigned groups = RTMGRP_LINK | RTMGRP_NEIGH | RTMGRP_IPV4_IFADDR |
				       RTMGRP_IPV4_ROUTE | RTMGRP_IPV4_RULE |
				       1U << (RTNLGRP_NEXTHOP - 1);
	int buffer = EVENTS_BUFFER;
	struct fastpath_netlink *netlink = calloc(1, sizeof(*netlink));
	if (!netlink) {
		why_set(why, "netlink: no memory");
		return NULL;
	}
	netlink->questions = open_socket(NETLINK_ROUTE, 0);
	netlink->features = open_socket(NETLINK_GENERIC, 0);
	netlink->events = open_socket(NETLINK_ROUTE, groups);
	if (!netlink->questions || !netlink->features || !netlink->events) {
		why_set(why, "netlink: %s", strerror(errno));
		fastpath_netlink_close(netlink);
		return NULL;
	}
	/* Where it is refused, lost news are found out and all is asked anew. */
	setsockopt(mnl_socket_get_fd(netlink->events), SOL_SOCKET, SO_RCVBUFFORCE, &buffer,
		   sizeof(buffer));
	find_features(netlink);
	return netlink;
}

void fastpath_netlink_close(struct fastpath_netlink *netlink)
{
	if (!netlink)
		return;
	struct mnl_socket *const sockets[] = {netlink->questions, netlink->features,
					      netlink->events, netlink->feature_events};
	for (int i = 0; i < 4; i++) {
		if (sockets[i])
			mnl_socket_close(sockets[i]);
	}
	free(netlink);
}
