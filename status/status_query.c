#include "status/status_query.h"

#include "host/instance.h"
#include "host/monotonic.h"
#include "status/status_ask.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	PATIENCE_S = 15, /* until the whole answer is there */
	PIECE = 65536,
	ANSWER_MAX = 1 << 29,
	SENTENCE_MAX = 400,
};

struct answer {
	char *text;
	size_t length, room;
};

/* 0, or -1 with errno. */
static int grow(struct answer *answer)
{
	if (answer->room - answer->length > PIECE)
		return 0;
	size_t room = 2 * answer->room + 2 * PIECE;
	if (room > ANSWER_MAX) {
		errno = EMSGSIZE;
		return -1;
	}
	char *text = realloc(answer->text, room);
	if (!text)
		return -1;
	answer->text = text;
	answer->room = room;
	return 0;
}

/* 0, or -1 with errno. */
static int wait_for_more(int fd, uint64_t deadline)
{
	struct pollfd more = {.fd = fd, .events = POLLIN};
	uint64_t now = monotonic_ms();
	int found = now < deadline ? poll(&more, 1, (int)(deadline - now)) : 0;
	if (found == 0)
		errno = EAGAIN;
	return found > 0 || (found < 0 && errno == EINTR) ? 0 : -1;
}

/* All until the end of the stream. 0, or -1 with errno. */
static int receive(int fd, struct answer *answer)
{
	uint64_t deadline = monotonic_ms() + PATIENCE_S * 1000;
	for (;;) {
		if (grow(answer) != 0 || wait_for_more(fd, deadline) != 0)
			return -1;
		ssize_t got = recv(fd, answer->text + answer->length, PIECE, MSG_DONTWAIT);
		if (got > 0)
			answer->length += (size_t)got;
		else if (got == 0 || errno == ECONNRESET)
			break; /* what is missing then is found out by the length */
		else if (errno != EINTR && errno != EAGAIN)
			return -1;
	}
	answer->text[answer->length] = '\0';
	return 0;
}

/* In place of an answer came a line that says why there is none. */
static void tell_refusal(const char *control, struct answer *answer, struct why *why)
{
	char *line = answer->text;
	size_t length = strcspn(line, "\n");
	if (length > SENTENCE_MAX)
		length = SENTENCE_MAX;
	for (size_t i = 0; i < length; i++) {
		if (line[i] < ' ' || line[i] > '~')
			line[i] = '?';
	}
	if (length == 0)
		why_set(why, "control socket %s: the instance ended before it answered", control);
	else
		why_set(why, "%.*s", (int)length, line);
}

/* Leaves the text alone. */
static bool is_whole(struct answer *answer)
{
	char *body = memchr(answer->text, '\n', answer->length), *end;
	if (!body)
		return false;
	unsigned long long length = strtoull(answer->text + strlen(STATUS_ASK_OK), &end, 10);
	body++;
	if (end + 1 != body || length != answer->length - (size_t)(body - answer->text))
		return false;
	memmove(answer->text, body, (size_t)length + 1);
	answer->length = (size_t)length;
	return true;
}

static int ask(int fd, const char *request, struct answer *answer)
{
	/* Who does not let us, or is busy, may have hung up already; his line is there all the
	 * same. */
	if (send(fd, request, strlen(request), MSG_NOSIGNAL) < 0 && errno != EPIPE)
		return -1;
	return receive(fd, answer);
}

char *status_query(const char *control, const char *request, struct why *why)
{
	struct answer answer = {0};
	int fd = instance_call(control, PATIENCE_S, why);
	if (fd < 0)
		return NULL;
	int result = ask(fd, request, &answer);
	int reason = errno;
	close(fd);
	if (result != 0 && reason == EAGAIN)
		why_set(why, "control socket %s: no answer in %d s", control, PATIENCE_S);
	else if (result != 0)
		why_set(why, "control socket %s: %s", control, strerror(reason));
	else if (strncmp(answer.text, STATUS_ASK_OK, strlen(STATUS_ASK_OK)) != 0)
		tell_refusal(control, &answer, why);
	else if (!is_whole(&answer))
		why_set(why, "control socket %s: the instance ended before it had answered",
			control);
	else
		return answer.text;
	free(answer.text);
	return NULL;
}
