#include "tests/unit/frames.h"

#include "explain/explain.h"
#include "tests/unit/message.h"
#include "wire/bytes.h"
#include "wire/gre_wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { START_S = 1600000000, ETHERNET = 14, IP = 20, TCP = 20 };

static void append(struct frames *frames, const void *octets, size_t length)
{
	if (frames->length + length > frames->room) {
		frames->room = 2 * (frames->length + length);
		frames->octets = realloc(frames->octets, frames->room);
		assert_non_null(frames->octets);
	}
	memcpy(frames->octets + frames->length, octets, length);
	frames->length += length;
}

static void append32(struct frames *frames, uint32_t value)
{
	uint8_t octets[4];
	bytes_put32(octets, value);
	append(frames, octets, sizeof(octets));
}

void frames_begin(struct frames *frames, uint32_t link)
{
	*frames = (struct frames){
	    .snaplen = 65535,
	    .address = {FRAMES_CLIENT_ADDRESS, FRAMES_SERVER_ADDRESS},
	    .port = {40000, 1723},
	    .sequence = {1000, 0xFFFFFF00},
	    .id = {5, 7},
	};
	append32(frames, 0xA1B2C3D4);
	append32(frames, 0x00020004);
	append32(frames, 0);
	append32(frames, 0);
	append32(frames, frames->snaplen);
	append32(frames, link);
}

void frames_clear(struct frames *frames)
{
	free(frames->octets);
	*frames = (struct frames){0};
}

void frames_add(struct frames *frames, const void *octets, size_t length)
{
	size_t there = length < frames->snaplen ? length : frames->snaplen;
	append32(frames, START_S + frames->ms / 1000);
	append32(frames, frames->ms % 1000 * 1000);
	append32(frames, (uint32_t)there);
	append32(frames, (uint32_t)length);
	append(frames, octets, there);
	frames->ms++;
}

void frames_add_ip(struct frames *frames, int end, uint8_t protocol, uint16_t field,
		   const uint8_t *octets, size_t length)
{
	uint8_t *frame = calloc(1, ETHERNET + IP + length);
	uint8_t *ip = frame + ETHERNET;
	assert_non_null(frame);
	bytes_put16(frame + 12, 0x0800);
	ip[0] = 0x45;
	bytes_put16(ip + 2, (uint16_t)(IP + length));
	bytes_put16(ip + 4, frames->identification);
	bytes_put16(ip + 6, field);
	ip[8] = 64;
	ip[9] = protocol;
	bytes_put32(ip + 12, frames->address[end]);
	bytes_put32(ip + 16, frames->address[!end]);
	memcpy(ip + IP, octets, length);
	frames_add(frames, frame, ETHERNET + IP + length);
	free(frame);
}

void frames_add_tcp(struct frames *frames, int end, uint8_t flags, const void *octets,
		    size_t length)
{
	uint8_t segment[TCP + 2048] = {0};
	assert_in_range(length, 0, sizeof(segment) - TCP);
	bytes_put16(segment, frames->port[end]);
	bytes_put16(segment + 2, frames->port[!end]);
	bytes_put32(segment + 4, frames->sequence[end]);
	bytes_put32(segment + 8, flags & FRAMES_ACK ? frames->sequence[!end] : 0);
	segment[12] = TCP / 4 << 4;
	segment[13] = flags;
	if (length > 0)
		memcpy(segment + TCP, octets, length);
	frames->sequence[end] += (uint32_t)length + (flags & (FRAMES_SYN | FRAMES_FIN) ? 1 : 0);
	frames_add_ip(frames, end, 6, 0, segment, TCP + length);
}

void frames_add_message(struct frames *frames, int end, uint16_t type, uint16_t at12, uint32_t at14,
			uint8_t result)
{
	uint8_t message[256];
	size_t length = message_make_of_call(message, type, at12, (uint16_t)at14);
	const struct pptp_shape *shape = pptp_wire_shape(type);
	if (shape->result_at)
		message[shape->result_at] = result;
	if (type == PPTP_STOP_REQUEST)
		message[12] = result;
	if (type == PPTP_START_REQUEST || type == PPTP_START_REPLY) {
		bytes_put16(message + 12, 0x0100);
		strcpy((char *)message + 28, end == FRAMES_CLIENT ? "here" : "there");
		strcpy((char *)message + 92, "\"x\"\n\x1b[31m\xff");
	}
	frames_add_tcp(frames, end, FRAMES_PSH | FRAMES_ACK, message, length);
}

void frames_open(struct frames *frames)
{
	frames_add_tcp(frames, FRAMES_CLIENT, FRAMES_SYN, NULL, 0);
	frames_add_tcp(frames, FRAMES_SERVER, FRAMES_SYN | FRAMES_ACK, NULL, 0);
	frames_add_tcp(frames, FRAMES_CLIENT, FRAMES_ACK, NULL, 0);
	frames_add_message(frames, FRAMES_CLIENT, PPTP_START_REQUEST, 0, 0, 0);
	frames_add_message(frames, FRAMES_SERVER, PPTP_START_REPLY, 0, 0, 1);
}

void frames_call(struct frames *frames)
{
	frames_add_message(frames, FRAMES_CLIENT, PPTP_OUTGOING_CALL_REQUEST,
			   frames->id[FRAMES_CLIENT], 0, 0);
	frames_add_message(frames, FRAMES_SERVER, PPTP_OUTGOING_CALL_REPLY,
			   frames->id[FRAMES_SERVER], frames->id[FRAMES_CLIENT], 1);
}

void frames_add_gre(struct frames *frames, int end, const void *octets, size_t length)
{
	uint8_t packet[12 + 2048];
	assert_in_range(length, 0, sizeof(packet) - 12);
	bytes_put32(packet, GRE_FIRST_VALUE | GRE_FLAG_S);
	bytes_put16(packet + 4, (uint16_t)length);
	bytes_put16(packet + 6, frames->id[!end]);
	bytes_put32(packet + 8, frames->gre_sequence[end]++);
	if (length > 0)
		memcpy(packet + 12, octets, length);
	frames_add_ip(frames, end, 47, 0, packet, 12 + length);
}

void frames_add_ppp(struct frames *frames, int end, uint16_t protocol, uint8_t code,
		    const void *octets, size_t length)
{
	uint8_t packet[8 + 256] = {0xFF, 0x03};
	assert_in_range(length, 0, 256);
	bytes_put16(packet + 2, protocol);
	packet[4] = code;
	packet[5] = 1;
	bytes_put16(packet + 6, (uint16_t)(4 + length));
	if (length > 0)
		memcpy(packet + 8, octets, length);
	frames_add_gre(frames, end, packet, 8 + length);
}

char *frames_story(struct frames *frames)
{
	char *story = NULL;
	size_t length;
	struct why why = {""};
	FILE *file = fmemopen(frames->octets, frames->length, "r");
	FILE *out = open_memstream(&story, &length);
	assert_non_null(file);
	assert_non_null(out);
	if (explain_open_file(file, "file", out, NULL, &why) != 0)
		fail_msg("%s", why.text);
	fclose(out);
	return story;
}

/* One blank for each row of blanks and line ends. */
static void join_lines(char *text)
{
	char *to = text;
	for (const char *from = text; *from; from++) {
		bool blank = *from == ' ' || *from == '\n';
		if (!blank || to == text || to[-1] != ' ')
			*to++ = blank ? ' ' : *from;
	}
	*to = '\0';
}

static void look(struct frames *frames, const char *text, bool wanted)
{
	char *story = frames_story(frames), *joined = strdup(story);
	assert_non_null(joined);
	join_lines(joined);
	if ((strstr(joined, text) != NULL) != wanted) {
		/* A failure's own text is cut. */
		fprintf(stderr, "%s\n", story);
		fail_msg("%s: \"%s\"", wanted ? "missing" : "unwanted", text);
	}
	free(joined);
	free(story);
}

void frames_expect(struct frames *frames, const char *text)
{
	look(frames, text, true);
}

void frames_expect_no(struct frames *frames, const char *text)
{
	look(frames, text, false);
}
