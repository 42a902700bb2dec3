/*
 * snoop_record: what outlives the process of one connection's calls, beside the calls themselves.
 * Part of call_snoop.h; it lies in the connection's record in the kept memory (KEPT_VERSION).
 */
#ifndef SNOOP_RECORD_H
#define SNOOP_RECORD_H

#include <stdint.h>

/* IDs by which a side knew calls that have ended, as it may still say them. */
enum { CALL_SNOOP_ENDED_KEPT = 16, CALL_SNOOP_CLEARED_KEPT = 8 };
struct call_snoop_record {
	struct {
		uint16_t ids[CALL_SNOOP_ENDED_KEPT];
		uint32_t count; /* of all that there were; the ring holds the last */
	} ended[2];
	/* PACs that have been sent a Call-Clear-Request of our own, and have not answered it. */
	struct call_snoop_cleared {
		uint64_t until;	     /* when the answer is not waited for any more; 0: it came */
		uint16_t own, shown; /* IDs of that call, assigned by the PAC, and shown to it */
		uint8_t side, own_known; /* the PAC's side; whether own is known */
	} cleared[CALL_SNOOP_CLEARED_KEPT];
	uint32_t cleared_count; /* as ended's count */
};

#endif
