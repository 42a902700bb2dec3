/*
 * frames: a capture in memory, made frame by frame: Ethernet, IPv4, and in it TCP, GRE or ICMP
 * between a client 10.1.0.10 and a server 10.2.0.10.
 */
#ifndef TESTS_UNIT_FRAMES_H
#define TESTS_UNIT_FRAMES_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum { FRAMES_CLIENT, FRAMES_SERVER };
enum { FRAMES_FIN = 1, FRAMES_SYN = 2, FRAMES_RST = 4, FRAMES_PSH = 8, FRAMES_ACK = 16 };

#define FRAMES_CLIENT_ADDRESS 0x0A01000AU
#define FRAMES_SERVER_ADDRESS 0x0A02000AU

struct frames {
	uint8_t *octets; /* of the file */
	size_t length, room;
	uint32_t snaplen;
	uint32_t ms; /* the next frame's time, after the start */
	uint32_t address[2];
	uint16_t port[2];
	uint32_t sequence[2];	  /* of TCP: the next octet's */
	uint32_t gre_sequence[2]; /* the next packet's */
	uint16_t id[2];		  /* call IDs that each assigned */
	uint16_t identification;
};

/* A file of this link type (the file format's number, 1 for Ethernet). */
void frames_begin(struct frames *frames, uint32_t link);
void frames_clear(struct frames *frames);

/* A frame as it is. */
void frames_add(struct frames *frames, const void *octets, size_t length);

/* An IPv4 packet, or fragment, from an end; field: flags and offset as in the header. Ethernet. */
void frames_add_ip(struct frames *frames, int end, uint8_t protocol, uint16_t field,
		   const uint8_t *octets, size_t length);

/* A TCP segment; its octets are the next ones of that end's stream. */
void frames_add_tcp(struct frames *frames, int end, uint8_t flags, const void *octets,
		    size_t length);
/* The handshake, and both Start messages. */
void frames_open(struct frames *frames);
/* A message of the right length with zeros but for those octets. */
void frames_add_message(struct frames *frames, int end, uint16_t type, uint16_t at12, uint32_t at14,
			uint8_t result);
/* An Outgoing-Call-Request and its Reply, with the IDs in *frames. */
void frames_call(struct frames *frames);

/* A GRE packet with the next sequence number, PPP's octets in it. */
void frames_add_gre(struct frames *frames, int end, const void *octets, size_t length);
/* A PPP control packet: FF 03, protocol, code, identifier 1, its options. */
void frames_add_ppp(struct frames *frames, int end, uint16_t protocol, uint8_t code,
		    const void *octets, size_t length);

/* The file's story, to be freed. Fails the test if it is not read. */
char *frames_story(struct frames *frames);
/* It has this text, whatever its lines are broken into; or not. */
void frames_expect(struct frames *frames, const char *text);
void frames_expect_no(struct frames *frames, const char *text);

#endif
