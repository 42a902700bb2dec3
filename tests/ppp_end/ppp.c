/* LCP and IPCP, and who gets which frame. RFC 1661 (sections 5 and 6), RFC 1662 (7.1: the control
 * character map), RFC 1332 (3.3: the address). */
#include "ppp.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

enum {
	LCP_MRU = 1,
	LCP_ACCM = 2,
	LCP_MAGIC = 5,
	LCP_PROTOCOL_COMPRESSION = 7,
	LCP_ADDRESS_COMPRESSION = 8,
	IPCP_ADDRESS = 3,
	MRU_MIN = 128,
};

static const uint32_t ACCM_ALL = 0xffffffff;

static uint16_t get16(const uint8_t *at)
{
	return (uint16_t)(at[0] << 8 | at[1]);
}

static uint32_t get32(const uint8_t *at)
{
	return (uint32_t)get16(at) << 16 | get16(at + 2);
}

static void put16(uint8_t *at, uint16_t value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

static void put32(uint8_t *at, uint32_t value)
{
	put16(at, (uint16_t)(value >> 16));
	put16(at + 2, (uint16_t)value);
}

static uint32_t new_magic(void)
{
	uint32_t magic = 0;

	while (magic == 0) {
		if (getrandom(&magic, sizeof(magic), 0) != sizeof(magic))
			abort();
	}
	return magic;
}

static struct ppp *of_lcp(struct cp *cp)
{
	return (struct ppp *)((char *)cp - offsetof(struct ppp, lcp));
}

static struct ppp *of_ipcp(struct cp *cp)
{
	return (struct ppp *)((char *)cp - offsetof(struct ppp, ipcp));
}

static size_t put_option(uint8_t *at, uint8_t type, const uint8_t *value, size_t len)
{
	at[0] = type;
	at[1] = (uint8_t)(len + 2);
	memcpy(at + 2, value, len);
	return len + 2;
}

static size_t put_option32(uint8_t *at, uint8_t type, uint32_t value)
{
	uint8_t octets[4];

	put32(octets, value);
	return put_option(at, type, octets, sizeof(octets));
}

/* The answer to a request is one of three lists; the worst kind met is sent. */
struct answer {
	uint8_t *out;
	size_t len;
	enum cp_code verdict;
};

static void refuse(struct answer *answer, const uint8_t *option)
{
	if (answer->verdict != CP_CONFIGURE_REJECT)
		answer->len = 0;
	answer->verdict = CP_CONFIGURE_REJECT;
	memcpy(answer->out + answer->len, option, option[1]);
	answer->len += option[1];
}

static void suggest32(struct answer *answer, uint8_t type, uint32_t value)
{
	if (answer->verdict == CP_CONFIGURE_REJECT)
		return;
	answer->verdict = CP_CONFIGURE_NAK;
	answer->len += put_option32(answer->out + answer->len, type, value);
}

/* LCP */

static void lcp_send(struct cp *cp, const uint8_t *packet, size_t len)
{
	of_lcp(cp)->send(of_lcp(cp), PPP_LCP, packet, len);
}

static size_t lcp_ask(struct cp *cp, uint8_t *options)
{
	struct ppp *ppp = of_lcp(cp);
	size_t len = 0;

	if (ppp->ask_mru) {
		uint8_t mru[2];

		put16(mru, ppp->mtu);
		len += put_option(options + len, LCP_MRU, mru, sizeof(mru));
	}
	if (ppp->ask_accm)
		len += put_option32(options + len, LCP_ACCM, 0);
	if (ppp->ask_magic)
		len += put_option32(options + len, LCP_MAGIC, ppp->magic);
	return len;
}

static void lcp_judge_one(struct ppp *ppp, struct answer *answer, const uint8_t *option)
{
	uint8_t type = option[0], len = option[1];

	if (type == LCP_MRU && len == 4 && get16(option + 2) >= MRU_MIN)
		ppp->peer_mru = get16(option + 2);
	else if (type == LCP_ACCM && len == 6)
		ppp->send_accm = get32(option + 2);
	else if (type == LCP_MAGIC && len == 6 && get32(option + 2) == ppp->magic)
		suggest32(answer, LCP_MAGIC, new_magic()); /* our own echo, perhaps */
	else if (type == LCP_MAGIC && len == 6)
		return;
	else if ((type == LCP_PROTOCOL_COMPRESSION || type == LCP_ADDRESS_COMPRESSION) && len == 2)
		return; /* it may; we understand either */
	else
		refuse(answer, option);
}

static enum cp_code lcp_judge(struct cp *cp, const uint8_t *options, size_t len, uint8_t *out,
			      size_t *out_len)
{
	struct ppp *ppp = of_lcp(cp);
	struct answer answer = {out, 0, CP_CONFIGURE_ACK};

	ppp->peer_mru = PPP_MRU_DEFAULT;
	ppp->send_accm = ACCM_ALL;
	for (; len > 0; len -= options[1], options += options[1])
		lcp_judge_one(ppp, &answer, options);
	*out_len = answer.len;
	return answer.verdict;
}

static void lcp_corrected(struct cp *cp, const uint8_t *option, bool reject)
{
	struct ppp *ppp = of_lcp(cp);

	if (option[0] == LCP_MRU && !reject && option[1] == 4 && get16(option + 2) >= MRU_MIN &&
	    get16(option + 2) <= PPP_MRU_DEFAULT)
		ppp->mtu = get16(option + 2);
	else if (option[0] == LCP_MRU)
		ppp->ask_mru = false;
	else if (option[0] == LCP_ACCM)
		ppp->ask_accm = false; /* everything is escaped then, which does no harm */
	else if (option[0] == LCP_MAGIC && reject)
		ppp->ask_magic = false, ppp->magic = 0;
	else if (option[0] == LCP_MAGIC)
		ppp->magic = new_magic();
}

static void lcp_up(struct cp *cp)
{
	struct ppp *ppp = of_lcp(cp);

	ppp->echo_missed = 0;
	ppp->echo_due = ppp->echo_interval_ms > 0 ? ppp->now + ppp->echo_interval_ms : 0;
	cp_open(&ppp->ipcp, ppp->now);
}

static void lcp_down(struct cp *cp)
{
	struct ppp *ppp = of_lcp(cp);

	ppp->echo_due = 0;
	cp_abandon(&ppp->ipcp);
}

static void lcp_finished(struct cp *cp, const char *reason)
{
	if (of_lcp(cp)->end_reason == NULL)
		of_lcp(cp)->end_reason = reason;
}

static void lcp_echo(struct ppp *ppp, uint8_t code, uint8_t id, const uint8_t *data, size_t len)
{
	uint8_t packet[PPP_PAYLOAD_MAX];

	if (len > PPP_MRU_DEFAULT)
		len = PPP_MRU_DEFAULT;
	packet[0] = code;
	packet[1] = id;
	put16(packet + 2, (uint16_t)(8 + len));
	put32(packet + 4, ppp->magic);
	if (len > 0)
		memcpy(packet + 8, data, len);
	ppp->send(ppp, PPP_LCP, packet, 8 + len);
}

static bool lcp_extra(struct cp *cp, const uint8_t *packet, size_t len)
{
	struct ppp *ppp = of_lcp(cp);

	switch (packet[0]) {
	case CP_PROTOCOL_REJECT:
		if (len >= 6 && get16(packet + 4) == PPP_IPCP && ppp->end_reason == NULL)
			ppp->end_reason = "ipcp-rejected";
		return true;
	case CP_ECHO_REQUEST:
		if (len >= 8 && cp->state == CP_OPENED)
			lcp_echo(ppp, CP_ECHO_REPLY, packet[1], packet + 8, len - 8);
		return true;
	case CP_ECHO_REPLY:
		ppp->echo_missed = 0;
		return true;
	case CP_DISCARD_REQUEST:
		return true;
	default:
		return false;
	}
}

static const struct cp_owner lcp_owner = {
    .protocol = PPP_LCP,
    .name = "LCP",
    .send = lcp_send,
    .ask = lcp_ask,
    .judge = lcp_judge,
    .corrected = lcp_corrected,
    .up = lcp_up,
    .down = lcp_down,
    .finished = lcp_finished,
    .extra = lcp_extra,
};

/* IPCP */

static void ipcp_send(struct cp *cp, const uint8_t *packet, size_t len)
{
	of_ipcp(cp)->send(of_ipcp(cp), PPP_IPCP, packet, len);
}

static size_t ipcp_ask(struct cp *cp, uint8_t *options)
{
	return put_option32(options, IPCP_ADDRESS, of_ipcp(cp)->ask_local);
}

static enum cp_code ipcp_judge(struct cp *cp, const uint8_t *options, size_t len, uint8_t *out,
			       size_t *out_len)
{
	struct ppp *ppp = of_ipcp(cp);
	struct answer answer = {out, 0, CP_CONFIGURE_ACK};

	ppp->remote = ppp->want_remote;
	for (; len > 0; len -= options[1], options += options[1]) {
		uint32_t address;

		if (options[0] != IPCP_ADDRESS || options[1] != 6) {
			refuse(&answer, options);
			continue;
		}
		address = get32(options + 2);
		if (ppp->want_remote != 0 && address != ppp->want_remote)
			suggest32(&answer, IPCP_ADDRESS, ppp->want_remote);
		else if (address == 0)
			refuse(&answer, options); /* nothing to give */
		else
			ppp->remote = address;
	}
	*out_len = answer.len;
	return answer.verdict;
}

static void ipcp_corrected(struct cp *cp, const uint8_t *option, bool reject)
{
	struct ppp *ppp = of_ipcp(cp);

	if (option[0] == IPCP_ADDRESS && option[1] == 6 && !reject && ppp->want_local == 0)
		ppp->ask_local = get32(option + 2);
}

static void ipcp_up(struct cp *cp)
{
	struct ppp *ppp = of_ipcp(cp);

	ppp->local = ppp->ask_local;
	if (ppp->local == 0 || ppp->remote == 0) {
		ppp->end_reason = "no-address";
		return;
	}
	ppp->network = true;
	ppp->up(ppp);
}

static void ipcp_down(struct cp *cp)
{
	struct ppp *ppp = of_ipcp(cp);

	if (ppp->network) {
		ppp->network = false;
		ppp->down(ppp);
	}
}

static void ipcp_finished(struct cp *cp, const char *reason)
{
	/* Nothing else runs on this link: it ends with IP. */
	lcp_finished(&of_ipcp(cp)->lcp, reason);
}

static const struct cp_owner ipcp_owner = {
    .protocol = PPP_IPCP,
    .name = "IPCP",
    .send = ipcp_send,
    .ask = ipcp_ask,
    .judge = ipcp_judge,
    .corrected = ipcp_corrected,
    .up = ipcp_up,
    .down = ipcp_down,
    .finished = ipcp_finished,
};

/* The link */

void ppp_start(struct ppp *ppp, int64_t now)
{
	ppp->now = now;
	ppp->magic = new_magic();
	ppp->ask_mru = ppp->ask_accm = ppp->ask_magic = true;
	ppp->ask_local = ppp->want_local;
	ppp->peer_mru = PPP_MRU_DEFAULT;
	ppp->send_accm = ACCM_ALL;
	ppp->lcp.owner = &lcp_owner;
	ppp->ipcp.owner = &ipcp_owner;
	ppp->lcp.max_tries = ppp->ipcp.max_tries = ppp->tries;
	ppp->lcp.restart_ms = ppp->ipcp.restart_ms = ppp->restart_ms;
	cp_open(&ppp->lcp, now);
}

void ppp_stop(struct ppp *ppp, int64_t now)
{
	ppp->now = now;
	cp_close(&ppp->lcp, now);
}

static void reject_protocol(struct ppp *ppp, uint16_t protocol, const uint8_t *payload, size_t len)
{
	uint8_t packet[PPP_PAYLOAD_MAX];
	size_t room = (ppp->peer_mru < PPP_MRU_DEFAULT ? ppp->peer_mru : PPP_MRU_DEFAULT) - 6u;

	if (len > room)
		len = room;
	packet[0] = CP_PROTOCOL_REJECT;
	packet[1] = ++ppp->lcp.last_id;
	put16(packet + 2, (uint16_t)(6 + len));
	put16(packet + 4, protocol);
	memcpy(packet + 6, payload, len);
	ppp->send(ppp, PPP_LCP, packet, 6 + len);
}

void ppp_input(struct ppp *ppp, const uint8_t *frame, size_t len, int64_t now)
{
	uint16_t protocol;

	ppp->now = now;
	if (len >= 2 && frame[0] == 0xff && frame[1] == 0x03)
		frame += 2, len -= 2;
	if (len >= 1 && (frame[0] & 1) != 0) { /* a compressed protocol: its last octet is odd */
		protocol = frame[0];
		frame += 1, len -= 1;
	} else if (len >= 2) {
		protocol = get16(frame);
		frame += 2, len -= 2;
	} else {
		return;
	}

	if (protocol == PPP_LCP) {
		cp_input(&ppp->lcp, frame, len, now);
	} else if (ppp->lcp.state != CP_OPENED) {
		return; /* the rest must wait for LCP */
	} else if (protocol == PPP_IPCP) {
		cp_input(&ppp->ipcp, frame, len, now);
	} else if (protocol == PPP_IP) {
		if (ppp->network)
			ppp->receive(ppp, frame, len);
	} else {
		reject_protocol(ppp, protocol, frame, len);
	}
}

static void tick_echo(struct ppp *ppp, int64_t now)
{
	if (ppp->echo_due == 0 || now < ppp->echo_due)
		return;
	if (ppp->echo_missed >= ppp->echo_failures) {
		if (ppp->end_reason == NULL)
			ppp->end_reason = "echo-unanswered";
		return;
	}
	ppp->echo_missed++;
	ppp->echo_due = now + ppp->echo_interval_ms;
	lcp_echo(ppp, CP_ECHO_REQUEST, ++ppp->echo_id, NULL, 0);
}

int ppp_tick(struct ppp *ppp, int64_t now)
{
	int64_t next = 0;

	ppp->now = now;
	cp_tick(&ppp->lcp, now);
	cp_tick(&ppp->ipcp, now);
	tick_echo(ppp, now);

	const int64_t due[] = {ppp->lcp.deadline, ppp->ipcp.deadline, ppp->echo_due};

	for (size_t i = 0; i < sizeof(due) / sizeof(due[0]); i++) {
		if (due[i] != 0 && (next == 0 || due[i] < next))
			next = due[i];
	}
	if (next == 0)
		return -1;
	return next > now ? (int)(next - now) : 0;
}
