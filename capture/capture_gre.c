#include "capture/capture_gre.h"

#include "capture/capture_sink.h"
#include "capture/capture_wire.h"
#include "host/capture_file.h"
#include "wire/bytes.h"

#include <assert.h>
#include <string.h>

enum {
	ID_AT = 6,	/* of the call ID within the GRE header */
	GRE_HEADER = 8, /* up to and with it */
	HEAD_MAX = 60 + GRE_HEADER,
	MOST = CAPTURE_FILE_PACKET_MAX,
};

static void put_gre(struct capture *capture, const struct capture_gre *gre,
		    struct capture_piece head, struct capture_piece body)
{
	uint64_t time_us = capture_own_now_us();
	pthread_mutex_lock(&capture->lock);
	for (int i = 0; i < CAPTURE_SINKS_MAX; i++) {
		struct capture_sink *sink = capture->sinks[i];
		if (sink && capture_sink_wants_call(sink, gre->call, gre->client_addr))
			capture_sink_put(sink, time_us, head, body);
	}
	pthread_mutex_unlock(&capture->lock);
}

void capture_gre_in(struct capture *capture, const struct capture_gre *gre,
		    const struct capture_received *received)
{
	uint8_t head[HEAD_MAX];
	size_t length = received->length < MOST ? received->length : MOST,
	       rewritten = received->header ? received->header + GRE_HEADER : 0;

	assert(rewritten <= HEAD_MAX && rewritten <= length);
	memcpy(head, received->octets, rewritten);
	if (rewritten > 0)
		bytes_put16(head + received->header + ID_AT, received->call_id);
	put_gre(capture, gre, (struct capture_piece){head, rewritten},
		(struct capture_piece){received->octets + rewritten, length - rewritten});
}

void capture_gre_out(struct capture *capture, const struct capture_gre *gre, const uint8_t *octets,
		     size_t length)
{
	uint8_t head[CAPTURE_WIRE_IP];
	const struct capture_wire_ip ip = {
	    .source = gre->source,
	    .destination = gre->destination,
	    .id = capture_own_next_id(capture),
	    .protocol = CAPTURE_WIRE_GRE,
	    .tos = gre->tos,
	};
	if (length > MOST - CAPTURE_WIRE_IP)
		return; /* the system would not have sent it */
	capture_wire_ip(head, &ip, length);
	put_gre(capture, gre, (struct capture_piece){head, sizeof(head)},
		(struct capture_piece){octets, length});
}
