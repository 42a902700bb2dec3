/*
 * A stranger's capture: read to its end, or refused with a sentence that names it; the story is
 * text that a terminal can be shown.
 */
#include "explain/explain.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *octets, size_t length);

static void check_text(const char *text, size_t length)
{
	for (size_t i = 0; i < length; i++)
		assert(text[i] == '\n' || (text[i] >= ' ' && text[i] < 0x7F));
}

int LLVMFuzzerTestOneInput(const uint8_t *octets, size_t length)
{
	struct why why = {""};
	char *story = NULL;
	size_t story_length = 0;
	/* Of nothing there is no file. */
	FILE *file = length > 0 ? fmemopen((void *)octets, length, "r") : NULL;
	FILE *out = open_memstream(&story, &story_length);
	if (!file || !out) {
		if (out)
			fclose(out);
		free(story);
		return 0;
	}
	int answer = explain_open_file(file, "file", out, NULL, &why);
	fclose(out);
	if (answer == 0)
		assert(strncmp(story, "file: ", 6) == 0 && story[story_length - 1] == '\n');
	else
		assert(strstr(why.text, "file") != NULL && story_length == 0);
	check_text(story, story_length);
	check_text(why.text, strlen(why.text));
	free(story);
	return 0;
}
