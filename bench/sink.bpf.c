/*
 * The other end: looks at each packet of protocol 47, counts it as right or wrong, and drops it.
 * Everything else goes on. Twice the same: for frames (XDP) and for what comes from the stack (tc).
 */
#include "rows.h"

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/pkt_cls.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define FIRST_WORD 0x3001880b /* of enhanced GRE: key, sequence number, version 1, PPP */

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, ROWS_MAX);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct expected_row);
} expected SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct sink_tally);
} tally SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct sink_wrong);
} wrong SEC(".maps");

const volatile struct sink_terms terms = {.rows = 1};

struct gre {
	__be32 first_word;
	__be16 length, call_id;
	__be32 sequence;
};

static __always_inline int checksum_right(const struct iphdr *ip)
{
	const __u32 *words = (const void *)ip;
	__u64 sum = 0;
	for (int i = 0; i < 5; i++)
		sum += words[i];
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return sum == 0xffff;
}

/* None of the headers is told to be packed: then the compiler would read them octet by octet. */
static __always_inline enum sink_fault judge(const struct ethhdr *eth, const struct iphdr *ip,
					     const struct gre *gre)
{
	__u32 number = bpf_ntohl(gre->sequence);

	for (int i = 0; i < ETH_ALEN / 2; i++)
		if (((const __u16 *)eth->h_dest)[i] != terms.mac[i])
			return FAULT_MAC;
	if (ip->version != 4 || ip->ihl != 5 || ip->ttl == 0 || ip->tot_len != terms.ip_length ||
	    ip->frag_off & bpf_htons(0x3fff))
		return FAULT_IP_HEADER;
	if (!checksum_right(ip))
		return FAULT_CHECKSUM;
	if (gre->first_word != bpf_htonl(FIRST_WORD) || gre->length != terms.gre_length)
		return FAULT_GRE;
	const struct expected_row *row = bpf_map_lookup_elem(&expected, &number);
	if (!row || number >= terms.rows)
		return FAULT_ROW;
	if (ip->saddr != row->source || ip->daddr != row->destination)
		return FAULT_ADDRESS;
	return gre->call_id == row->call_id ? FAULT_NONE : FAULT_CALL_ID;
}

static __always_inline void note_wrong(enum sink_fault fault, const void *headers)
{
	__u32 zero = 0;
	struct sink_wrong *last = bpf_map_lookup_elem(&wrong, &zero);
	if (!last)
		return;
	last->fault = fault;
	if (headers)
		__builtin_memcpy(last->octets, headers, HEADERS);
}

/* True: the packet was ours, and has been counted. */
static __always_inline int count(void *data, void *end)
{
	const struct ethhdr *eth = data;
	const struct iphdr *ip = (void *)(eth + 1);
	const struct gre *gre = (void *)(ip + 1);
	__u32 zero = 0;

	if ((void *)(ip + 1) > end || eth->h_proto != bpf_htons(ETH_P_IP) ||
	    ip->protocol != IPPROTO_GRE)
		return 0;
	int whole = (void *)(gre + 1) <= end;
	enum sink_fault fault = whole ? judge(eth, ip, gre) : FAULT_SHORT;
	struct sink_tally *counts = bpf_map_lookup_elem(&tally, &zero);
	if (!counts)
		return 1;
	if (fault == FAULT_NONE) {
		counts->right++;
	} else {
		counts->wrong++;
		note_wrong(fault, (void *)(gre + 1) <= end ? data : 0);
	}
	return 1;
}

SEC("xdp")
int sink_xdp(struct xdp_md *ctx)
{
	return count((void *)(long)ctx->data, (void *)(long)ctx->data_end) ? XDP_DROP : XDP_PASS;
}

SEC("tc")
int sink_tc(struct __sk_buff *skb)
{
	return count((void *)(long)skb->data, (void *)(long)skb->data_end) ? TC_ACT_SHOT
									   : TC_ACT_OK;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
