/*
 * A frame's protocol, then the control protocols' common shape: code, identifier, length, options.
 */
#include "explain/explain_ppp.h"

#include "explain/explain_words.h"
#include "wire/bytes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	PPP_IP = 0x0021,
	PPP_IPV6 = 0x0057,
	PPP_COMPRESSED = 0x00FD, /* MPPE is */
	PPP_IPCP = 0x8021,
	PPP_IPV6CP = 0x8057,
	PPP_CCP = 0x80FD,
	PPP_LCP = 0xC021,
	PPP_PAP = 0xC023,
	PPP_CHAP = 0xC223,
	PPP_EAP = 0xC227,
};

enum { CONTROL_HEADER = 4 };

/* RFC 1661 section 5; PAP, CHAP and EAP use small numbers of their own. */
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
enum { PAP_REQUEST = 1, PAP_ACK, PAP_NAK };
enum { CHAP_CHALLENGE = 1, CHAP_RESPONSE, CHAP_SUCCESS, CHAP_FAILURE };
enum { EAP_REQUEST = 1, EAP_RESPONSE, EAP_SUCCESS, EAP_FAILURE };
enum { EAP_IDENTITY = 1 };

enum { LCP_MRU = 1, LCP_AUTH = 3, LCP_MAGIC = 5, CCP_MPPE = 18, IPCP_ADDRESS = 3 };
enum { CHAP_MD5 = 5, CHAP_MS = 0x80, CHAP_MS_V2 = 0x81 };

/* Bits of MPPE's option, RFC 3078 section 2.1. */
#define MPPE_STATELESS 0x01000000U
#define MPPE_128       0x00000040U
#define MPPE_56	       0x00000080U
#define MPPE_40	       0x00000020U

const char *const explain_ppp_layer_names[EXPLAIN_LAYERS] = {
    [EXPLAIN_LCP] = "LCP",
    [EXPLAIN_CCP] = "CCP",
    [EXPLAIN_IPCP] = "IPCP",
    [EXPLAIN_IPV6CP] = "IPV6CP",
};

/* A control packet, and whom it concerns. */
struct packet {
	struct explain_ppp *ppp;
	struct explain_events *events;
	const char *const *names;
	int64_t time_us;
	int end; /* whose it is */
	uint8_t code;
	const uint8_t *octets; /* behind its header */
	size_t length;
};

#define SAY(packet, ...) explain_events_add((packet)->events, (packet)->time_us, __VA_ARGS__)

static const char *own_name(const struct packet *packet)
{
	return packet->names[packet->end];
}

static const char *other_name(const struct packet *packet)
{
	return packet->names[!packet->end];
}

const char *explain_ppp_auth_name(uint16_t protocol, uint8_t algorithm)
{
	if (protocol == PPP_PAP)
		return "PAP";
	if (protocol == PPP_EAP)
		return "EAP";
	if (protocol != PPP_CHAP)
		return NULL;
	switch (algorithm) {
	case CHAP_MD5:
		return "CHAP-MD5";
	case CHAP_MS:
		return "MS-CHAP";
	case CHAP_MS_V2:
		return "MS-CHAPv2";
	default:
		return "CHAP";
	}
}

const char *explain_ppp_mppe(uint32_t bits, char out[static 48])
{
	unsigned length = bits & MPPE_128 ? 128 : bits & MPPE_56 ? 56 : 40;
	if (!(bits & (MPPE_128 | MPPE_56 | MPPE_40)))
		snprintf(out, 48, "no MPPE");
	else
		snprintf(out, 48, "MPPE %u bits, %s", length,
			 bits & MPPE_STATELESS ? "stateless" : "stateful");
	return out;
}

void explain_ppp_begin(struct explain_ppp *ppp)
{
	*ppp = (struct explain_ppp){.terminator = -1};
}

/* Options: type, length, value. */

struct option {
	uint8_t type;
	const uint8_t *value;
	size_t length; /* of the value */
};

/* The option at *at, which moves behind it; false: there is none, or it is a lie. */
static bool next_option(const struct packet *packet, size_t *at, struct option *option)
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
static uint32_t find_number(const struct packet *packet, uint8_t type)
{
	struct option option;
	size_t at = 0;
	while (next_option(packet, &at, &option))
		if (option.type == type && option.length == 4)
			return bytes_get32(option.value);
	return 0;
}

static bool has_option(const struct packet *packet, uint8_t type)
{
	struct option option;
	size_t at = 0;
	while (next_option(packet, &at, &option))
		if (option.type == type)
			return true;
	return false;
}

/* Layers come up. */

static void tell_lcp_up(const struct packet *packet)
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
	SAY(packet, "LCP up%s%s%s%s", mru[0], mru[1], auth[0], auth[1]);
}

static void tell_up(const struct packet *packet, enum explain_layer layer)
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
			SAY(packet, "CCP up: %s", one);
		else
			SAY(packet, "CCP up: to %s %s, to %s %s", packet->names[0], one,
			    packet->names[1], other);
		return;
	case EXPLAIN_IPCP:
		for (int end = 0; end < 2; end++)
			explain_words_address(ppp->address[end], address[end]);
		SAY(packet, "IPCP up: %s is %s, %s is %s", packet->names[0], address[0],
		    packet->names[1], address[1]);
		return;
	default:
		SAY(packet, "%s up", explain_ppp_layer_names[layer]);
	}
}

static void check_up(const struct packet *packet, enum explain_layer layer)
{
	struct explain_ppp *ppp = packet->ppp;
	if (ppp->up[layer] || !ppp->part[layer][0].acknowledged ||
	    !ppp->part[layer][1].acknowledged)
		return;
	ppp->up[layer] = ppp->was_up[layer] = true;
	tell_up(packet, layer);
}

/* What an end's own request said, once it is acknowledged: the values stand in the answer. */
static void note_values(const struct packet *packet, enum explain_layer layer, int whose)
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

static void take_request(const struct packet *packet, enum explain_layer layer)
{
	struct explain_ppp *ppp = packet->ppp;
	struct explain_ppp_part *part = &ppp->part[layer][packet->end];
	uint32_t magic = layer == EXPLAIN_LCP ? find_number(packet, LCP_MAGIC) : 0;
	part->requests++;
	/* With another magic number it is no repetition of the one that brought the layer up. */
	if (layer == EXPLAIN_LCP && ppp->up[layer] && magic != ppp->magic[packet->end]) {
		SAY(packet, "%s begins LCP anew", own_name(packet));
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

static void tell_refused(const struct packet *packet, enum explain_layer layer)
{
	if (layer == EXPLAIN_LCP && has_option(packet, LCP_AUTH))
		SAY(packet, "%s rejects authentication", own_name(packet));
	else if (layer == EXPLAIN_CCP && has_option(packet, CCP_MPPE))
		SAY(packet, "%s rejects MPPE", own_name(packet));
}

static void take_terminate(const struct packet *packet, enum explain_layer layer)
{
	struct explain_ppp *ppp = packet->ppp;
	char text[EXPLAIN_QUOTE_MAX] = "";
	bool again = ppp->part[layer][packet->end].terminated && !ppp->up[layer];
	if (packet->length > 0)
		explain_words_quote(packet->octets, packet->length, text, sizeof(text));
	ppp->part[layer][packet->end].terminated = true;
	go_down(ppp, layer);
	if (!again)
		SAY(packet, "%s terminates %s%s%s", own_name(packet),
		    explain_ppp_layer_names[layer], *text ? ": " : "", text);
	if (layer != EXPLAIN_LCP || ppp->terminator >= 0)
		return;
	ppp->terminator = packet->end;
	snprintf(ppp->reason, sizeof(ppp->reason), "%s", text);
}

static const char *protocol_name(uint16_t protocol, char out[static 16])
{
	switch (protocol) {
	case PPP_CCP:
		return "CCP";
	case PPP_IPCP:
		return "IPCP";
	case PPP_IPV6CP:
		return "IPV6CP";
	case PPP_COMPRESSED:
		return "encrypted packets";
	default:
		snprintf(out, 16, "0x%04x", protocol);
		return out;
	}
}

static void take_protocol_reject(const struct packet *packet)
{
	struct explain_ppp *ppp = packet->ppp;
	char name[16];
	if (packet->length < 2)
		return;
	uint16_t protocol = bytes_get16(packet->octets);
	if (protocol == PPP_CCP)
		ppp->part[EXPLAIN_CCP][packet->end].refused = true;
	if (protocol == PPP_IPCP)
		ppp->part[EXPLAIN_IPCP][packet->end].refused = true;
	SAY(packet, "%s does not know %s (Protocol-Reject)", own_name(packet),
	    protocol_name(protocol, name));
}

static void take_echo(const struct packet *packet)
{
	if (packet->code == ECHO_REQUEST)
		packet->ppp->echo_requests[packet->end]++;
	else
		packet->ppp->echo_replies[packet->end]++;
}

static void take_layer(const struct packet *packet, enum explain_layer layer)
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

/* Names and passwords. */

static void note_name(const struct packet *packet, const uint8_t *name, size_t length)
{
	/* Who says who he is is judged by the other. */
	int judge = !packet->end;
	explain_words_quote(name, length, packet->ppp->auth_name[judge], EXPLAIN_QUOTE_MAX);
	packet->ppp->auth[judge] = EXPLAIN_AUTH_RUNNING;
}

/* The number in MS-CHAP's "E=691 R=1 ...". */
static unsigned error_in(const uint8_t *text, size_t length)
{
	unsigned error = 0;
	if (length < 2 || memcmp(text, "E=", 2) != 0)
		return 0;
	for (size_t i = 2; i < length && i < 7 && text[i] >= '0' && text[i] <= '9'; i++)
		error = 10 * error + (unsigned)(text[i] - '0');
	return error;
}

static const char *error_words(unsigned error)
{
	switch (error) {
	case 646:
		return " (not at this hour)";
	case 647:
		return " (account disabled)";
	case 648:
		return " (password expired)";
	case 649:
		return " (no permission to dial in)";
	case 691:
		return " (name or password is wrong)";
	case 709:
		return " (password cannot be changed)";
	default:
		return "";
	}
}

static void judge(const struct packet *packet, const char *method, bool good, const uint8_t *text,
		  size_t length)
{
	struct explain_ppp *ppp = packet->ppp;
	int end = packet->end;
	enum explain_auth_outcome outcome = good ? EXPLAIN_AUTH_GOOD : EXPLAIN_AUTH_FAILED;
	ppp->auth_said[end][0] = '\0';
	if (length > 0)
		explain_words_quote(text, length, ppp->auth_said[end], EXPLAIN_QUOTE_MAX);
	ppp->auth_error[end] = good ? 0 : error_in(text, length);
	ppp->auth[end] = outcome;
	if (good)
		SAY(packet, "%s: %s good%s%s", method, own_name(packet),
		    ppp->auth_name[end][0] ? ", it knows " : "", ppp->auth_name[end]);
	else
		SAY(packet, "%s: %s refuses %s%s%s%s", method, own_name(packet),
		    ppp->auth_name[end][0] ? ppp->auth_name[end] : other_name(packet),
		    ppp->auth_said[end][0] ? ": " : "", ppp->auth_said[end],
		    error_words(ppp->auth_error[end]));
}

/* PAP's strings have a length in front. */
static size_t short_string(const struct packet *packet, const uint8_t **text)
{
	if (packet->length < 1)
		return 0;
	*text = packet->octets + 1;
	size_t length = packet->octets[0];
	return length < packet->length ? length : packet->length - 1;
}

static void take_pap(const struct packet *packet)
{
	const uint8_t *text = packet->octets;
	size_t length = short_string(packet, &text);
	if (packet->code == PAP_REQUEST) {
		note_name(packet, text, length);
		SAY(packet, "PAP: %s says that it is %s", own_name(packet),
		    packet->ppp->auth_name[!packet->end]);
	} else if (packet->code == PAP_ACK || packet->code == PAP_NAK) {
		judge(packet, "PAP", packet->code == PAP_ACK, text, length);
	}
}

static void take_chap(const struct packet *packet)
{
	struct explain_ppp *ppp = packet->ppp;
	int judging = packet->code == CHAP_RESPONSE ? !packet->end : packet->end;
	const char *method = explain_ppp_auth_name(PPP_CHAP, ppp->auth_algorithm[judging]);
	/* Both have a value with its length before the name. */
	size_t value = packet->length > 0 ? 1U + packet->octets[0] : 0;
	char name[EXPLAIN_QUOTE_MAX] = "\"\"";
	if (value > packet->length)
		value = packet->length;
	switch (packet->code) {
	case CHAP_CHALLENGE:
		explain_words_quote(packet->octets + value, packet->length - value, name,
				    sizeof(name));
		SAY(packet, "%s: %s asks, as %s", method, own_name(packet), name);
		break;
	case CHAP_RESPONSE:
		note_name(packet, packet->octets + value, packet->length - value);
		SAY(packet, "%s: %s answers, as %s", method, own_name(packet),
		    ppp->auth_name[judging]);
		break;
	case CHAP_SUCCESS:
	case CHAP_FAILURE:
		judge(packet, method, packet->code == CHAP_SUCCESS, packet->octets, packet->length);
		break;
	default:
		break;
	}
}

static void take_eap(const struct packet *packet)
{
	switch (packet->code) {
	case EAP_RESPONSE:
		if (packet->length < 1 || packet->octets[0] != EAP_IDENTITY)
			return;
		note_name(packet, packet->octets + 1, packet->length - 1);
		SAY(packet, "EAP: %s says that it is %s", own_name(packet),
		    packet->ppp->auth_name[!packet->end]);
		break;
	case EAP_SUCCESS:
	case EAP_FAILURE:
		judge(packet, "EAP", packet->code == EAP_SUCCESS, packet->octets, 0);
		break;
	default:
		break;
	}
}

/* Frames. */

/* Address and control field may be left away (ACFC), and so may a protocol's first octet if it is
 * zero (PFC), RFC 1661 sections 6.5 and 6.6. Returns the header's length, or 0. */
static size_t read_protocol(const uint8_t *octets, size_t length, uint16_t *protocol)
{
	size_t at = length >= 2 && octets[0] == 0xFF && octets[1] == 0x03 ? 2 : 0;
	if (length > at && octets[at] & 1) {
		*protocol = octets[at];
		return at + 1;
	}
	if (length < at + 2)
		return 0;
	*protocol = bytes_get16(octets + at);
	return at + 2;
}

/* Cut where the capture is; what is behind its own length is padding. */
static bool read_control(const struct explain_frame *frame, size_t at, struct packet *packet)
{
	if (frame->length < at + CONTROL_HEADER)
		return false;
	size_t there = frame->length - at, length = bytes_get16(frame->octets + at + 2);
	if (length < CONTROL_HEADER)
		return false;
	packet->code = frame->octets[at];
	packet->octets = frame->octets + at + CONTROL_HEADER;
	packet->length = (length < there ? length : there) - CONTROL_HEADER;
	return true;
}

static void take_control(uint16_t protocol, const struct packet *packet)
{
	switch (protocol) {
	case PPP_LCP:
		take_layer(packet, EXPLAIN_LCP);
		break;
	case PPP_CCP:
		take_layer(packet, EXPLAIN_CCP);
		break;
	case PPP_IPCP:
		take_layer(packet, EXPLAIN_IPCP);
		break;
	case PPP_IPV6CP:
		take_layer(packet, EXPLAIN_IPV6CP);
		break;
	case PPP_PAP:
		take_pap(packet);
		break;
	case PPP_CHAP:
		take_chap(packet);
		break;
	case PPP_EAP:
		take_eap(packet);
		break;
	default:
		break;
	}
}

static void count_network_packet(struct explain_ppp *ppp, uint64_t *count,
				 const struct explain_frame *frame, size_t header)
{
	size_t length = frame->length - header;
	++*count;
	if (length > ppp->largest[frame->end])
		ppp->largest[frame->end] = length;
}

void explain_ppp_take(struct explain_ppp *ppp, const struct explain_frame *frame,
		      const char *const names[2], struct explain_events *events)
{
	uint16_t protocol = 0;
	size_t at = read_protocol(frame->octets, frame->length, &protocol);
	struct packet packet = {
	    .ppp = ppp,
	    .events = events,
	    .names = names,
	    .time_us = frame->time_us,
	    .end = frame->end,
	};
	if (at == 0)
		return;
	if (protocol == PPP_COMPRESSED)
		count_network_packet(ppp, &ppp->encrypted[frame->end], frame, at);
	else if (protocol == PPP_IP || protocol == PPP_IPV6)
		count_network_packet(ppp, &ppp->plain[frame->end], frame, at);
	else if (protocol >= 0x8000 && read_control(frame, at, &packet))
		take_control(protocol, &packet);
}
