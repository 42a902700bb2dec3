/* PPP frames on an octet stream. RFC 1662, sections 3, 4 and appendix C (the check). */
#include "hdlc.h"

#include <assert.h>
#include <string.h>

enum {
	FLAG = 0x7e,
	ESCAPE = 0x7d,
	TOGGLE = 0x20,
	FCS_START = 0xffff,
	FCS_GOOD = 0xf0b8,
	FCS_POLYNOMIAL = 0x8408,
};

static uint16_t fcs_table[256];

void hdlc_init(void)
{
	for (unsigned octet = 0; octet < 256; octet++) {
		unsigned value = octet;

		for (int bit = 0; bit < 8; bit++)
			value = value & 1 ? value >> 1 ^ FCS_POLYNOMIAL : value >> 1;
		fcs_table[octet] = (uint16_t)value;
	}
}

static uint16_t fcs_add(uint16_t fcs, uint8_t octet)
{
	return (uint16_t)(fcs >> 8 ^ fcs_table[(fcs ^ octet) & 0xff]);
}

static void end_of_frame(struct hdlc_in *in, hdlc_frame_fn *deliver, void *user)
{
	size_t len = in->len;
	bool spoilt = in->spoilt || in->escaped; /* escape, flag: the sender gave this one up */

	in->len = 0;
	in->escaped = in->spoilt = false;
	if (len == 0 && !spoilt)
		return; /* flags between frames */

	uint16_t fcs = FCS_START;

	for (size_t i = 0; i < len; i++)
		fcs = fcs_add(fcs, in->frame[i]);
	if (spoilt || len < 4 || fcs != FCS_GOOD) {
		in->counts.bad++;
		return;
	}
	in->counts.frames++;
	in->counts.octets += len - 2;
	deliver(user, in->frame, len - 2);
}

/* Copy what needs no attention up to the next flag or escape; returns how much that was. */
static size_t take_plain(struct hdlc_in *in, const uint8_t *data, size_t len)
{
	size_t run = 0;
	size_t room = sizeof(in->frame) - in->len;

	while (run < len && data[run] != FLAG && data[run] != ESCAPE)
		run++;
	if (run > room) {
		in->spoilt = true;
		return run;
	}
	memcpy(in->frame + in->len, data, run);
	in->len += run;
	return run;
}

void hdlc_feed(struct hdlc_in *in, const uint8_t *data, size_t len, hdlc_frame_fn *deliver,
	       void *user)
{
	size_t at = 0;

	while (at < len) {
		uint8_t octet = data[at];

		if (octet == FLAG) {
			end_of_frame(in, deliver, user);
			at++;
		} else if (in->escaped) {
			uint8_t plain = octet ^ TOGGLE;

			in->escaped = false;
			if (in->len < sizeof(in->frame))
				in->frame[in->len++] = plain;
			else
				in->spoilt = true;
			at++;
		} else if (octet == ESCAPE) {
			in->escaped = true;
			at++;
		} else {
			at += take_plain(in, data + at, len - at);
		}
	}
}

static size_t put(uint8_t *out, uint8_t octet, uint32_t accm)
{
	if (octet == FLAG || octet == ESCAPE || (octet < 32 && accm >> octet & 1)) {
		out[0] = ESCAPE;
		out[1] = octet ^ TOGGLE;
		return 2;
	}
	out[0] = octet;
	return 1;
}

size_t hdlc_encode(uint8_t *out, const uint8_t *frame, size_t len, uint32_t accm)
{
	uint16_t fcs = FCS_START;
	size_t at = 0;

	assert(len <= HDLC_FRAME_MAX - 2);
	out[at++] = FLAG;
	for (size_t i = 0; i < len; i++) {
		fcs = fcs_add(fcs, frame[i]);
		at += put(out + at, frame[i], accm);
	}
	fcs = (uint16_t)~fcs;
	at += put(out + at, (uint8_t)fcs, accm);
	at += put(out + at, (uint8_t)(fcs >> 8), accm);
	out[at++] = FLAG;
	return at;
}
