/*
 * The enhanced GRE header, RFC 2637 section 4.1: flags and version, protocol type, payload length,
 * call ID, then the sequence number if S and the acknowledgement number if A.
 */
#include "wire/gre_wire.h"

#include "wire/bytes.h"

enum gre_answer gre_wire_check(const uint8_t *octets, size_t length, uint16_t *call_id)
{
	if (length < GRE_HEADER_MIN)
		return GRE_TRUNCATED;
	uint32_t first = bytes_get32(octets);
	if ((first & GRE_FIRST_MASK) != GRE_FIRST_VALUE)
		return GRE_NOT_ENHANCED;
	size_t header =
	    GRE_HEADER_MIN + (first & GRE_FLAG_S ? 4 : 0) + (first & GRE_FLAG_A ? 4 : 0);
	if (length < header + bytes_get16(octets + 4))
		return GRE_TRUNCATED;
	*call_id = bytes_get16(octets + 6);
	return GRE_OK;
}

enum gre_answer gre_wire_read(const uint8_t *octets, size_t length, struct gre_header *header)
{
	if (length < GRE_HEADER_MIN)
		return GRE_TRUNCATED;
	uint32_t first = bytes_get32(octets);
	if ((first & GRE_FIRST_MASK) != GRE_FIRST_VALUE)
		return GRE_NOT_ENHANCED;
	*header = (struct gre_header){
	    .call_id = bytes_get16(octets + 6),
	    .payload_length = bytes_get16(octets + 4),
	    .has_sequence = first & GRE_FLAG_S,
	    .has_acknowledgement = first & GRE_FLAG_A,
	    .length = GRE_HEADER_MIN,
	};
	if (header->has_sequence)
		header->length += 4;
	if (header->has_acknowledgement)
		header->length += 4;
	if (length < header->length)
		return GRE_TRUNCATED;
	if (header->has_sequence)
		header->sequence = bytes_get32(octets + GRE_HEADER_MIN);
	if (header->has_acknowledgement)
		header->acknowledgement = bytes_get32(octets + header->length - 4);
	return GRE_OK;
}

void gre_wire_set_call_id(uint8_t *octets, uint16_t call_id)
{
	bytes_put16(octets + 6, call_id);
}
