/*
 * doctor_talk: one control connection as a client has it: whole messages, deadlines, and answers to
 * Echo-Requests on the way. Waits; thread: main.
 */
#ifndef DOCTOR_DOCTOR_TALK_H
#define DOCTOR_DOCTOR_TALK_H

#include "wire/pptp_wire.h"

#include <stddef.h>
#include <stdint.h>

enum doctor_talk_answer {
	DOCTOR_TALK_OK,
	DOCTOR_TALK_SILENT, /* nothing whole within the time */
	DOCTOR_TALK_ENDED,  /* it has closed the connection, or the system has */
	DOCTOR_TALK_LIES,   /* what comes is not PPTP: why */
};

struct doctor_talk {
	int fd; /* -1: none */
	uint8_t octets[PPTP_MESSAGE_MAX];
	size_t length;
	size_t taken;	 /* of these, by the message that was handed out last */
	const char *why; /* of LIES */
	int error;	 /* errno of ENDED; 0: end of file */
};

/* 0, or an errno; ETIMEDOUT after so many ms. */
int doctor_talk_open(struct doctor_talk *talk, uint32_t addr, uint16_t port, unsigned ms);
void doctor_talk_close(struct doctor_talk *talk);

/* False: the connection has ended. */
bool doctor_talk_send(struct doctor_talk *talk, const uint8_t *octets, size_t length);

/* The next message but Echo-Requests, within so many ms; valid until the next call. 0 ms: only what
 * is there. */
enum doctor_talk_answer doctor_talk_receive(struct doctor_talk *talk, unsigned ms,
					    const uint8_t **message, uint16_t *type);

/* The next one of this type; others are passed over. */
enum doctor_talk_answer doctor_talk_expect(struct doctor_talk *talk, unsigned ms, uint16_t type,
					   const uint8_t **message);

#endif
