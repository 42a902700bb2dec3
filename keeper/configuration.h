/*
 * configuration: the command line and the file that it names, read and understood whole.
 *
 * Read by the keeper only; a worker finds both in its letter. Thread: main.
 */
#ifndef KEEPER_CONFIGURATION_H
#define KEEPER_CONFIGURATION_H

#include "keeper/letter.h"
#include "options.h"

struct configuration {
	struct options options;
	char *path; /* of the file, NULL: none */
	char *file; /* its text */
	size_t file_length;
	bool open_to_all; /* neither rules nor commands */
};

/* Reads the file that the words name, if any, and finds the access commands. As options_parse; in
 * every case configuration_clear is called afterwards by the caller. */
enum options_answer configuration_read(struct configuration *configuration, int argc, char **argv,
				       struct why *why);

/* The same of a letter, without reading a file or looking for commands. */
enum options_answer configuration_receive(struct configuration *configuration,
					  const struct letter *letter, struct why *why);

/* Enters words and file into the letter. 0, or -1 with a sentence: no memory. */
int configuration_tell(const struct configuration *configuration, char *const *argv,
		       struct letter *letter, struct why *why);

void configuration_clear(struct configuration *configuration);

#endif
