/*
 * Words that were split, quoted again and joined, are split into the same words.
 */
#include "acl_cmd.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *octets, size_t length);

/* Each octet becomes four at most: '\'' */
static char *quote(const struct acl_cmd_words *words)
{
	size_t size = 1;
	for (size_t i = 0; i < words->count; i++)
		size += 4 * strlen(words->words[i]) + sizeof("'' ");
	char *text = malloc(size), *out = text;
	if (!text)
		abort();
	for (size_t i = 0; i < words->count; i++) {
		*out++ = '\'';
		for (const char *in = words->words[i]; *in; in++) {
			if (*in == '\'')
				out = stpcpy(out, "'\\''");
			else
				*out++ = *in;
		}
		out = stpcpy(out, "' ");
	}
	*out = '\0';
	return text;
}

static void check_same(const struct acl_cmd_words *a, const struct acl_cmd_words *b)
{
	assert(a->count == b->count);
	for (size_t i = 0; i < a->count; i++)
		assert(strcmp(a->words[i], b->words[i]) == 0);
	assert(!a->words[a->count] && !b->words[b->count]);
}

static void check_taken(const struct acl_cmd_words *words)
{
	struct acl_cmd_words again;
	struct why why;
	assert(words->count > 0);
	char *text = quote(words);
	if (acl_cmd_split(text, &again, &why) < 0)
		abort();
	check_same(words, &again);
	acl_cmd_words_free(&again);
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *octets, size_t length)
{
	struct acl_cmd_words words;
	struct why why = {""};
	char *text = strndup((const char *)octets, length);
	if (!text)
		abort();
	if (acl_cmd_split(text, &words, &why) == 0)
		check_taken(&words);
	else
		assert(!words.words && why.text[0] != '\0');
	acl_cmd_words_free(&words);
	free(text);
	return 0;
}
