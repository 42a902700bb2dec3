/*
 * An interface that goes takes its attachment with it; one of its name that comes is attached
 * again.
 */
#include "fastpath/fastpath_ports.h"

#include "host/log.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <errno.h>
#include <ifaddrs.h>
#include <linux/if_link.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct port {
	struct fastpath_link link;
	int link_fd; /* of the attachment; -1: none */
	bool busy;   /* somebody else's program is there */
	bool gone;   /* it was attached */
	struct why why;
};

struct fastpath_ports {
	struct fastpath_maps *maps;
	struct fastpath_netlink *netlink;
	bool native, named;
	struct port of[FASTPATH_PORTS];
	size_t count;
};

/* ---- which interfaces ---- */

static bool is_port(const struct fastpath_ports *ports, unsigned ifindex)
{
	for (size_t i = 0; i < ports->count; i++) {
		if (ports->of[i].link.ifindex == ifindex)
			return true;
	}
	return false;
}

static void add_port(struct fastpath_ports *ports, unsigned ifindex)
{
	struct port *port = &ports->of[ports->count];
	if (is_port(ports, ifindex))
		return;
	if (ports->count == FASTPATH_PORTS) {
		log_warning("fast path: more than %d interfaces: calls by the others stay on the "
			    "raw way",
			    FASTPATH_PORTS);
		return;
	}
	*port = (struct port){.link_fd = -1};
	if (fastpath_netlink_link(ports->netlink, ifindex, &port->link) && !port->link.loopback)
		ports->count++;
}

static int add_named(struct fastpath_ports *ports, const char *name, struct why *why)
{
	struct fastpath_link link;
	unsigned ifindex = if_nametoindex(name);
	if (ifindex == 0)
		return why_set(why, "--fastpath-interface %.64s: %s", name, strerror(errno));
	if (fastpath_netlink_link(ports->netlink, ifindex, &link) && link.loopback)
		return why_set(why, "--fastpath-interface %.64s: not for the loopback", name);
	add_port(ports, ifindex);
	if (!is_port(ports, ifindex))
		return why_set(why, "--fastpath-interface %.64s: one too many, or gone", name);
	return 0;
}

static void add_by_local_addr(struct fastpath_ports *ports, uint32_t addr)
{
	struct ifaddrs *all, *at;
	if (getifaddrs(&all) != 0)
		return;
	for (at = all; at; at = at->ifa_next) {
		const struct sockaddr_in *has = (const void *)at->ifa_addr;
		if (has && has->sin_family == AF_INET &&
		    (addr == INADDR_ANY || ntohl(has->sin_addr.s_addr) == addr))
			add_port(ports, if_nametoindex(at->ifa_name));
	}
	freeifaddrs(all);
}

static int find_ports(struct fastpath_ports *ports, const struct fastpath_keeper_config *config,
		      struct why *why)
{
	struct fastpath_next next;
	ports->named = config->interface_count > 0;
	for (size_t i = 0; i < config->interface_count; i++) {
		if (add_named(ports, config->interfaces[i], why) != 0)
			return -1;
	}
	for (size_t i = 0; !ports->named && i < config->listen_count; i++)
		add_by_local_addr(ports, config->listen_addrs[i]);
	for (size_t i = 0; !ports->named && i < config->peer_count; i++) {
		if (fastpath_netlink_route(ports->netlink, 0, config->peer_addrs[i], &next))
			add_port(ports, next.ifindex);
	}
	return ports->count > 0 ? 0 : why_set(why, "no interface that calls would use");
}

/* ---- attaching ---- */

static void detach(struct port *port)
{
	int error = errno;
	if (port->link_fd >= 0)
		close(port->link_fd);
	port->link_fd = -1;
	errno = error;
}

static void attach(struct fastpath_ports *ports, size_t at, bool native)
{
	struct port *port = &ports->of[at];
	LIBBPF_OPTS(bpf_link_create_opts, options,
		    .flags = native ? XDP_FLAGS_DRV_MODE : XDP_FLAGS_SKB_MODE);

	port->busy = false;
	if (!port->link.ethernet) {
		why_set(&port->why, "not an Ethernet interface");
		return;
	}
	port->link_fd = bpf_link_create(fastpath_maps_program(ports->maps, native),
					(int)port->link.ifindex, BPF_XDP, &options);
	if (port->link_fd >= 0) {
		if (fastpath_maps_set_port(ports->maps, (uint32_t)at, port->link.ifindex) == 0)
			return;
		detach(port);
	}
	port->busy = errno == EBUSY || errno == EEXIST;
	if (port->busy)
		why_set(&port->why, "an XDP program is there already, and left alone");
	else if (native && (errno == EOPNOTSUPP || errno == EINVAL))
		why_set(&port->why, "its driver has no native XDP");
	else
		why_set(&port->why, "%s", strerror(errno));
}

static void detach_all(struct fastpath_ports *ports)
{
	for (size_t i = 0; i < ports->count; i++)
		detach(&ports->of[i]);
}

static const char *mode_name(bool native)
{
	return native ? "native" : "generic";
}

/* How many are attached. */
static size_t attach_all(struct fastpath_ports *ports, bool native)
{
	size_t attached = 0;
	ports->native = native;
	for (size_t i = 0; i < ports->count; i++) {
		attach(ports, i, native);
		attached += ports->of[i].link_fd >= 0;
	}
	/* What a port's neighbour has attached may have changed what it can send. */
	fastpath_ports_refresh(ports);
	return attached;
}

/* Whether native XDP can carry all that generic XDP could; else one line says why not. */
static bool native_suffices(const struct fastpath_ports *ports)
{
	for (size_t i = 0; i < ports->count; i++) {
		const struct port *port = &ports->of[i];
		if (port->busy || !port->link.ethernet)
			continue;
		if (port->link_fd >= 0 && port->link.sends_native)
			continue;
		log_info("fast path: not native, as %s cannot: %s", port->link.name,
			 port->link_fd < 0 ? port->why.text : "it takes no frames from native XDP");
		return false;
	}
	return true;
}

static bool any_sends_native(const struct fastpath_ports *ports)
{
	for (size_t i = 0; i < ports->count; i++) {
		if (ports->of[i].link_fd >= 0 && ports->of[i].link.sends_native)
			return true;
	}
	return false;
}

static void tell_unattached(const struct fastpath_ports *ports)
{
	for (size_t i = 0; i < ports->count; i++) {
		const struct port *port = &ports->of[i];
		if (port->link_fd < 0)
			log_warning("fast path: %s: %s; its packets stay on the raw way",
				    port->link.name, port->why.text);
		else if (ports->native && !port->link.sends_native)
			log_warning("fast path: %s takes no frames from native XDP; what leaves "
				    "by it stays on the raw way",
				    port->link.name);
	}
}

static void tell_attached(const struct fastpath_ports *ports)
{
	char names[512] = "";
	size_t length = 0;
	for (size_t i = 0; i < ports->count; i++) {
		if (ports->of[i].link_fd >= 0 && length < sizeof(names))
			length += (size_t)snprintf(names + length, sizeof(names) - length, "%s%s",
						   length > 0 ? ", " : "", ports->of[i].link.name);
	}
	log_info("fast path: %s XDP on %s", mode_name(ports->native), names);
}

static int attach_as_configured(struct fastpath_ports *ports, enum fastpath_mode mode,
				struct why *why)
{
	size_t attached = 0;
	bool native = mode != FASTPATH_GENERIC;
	if (native)
		attached = attach_all(ports, true);
	if (mode == FASTPATH_AUTO && (attached == 0 || !native_suffices(ports))) {
		detach_all(ports);
		native = false;
	}
	if (!native)
		attached = attach_all(ports, false);
	for (size_t i = 0; i < ports->count; i++) {
		const struct port *port = &ports->of[i];
		if (port->link_fd < 0 && (ports->named || attached == 0))
			return why_set(why, "%s: %s", port->link.name, port->why.text);
	}
	if (native && !any_sends_native(ports))
		return why_set(why, "%s: it takes no frames from native XDP, nor does another",
			       ports->of[0].link.name);
	tell_unattached(ports);
	tell_attached(ports);
	return 0;
}

static struct fastpath_ports *new_ports(struct fastpath_maps *maps,
					struct fastpath_netlink *netlink, struct why *why)
{
	struct fastpath_ports *ports = calloc(1, sizeof(*ports));
	if (!ports) {
		why_set(why, "no memory");
		return NULL;
	}
	ports->maps = maps;
	ports->netlink = netlink;
	return ports;
}

struct fastpath_ports *fastpath_ports_open(const struct fastpath_keeper_config *config,
					   struct fastpath_maps *maps,
					   struct fastpath_netlink *netlink, struct why *why)
{
	struct fastpath_ports *ports = new_ports(maps, netlink, why);
	if (!ports)
		return NULL;
	if (find_ports(ports, config, why) != 0 ||
	    attach_as_configured(ports, config->mode, why) != 0) {
		fastpath_ports_close(ports);
		return NULL;
	}
	return ports;
}

void fastpath_ports_close(struct fastpath_ports *ports)
{
	if (!ports)
		return;
	detach_all(ports);
	free(ports);
}

int fastpath_ports_look(const struct fastpath_keeper_config *config,
			struct fastpath_netlink *netlink, fastpath_ports_seen *seen, void *arg,
			struct why *why)
{
	struct fastpath_ports *ports = calloc(1, sizeof(*ports));
	if (!ports)
		return why_set(why, "no memory");
	ports->netlink = netlink;
	int result = find_ports(ports, config, why);
	for (size_t i = 0; result == 0 && i < ports->count; i++)
		seen(arg, &ports->of[i].link);
	free(ports);
	return result;
}

/* ---- later ---- */

int fastpath_ports_find(const struct fastpath_ports *ports, unsigned ifindex,
			struct fastpath_link *link)
{
	for (size_t i = 0; i < ports->count; i++) {
		if (ports->of[i].link.ifindex == ifindex && ports->of[i].link_fd >= 0) {
			*link = ports->of[i].link;
			return (int)i;
		}
	}
	return -1;
}

static bool same(const struct fastpath_link *a, const struct fastpath_link *b)
{
	return a->mtu == b->mtu && a->up == b->up && a->sends_native == b->sends_native &&
	       memcmp(a->mac, b->mac, sizeof(a->mac)) == 0;
}

/* Its interface has been deleted, or moved away; another may have its number by now. One that was
 * moved has kept the attachment, even if it is back, but is a port no more. */
static bool has_lost_its_interface(const struct fastpath_ports *ports, size_t at)
{
	return ports->of[at].link_fd >= 0 && !fastpath_maps_has_port(ports->maps, (uint32_t)at);
}

static bool come_back(struct fastpath_ports *ports, size_t at)
{
	struct port *port = &ports->of[at];
	struct fastpath_link link;
	if (!fastpath_netlink_link(ports->netlink, if_nametoindex(port->link.name), &link))
		return false;
	port->link = link;
	attach(ports, at, ports->native);
	if (port->link_fd < 0)
		return false;
	port->gone = false;
	log_info("fast path: %s is back", port->link.name);
	return true;
}

static bool refresh(struct fastpath_ports *ports, size_t at)
{
	struct port *port = &ports->of[at];
	struct fastpath_link now;
	bool lost = has_lost_its_interface(ports, at);
	if (lost) {
		detach(port);
		port->gone = true;
		log_warning("fast path: %s is gone; its packets stay on the raw way",
			    port->link.name);
	}
	if (port->gone)
		return come_back(ports, at) || lost;
	if (!fastpath_netlink_link(ports->netlink, port->link.ifindex, &now)) {
		now = port->link;
		now.up = false;
	}
	bool changed = !same(&now, &port->link);
	port->link = now;
	return changed;
}

bool fastpath_ports_refresh(struct fastpath_ports *ports)
{
	bool changed = false;
	for (size_t i = 0; i < ports->count; i++)
		changed |= refresh(ports, i);
	return changed;
}

/* ---- over an exec ---- */

void fastpath_ports_describe(const struct fastpath_ports *ports, struct fastpath_letter *letter)
{
	letter->port_count = (uint32_t)ports->count;
	letter->native = ports->native;
	letter->named = ports->named;
	for (size_t i = 0; i < ports->count; i++) {
		const struct port *port = &ports->of[i];
		letter->fds[FASTPATH_LETTER_LINKS + i] = port->link_fd;
		letter->ports[i].ifindex = port->link.ifindex;
		letter->ports[i].gone = port->gone;
		memcpy(letter->ports[i].name, port->link.name, sizeof(letter->ports[i].name));
	}
}

static void take_port(struct port *port, struct fastpath_letter *letter, size_t at)
{
	*port = (struct port){
	    .link_fd = letter->fds[FASTPATH_LETTER_LINKS + at],
	    .link.ifindex = letter->ports[at].ifindex,
	    .gone = letter->ports[at].gone,
	};
	memcpy(port->link.name, letter->ports[at].name, sizeof(port->link.name));
	port->link.name[sizeof(port->link.name) - 1] = '\0';
	letter->fds[FASTPATH_LETTER_LINKS + at] = -1;
}

/* One whose interface has gone cannot change any more, and need not. */
static int replace_program(const struct fastpath_ports *ports, const struct port *port,
			   struct why *why)
{
	int program = fastpath_maps_program(ports->maps, ports->native);
	if (port->link_fd < 0 || bpf_link_update(port->link_fd, program, NULL) == 0 ||
	    errno == ENOLINK)
		return 0;
	return why_set(why, "%s: the eBPF program cannot be replaced: %s", port->link.name,
		       strerror(errno));
}

struct fastpath_ports *fastpath_ports_adopt(struct fastpath_letter *letter, bool changed,
					    struct fastpath_maps *maps,
					    struct fastpath_netlink *netlink, struct why *why)
{
	struct fastpath_ports *ports = new_ports(maps, netlink, why);
	if (!ports)
		return NULL;
	ports->native = letter->native;
	ports->named = letter->named;
	for (; ports->count < letter->port_count && ports->count < FASTPATH_PORTS; ports->count++)
		take_port(&ports->of[ports->count], letter, ports->count);
	for (size_t i = 0; changed && i < ports->count; i++) {
		if (replace_program(ports, &ports->of[i], why) != 0) {
			fastpath_ports_close(ports);
			return NULL;
		}
	}
	fastpath_ports_refresh(ports);
	tell_attached(ports);
	return ports;
}
