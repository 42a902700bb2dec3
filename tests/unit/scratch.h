/*
 * scratch: a directory of a unit's own, and the path of a file in it, which is not made. Around the
 * group or around each case. SCRATCH_FILE, the file's name, is defined before this is included.
 */
#ifndef TESTS_UNIT_SCRATCH_H
#define TESTS_UNIT_SCRATCH_H

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static char directory[32];
static char path[64];

static inline int scratch_set_up(void **state)
{
	(void)state;
	snprintf(directory, sizeof(directory), "/tmp/pptpproxy-unit.XXXXXX");
	if (!mkdtemp(directory))
		return -1;
	snprintf(path, sizeof(path), "%s/" SCRATCH_FILE, directory);
	return 0;
}

/* The file, too, if there is one. Anything else that is left there fails the unit. */
static inline int scratch_tear_down(void **state)
{
	(void)state;
	unlink(path);
	return rmdir(directory);
}

/* Whatever is there. */
static inline int scratch_tear_down_all(void **state)
{
	char command[80];
	(void)state;
	snprintf(command, sizeof(command), "rm -r %s", directory);
	return system(command);
}

#endif
