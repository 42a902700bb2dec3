#include "snoop/snoop_cleared.h"

enum { CLEAR_MS = 30000 }; /* for a PAC to answer our Call-Clear-Request */

bool snoop_cleared_is_own(const struct call_snoop_cleared *cleared, uint16_t id)
{
	return cleared->own_known && cleared->own == id;
}

bool snoop_cleared_is_shown(const struct call_snoop_cleared *cleared, uint16_t id)
{
	return cleared->shown == id;
}

bool snoop_cleared_is_any(const struct call_snoop_cleared *cleared, uint16_t id)
{
	(void)cleared, (void)id;
	return true;
}

struct call_snoop_cleared *snoop_cleared_find(const struct call_snoop *snoop, enum callid_side pac,
					      uint64_t now, snoop_cleared_is *wanted, uint16_t id)
{
	struct call_snoop_record *record = snoop->record;
	for (uint32_t i = 0; i < CALL_SNOOP_CLEARED_KEPT; i++) {
		struct call_snoop_cleared *cleared =
		    &record->cleared[(record->cleared_count + i) % CALL_SNOOP_CLEARED_KEPT];
		if (cleared->until > now && cleared->side == pac && wanted(cleared, id))
			return cleared;
	}
	return NULL;
}

void snoop_cleared_set(struct call_snoop *snoop, struct call_snoop_cleared *cleared,
		       struct call_snoop_cleared value)
{
	kept_save(snoop->kept, cleared, sizeof(*cleared));
	*cleared = value;
}

void snoop_cleared_remember(struct call_snoop *snoop, const struct snoop_call *call,
			    enum callid_side pac, uint64_t now)
{
	uint32_t *count = &snoop->record->cleared_count;
	snoop_cleared_set(snoop, &snoop->record->cleared[*count % CALL_SNOOP_CLEARED_KEPT],
			  (struct call_snoop_cleared){
			      .until = now + CLEAR_MS,
			      .own = call->own[pac].value,
			      .own_known = call->own[pac].call != NULL,
			      .shown = call->shown[pac].value,
			      .side = (uint8_t)pac,
			  });
	kept_save(snoop->kept, count, sizeof(*count));
	++*count;
}

void snoop_cleared_forget(struct call_snoop *snoop, enum callid_side pac, uint16_t own,
			  uint64_t now)
{
	struct call_snoop_cleared *cleared =
	    snoop_cleared_find(snoop, pac, now, snoop_cleared_is_own, own);
	if (cleared)
		snoop_cleared_set(snoop, cleared, (struct call_snoop_cleared){0});
}
