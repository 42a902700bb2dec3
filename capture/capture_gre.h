/*
 * capture_gre: GRE packets, for those who want to see them; see capture.h.
 *
 * Thread: any.
 */
#ifndef CAPTURE_GRE_H
#define CAPTURE_GRE_H

#include "capture/capture.h"

/* How a packet goes. */
struct capture_gre {
	callid_ref call;      /* 0: none */
	uint32_t client_addr; /* the call's; where there is none, the packet's source */
	/* of one that goes out */
	uint32_t source, destination;
	uint8_t tos;
};

/* As the raw socket gave it: length octets from the IP header on. Of a packet that has its new call
 * ID already, header is where its GRE header begins, and call_id the one it came with; header 0:
 * as it lies there. */
struct capture_received {
	const uint8_t *octets;
	size_t length, header;
	uint16_t call_id;
};
void capture_gre_in(struct capture *capture, const struct capture_gre *gre,
		    const struct capture_received *received);

/* length octets from the GRE header on. */
void capture_gre_out(struct capture *capture, const struct capture_gre *gre, const uint8_t *octets,
		     size_t length);

#endif
