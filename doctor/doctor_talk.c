#include "doctor/doctor_talk.h"

#include "host/monotonic.h"
#include "wire/probe_wire.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Whether it is so within the time. */
static bool await(int fd, short events, uint64_t end)
{
	struct pollfd wait = {.fd = fd, .events = events};
	for (;;) {
		uint64_t now = monotonic_ms();
		int ready = poll(&wait, 1, now < end ? (int)(end - now) : 0);
		if (ready >= 0 || errno != EINTR)
			return ready > 0;
	}
}

int doctor_talk_open(struct doctor_talk *talk, uint32_t addr, uint16_t port, unsigned ms)
{
	struct sockaddr_in to = {
	    .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(addr)};
	uint64_t end = monotonic_ms() + ms;
	int error = 0;
	socklen_t size = sizeof(error);

	*talk = (struct doctor_talk){
	    .fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
	if (talk->fd < 0)
		return errno;
	if (connect(talk->fd, (const struct sockaddr *)&to, sizeof(to)) == 0)
		return 0;
	if (errno != EINPROGRESS)
		error = errno;
	else if (!await(talk->fd, POLLOUT, end))
		error = ETIMEDOUT;
	else if (getsockopt(talk->fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0)
		error = errno;
	if (error != 0)
		doctor_talk_close(talk);
	return error;
}

void doctor_talk_close(struct doctor_talk *talk)
{
	if (talk->fd >= 0)
		close(talk->fd);
	talk->fd = -1;
}

/* Messages are short: a connection that does not take one at once is of no use. */
bool doctor_talk_send(struct doctor_talk *talk, const uint8_t *octets, size_t length)
{
	ssize_t sent = send(talk->fd, octets, length, MSG_NOSIGNAL);
	return sent == (ssize_t)length;
}

static void answer_echo(struct doctor_talk *talk)
{
	uint8_t reply[PROBE_MESSAGE_MAX];
	size_t length = probe_wire_echo_reply(reply, probe_wire_identifier(talk->octets));
	doctor_talk_send(talk, reply, length);
}

static void drop_taken(struct doctor_talk *talk)
{
	talk->length -= talk->taken;
	memmove(talk->octets, talk->octets + talk->taken, talk->length);
	talk->taken = 0;
}

/* One more piece. */
static enum doctor_talk_answer read_more(struct doctor_talk *talk, uint64_t end)
{
	if (!await(talk->fd, POLLIN, end))
		return DOCTOR_TALK_SILENT;
	ssize_t got =
	    recv(talk->fd, talk->octets + talk->length, sizeof(talk->octets) - talk->length, 0);
	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return DOCTOR_TALK_OK;
	talk->error = got < 0 ? errno : 0;
	if (got <= 0)
		return DOCTOR_TALK_ENDED;
	talk->length += (size_t)got;
	return DOCTOR_TALK_OK;
}

enum doctor_talk_answer doctor_talk_receive(struct doctor_talk *talk, unsigned ms,
					    const uint8_t **message, uint16_t *type)
{
	uint64_t end = monotonic_ms() + ms;
	struct pptp_header header;

	drop_taken(talk);
	for (;;) {
		enum wire_answer whole =
		    pptp_wire_parse(talk->octets, talk->length, &header, &talk->why);
		if (whole == WIRE_BAD)
			return DOCTOR_TALK_LIES;
		if (whole == WIRE_MORE) {
			enum doctor_talk_answer more = read_more(talk, end);
			if (more != DOCTOR_TALK_OK)
				return more;
			continue;
		}
		talk->taken = header.length;
		if (header.type != PPTP_ECHO_REQUEST) {
			*message = talk->octets;
			*type = header.type;
			return DOCTOR_TALK_OK;
		}
		answer_echo(talk);
		drop_taken(talk);
		if (monotonic_ms() >= end)
			return DOCTOR_TALK_SILENT;
	}
}

enum doctor_talk_answer doctor_talk_expect(struct doctor_talk *talk, unsigned ms, uint16_t type,
					   const uint8_t **message)
{
	uint64_t end = monotonic_ms() + ms;
	for (;;) {
		uint16_t got;
		uint64_t now = monotonic_ms();
		enum doctor_talk_answer answer =
		    doctor_talk_receive(talk, now < end ? (unsigned)(end - now) : 0, message, &got);
		if (answer != DOCTOR_TALK_OK || got == type)
			return answer;
		if (monotonic_ms() >= end)
			return DOCTOR_TALK_SILENT;
	}
}
