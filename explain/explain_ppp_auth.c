#include "explain/explain_ppp_auth.h"

#include "explain/explain_words.h"

#include <string.h>

/* Each has small numbers of its own. */
enum { PAP_REQUEST = 1, PAP_ACK, PAP_NAK };
enum { CHAP_CHALLENGE = 1, CHAP_RESPONSE, CHAP_SUCCESS, CHAP_FAILURE };
enum { EAP_REQUEST = 1, EAP_RESPONSE, EAP_SUCCESS, EAP_FAILURE };
enum { EAP_IDENTITY = 1 };

enum { CHAP_MD5 = 5, CHAP_MS = 0x80, CHAP_MS_V2 = 0x81 };

const char *explain_ppp_auth_name(uint16_t protocol, uint8_t algorithm)
{
	if (protocol == EXPLAIN_PPP_PAP)
		return "PAP";
	if (protocol == EXPLAIN_PPP_EAP)
		return "EAP";
	if (protocol != EXPLAIN_PPP_CHAP)
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

static void note_name(const struct explain_ppp_packet *packet, const uint8_t *name, size_t length)
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

static void judge(const struct explain_ppp_packet *packet, const char *method, bool good,
		  const uint8_t *text, size_t length)
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
		EXPLAIN_PPP_SAY(packet, "%s: %s good%s%s", method, explain_ppp_sender(packet),
				ppp->auth_name[end][0] ? ", it knows " : "", ppp->auth_name[end]);
	else
		EXPLAIN_PPP_SAY(
		    packet, "%s: %s refuses %s%s%s%s", method, explain_ppp_sender(packet),
		    ppp->auth_name[end][0] ? ppp->auth_name[end] : explain_ppp_receiver(packet),
		    ppp->auth_said[end][0] ? ": " : "", ppp->auth_said[end],
		    error_words(ppp->auth_error[end]));
}

/* PAP's strings have a length in front. */
static size_t short_string(const struct explain_ppp_packet *packet, const uint8_t **text)
{
	if (packet->length < 1)
		return 0;
	*text = packet->octets + 1;
	size_t length = packet->octets[0];
	return length < packet->length ? length : packet->length - 1;
}

void explain_ppp_auth_take_pap(const struct explain_ppp_packet *packet)
{
	const uint8_t *text = packet->octets;
	size_t length = short_string(packet, &text);
	if (packet->code == PAP_REQUEST) {
		note_name(packet, text, length);
		EXPLAIN_PPP_SAY(packet, "PAP: %s says that it is %s", explain_ppp_sender(packet),
				packet->ppp->auth_name[!packet->end]);
	} else if (packet->code == PAP_ACK || packet->code == PAP_NAK) {
		judge(packet, "PAP", packet->code == PAP_ACK, text, length);
	}
}

void explain_ppp_auth_take_chap(const struct explain_ppp_packet *packet)
{
	struct explain_ppp *ppp = packet->ppp;
	int judging = packet->code == CHAP_RESPONSE ? !packet->end : packet->end;
	const char *method = explain_ppp_auth_name(EXPLAIN_PPP_CHAP, ppp->auth_algorithm[judging]);
	/* Both have a value with its length before the name. */
	size_t value = packet->length > 0 ? 1U + packet->octets[0] : 0;
	char name[EXPLAIN_QUOTE_MAX] = "\"\"";
	if (value > packet->length)
		value = packet->length;
	switch (packet->code) {
	case CHAP_CHALLENGE:
		explain_words_quote(packet->octets + value, packet->length - value, name,
				    sizeof(name));
		EXPLAIN_PPP_SAY(packet, "%s: %s asks, as %s", method, explain_ppp_sender(packet),
				name);
		break;
	case CHAP_RESPONSE:
		note_name(packet, packet->octets + value, packet->length - value);
		EXPLAIN_PPP_SAY(packet, "%s: %s answers, as %s", method, explain_ppp_sender(packet),
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

void explain_ppp_auth_take_eap(const struct explain_ppp_packet *packet)
{
	switch (packet->code) {
	case EAP_RESPONSE:
		if (packet->length < 1 || packet->octets[0] != EAP_IDENTITY)
			return;
		note_name(packet, packet->octets + 1, packet->length - 1);
		EXPLAIN_PPP_SAY(packet, "EAP: %s says that it is %s", explain_ppp_sender(packet),
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
