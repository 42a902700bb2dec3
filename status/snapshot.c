#include "status/snapshot.h"

#include <stdlib.h>

void snapshot_clear(struct snapshot *snapshot)
{
	free(snapshot->pairs);
	free(snapshot->rules);
	free(snapshot->calls);
	*snapshot = (struct snapshot){0};
}
