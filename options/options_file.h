/*
 * options_file: the text of a configuration file -> its lines, each an option's name and what
 * stands behind it. Knows no option. Pure; any thread.
 *
 * A line is a name, blanks (spaces, tabs), a value; or a name alone. Blanks around them, empty
 * lines and a carriage return before the newline mean nothing; so does '#' with what follows, at a
 * line's start and behind a blank. Nothing goes on in the next line.
 */
#ifndef OPTIONS_FILE_H
#define OPTIONS_FILE_H

#include "host/why.h"

#include <stdbool.h>
#include <stddef.h>

struct options_file {
	const char *path; /* for sentences only; nothing is opened */
	const char *text; /* any octets, not terminated */
	size_t length;
};

enum { OPTIONS_FILE_LINE_MAX = 4096 }; /* octets, without the line's end */

struct options_reader {
	const struct options_file *file;
	size_t at;	 /* where the next line starts; 0 at first */
	unsigned number; /* of the line that was read last, from 1 */
	char *name;	 /* not empty; into line */
	char *rest;	 /* what stands behind the name, comment and all, maybe empty; into line */
	char line[OPTIONS_FILE_LINE_MAX + 1];
};

/* Reads the next line that says something: 1, 0 at the end of the text, or -1 with a sentence where
 * it is too long or has an octet that is no text (a control character that is no tab); the next
 * call goes on behind it. */
int options_file_next(struct options_reader *reader, struct why *why);

/* The value in rest, maybe empty: comment and blanks are cut off in place. With quotes a '#' within
 * '..' or "..", or behind a blank that follows a backslash, starts no comment, as with
 * acl_cmd_split. */
char *options_file_value(char *rest, bool quotes);

/* Puts the file and the line of that number before a sentence. Always -1. */
int options_file_blame(const struct options_file *file, unsigned number, struct why *why);

#endif
