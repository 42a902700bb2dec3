#include "capture/capture_wire.h"

#include "wire/bytes.h"

#include <string.h>

enum {
	TTL = 64,
	DONT_FRAGMENT = 0x4000,
	TCP_HEADER = 20,
	WINDOW = 65535,
	/* NOP, then window scale: kind 3, length 3, a shift of 14. */
	SCALE_OPTION = 0x0103030e,
};

/* ---- RFC 1071 ---- */

static uint32_t add(uint32_t sum, const uint8_t *octets, size_t length)
{
	size_t i = 0;
	for (; i + 1 < length; i += 2)
		sum += bytes_get16(octets + i);
	return i < length ? sum + ((uint32_t)octets[i] << 8) : sum;
}

static uint16_t fold(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

/* ---- headers ---- */

void capture_wire_ip(uint8_t out[static CAPTURE_WIRE_IP], const struct capture_wire_ip *ip,
		     size_t length)
{
	memset(out, 0, CAPTURE_WIRE_IP);
	out[0] = 0x45;
	out[1] = ip->tos;
	bytes_put16(out + 2, (uint16_t)(CAPTURE_WIRE_IP + length));
	bytes_put16(out + 4, ip->id);
	bytes_put16(out + 6, ip->protocol == CAPTURE_WIRE_TCP ? DONT_FRAGMENT : 0);
	out[8] = TTL;
	out[9] = ip->protocol;
	bytes_put32(out + 12, ip->source);
	bytes_put32(out + 16, ip->destination);
	bytes_put16(out + 10, fold(add(0, out, CAPTURE_WIRE_IP)));
}

/* Over addresses, protocol and length, too. */
static uint16_t checksum(const uint8_t *ip, const uint8_t *tcp, size_t header,
			 const struct capture_wire_segment *segment)
{
	uint32_t sum = CAPTURE_WIRE_TCP + (uint32_t)(header + segment->length);
	sum = add(sum, ip + 12, 8);
	sum = add(sum, tcp, header);
	return fold(add(sum, segment->octets, segment->length));
}

size_t capture_wire_tcp(uint8_t out[static CAPTURE_WIRE_HEAD_MAX],
			const struct capture_wire_segment *segment)
{
	const struct capture_wire_ip ip = {
	    .source = segment->source,
	    .destination = segment->destination,
	    .id = segment->id,
	    .protocol = CAPTURE_WIRE_TCP,
	};
	size_t header = TCP_HEADER + (segment->flags & CAPTURE_WIRE_SYN ? 4 : 0);
	uint8_t *tcp = out + CAPTURE_WIRE_IP;

	capture_wire_ip(out, &ip, header + segment->length);
	memset(tcp, 0, header);
	bytes_put16(tcp, segment->source_port);
	bytes_put16(tcp + 2, segment->destination_port);
	bytes_put32(tcp + 4, segment->seq);
	bytes_put32(tcp + 8, segment->ack);
	tcp[12] = (uint8_t)(header / 4 << 4);
	tcp[13] = segment->flags;
	bytes_put16(tcp + 14, WINDOW);
	if (segment->flags & CAPTURE_WIRE_SYN)
		bytes_put32(tcp + TCP_HEADER, SCALE_OPTION);
	bytes_put16(tcp + 16, checksum(out, tcp, header, segment));
	return CAPTURE_WIRE_IP + header;
}
