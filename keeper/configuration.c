#include "keeper/configuration.h"

#include "host/file.h"

#include <stdlib.h>
#include <string.h>

enum { FILE_MAX = 1 << 20 };

static struct options_file file_of(const struct configuration *configuration)
{
	return (struct options_file){
	    .path = configuration->path,
	    .text = configuration->file,
	    .length = configuration->file_length,
	};
}

static enum options_answer parse(struct configuration *configuration, int argc, char **argv,
				 struct why *why)
{
	const struct options_file file = file_of(configuration);
	struct options *options = &configuration->options;
	enum options_answer answer =
	    options_parse(options, argc, argv, configuration->file ? &file : NULL, why);
	configuration->open_to_all = options->acl.count == 0 && options->command_count == 0;
	return answer;
}

static int find_commands(struct configuration *configuration, struct why *why)
{
	struct options *options = &configuration->options;
	const struct options_file file = file_of(configuration);
	for (size_t i = 0; i < options->command_count; i++) {
		if (acl_cmd_find(&options->commands[i], why) == 0)
			continue;
		if (options->command_lines[i] > 0)
			options_file_blame(&file, options->command_lines[i], why);
		return -1;
	}
	return 0;
}

enum options_answer configuration_read(struct configuration *configuration, int argc, char **argv,
				       struct why *why)
{
	struct why unreadable;
	const char *path = options_config(argc, argv);

	*configuration = (struct configuration){0};
	if (path) {
		configuration->path = strdup(path);
		configuration->file =
		    file_read(path, FILE_MAX, &configuration->file_length, &unreadable);
		if (!configuration->path) {
			why_set(&unreadable, "%.300s: no memory", path);
			free(configuration->file);
			configuration->file = NULL;
		}
	}
	enum options_answer answer = parse(configuration, argc, argv, why);
	bool wanted = answer != OPTIONS_HELP && answer != OPTIONS_VERSION;
	if (wanted && path && !configuration->file) {
		*why = unreadable;
		return OPTIONS_BAD;
	}
	bool runs = answer == OPTIONS_RUN || answer == OPTIONS_CHECK || answer == OPTIONS_DOCTOR;
	if (runs && find_commands(configuration, why) != 0)
		return OPTIONS_BAD;
	return answer;
}

static char *copy(const char *octets, size_t length)
{
	char *result = malloc(length + 1);
	if (result) {
		memcpy(result, octets, length);
		result[length] = '\0';
	}
	return result;
}

enum options_answer configuration_receive(struct configuration *configuration,
					  const struct letter *letter, struct why *why)
{
	*configuration = (struct configuration){0};
	if (letter->config) {
		configuration->path = strdup(letter->config_path ? letter->config_path : "");
		configuration->file = copy(letter->config, letter->config_length);
		configuration->file_length = letter->config_length;
		if (!configuration->path || !configuration->file) {
			why_set(why, "configuration: no memory");
			return OPTIONS_BAD;
		}
	}
	return parse(configuration, (int)letter->word_count, letter->words, why);
}

static size_t count_words(char *const *argv)
{
	size_t count = 0;
	while (argv[count])
		count++;
	return count;
}

int configuration_tell(const struct configuration *configuration, char *const *argv,
		       struct letter *letter, struct why *why)
{
	bool whole = true;

	letter->words = calloc(count_words(argv) + 1, sizeof(*letter->words));
	for (size_t i = 0; letter->words && argv[i]; i++) {
		letter->words[i] = strdup(argv[i]);
		whole = whole && letter->words[i];
		letter->word_count++;
	}
	if (configuration->file) {
		letter->config = copy(configuration->file, configuration->file_length);
		letter->config_length = configuration->file_length;
		letter->config_path = strdup(configuration->path);
		whole = whole && letter->config && letter->config_path;
	}
	if (!letter->words || !whole)
		return why_set(why, "a new process cannot be told what to do: no memory");
	return 0;
}

void configuration_clear(struct configuration *configuration)
{
	options_clear(&configuration->options);
	free(configuration->path);
	free(configuration->file);
	*configuration = (struct configuration){0};
}
