#include "reason.h"

#define NAME(id, name, meaning)	   [id] = name,
#define MEANING(id, name, meaning) [id] = meaning,

#define FAMILY(kind, TABLE)                                                                        \
	const char *reason_##kind##_name(enum reason_##kind reason)                                \
	{                                                                                          \
		static const char *const names[] = {TABLE(NAME)};                                  \
		return names[reason];                                                              \
	}                                                                                          \
	const char *reason_##kind##_meaning(enum reason_##kind reason)                             \
	{                                                                                          \
		static const char *const meanings[] = {TABLE(MEANING)};                            \
		return meanings[reason];                                                           \
	}

FAMILY(packet, REASON_PACKETS)
FAMILY(message, REASON_MESSAGES)
FAMILY(refusal, REASON_REFUSALS)
FAMILY(end, REASON_ENDS)
