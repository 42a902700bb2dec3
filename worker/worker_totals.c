#include "worker/worker_totals.h"

#include "host/log.h"
#include "reason.h"

#include <stddef.h>
#include <stdint.h>

static const char *packet_name(unsigned reason)
{
	return reason_packet_name((enum reason_packet)reason);
}

static const char *message_name(unsigned reason)
{
	return reason_message_name((enum reason_message)reason);
}

static const char *refusal_name(unsigned reason)
{
	return reason_refusal_name((enum reason_refusal)reason);
}

static const char *end_name(unsigned reason)
{
	return reason_end_name((enum reason_end)reason);
}

static void tell_counts(const char *what, const uint64_t *counts, size_t count,
			const char *(*name)(unsigned))
{
	for (unsigned i = 0; i < count; i++) {
		if (counts[i] > 0)
			log_info("%s %llu: %s", what, (unsigned long long)counts[i], name(i));
	}
}

void worker_totals_tell(const struct snapshot_totals *totals, bool fastpath)
{
	log_info("table of calls: %llu calls, %llu call IDs that rest",
		 (unsigned long long)totals->calls, (unsigned long long)totals->ids_resting);
	log_info("connections: %llu accepted; calls: %llu opened, %llu ended; control messages: "
		 "%llu passed on",
		 (unsigned long long)totals->accepted, (unsigned long long)totals->calls_opened,
		 (unsigned long long)totals->calls_ended, (unsigned long long)totals->messages);
	tell_counts("connections refused:", totals->refusals, REASON_REFUSAL_COUNT, refusal_name);
	tell_counts("connections closed:", totals->ends, REASON_END_COUNT, end_name);
	tell_counts("control messages dropped:", totals->message_drops, REASON_MESSAGE_COUNT,
		    message_name);
	log_info("GRE packets: %llu received, %llu sent",
		 (unsigned long long)totals->packets_received,
		 (unsigned long long)totals->packets_sent);
	if (fastpath)
		log_info("GRE packets carried by the fast path: %llu",
			 (unsigned long long)totals->packets_carried);
	tell_counts("GRE packets dropped:", totals->packet_drops, REASON_PACKET_COUNT, packet_name);
}
