#include "explain/explain_ppp_layer.h"

#include "explain/explain_words.h"
#include "wire/bytes.h"

#include <stdio.h>
#include <string.h>

/* RFC 1661 section 5. */
enum code {
	CONFIGURE_REQUEST = 1,
	CONFIGURE_ACK,
	CONFIGURE_NAK,
	CONFIGURE_REJECT,
	TERMINATE_REQUEST,
	TERMINATE_ACK,
	CODE_REJECT,
	PROTOCOL_REJECT,
	ECHO_REQUEST,
	ECHO_REPLY,
	CCP_RESET_REQUEST = 14,
};
enum { LCP_MRU = 1, LCP_AUTH = 3, LCP_MAGIC = 5, CCP_MPPE = 18, IPCP_ADDRESS = 3 };

const char *const explain_ppp_layer_names[EXPLAIN_LAYERS] = {
    [EXPLAIN_LCP] = "LCP",
    [EXPLAIN_CCP] = "CCP",
    [EXPLAIN_IPCP] = "IPCP",
    [EXPLAIN_IPV6CP] = "IPV6CP",
};

/* Options: type, length, value. */

struct option {
	uint8_t type;
	const uint8_t *value;
	size_t length; /* of the value */
};

/* The option at *at, which moves behind it; false: there is none, or it is a lie. */
static bool next_option(const struct explain_ppp_packet *packet, size_t *at, struct option *option)
{
	if (*at + 2 > packet->length)
		return false;
	size_t length = packet->octets[*at + 1];
	if (length < 2 || *at + length > packet->length)
		return false;
	*option = (struct option){packet->octets[*at], packet->octets + *at + 2, length - 2};
	*at += length;
	return true;
}

/* The value of a 4-octet option, or 0. */
static uint32_t find_number(const struct explain_ppp_packet *packet, uint8_t type)
{
	struct option option;
	size_t at = 0;
	while (next_option(packet, &at, &option))
		if (option.type == type && option.length == 4)
			return bytes_get32(option.value);
	return 0;
}

static bool has_option(const struct explain_ppp_packet *packet, uint8_t type)
{
	struct option option;
	size_t at = 0;
	while (next_option(packet, &at, &option))
		if (option.type == type)
			return true;
	return false;
}

/* Layers come up. */

static void tell_lcp_up(const struct explain_ppp_packet *packet)
{
	const struct explain_ppp *ppp = packet->ppp;
	char mru[2][32] = {"", ""}, auth[2][48] = {"", ""};
	for (int end = 0; end < 2; end++) {
		const char *name =
		    explain_ppp_auth_name(ppp->auth_protocol[end], ppp->auth_algorithm[end]);
		if (ppp->mru[end])
			snprintf(mru[end], sizeof(mru[end]), ", %s takes %u octets",
				 packet->names[end], ppp->mru[end]);
		if (name)
			snprintf(auth[end], sizeof(auth[end]), ", %s wants %s", packet->names[end],
				 name);
	}
	EXPLAIN_PPP_SAY(packet, "LCP up%s%s%s%s", mru[0], mru[1], auth[0], auth[1]);
}

static void tell_up(const struct explain_ppp_packet *packet, enum explain_layer layer)
{
	const struct explain_ppp *ppp = packet->ppp;
	char one[48], other[48], address[2][EXPLAIN_ADDRESS_MAX];
	switch (layer) {
	case EXPLAIN_LCP:
		tell_lcp_up(packet);
		return;
	case EXPLAIN_CCP:
		explain_ppp_mppe(ppp->mppe[0], one);
		explain_ppp_mppe(ppp->mppe[1], other);
		if (strcmp(one, other) == 0)
			EXPLAIN_PPP_SAY(packet, "CCP up: %s", one);
		else
			EXPLAIN_PPP_SAY(packet, "CCP up: to %s %s, to %s %s", packet->names[0], one,
					packet->names[1], other);
		return;
	case EXPLAIN_IPCP:
		for (int end = 0; end < 2; end++)
			explain_words_address(ppp->address[end], address[end]);
		EXPLAIN_PPP_SAY(packet, "IPCP up: %s is %s, %s is %s", packet->names[0], address[0],
				packet->names[1], address[1]);
		return;
	default:
		EXPLAIN_PPP_SAY(packet, "%s up", explain_ppp_layer_names[layer]);
	}
}

static void check_up(const struct explain_ppp_packet *packet, enum explain_layer layer)
{
	struct explain_ppp *ppp = packet->ppp;
	if (ppp->up[layer] || !ppp->part[layer][0].acknowledged ||
	    !ppp->part[layer][1].acknowledged)
		return;
	ppp->up[layer] = ppp->was_up[layer] = true;
	tell_up(packet, layer);
}

/* What an end's own request said, once it is acknowledged: the values stand in the answer. */
static void note_values(const struct explain_ppp_packet *packet, enum explain_layer layer,
			int whose)
{
	struct explain_ppp *ppp = packet->ppp;
	struct option option;
	size_t at = 0;
	if (layer == EXPLAIN_CCP)
		ppp->mppe[whose] = find_number(packet, CCP_MPPE);
	if (layer == EXPLAIN_IPCP)
		ppp->address[whose] = find_number(packet, IPCP_ADDRESS);
	if (layer != EXPLAIN_LCP)
		return;
	ppp->mru[whose] = ppp->auth_protocol[whose] = 0;
	while (next_option(packet, &at, &option)) {
		if (option.type == LCP_MRU && option.length == 2)
			ppp->mru[whose] = bytes_get16(option.value);
		if (option.type == LCP_AUTH && option.length >= 2) {
			ppp->auth_protocol[whose] = bytes_get16(option.value);
			ppp->auth_algorithm[whose] = option.length > 2 ? option.value[2] : 0;
		}
	}
}

static void go_down(struct explain_ppp *ppp, enum explain_layer layer)
{
	ppp->up[layer] = false;
	ppp->part[layer][0].acknowledged = ppp->part[layer][1].acknowledged = false;
}

static void take_request(const struct explain_ppp_packet *packet, enum explain_layer layer)
{
	struct explain_ppp *ppp = packet->ppp;
	struct explain_ppp_part *part = &ppp->part[layer][packet->end];
	uint32_t magic = layer == EXPLAIN_LCP ? find_number(packet, LCP_MAGIC) : 0;
	part->requests++;
	/* With another magic number it is no repetition of the one that brought the layer up. */
	if (layer == EXPLAIN_LCP && ppp->up[layer] && magic != ppp->magic[packet->end]) {
		EXPLAIN_PPP_SAY(packet, "%s begins LCP anew", explain_ppp_sender(packet));
		for (int each = 0; each < EXPLAIN_LAYERS; each++)
			go_down(ppp, (enum explain_layer)each);
	}
	if (layer == EXPLAIN_LCP)
		ppp->magic[packet->end] = magic;
	if (layer == EXPLAIN_CCP)
		ppp->mppe_wanted[packet->end] = find_number(packet, CCP_MPPE);
	if (!ppp->up[layer])
		part->acknowledged = false;
}

static void tell_refused(const struct explain_ppp_packet *packet, enum explain_layer layer)
{
	if (layer == EXPLAIN_LCP && has_option(packet, LCP_AUTH))
		EXPLAIN_PPP_SAY(packet, "%s rejects authentication", explain_ppp_sender(packet));
	else if (layer == EXPLAIN_CCP && has_option(packet, CCP_MPPE))
		EXPLAIN_PPP_SAY(packet, "%s rejects MPPE", explain_ppp_sender(packet));
}

static void take_terminate(const struct explain_ppp_packet *packet, enum explain_layer layer)
{
	struct explain_ppp *ppp = packet->ppp;
	char text[EXPLAIN_QUOTE_MAX] = "";
	bool again = ppp->part[layer][packet->end].terminated && !ppp->up[layer];
	if (packet->length > 0)
		explain_words_quote(packet->octets, packet->length, text, sizeof(text));
	ppp->part[layer][packet->end].terminated = true;
	go_down(ppp, layer);
	if (!again)
		EXPLAIN_PPP_SAY(packet, "%s terminates %s%s%s", explain_ppp_sender(packet),
				explain_ppp_layer_names[layer], *text ? ": " : "", text);
	if (layer != EXPLAIN_LCP || ppp->terminator >= 0)
		return;
	ppp->terminator = packet->end;
	snprintf(ppp->reason, sizeof(ppp->reason), "%s", text);
}

static const char *protocol_name(uint16_t protocol, char out[static 16])
{
	switch (protocol) {
	case EXPLAIN_PPP_CCP:
		return "CCP";
	case EXPLAIN_PPP_IPCP:
		return "IPCP";
	case EXPLAIN_PPP_IPV6CP:
		return "IPV6CP";
	case EXPLAIN_PPP_COMPRESSED:
		return "encrypted packets";
	default:
		snprintf(out, 16, "0x%04x", protocol);
		return out;
	}
}

static void take_protocol_reject(const struct explain_ppp_packet *packet)
{
	struct explain_ppp *ppp = packet->ppp;
	char name[16];
	if (packet->length < 2)
		return;
	uint16_t protocol = bytes_get16(packet->octets);
	if (protocol == EXPLAIN_PPP_CCP)
		ppp->part[EXPLAIN_CCP][packet->end].refused = true;
	if (protocol == EXPLAIN_PPP_IPCP)
		ppp->part[EXPLAIN_IPCP][packet->end].refused = true;
	EXPLAIN_PPP_SAY(packet, "%s does not know %s (Protocol-Reject)", explain_ppp_sender(packet),
			protocol_name(protocol, name));
}

static void take_echo(const struct explain_ppp_packet *packet)
{
	if (packet->code == ECHO_REQUEST)
		packet->ppp->echo_requests[packet->end]++;
	else
		packet->ppp->echo_replies[packet->end]++;
}

void explain_ppp_layer_take(const struct explain_ppp_packet *packet, enum explain_layer layer)
{
	struct explain_ppp_part *own = &packet->ppp->part[layer][packet->end];
	struct explain_ppp_part *other = &packet->ppp->part[layer][!packet->end];
	switch (packet->code) {
	case CONFIGURE_REQUEST:
		take_request(packet, layer);
		break;
	case CONFIGURE_ACK:
		own->answers++;
		other->acknowledged = true;
		note_values(packet, layer, !packet->end);
		check_up(packet, layer);
		break;
	case CONFIGURE_REJECT:
		own->refused = true;
		tell_refused(packet, layer);
		own->answers++;
		break;
	case CONFIGURE_NAK:
		own->answers++;
		break;
	case TERMINATE_REQUEST:
		take_terminate(packet, layer);
		break;
	case PROTOCOL_REJECT:
		if (layer == EXPLAIN_LCP)
			take_protocol_reject(packet);
		break;
	case ECHO_REQUEST:
	case ECHO_REPLY:
		if (layer == EXPLAIN_LCP)
			take_echo(packet);
		break;
	case CCP_RESET_REQUEST:
		if (layer == EXPLAIN_CCP)
			packet->ppp->resets[packet->end]++;
		break;
	default:
		break;
	}
}
