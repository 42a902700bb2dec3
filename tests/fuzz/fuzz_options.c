/*
 * What a file says is taken as if the same words stood on a command line; what is not taken is
 * explained.
 */
#include "options.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *octets, size_t length);

struct words {
	char **words;
	int count;
};

static void add_word(struct words *words, char *word)
{
	words->words = realloc(words->words, ((size_t)words->count + 2) * sizeof(char *));
	if (!words->words || !word)
		abort();
	words->words[words->count++] = word;
	words->words[words->count] = NULL;
}

static void free_words(struct words *words)
{
	for (int i = 0; i < words->count; i++)
		free(words->words[i]);
	free(words->words);
}

/* The file's lines as words: --name or --name=value. */
static void read_words(const struct options_file *file, struct words *words)
{
	static struct options_reader reader;
	struct why why;
	reader = (struct options_reader){.file = file};
	add_word(words, strdup("pptpproxy"));
	while (options_file_next(&reader, &why) > 0) {
		size_t name = strlen(reader.name);
		bool quotes =
		    strcmp(reader.name, "acl-cmd") == 0 || strcmp(reader.name, "aclCmd") == 0;
		char *word = NULL;
		assert(name > 0 && strcspn(reader.name, " \t\r\n") == name);
		const char *value = options_file_value(reader.rest, quotes);
		if (asprintf(&word, "--%s%s%s", reader.name, *value ? "=" : "", value) < 0)
			abort();
		add_word(words, word);
	}
}

static bool same_text(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

static void check_same_lists(const struct options *a, const struct options *b)
{
	assert(a->pair_count == b->pair_count);
	for (size_t i = 0; i < a->pair_count; i++) {
		assert(same_text(a->pairs[i].listen.word, b->pairs[i].listen.word));
		assert(same_text(a->pairs[i].peer.word, b->pairs[i].peer.word));
	}
	assert(a->acl.count == b->acl.count);
	for (size_t i = 0; i < a->acl.count; i++)
		assert(same_text(a->acl.rules[i].text, b->acl.rules[i].text));
	assert(a->command_count == b->command_count);
	for (size_t i = 0; i < a->command_count; i++) {
		assert(a->commands[i].count == b->commands[i].count);
		for (size_t j = 0; j < a->commands[i].count; j++)
			assert(same_text(a->commands[i].words[j], b->commands[i].words[j]));
	}
	assert(a->interface_count == b->interface_count);
	for (size_t i = 0; i < a->interface_count; i++)
		assert(same_text(a->interfaces[i], b->interfaces[i]));
}

static void check_same(const struct options *a, const struct options *b)
{
	check_same_lists(a, b);
	assert(a->stats.addr == b->stats.addr && a->stats.port == b->stats.port);
	assert(same_text(a->log_file, b->log_file) && same_text(a->pid_file, b->pid_file));
	assert(same_text(a->control, b->control) && same_text(a->user, b->user));
	assert(a->ready_fd == b->ready_fd);
	assert(!a->config && !b->config && !a->check && !b->check);
	assert(a->explain_count == 0 && b->explain_count == 0 && !a->doctor && !b->doctor);
	assert(a->acl_any == b->acl_any && a->foreground == b->foreground);
	assert(a->log_level == b->log_level && a->fastpath == b->fastpath);
	assert(a->acl_timeout_s == b->acl_timeout_s && a->acl_parallel == b->acl_parallel);
	assert(a->connect_timeout_s == b->connect_timeout_s);
	assert(a->handshake_timeout_s == b->handshake_timeout_s);
	assert(a->keepalive_s == b->keepalive_s && a->max_calls == b->max_calls);
	assert(a->max_connections == b->max_connections);
	assert(a->max_per_source == b->max_per_source);
	assert(a->max_rate_per_source == b->max_rate_per_source);
	assert(a->max_waiting_checks == b->max_waiting_checks);
	assert(a->max_early_packets == b->max_early_packets);
	assert(same_text(a->capture, b->capture) && !a->tap && !b->tap);
	assert(a->capture_limit_mib == b->capture_limit_mib);
}

static void check_taken(const struct options *options, const struct options_file *file)
{
	struct options again;
	struct words words = {0};
	struct why why;
	read_words(file, &words);
	if (options_parse(&again, words.count, words.words, NULL, &why) != OPTIONS_RUN)
		abort();
	check_same(options, &again);
	options_clear(&again);
	free_words(&words);
}

/* About a line, or about the whole. */
static void check_explained(const struct why *why)
{
	assert(strncmp(why->text, "FILE line ", strlen("FILE line ")) == 0 ||
	       strncmp(why->text, "nothing to forward", strlen("nothing to forward")) == 0 ||
	       strncmp(why->text, "--capture -:", strlen("--capture -:")) == 0 ||
	       strncmp(why->text, "--fastpath-interface", strlen("--fastpath-interface")) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *octets, size_t length)
{
	struct options options;
	struct options_file file = {"FILE", (const char *)octets, length};
	char *argv[] = {(char *)"pptpproxy", NULL};
	struct why why = {""};
	enum options_answer answer = options_parse(&options, 1, argv, &file, &why);
	if (answer == OPTIONS_RUN)
		check_taken(&options, &file);
	else if (answer == OPTIONS_BAD)
		check_explained(&why);
	else
		abort();
	options_clear(&options);
	return 0;
}
