/*
 * See talk.h.
 */
#include "tests/unit/talk.h"

#include "tests/unit/loopback.h"
#include "tests/unit/message.h"
#include "tests/unit/stage.h"

#include <poll.h>

void talk_say(int fd, uint16_t type)
{
	uint8_t message[PPTP_MESSAGE_MAX];
	size_t length = message_make_of_call(message, type, 0, 0);
	loopback_send(fd, message, length);
}

static void pass(int from, int to, uint16_t type, uint16_t at12, uint16_t at14)
{
	uint8_t message[PPTP_MESSAGE_MAX];
	size_t length = message_make_of_call(message, type, at12, at14);
	loopback_send(from, message, length);
	stage_hear(to, message, length);
}

void talk_pass(int from, int to, uint16_t type)
{
	pass(from, to, type, 0, 0);
}

void talk_ask(struct talk *talk, int listener)
{
	uint8_t message[PPTP_MESSAGE_MAX];
	size_t length = message_make(message, PPTP_START_REQUEST);
	loopback_send(talk->client, message, length);
	STAGE_UNTIL(loopback_is(listener, POLLIN));
	talk->server = loopback_accept(listener);
	stage_hear(talk->server, message, length);
}

void talk_connect(struct talk *talk, int listener)
{
	talk_ask(talk, listener);
	talk_pass(talk->server, talk->client, PPTP_START_REPLY);
}

void talk_call(const struct talk *talk, uint16_t client_id, uint16_t server_id)
{
	pass(talk->client, talk->server, PPTP_OUTGOING_CALL_REQUEST, client_id, 0);
	pass(talk->server, talk->client, PPTP_OUTGOING_CALL_REPLY, server_id, client_id);
}

static void hear_farewell(int fd, uint8_t *messages, size_t length)
{
	length += pptp_wire_make_stop(messages + length, PPTP_STOP_LOCAL_SHUTDOWN);
	stage_hear(fd, messages, length);
	stage_hear_end(fd);
}

void talk_hear_farewell(const struct talk *talk, uint16_t client_id, uint16_t server_id)
{
	uint8_t messages[2 * PPTP_ANSWER_MAX];
	hear_farewell(talk->client, messages, pptp_wire_make_call_disconnect(messages, server_id));
	hear_farewell(talk->server, messages, pptp_wire_make_call_clear(messages, client_id));
}
