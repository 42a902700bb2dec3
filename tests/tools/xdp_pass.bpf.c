/* Somebody else's XDP program: all packets pass. */
#include <linux/bpf.h>

__attribute__((section("xdp"), used)) int xdp_pass(struct xdp_md *context)
{
	(void)context;
	return XDP_PASS;
}
