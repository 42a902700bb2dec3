#include "status/snapshot.h"

#include <stdlib.h>

void snapshot_clear(struct snapshot *snapshot)
{
	free(snapshot->pairs);
	free(snapshot->rules);
	free(snapshot->calls);
	*snapshot = (struct snapshot){0};
}

const char *snapshot_state_name(enum snapshot_state state)
{
	static const char *const names[] = {
	    [SNAPSHOT_UNTRIED] = "untried",
	    [SNAPSHOT_UP] = "up",
	    [SNAPSHOT_DOWN] = "down",
	    [SNAPSHOT_IGNORED] = "ignored",
	};
	return names[state];
}
