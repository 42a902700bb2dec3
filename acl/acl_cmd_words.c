/*
 * acl_cmd_words: a command's text -> words -> the program's path. Starts nothing.
 */
#include "acl_cmd.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Split. */

static int add_word(struct acl_cmd_words *words, const char *text, size_t length)
{
	char **larger = realloc(words->words, (words->count + 2) * sizeof(*larger));
	if (!larger)
		return -1;
	words->words = larger;
	larger[words->count] = strndup(text, length);
	if (!larger[words->count])
		return -1;
	larger[++words->count] = NULL;
	return 0;
}

/* Reads one word at *at into out, which has room for it; *at is moved behind it. */
static int read_word(const char **at, char *out, size_t *length, struct why *why)
{
	const char *in = *at;
	char quote = '\0';
	*length = 0;
	for (; *in && (quote || !isspace((unsigned char)*in)); in++) {
		if (quote ? *in == quote : *in == '\'' || *in == '"') {
			quote = quote ? '\0' : *in;
		} else if (*in == '\\' && quote != '\'') {
			in++;
			if (*in == '\0')
				return why_set(why, "it ends in a backslash");
			if (quote && !strchr("$`\"\\\n", *in))
				out[(*length)++] = '\\';
			/* A shell joins the lines. */
			if (*in != '\n')
				out[(*length)++] = *in;
		} else {
			out[(*length)++] = *in;
		}
	}
	if (quote)
		return why_set(why, "the quote %c is not closed", quote);
	*at = in;
	return 0;
}

static int split_into(const char *text, char *word, struct acl_cmd_words *words, struct why *why)
{
	for (;;) {
		size_t length;
		text += strspn(text, " \t\r\n\v\f");
		/* A joined line outside of any word makes none. */
		while (text[0] == '\\' && text[1] == '\n')
			text += 2 + strspn(text + 2, " \t\r\n\v\f");
		if (*text == '\0')
			break;
		if (read_word(&text, word, &length, why) < 0)
			return -1;
		if (add_word(words, word, length) < 0)
			return why_set(why, "no memory for its words");
	}
	if (words->count == 0)
		return why_set(why, "there is no word in it");
	return 0;
}

int acl_cmd_split(const char *text, struct acl_cmd_words *words, struct why *why)
{
	*words = (struct acl_cmd_words){0};
	char *word = malloc(strlen(text) + 1);
	int result =
	    word ? split_into(text, word, words, why) : why_set(why, "no memory for its words");
	free(word);
	if (result < 0)
		acl_cmd_words_free(words);
	return result;
}

void acl_cmd_words_free(struct acl_cmd_words *words)
{
	for (size_t i = 0; i < words->count; i++)
		free(words->words[i]);
	free(words->words);
	*words = (struct acl_cmd_words){0};
}

/* Find. */

/* Why the file could not be run, or NULL. */
static const char *cannot_run(const char *path)
{
	struct stat status;
	if (stat(path, &status) < 0)
		return strerror(errno);
	if (!S_ISREG(status.st_mode))
		return "it is not a regular file";
	if (faccessat(AT_FDCWD, path, X_OK, AT_EACCESS) < 0)
		return errno == EACCES ? "it may not be executed" : strerror(errno);
	return NULL;
}

static int check_interpreter(const char *path, char *line, struct why *why)
{
	line[strcspn(line, "\n")] = '\0';
	line += strspn(line, " \t");
	line[strcspn(line, " \t")] = '\0';
	if (*line == '\0')
		return why_set(why, "command %.100s: it names no interpreter after #!", path);
	const char *reason = cannot_run(line);
	if (reason)
		return why_set(why, "command %.100s: its interpreter %.100s: %s", path, line,
			       reason);
	return 0;
}

/* Text without #! is what a shell would run and the system would not. */
static bool is_plain_text(const char *head, size_t length)
{
	for (size_t i = 0; i < length && head[i] != '\n'; i++)
		if (!isprint((unsigned char)head[i]) && !isspace((unsigned char)head[i]))
			return false;
	return true;
}

static int check_contents(const char *path, struct why *why)
{
	char head[PATH_MAX];
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	/* What may be executed need not be readable. */
	if (fd < 0)
		return 0;
	ssize_t length = read(fd, head, sizeof(head) - 1);
	close(fd);
	if (length < 0)
		return why_set(why, "command %.100s: %s", path, strerror(errno));
	head[length] = '\0';
	if (head[0] == '#' && head[1] == '!')
		return check_interpreter(path, head + 2, why);
	if (is_plain_text(head, (size_t)length))
		return why_set(why,
			       "command %.100s: it is neither a program nor a script that starts "
			       "with #!",
			       path);
	return 0;
}

static const char *search_path(void)
{
	const char *path = getenv("PATH");
	return path ? path : ACL_CMD_DEFAULT_PATH;
}

/* The first file in PATH that can be run, or NULL with *reason about one that cannot be, if any;
 * NULL there, too: no memory. */
static char *search(const char *word, const char **reason)
{
	const char *directory = search_path();
	for (;;) {
		int length = (int)strcspn(directory, ":");
		char *path = NULL;
		if (asprintf(&path, "%.*s%s%s", length, directory, length ? "/" : "./", word) < 0) {
			*reason = NULL;
			return NULL;
		}
		const char *problem = cannot_run(path);
		if (!problem)
			return path;
		if (access(path, F_OK) == 0)
			*reason = problem;
		free(path);
		if (directory[length] == '\0')
			return NULL;
		directory += length + 1;
	}
}

int acl_cmd_find(struct acl_cmd_words *words, struct why *why)
{
	char *word = words->words[0];
	const char *reason = "it is not in PATH";
	char *path = NULL;
	if (*word == '\0')
		return why_set(why, "command '': its first word is empty");
	if (strchr(word, '/')) {
		reason = cannot_run(word);
		path = reason ? NULL : strdup(word);
	} else {
		path = search(word, &reason);
	}
	if (!path)
		return why_set(why, "command %.100s: %s", word, reason ? reason : "no memory");
	if (check_contents(path, why) < 0) {
		free(path);
		return -1;
	}
	free(word);
	words->words[0] = path;
	return 0;
}
