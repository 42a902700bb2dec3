/*
 * Makes packets: each run of the program is one. Frames are recycled, with what others have written
 * into them, so every field of every packet is written anew.
 */
#include "rows.h"

#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, ROWS_MAX);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct sent_row);
} rows SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_DEVMAP);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} way_out SEC(".maps");

/* One CPU runs this, so plain numbers do. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} sent SEC(".maps");

const volatile __u32 row_count = 1;
static __u32 next_row;

SEC("xdp")
int source(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	__u32 zero = 0, at = next_row;
	struct sent_row *row = bpf_map_lookup_elem(&rows, &at);
	__u64 *count = bpf_map_lookup_elem(&sent, &zero);

	if (!row || !count || data + sizeof(*row) > end)
		return XDP_ABORTED;
	next_row = at + 1 < row_count ? at + 1 : 0;
	for (unsigned i = 0; i < sizeof(row->words) / sizeof(row->words[0]); i++)
		((__u64 *)data)[i] = row->words[i];
	++*count;
	return bpf_redirect_map(&way_out, 0, 0);
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
