#include "keeper/keeper_spawn.h"

#include "host/readiness.h"
#include "keeper/letter.h"

#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool is_for_keeper_only(const char *entry)
{
	return strncmp(entry, READINESS_VARIABLE "=", sizeof(READINESS_VARIABLE)) == 0;
}

/* Our environment with one entry more, which points to entry. NULL: no memory. */
static char **environment_with(char *entry, bool for_keeper)
{
	size_t size = 2, count = 0;
	for (char **one = environ; *one; one++)
		size++;
	char **copy = calloc(size, sizeof(*copy));
	if (!copy)
		return NULL;
	for (char **one = environ; *one; one++) {
		if (for_keeper || !is_for_keeper_only(*one))
			copy[count++] = *one;
	}
	copy[count] = entry;
	return copy;
}

static int set_output(posix_spawn_file_actions_t *actions, int output)
{
	int error = 0;
	if (output >= 0)
		error = posix_spawn_file_actions_adddup2(actions, output, STDOUT_FILENO);
	if (output >= 0 && error == 0)
		error = posix_spawn_file_actions_adddup2(actions, output, STDERR_FILENO);
	return error;
}

int keeper_spawn(pid_t *pid, const char *path, char **words, int letter_fd, int output)
{
	char entry[LETTER_ENTRY_MAX];
	char **environment = environment_with(letter_entry(letter_fd, entry), false);
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	sigset_t none, all;

	if (!environment)
		return ENOMEM;
	sigemptyset(&none);
	sigfillset(&all);
	posix_spawnattr_init(&attributes);
	posix_spawnattr_setsigmask(&attributes, &none);
	posix_spawnattr_setsigdefault(&attributes, &all);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	posix_spawn_file_actions_init(&actions);
	int error = set_output(&actions, output);
	if (error == 0)
		error = posix_spawn(pid, path, &actions, &attributes, words, environment);
	posix_spawn_file_actions_destroy(&actions);
	posix_spawnattr_destroy(&attributes);
	free(environment);
	return error;
}

int keeper_spawn_in_place(const char *path, char **words, int letter_fd)
{
	char entry[LETTER_ENTRY_MAX];
	char **environment = environment_with(letter_entry(letter_fd, entry), true);
	if (!environment)
		return ENOMEM;
	execve(path, words, environment);
	int error = errno;
	free(environment);
	return error;
}
