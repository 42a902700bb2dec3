/* PPP frames on an octet stream (RFC 1662: flags, escapes, 16-bit frame check). No descriptors. */
#ifndef PPP_END_HDLC_H
#define PPP_END_HDLC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	HDLC_FRAME_MAX = 4096, /* octets between two flags, check included */
	HDLC_ENCODED_MAX = 2 * (HDLC_FRAME_MAX + 2) + 2, /* one frame on the line, at worst */
};

struct hdlc_counts {
	uint64_t frames;
	uint64_t octets;
	uint64_t bad; /* wrong check, too short, too long, aborted */
};

/* The receiver's state; all zero at the start. */
struct hdlc_in {
	uint8_t frame[HDLC_FRAME_MAX];
	size_t len;
	bool escaped;
	bool spoilt;
	struct hdlc_counts counts;
};

/* Called for each good frame, without its check; the octets are the receiver's own. */
typedef void hdlc_frame_fn(void *user, const uint8_t *frame, size_t len);

/* Once, before anything else. */
void hdlc_init(void);

/* Octets of the line, cut anywhere. */
void hdlc_feed(struct hdlc_in *in, const uint8_t *data, size_t len, hdlc_frame_fn *deliver,
	       void *user);

/* Write the frame with check, escapes and flags to out, which has HDLC_ENCODED_MAX octets of room;
 * len is at most HDLC_FRAME_MAX - 2. accm names the control octets to escape. Returns the length.
 */
size_t hdlc_encode(uint8_t *out, const uint8_t *frame, size_t len, uint32_t accm);

#endif
