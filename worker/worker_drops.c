#include "worker/worker_drops.h"

#include "host/log.h"

#include <stdio.h>
#include <string.h>

enum { LINE_TEXT = REASON_PACKET_COUNT * 48 };

void worker_drops_begin(struct worker_drops *drops, const uint64_t counts[REASON_PACKET_COUNT])
{
	*drops = (struct worker_drops){0};
	memcpy(drops->told, counts, sizeof(drops->told));
}

void worker_drops_look(struct worker_drops *drops, const uint64_t counts[REASON_PACKET_COUNT],
		       uint64_t now)
{
	char text[LINE_TEXT] = "";
	size_t used = 0;

	if (drops->told_at != 0 && now - drops->told_at < WORKER_DROPS_MS)
		return;
	for (int i = 0; i < REASON_PACKET_COUNT; i++) {
		if (counts[i] > drops->told[i] && used < sizeof(text))
			used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%llu %s",
						 used > 0 ? ", " : "",
						 (unsigned long long)(counts[i] - drops->told[i]),
						 reason_packet_name((enum reason_packet)i));
	}
	if (used == 0)
		return;
	memcpy(drops->told, counts, sizeof(drops->told));
	drops->told_at = now;
	log_info("GRE packets dropped lately: %s", text);
}
