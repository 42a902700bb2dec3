#include "wire/probe_wire.h"

#include "wire/bytes.h"
#include "wire/gre_wire.h"
#include "wire/pptp_wire.h"

#include <string.h>

enum { VERSION_1_0 = 0x0100, BOTH = 3 };
enum { PPP_LCP = 0xC021, LCP_REQUEST = 1, LCP_ACK, LCP_NAK, LCP_REJECT, LCP_CODE_REJECT = 7 };

/* ---- messages ---- */

static void put_name(uint8_t *at, const char *name)
{
	size_t length = strlen(name);
	memcpy(at, name, length < PROBE_NAME ? length : PROBE_NAME);
}

size_t probe_wire_start(uint8_t out[static PROBE_MESSAGE_MAX], const char *host, const char *vendor)
{
	size_t length = pptp_wire_make(out, PPTP_START_REQUEST);
	bytes_put16(out + 12, VERSION_1_0);
	bytes_put32(out + 16, BOTH); /* framing: asynchronous, synchronous */
	bytes_put32(out + 20, BOTH); /* bearer: analog, digital */
	put_name(out + 28, host);
	put_name(out + 92, vendor);
	return length;
}

size_t probe_wire_echo(uint8_t out[static PROBE_MESSAGE_MAX], uint32_t identifier)
{
	size_t length = pptp_wire_make(out, PPTP_ECHO_REQUEST);
	bytes_put32(out + 12, identifier);
	return length;
}

size_t probe_wire_echo_reply(uint8_t out[static PROBE_MESSAGE_MAX], uint32_t identifier)
{
	size_t length = pptp_wire_make(out, PPTP_ECHO_REPLY);
	bytes_put32(out + 12, identifier);
	out[16] = PPTP_RESULT_OK;
	return length;
}

size_t probe_wire_call(uint8_t out[static PROBE_MESSAGE_MAX], uint16_t call_id, uint16_t serial)
{
	size_t length = pptp_wire_make(out, PPTP_OUTGOING_CALL_REQUEST);
	bytes_put16(out + 12, call_id);
	bytes_put16(out + 14, serial);
	bytes_put32(out + 16, 2400); /* the least and the most bits a second */
	bytes_put32(out + 20, 100000000);
	bytes_put32(out + 24, BOTH); /* bearer */
	bytes_put32(out + 28, BOTH); /* framing */
	bytes_put16(out + 32, 64);   /* packets that we take without an answer */
	return length;
}

void probe_wire_read_started(const uint8_t *message, struct probe_started *started)
{
	uint32_t framing = bytes_get32(message + 16);
	*started = (struct probe_started){
	    .version = bytes_get16(message + 12),
	    .result = message[14],
	    .error = message[15],
	    .async = framing & 1,
	    .sync = framing & 2,
	    .firmware = bytes_get16(message + 26),
	    .host = message + 28,
	    .vendor = message + 92,
	};
}

uint32_t probe_wire_identifier(const uint8_t *message)
{
	return bytes_get32(message + 12);
}

uint8_t probe_wire_error(const uint8_t *message)
{
	return message[pptp_wire_shape(bytes_get16(message + 8))->result_at + 1];
}

/* ---- packets ---- */

size_t probe_wire_configure(uint8_t out[static PROBE_PACKET_MAX], uint16_t call_id, uint32_t seq,
			    uint8_t identifier, uint32_t magic)
{
	enum { GRE = GRE_HEADER_MIN + 4, LCP = 10, PAYLOAD = 4 + LCP };
	uint8_t *ppp = out + GRE, *lcp = ppp + 4;

	bytes_put32(out, GRE_FIRST_VALUE | GRE_FLAG_S);
	bytes_put16(out + 4, PAYLOAD);
	bytes_put16(out + 6, call_id);
	bytes_put32(out + 8, seq);
	bytes_put16(ppp, 0xFF03); /* address and control field */
	bytes_put16(ppp + 2, PPP_LCP);
	lcp[0] = LCP_REQUEST;
	lcp[1] = identifier;
	bytes_put16(lcp + 2, LCP);
	lcp[4] = 5; /* option Magic-Number, its length */
	lcp[5] = 6;
	bytes_put32(lcp + 6, magic);
	return GRE + PAYLOAD;
}

static void read_ppp(const uint8_t *ppp, size_t length, struct probe_packet *packet)
{
	if (length >= 2 && ppp[0] == 0xFF && ppp[1] == 0x03)
		ppp += 2, length -= 2;
	if (length < 6 || bytes_get16(ppp) != PPP_LCP)
		return;
	packet->identifier = ppp[3];
	switch (ppp[2]) {
	case LCP_REQUEST:
		packet->lcp = PROBE_LCP_REQUEST;
		break;
	case LCP_ACK:
	case LCP_NAK:
	case LCP_REJECT:
	case LCP_CODE_REJECT:
		packet->lcp = PROBE_LCP_ANSWER;
		break;
	default:
		packet->lcp = PROBE_LCP_OTHER;
	}
}

bool probe_wire_read_packet(const uint8_t *octets, size_t length, struct probe_packet *packet)
{
	*packet = (struct probe_packet){0};
	if (gre_wire_check(octets, length, &packet->call_id) != GRE_OK)
		return false;
	uint32_t first = bytes_get32(octets);
	size_t at = GRE_HEADER_MIN + (first & GRE_FLAG_S ? 4 : 0);
	packet->has_ack = first & GRE_FLAG_A;
	if (packet->has_ack) {
		packet->ack = bytes_get32(octets + at);
		at += 4;
	}
	read_ppp(octets + at, bytes_get16(octets + 4), packet);
	return true;
}
