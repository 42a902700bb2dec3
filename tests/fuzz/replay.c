/*
 * A fuzz target without its fuzzer: gives it each file of the directories, or each file, named on
 * the command line, once. Needs no clang; coverage is measured with it, and a finding is looked at
 * in a debugger.
 */
#include <dirent.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *octets, size_t length);

enum { INPUT_MAX = 1 << 20 };

static unsigned replayed;

static void replay_file(const char *path)
{
	static uint8_t input[INPUT_MAX];
	FILE *file = fopen(path, "rb");
	if (!file) {
		perror(path);
		exit(1);
	}
	size_t length = fread(input, 1, sizeof(input), file);
	fclose(file);
	/* Of its very length, so that reading beyond it is an error that can be seen. */
	uint8_t *octets = malloc(length);
	if (length > 0 && !octets)
		abort();
	if (length > 0)
		memcpy(octets, input, length);
	LLVMFuzzerTestOneInput(octets, length);
	free(octets);
	replayed++;
}

static void replay(const char *path)
{
	DIR *directory = opendir(path);
	struct dirent *entry;
	char inside[PATH_MAX];

	if (!directory) {
		replay_file(path);
		return;
	}
	while ((entry = readdir(directory))) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(inside, sizeof(inside), "%s/%s", path, entry->d_name);
		replay_file(inside);
	}
	closedir(directory);
}

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		replay(argv[i]);
	printf("%u inputs\n", replayed);
	return replayed > 0 ? 0 : 1;
}
