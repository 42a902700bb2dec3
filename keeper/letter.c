#include "keeper/letter.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define VARIABLE "PPTPPROXY_LETTER"
#define TITLE	 "pptpproxy letter 1"
#define END	 "end\n"

enum { NUMBERS_MAX = 3, BLOB_MAX = 64 << 20, TRIES = 20 };

/* ---- writing ---- */

static void put_blob(FILE *file, const char *name, const char *octets, size_t length)
{
	fprintf(file, "%s %zu\n", name, length);
	fwrite(octets, 1, length, file);
	putc('\n', file);
}

static void put(FILE *file, const struct letter *letter)
{
	fprintf(file, TITLE "\nto %d\nkeeper %ld\ndescriptors %zu\nkept %d\nraw %d %d\n",
		(int)letter->to, (long)letter->keeper, letter->descriptors, letter->kept,
		letter->raw_receive, letter->raw_send);
	fprintf(file, "instance %d\nlink %d\nlog %d\ngiven %d\n", letter->instance, letter->link,
		letter->log, letter->given);
	fprintf(file, "user %lu %lu\n", (unsigned long)letter->user.uid,
		(unsigned long)letter->user.gid);
	put_blob(file, "user-name", letter->user.name, strlen(letter->user.name));
	if (letter->again > 0)
		fprintf(file, "again %u\n", letter->again);
	for (size_t i = 0; i < letter->listener_count; i++) {
		const struct letter_listener *listener = &letter->listeners[i];
		fprintf(file, "listener %lu %u %d\n", (unsigned long)listener->addr, listener->port,
			listener->fd);
		if (listener->name)
			put_blob(file, "listener-name", listener->name, strlen(listener->name));
	}
	for (size_t i = 0; i < letter->legs_count; i++) {
		const struct letter_legs *legs = &letter->legs[i];
		fprintf(file, "legs %lu %d %d\n", (unsigned long)legs->index, legs->fds[0],
			legs->fds[1]);
	}
	for (size_t i = 0; i < letter->word_count; i++)
		put_blob(file, "word", letter->words[i], strlen(letter->words[i]));
	if (letter->config_path)
		put_blob(file, "config-path", letter->config_path, strlen(letter->config_path));
	if (letter->config)
		put_blob(file, "config", letter->config, letter->config_length);
	if (letter->fastpath)
		put_blob(file, "fastpath", letter->fastpath, letter->fastpath_length);
	fputs(END, file);
}

int letter_write(const struct letter *letter, struct why *why)
{
	int fd = memfd_create("pptpproxy letter", 0), copy = fd >= 0 ? dup(fd) : -1;
	FILE *file = copy >= 0 ? fdopen(copy, "w") : NULL;
	int error = file ? 0 : errno;

	if (file) {
		put(file, letter);
		if (fflush(file) != 0 || ferror(file))
			error = errno ? errno : EIO;
		fclose(file);
	} else if (copy >= 0) {
		close(copy);
	}
	if (error == 0)
		return fd;
	if (fd >= 0)
		close(fd);
	return why_set(why, "a new process cannot be told what to do: %s", strerror(error));
}

char *letter_entry(int fd, char out[static LETTER_ENTRY_MAX])
{
	snprintf(out, LETTER_ENTRY_MAX, VARIABLE "=%d", fd);
	return out;
}

/* ---- reading ---- */

static void *grow(void *array, size_t count, size_t size)
{
	/* By doubling: there is a line for each of thousands of connections. */
	if ((count & (count - 1)) != 0)
		return array;
	return reallocarray(array, count ? 2 * count : 1, size);
}

static bool is_within(long long n, long long most)
{
	return n >= 0 && n <= most;
}

static bool add_listener(struct letter *letter, const long long n[NUMBERS_MAX])
{
	if (!is_within(n[0], UINT32_MAX) || !is_within(n[1], UINT16_MAX) ||
	    !is_within(n[2], INT_MAX))
		return false;
	void *grown = grow(letter->listeners, letter->listener_count, sizeof(*letter->listeners));
	if (!grown)
		return false;
	letter->listeners = grown;
	letter->listeners[letter->listener_count++] = (struct letter_listener){
	    .addr = (uint32_t)n[0], .port = (uint16_t)n[1], .fd = (int)n[2]};
	return true;
}

static bool add_legs(struct letter *letter, const long long n[NUMBERS_MAX])
{
	if (!is_within(n[0], UINT32_MAX) || !is_within(n[1], INT_MAX) || !is_within(n[2], INT_MAX))
		return false;
	void *grown = grow(letter->legs, letter->legs_count, sizeof(*letter->legs));
	if (!grown)
		return false;
	letter->legs = grown;
	letter->legs[letter->legs_count++] =
	    (struct letter_legs){(uint32_t)n[0], {(int)n[1], (int)n[2]}};
	return true;
}

static bool add_word(struct letter *letter, char *word)
{
	char **words = reallocarray(letter->words, letter->word_count + 2, sizeof(*words));
	if (!words)
		return false;
	letter->words = words;
	words[letter->word_count++] = word;
	words[letter->word_count] = NULL;
	return true;
}

/* The octets behind a line that told their number, and a newline. NULL: they are not there. */
static char *take_blob(FILE *file, long long length)
{
	if (!is_within(length, BLOB_MAX))
		return NULL;
	char *blob = malloc((size_t)length + 1);
	if (!blob)
		return NULL;
	if (fread(blob, 1, (size_t)length, file) != (size_t)length || getc(file) != '\n') {
		free(blob);
		return NULL;
	}
	blob[length] = '\0';
	return blob;
}

static bool take_blob_line(struct letter *letter, FILE *file, const char *name, long long length)
{
	char **blob = strcmp(name, "config") == 0	 ? &letter->config
		      : strcmp(name, "config-path") == 0 ? &letter->config_path
		      : strcmp(name, "fastpath") == 0	 ? &letter->fastpath
							 : NULL;
	char *octets = take_blob(file, length);
	if (!octets)
		return false;
	if (blob && !*blob) {
		*blob = octets;
		if (blob == &letter->config)
			letter->config_length = (size_t)length;
		if (blob == &letter->fastpath)
			letter->fastpath_length = (size_t)length;
		return true;
	}
	if (strcmp(name, "word") == 0 && add_word(letter, octets))
		return true;
	if (strcmp(name, "listener-name") == 0 && letter->listener_count > 0) {
		struct letter_listener *last = &letter->listeners[letter->listener_count - 1];
		free(last->name);
		last->name = octets;
		return true;
	}
	if (strcmp(name, "user-name") == 0 && length <= USER_NAME_MAX) {
		memcpy(letter->user.name, octets, (size_t)length + 1);
		free(octets);
		return true;
	}
	free(octets);
	return false;
}

/* How many numbers stand behind the name, which is cut off; -1: it is no such line. */
static int split(char *line, long long n[NUMBERS_MAX])
{
	char *at = line + strcspn(line, " \n");
	int count = 0;

	if (at == line)
		return -1;
	while (*at == ' ' && count < NUMBERS_MAX) {
		char *start = at + 1;
		*at = '\0'; /* the first one ends the name */
		if (*start != '-' && !isdigit((unsigned char)*start))
			return -1;
		n[count++] = strtoll(start, &at, 10);
		if (at == start)
			return -1;
	}
	if (strcmp(at, "\n") != 0)
		return -1;
	*at = '\0';
	return count;
}

/* -1: none. */
static bool take_descriptor(int *value, long long n)
{
	*value = (int)n;
	return n >= -1 && n <= INT_MAX;
}

static bool take_user(struct letter *letter, const long long n[NUMBERS_MAX])
{
	if (n[0] < 0 || n[0] >= UINT32_MAX || n[1] < 0 || n[1] >= UINT32_MAX)
		return false;
	letter->user.uid = (uid_t)n[0];
	letter->user.gid = (gid_t)n[1];
	return true;
}

static bool take_line(struct letter *letter, FILE *file, char *line)
{
	long long n[NUMBERS_MAX];
	int numbers = split(line, n);
	const char *name = line;
	const struct {
		const char *name;
		int *value;
	} ones[] = {
	    {"kept", &letter->kept}, {"instance", &letter->instance}, {"link", &letter->link},
	    {"log", &letter->log},   {"given", &letter->given},
	};

	if (numbers == 2 && strcmp(name, "user") == 0)
		return take_user(letter, n);
	if (numbers == 2 && strcmp(name, "raw") == 0)
		return take_descriptor(&letter->raw_receive, n[0]) &&
		       take_descriptor(&letter->raw_send, n[1]);
	if (numbers == 3 && strcmp(name, "listener") == 0)
		return add_listener(letter, n);
	if (numbers == 3 && strcmp(name, "legs") == 0)
		return add_legs(letter, n);
	if (numbers != 1)
		return false;
	for (size_t i = 0; i < sizeof(ones) / sizeof(ones[0]); i++) {
		if (strcmp(name, ones[i].name) == 0)
			return take_descriptor(ones[i].value, n[0]);
	}
	if (strcmp(name, "to") == 0 && n[0] >= LETTER_TO_WORKER && n[0] <= LETTER_TO_TRIAL) {
		letter->to = (enum letter_to)n[0];
		return true;
	}
	if (strcmp(name, "descriptors") == 0 && n[0] >= 0) {
		letter->descriptors = (size_t)n[0];
		return true;
	}
	if (strcmp(name, "again") == 0 && n[0] > 0 && n[0] <= INT32_MAX) {
		letter->again = (unsigned)n[0];
		return true;
	}
	if (strcmp(name, "keeper") == 0) {
		letter->keeper = (long)n[0];
		return true;
	}
	return take_blob_line(letter, file, name, n[0]);
}

static bool take(struct letter *letter, FILE *file)
{
	char line[128];
	bool good = fgets(line, sizeof(line), file) && strcmp(line, TITLE "\n") == 0;
	bool ended = false;
	while (good && !ended && fgets(line, sizeof(line), file)) {
		ended = strcmp(line, END) == 0;
		good = ended || take_line(letter, file, line);
	}
	return good && ended && getc(file) == EOF && letter->to != LETTER_TO_NOBODY &&
	       letter->words;
}

int letter_read(int fd, struct letter *letter, struct why *why)
{
	*letter = LETTER_NONE;
	FILE *file = fdopen(fd, "r");
	if (!file) {
		int error = errno;
		if (fd >= 0)
			close(fd);
		errno = error;
		return why_set(why, "letter of the running instance: %s", strerror(error));
	}
	rewind(file);
	errno = 0;
	bool good = take(letter, file);
	int error = errno;
	fclose(file);
	if (good)
		return 0;
	letter_clear(letter);
	errno = error == ENOMEM ? ENOMEM : EINVAL;
	return why_set(why,
		       "the running instance is of a version that this one (%s) cannot go on from",
		       TITLE);
}

/* A copy, so that there is another try. */
static int read_copy(int fd, struct letter *letter, struct why *why)
{
	int copy = dup(fd);
	*letter = LETTER_NONE;
	return copy >= 0 ? letter_read(copy, letter, why)
			 : why_set(why, "letter of the running instance: %s", strerror(errno));
}

/* All that the keeper's next image has depends on it. */
static int read_patiently(int fd, struct letter *letter, struct why *why)
{
	const struct timespec pause = {.tv_nsec = 100000000};
	int result = read_copy(fd, letter, why);
	for (int tries = 1; result != 0 && tries < TRIES; tries++) {
		if (errno != ENOMEM && errno != EMFILE && errno != ENFILE)
			break;
		nanosleep(&pause, NULL);
		result = read_copy(fd, letter, why);
	}
	close(fd);
	return result;
}

int letter_receive(struct letter *letter, struct why *why)
{
	const char *value = getenv(VARIABLE);
	char *end;

	*letter = LETTER_NONE;
	if (!value)
		return 0;
	long fd = strtol(value, &end, 10);
	if (end == value || *end != '\0' || fd < 0 || fd > INT32_MAX)
		fd = -1;
	unsetenv(VARIABLE);
	return read_patiently((int)fd, letter, why);
}

void letter_clear(struct letter *letter)
{
	for (size_t i = 0; i < letter->word_count; i++)
		free(letter->words[i]);
	free(letter->words);
	for (size_t i = 0; i < letter->listener_count; i++)
		free(letter->listeners[i].name);
	free(letter->listeners);
	free(letter->legs);
	free(letter->config);
	free(letter->config_path);
	free(letter->fastpath);
	*letter = LETTER_NONE;
}
