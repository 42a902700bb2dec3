/*
 * The eBPF half of the fast path: enhanced GRE packets of established calls, rewritten and
 * redirected before the network stack sees them. RFC 2637 section 4.
 *
 * It knows nothing but its maps, and every doubt is XDP_PASS: such a packet goes to the raw sockets
 * untouched. No arithmetic with pointers into the packet but by constants: it would need
 * CAP_PERFMON.
 */
#include "fastpath/fastpath_shared.h"
#include "wire/gre_wire.h"

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define READ_ONCE(x)	 (*(const volatile typeof(x) *)&(x))
#define WRITE_ONCE(x, v) (*(volatile typeof(x) *)&(x) = (v))
#define UNLIKELY(x)	 __builtin_expect(!!(x), 0)

enum {
	IP_PLAIN = 0x45, /* version 4, no options */
	PROTOCOL_GRE = 47,
	IP_NOT_DF = 0xBFFF, /* a fragment, or the reserved flag: the raw way's business */
	IP_MORE = 0x2000,
	IP_OFFSET = 0x1FFF,
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, uint32_t);
	__type(value, struct fastpath_setup);
} setup SEC(".maps");

struct routes {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, FASTPATH_IDS);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(key_size, sizeof(uint32_t));
	__uint(value_size, sizeof(struct fastpath_route));
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, FASTPATH_LOCALS);
	__type(key, uint32_t);
	__array(values, struct routes);
} locals SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, FASTPATH_HOPS);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, uint32_t);
	__type(value, struct fastpath_hop);
} hops SEC(".maps");

/* The user half sets how many an inner one has: FASTPATH_COUNTS_CALLS for each CPU. */
struct counts {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, FASTPATH_COUNTS_CALLS);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(key_size, sizeof(uint32_t));
	__uint(value_size, sizeof(struct fastpath_counts));
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, FASTPATH_COUNTS_CHUNKS);
	__type(key, uint32_t);
	__array(values, struct counts);
} counters SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_DEVMAP);
	__uint(max_entries, FASTPATH_PORTS);
	__uint(key_size, sizeof(uint32_t));
	__uint(value_size, sizeof(uint32_t));
} ports SEC(".maps");

/* A frame that could be ours, as the stack would see it. */
struct frame {
	struct ethhdr *ethernet;
	struct iphdr *ip;
	uint32_t *gre; /* first word; call ID in the low half of the second one */
};

static __always_inline uint32_t fold(uint64_t sum)
{
	sum = (sum & 0xFFFFFFFF) + (sum >> 32);
	sum = (sum & 0xFFFF) + (sum >> 16 & 0xFFFF) + (sum >> 32);
	sum = (sum & 0xFFFF) + (sum >> 16);
	sum = (sum & 0xFFFF) + (sum >> 16);
	return (uint32_t)sum;
}

static __always_inline int is_enhanced_gre(const struct frame *frame, uint32_t length)
{
	uint32_t first = bpf_ntohl(frame->gre[0]);
	uint32_t total = bpf_ntohs(frame->ip->tot_len);
	uint32_t header = sizeof(struct iphdr) + GRE_HEADER_MIN;

	if ((first & GRE_FIRST_MASK) != GRE_FIRST_VALUE)
		return 0;
	/* The whole packet's lengths are not known yet, but whose it is. */
	if (UNLIKELY(frame->ip->frag_off & bpf_htons(IP_MORE)))
		return 1;
	header += (first & GRE_FLAG_S ? 4 : 0) + (first & GRE_FLAG_A ? 4 : 0);
	return total >= header + (bpf_ntohl(frame->gre[1]) >> 16) &&
	       sizeof(struct ethhdr) + total <= length;
}

static __always_inline int is_intact(const struct iphdr *ip)
{
	const uint32_t *words = (const uint32_t *)ip;
	return fold((uint64_t)words[0] + words[1] + words[2] + words[3] + words[4]) == 0xFFFF;
}

static __always_inline struct fastpath_route *find_route(const struct fastpath_setup *ours,
							 const struct frame *frame)
{
	uint32_t local, id = bpf_ntohl(frame->gre[1]) & 0xFFFF;
	uint32_t count = ours->local_count;

	for (local = 0; local < FASTPATH_LOCALS; local++) {
		if (local >= count)
			return 0;
		if (ours->locals_be[local] == frame->ip->daddr)
			break;
	}
	void *routes = bpf_map_lookup_elem(&locals, &local);
	return routes ? bpf_map_lookup_elem(routes, &id) : 0;
}

/* The packet must go the raw way: those right behind it do, too, lest they overtake it. */
static __always_inline int pass(struct fastpath_route *route)
{
	uint64_t now = bpf_ktime_get_ns();
	if (READ_ONCE(route->raw_until_ns) < now + FASTPATH_GAP_NS)
		WRITE_ONCE(route->raw_until_ns, now + FASTPATH_GAP_NS);
	WRITE_ONCE(route->raw_at_most_ns, now + FASTPATH_HOLD_NS);
	return XDP_PASS;
}

/* Whether packets of this way that are still on the raw way could be overtaken. */
static __always_inline int would_overtake(struct fastpath_route *route)
{
	uint64_t until = READ_ONCE(route->raw_until_ns), now;
	if (!UNLIKELY(until))
		return 0;
	now = bpf_ktime_get_ns();
	if (now >= until || now >= READ_ONCE(route->raw_at_most_ns)) {
		WRITE_ONCE(route->raw_until_ns, 0);
		return 0;
	}
	if (until < now + FASTPATH_GAP_NS)
		WRITE_ONCE(route->raw_until_ns, now + FASTPATH_GAP_NS);
	return 1;
}

/* The frame is addressed to us, on the interface that packets to its sender leave by. */
static __always_inline int came_by(const struct fastpath_hop *back, const struct ethhdr *ethernet,
				   uint32_t ifindex)
{
	const uint16_t *ours = (const uint16_t *)back->source_mac;
	const uint16_t *theirs = (const uint16_t *)ethernet->h_dest;
	return back->ifindex == ifindex && ours[0] == theirs[0] && ours[1] == theirs[1] &&
	       ours[2] == theirs[2];
}

/* Without DF, as from the raw sockets: the ends of PPTP do not lower their MTU when a router
 * further on asks them to. So the identification must tell packets between two addresses apart. */
static __always_inline void rewrite(const struct frame *frame, const struct fastpath_route *route,
				    const struct fastpath_hop *hop, uint16_t identification)
{
	const uint32_t *words = (const uint32_t *)frame->ip;
	/* Summed from what is written, not read back: that would wait for the stores. */
	uint64_t sum = (uint64_t)words[0] + identification +
		       bpf_htons(hop->ttl << 8 | PROTOCOL_GRE) + route->source_be +
		       route->destination_be;

	__builtin_memcpy(frame->ethernet, hop->destination_mac, 2 * FASTPATH_MAC);
	frame->ip->id = identification;
	frame->ip->frag_off = 0;
	frame->ip->ttl = hop->ttl;
	frame->ip->check = ~fold(sum);
	frame->ip->saddr = route->source_be;
	frame->ip->daddr = route->destination_be;
	((uint16_t *)frame->gre)[3] = route->call_id_be;
}

static __always_inline struct fastpath_counts *find_counts(uint32_t slot)
{
	uint32_t chunk = slot / FASTPATH_COUNTS_CALLS;
	uint32_t at =
	    bpf_get_smp_processor_id() * FASTPATH_COUNTS_CALLS + slot % FASTPATH_COUNTS_CALLS;
	void *counts = bpf_map_lookup_elem(&counters, &chunk);
	return counts ? bpf_map_lookup_elem(counts, &at) : 0;
}

static __always_inline int is_plain(const struct frame *frame)
{
	return frame->ethernet->h_proto == bpf_htons(ETH_P_IP) &&
	       *(const uint8_t *)frame->ip == IP_PLAIN && frame->ip->protocol == PROTOCOL_GRE &&
	       !(frame->ip->frag_off & bpf_htons(IP_OFFSET));
}

/* False: none, or it is being written. */
static __always_inline int read_route(const struct fastpath_route *from,
				      struct fastpath_route *route)
{
	uint32_t seq = READ_ONCE(from->seq);
	route->peer_be = READ_ONCE(from->peer_be);
	route->source_be = READ_ONCE(from->source_be);
	route->destination_be = READ_ONCE(from->destination_be);
	route->call_id_be = READ_ONCE(from->call_id_be);
	route->from = READ_ONCE(from->from);
	route->slot = READ_ONCE(from->slot);
	route->hop = READ_ONCE(from->hop);
	route->back = READ_ONCE(from->back);
	return !(seq & 1) && READ_ONCE(from->seq) == seq && route->peer_be;
}

/* The next hop, where it is known, and the packet came from where it should. */
static __always_inline int read_hop(const struct fastpath_route *route, const struct frame *frame,
				    uint32_t ifindex, struct fastpath_hop *next)
{
	const struct fastpath_hop *hop = bpf_map_lookup_elem(&hops, &route->hop);
	const struct fastpath_hop *back = bpf_map_lookup_elem(&hops, &route->back);
	if (!hop || !back)
		return 0;
	uint32_t hop_seq = READ_ONCE(hop->seq), back_seq = READ_ONCE(back->seq);
	*next = *hop;
	int from_there = came_by(back, frame->ethernet, ifindex);
	barrier();
	return !(hop_seq & 1) && READ_ONCE(hop->seq) == hop_seq && !(back_seq & 1) &&
	       READ_ONCE(back->seq) == back_seq && next->ifindex && from_there;
}

/* Native XDP hands frames to the driver that sends, which may not take any; generic XDP to the
 * stack's transmit queue, which takes all. */
static __always_inline int can_leave(const struct frame *frame, const struct fastpath_hop *next,
				     int native)
{
	return !(frame->ip->frag_off & bpf_htons(IP_NOT_DF)) &&
	       bpf_ntohs(frame->ip->tot_len) <= next->mtu && (!native || next->sends_native);
}

/* Returns an identification: one more with each packet of this way on this CPU. */
static __always_inline uint16_t count(struct fastpath_counts *counts, const struct frame *frame,
				      uint32_t from)
{
	uint64_t packets = ++counts->from[from & 1].packets;
	counts->from[from & 1].octets += bpf_ntohs(frame->ip->tot_len);
	counts->from[from & 1].seen_jiffies =
	    bpf_jiffies64(); /* a load; the time would be a call */
	return packets + ((const uint16_t *)frame->gre)[3] * 0x9E37U +
	       (bpf_get_smp_processor_id() << 13);
}

static __always_inline int relay(struct xdp_md *context, int native)
{
	void *data = (void *)(long)context->data;
	struct frame frame = {
	    .ethernet = data,
	    .ip = data + sizeof(struct ethhdr),
	    .gre = data + sizeof(struct ethhdr) + sizeof(struct iphdr),
	};
	if ((void *)frame.gre + GRE_HEADER_MIN > (void *)(long)context->data_end ||
	    !is_plain(&frame))
		return XDP_PASS;

	uint32_t zero = 0;
	struct fastpath_setup *ours = bpf_map_lookup_elem(&setup, &zero);
	if (!ours || !is_enhanced_gre(&frame, bpf_xdp_get_buff_len(context)) ||
	    !is_intact(frame.ip))
		return XDP_PASS;

	struct fastpath_route route, *found = find_route(ours, &frame);
	if (!found || !read_route(found, &route) || route.peer_be != frame.ip->saddr)
		return XDP_PASS;
	struct fastpath_hop next;
	if (!read_hop(&route, &frame, context->ingress_ifindex, &next) ||
	    !can_leave(&frame, &next, native))
		return pass(found);
	if (would_overtake(found))
		return XDP_PASS;

	/* The port may have gone while its news is on the way. */
	struct fastpath_counts *counts = find_counts(route.slot);
	if (!counts || bpf_redirect_map(&ports, next.port, XDP_PASS) != XDP_REDIRECT)
		return pass(found);
	rewrite(&frame, &route, &next, count(counts, &frame, route.from));
	return XDP_REDIRECT;
}

SEC("xdp")
int fastpath_native(struct xdp_md *context)
{
	return relay(context, 1);
}

SEC("xdp")
int fastpath_generic(struct xdp_md *context)
{
	return relay(context, 0);
}

/* Run by the user half, to tell jiffies from times. */
SEC("xdp")
int fastpath_clock(struct xdp_md *context)
{
	uint32_t zero = 0;
	struct fastpath_setup *ours = bpf_map_lookup_elem(&setup, &zero);
	if (ours)
		ours->jiffies = bpf_jiffies64();
	(void)context;
	return XDP_PASS;
}

char fastpath_license[] SEC("license") = "Dual MIT/GPL";
