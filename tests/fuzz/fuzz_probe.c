/*
 * What comes back to a short call, packets and messages: read without a lie about what was there.
 * The first octet says which it is.
 */
#include "wire/probe_wire.h"
#include "wire/result_wire.h"

#include "wire/gre_wire.h"
#include "wire/pptp_wire.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *octets, size_t length);

static void check_packet(const uint8_t *octets, size_t length)
{
	struct probe_packet packet;
	uint16_t call_id;
	bool good = probe_wire_read_packet(octets, length, &packet);
	assert(good == (gre_wire_check(octets, length, &call_id) == GRE_OK));
	if (!good)
		return;
	assert(packet.call_id == call_id);
	assert(packet.has_ack == !!(octets[1] & 0x80));
	/* The shortest that can be LCP: protocol, code, identifier, length. */
	assert(packet.lcp == PROBE_NO_LCP || length >= GRE_HEADER_MIN + 6);
}

static void check_message(const uint8_t *octets, size_t length)
{
	struct pptp_header header;
	struct probe_started started;
	const char *why;
	if (pptp_wire_parse(octets, length, &header, &why) != WIRE_OK)
		return;
	if (header.type == PPTP_START_REPLY) {
		probe_wire_read_started(octets, &started);
		assert(started.host + PROBE_NAME <= octets + length);
		assert(started.vendor + PROBE_NAME <= octets + length);
	}
	if (header.type == PPTP_ECHO_REQUEST || header.type == PPTP_ECHO_REPLY)
		probe_wire_identifier(octets);
	if (pptp_wire_shape(header.type) && pptp_wire_shape(header.type)->result_at)
		assert(result_wire_error_text(probe_wire_error(octets), "unknown"));
	assert(result_wire_text(header.type, pptp_wire_result(octets), "unknown"));
}

int LLVMFuzzerTestOneInput(const uint8_t *octets, size_t length)
{
	if (length == 0)
		return 0;
	uint8_t *copy = malloc(length > 1 ? length - 1 : 1); /* exact: an octet too far is seen */
	if (!copy)
		abort();
	memcpy(copy, octets + 1, length - 1);
	if (octets[0] & 1)
		check_packet(copy, length - 1);
	else
		check_message(copy, length - 1);
	free(copy);
	return 0;
}
