/* The automaton that LCP and IPCP share. RFC 1661, section 4.1 has the table; its states Initial,
 * Starting, Stopped and Stopping are left out: whoever stops here also ends. */
#include "negotiate.h"

#include <assert.h>
#include <string.h>

static void send_packet(struct cp *cp, uint8_t code, uint8_t id, const uint8_t *data, size_t len)
{
	uint8_t packet[CP_HEADER + CP_OPTIONS_MAX];
	size_t total = CP_HEADER + len;

	assert(len <= CP_OPTIONS_MAX);
	packet[0] = code;
	packet[1] = id;
	packet[2] = (uint8_t)(total >> 8);
	packet[3] = (uint8_t)total;
	if (len > 0)
		memcpy(packet + CP_HEADER, data, len);
	cp->owner->send(cp, packet, total);
}

static void send_request(struct cp *cp, int64_t now)
{
	uint8_t options[CP_OPTIONS_MAX];
	size_t len = cp->owner->ask(cp, options);

	cp->tries--;
	cp->deadline = now + cp->restart_ms;
	cp->id = ++cp->last_id;
	send_packet(cp, CP_CONFIGURE_REQUEST, cp->id, options, len);
}

static void send_terminate(struct cp *cp, int64_t now)
{
	cp->tries--;
	cp->deadline = now + cp->restart_ms;
	cp->id = ++cp->last_id;
	send_packet(cp, CP_TERMINATE_REQUEST, cp->id, NULL, 0);
}

static void enter(struct cp *cp, enum cp_state state)
{
	bool was_open = cp->state == CP_OPENED;

	cp->state = state;
	if (state == CP_OPENED || state == CP_CLOSED)
		cp->deadline = 0;
	if (was_open && state != CP_OPENED)
		cp->owner->down(cp);
	if (!was_open && state == CP_OPENED)
		cp->owner->up(cp);
}

static void finish(struct cp *cp, const char *reason)
{
	enter(cp, CP_CLOSED);
	cp->owner->finished(cp, reason);
}

static void begin_again(struct cp *cp, enum cp_state state, int64_t now)
{
	cp->tries = cp->max_tries;
	enter(cp, state);
	send_request(cp, now);
}

void cp_open(struct cp *cp, int64_t now)
{
	if (cp->state == CP_CLOSED)
		begin_again(cp, CP_REQ_SENT, now);
}

void cp_close(struct cp *cp, int64_t now)
{
	if (cp->state == CP_CLOSED || cp->state == CP_CLOSING)
		return;
	cp->tries = 2;
	enter(cp, CP_CLOSING);
	send_terminate(cp, now);
}

void cp_abandon(struct cp *cp)
{
	enter(cp, CP_CLOSED);
}

void cp_tick(struct cp *cp, int64_t now)
{
	if (cp->deadline == 0 || now < cp->deadline)
		return;
	if (cp->tries <= 0) {
		finish(cp, cp->state == CP_CLOSING ? "closed-unanswered" : "no-answer");
	} else if (cp->state == CP_CLOSING) {
		send_terminate(cp, now);
	} else {
		if (cp->state == CP_ACK_RCVD)
			enter(cp, CP_REQ_SENT);
		send_request(cp, now);
	}
}

static bool well_formed(const uint8_t *options, size_t len)
{
	while (len > 0) {
		if (len < 2 || options[1] < 2 || options[1] > len)
			return false;
		len -= options[1];
		options += options[1];
	}
	return true;
}

static void got_request(struct cp *cp, const uint8_t *packet, size_t len, int64_t now)
{
	const uint8_t *options = packet + CP_HEADER;
	uint8_t answer[CP_OPTIONS_MAX];
	size_t options_len = len - CP_HEADER, answer_len = 0;

	if (!well_formed(options, options_len) || options_len > CP_OPTIONS_MAX ||
	    cp->state == CP_CLOSING)
		return;
	if (cp->state == CP_CLOSED) {
		send_packet(cp, CP_TERMINATE_ACK, packet[1], NULL, 0);
		return;
	}
	/* The peer starts over. Our own request goes first, as the RFC's table has it. */
	if (cp->state == CP_OPENED)
		begin_again(cp, CP_REQ_SENT, now);

	enum cp_code verdict = cp->owner->judge(cp, options, options_len, answer, &answer_len);

	if (verdict == CP_CONFIGURE_ACK) {
		send_packet(cp, CP_CONFIGURE_ACK, packet[1], options, options_len);
		enter(cp, cp->state == CP_ACK_RCVD ? CP_OPENED : CP_ACK_SENT);
	} else {
		send_packet(cp, (uint8_t)verdict, packet[1], answer, answer_len);
		if (cp->state == CP_ACK_SENT)
			enter(cp, CP_REQ_SENT);
	}
}

/* The peer's word on our last request: Ack, Nak or Reject. */
static void got_answer(struct cp *cp, const uint8_t *packet, size_t len, int64_t now)
{
	const uint8_t *option = packet + CP_HEADER;
	size_t left = len - CP_HEADER;
	bool ack = packet[0] == CP_CONFIGURE_ACK;

	if (packet[1] != cp->id || !well_formed(option, left) || cp->state == CP_CLOSED ||
	    cp->state == CP_CLOSING)
		return;
	if (!ack) {
		for (; left > 0; left -= option[1], option += option[1])
			cp->owner->corrected(cp, option, packet[0] == CP_CONFIGURE_REJECT);
	}
	if (cp->state == CP_OPENED || cp->state == CP_ACK_RCVD) {
		begin_again(cp, CP_REQ_SENT, now); /* answered twice: somebody is out of step */
	} else if (!ack) {
		send_request(cp, now);
	} else if (cp->state == CP_ACK_SENT) {
		enter(cp, CP_OPENED);
	} else {
		cp->tries = cp->max_tries;
		enter(cp, CP_ACK_RCVD);
	}
}

static void got_terminate_ack(struct cp *cp, int64_t now)
{
	if (cp->state == CP_CLOSING)
		finish(cp, "closed");
	else if (cp->state == CP_OPENED)
		begin_again(cp, CP_REQ_SENT, now);
	else if (cp->state == CP_ACK_RCVD)
		enter(cp, CP_REQ_SENT);
}

void cp_input(struct cp *cp, const uint8_t *packet, size_t len, int64_t now)
{
	if (len < CP_HEADER)
		return;

	size_t length = (size_t)packet[2] << 8 | packet[3];

	if (length < CP_HEADER || length > len)
		return;
	switch (packet[0]) {
	case CP_CONFIGURE_REQUEST:
		got_request(cp, packet, length, now);
		break;
	case CP_CONFIGURE_ACK:
	case CP_CONFIGURE_NAK:
	case CP_CONFIGURE_REJECT:
		got_answer(cp, packet, length, now);
		break;
	case CP_TERMINATE_REQUEST:
		send_packet(cp, CP_TERMINATE_ACK, packet[1], NULL, 0);
		if (cp->state != CP_CLOSED)
			finish(cp, "peer-closed");
		break;
	case CP_TERMINATE_ACK:
		got_terminate_ack(cp, now);
		break;
	case CP_CODE_REJECT:
		if (length > CP_HEADER && packet[CP_HEADER] <= CP_CODE_REJECT &&
		    cp->state != CP_CLOSED)
			finish(cp, "code-rejected");
		break;
	default:
		if (cp->owner->extra == NULL || !cp->owner->extra(cp, packet, length))
			send_packet(cp, CP_CODE_REJECT, ++cp->last_id, packet,
				    length < CP_OPTIONS_MAX ? length : CP_OPTIONS_MAX);
	}
}
