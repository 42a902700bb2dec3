/*
 * What stands before the IP header, link by link, and the IP header (RFC 791).
 */
#include "explain/explain_link.h"

#include "wire/bytes.h"

#include <pcap/dlt.h>

enum {
	ETHERTYPE_IPV4 = 0x0800,
	ETHERTYPE_VLAN = 0x8100,
	ETHERTYPE_VLAN_OUTER = 0x88A8,
	ETHERTYPE_VLAN_OLD = 0x9100,
	ETHERTYPE_PPPOE = 0x8864,
	PPPOE_HEADER = 6,
	PPP_IPV4 = 0x0021,
	FAMILY_IPV4 = 2, /* AF_INET, the same everywhere */
	IP_HEADER_MIN = 20,
	/* What OpenBSD calls DLT_RAW; its captures come with that number. */
	RAW_OF_OPENBSD = 14,
};

bool explain_link_known(int type)
{
	switch (type) {
	case DLT_EN10MB:
	case DLT_LINUX_SLL:
	case DLT_LINUX_SLL2:
	case DLT_RAW:
	case RAW_OF_OPENBSD:
	case DLT_IPV4:
	case DLT_NULL:
	case DLT_LOOP:
		return true;
	default:
		return false;
	}
}

/* What is left of a frame. */
struct rest {
	const uint8_t *octets;
	size_t available, length;
};

static bool skip(struct rest *rest, size_t count)
{
	if (rest->available < count)
		return false;
	rest->octets += count;
	rest->available -= count;
	rest->length -= count;
	return true;
}

static bool is_vlan(unsigned ethertype)
{
	return ethertype == ETHERTYPE_VLAN || ethertype == ETHERTYPE_VLAN_OUTER ||
	       ethertype == ETHERTYPE_VLAN_OLD;
}

/* To what the Ethernet type says, through tags and PPPoE. */
static enum explain_link_answer enter(struct rest *rest, unsigned ethertype)
{
	while (is_vlan(ethertype)) {
		if (!skip(rest, 4))
			return EXPLAIN_LINK_CUT;
		ethertype = bytes_get16(rest->octets - 2);
	}
	if (ethertype == ETHERTYPE_PPPOE) {
		if (!skip(rest, PPPOE_HEADER + 2))
			return EXPLAIN_LINK_CUT;
		return bytes_get16(rest->octets - 2) == PPP_IPV4 ? EXPLAIN_LINK_IPV4
								 : EXPLAIN_LINK_OTHER;
	}
	return ethertype == ETHERTYPE_IPV4 ? EXPLAIN_LINK_IPV4 : EXPLAIN_LINK_OTHER;
}

/* header: the octets before the packet, in which its Ethernet type stands at `at`. */
static enum explain_link_answer enter_behind(struct rest *rest, size_t header, size_t at)
{
	const uint8_t *start = rest->octets;
	if (!skip(rest, header))
		return EXPLAIN_LINK_CUT;
	return enter(rest, bytes_get16(start + at));
}

/* The address family in the octet order of whoever captured. */
static enum explain_link_answer enter_loopback(struct rest *rest)
{
	if (!skip(rest, 4))
		return EXPLAIN_LINK_CUT;
	const uint8_t *family = rest->octets - 4;
	bool ipv4 = family[1] == 0 && family[2] == 0 && (family[0] | family[3]) == FAMILY_IPV4;
	return ipv4 ? EXPLAIN_LINK_IPV4 : EXPLAIN_LINK_OTHER;
}

static enum explain_link_answer enter_frame(int type, struct rest *rest)
{
	switch (type) {
	case DLT_EN10MB:
		return enter_behind(rest, 14, 12);
	case DLT_LINUX_SLL:
		return enter_behind(rest, 16, 14);
	case DLT_LINUX_SLL2:
		return enter_behind(rest, 20, 0);
	case DLT_NULL:
	case DLT_LOOP:
		return enter_loopback(rest);
	default:
		if (rest->available < 1)
			return EXPLAIN_LINK_CUT;
		return rest->octets[0] >> 4 == 4 ? EXPLAIN_LINK_IPV4 : EXPLAIN_LINK_OTHER;
	}
}

static enum explain_link_answer read_ip(const struct rest *rest, struct explain_packet *packet)
{
	const uint8_t *ip = rest->octets;
	if (rest->available < IP_HEADER_MIN)
		return EXPLAIN_LINK_CUT;
	size_t header = (size_t)(ip[0] & 15) * 4;
	size_t total = bytes_get16(ip + 2);
	/* Captured before the network card has cut it into segments. */
	if (total == 0)
		total = rest->length;
	if (ip[0] >> 4 != 4 || header < IP_HEADER_MIN || total < header || total > rest->length)
		return EXPLAIN_LINK_BAD;
	if (rest->available < header)
		return EXPLAIN_LINK_CUT;
	uint16_t fragment = bytes_get16(ip + 6);
	/* What is behind the packet is the link's padding. */
	size_t available = rest->available < total ? rest->available : total;
	*packet = (struct explain_packet){
	    .source = bytes_get32(ip + 12),
	    .destination = bytes_get32(ip + 16),
	    .protocol = ip[9],
	    .identification = bytes_get16(ip + 4),
	    .offset = (uint16_t)((fragment & 0x1FFF) * 8),
	    .more_fragments = fragment & 0x2000,
	    .octets = ip + header,
	    .available = available - header,
	    .length = total - header,
	    .total = total,
	};
	return EXPLAIN_LINK_IPV4;
}

enum explain_link_answer explain_link_read(int type, const uint8_t *frame, size_t available,
					   size_t length, struct explain_packet *packet)
{
	/* A file may claim that more was captured than there was. */
	struct rest rest = {frame, available, length < available ? available : length};
	enum explain_link_answer answer = enter_frame(type, &rest);
	return answer == EXPLAIN_LINK_IPV4 ? read_ip(&rest, packet) : answer;
}
