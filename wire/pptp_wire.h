/*
 * pptp_wire: PPTP control messages as octets (RFC 2637 section 2).
 *
 * Pure: no state, no allocation, no operating system; any thread. All values in host byte order.
 */
#ifndef WIRE_PPTP_WIRE_H
#define WIRE_PPTP_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	PPTP_HEADER_LEN = 12,
	/* what we take; the largest message that the RFC defines has 220 octets */
	PPTP_MESSAGE_MAX = 1024,
	PPTP_ANSWER_MAX = 148, /* the largest message that we make ourselves */
};

#define PPTP_MAGIC_COOKIE 0x1A2B3C4DU

/* Control Message Types, RFC 2637 section 2 */
enum pptp_type {
	PPTP_START_REQUEST = 1,
	PPTP_START_REPLY,
	PPTP_STOP_REQUEST,
	PPTP_STOP_REPLY,
	PPTP_ECHO_REQUEST,
	PPTP_ECHO_REPLY,
	PPTP_OUTGOING_CALL_REQUEST,
	PPTP_OUTGOING_CALL_REPLY,
	PPTP_INCOMING_CALL_REQUEST,
	PPTP_INCOMING_CALL_REPLY,
	PPTP_INCOMING_CALL_CONNECTED,
	PPTP_CALL_CLEAR_REQUEST,
	PPTP_CALL_DISCONNECT_NOTIFY,
	PPTP_WAN_ERROR_NOTIFY,
	PPTP_SET_LINK_INFO,
	PPTP_TYPE_MAX = PPTP_SET_LINK_INFO,
};

enum {
	PPTP_RESULT_OK = 1,	       /* Start-Reply, Outgoing- and Incoming-Call-Reply: success */
	PPTP_RESULT_GENERAL_ERROR = 2, /* Outgoing- and Incoming-Call-Reply */
	PPTP_ERROR_NO_RESOURCE = 4,    /* General Error Code, section 2.16 */
	PPTP_STOP_LOCAL_SHUTDOWN = 3,  /* Stop-Control-Connection-Request, Reason */
	PPTP_DISCONNECT_ADMIN = 3,     /* Call-Disconnect-Notify, Result Code: Admin Shutdown */
};

/* Whose number a call ID field holds: assigned by the message's sender, or by its receiver. */
enum pptp_id { PPTP_ID_NONE, PPTP_ID_OWN, PPTP_ID_PEER };

/* What a message of a type looks like, as far as a middle box cares. */
struct pptp_shape {
	const char *name;  /* the RFC's, "Outgoing-Call-Request" */
	uint16_t length;   /* in octets as the RFC defines it; shorter is a lie, longer is passed */
	enum pptp_id at12; /* the field at offset 12 */
	enum pptp_id at14; /* the field at offset 14 */
	uint8_t result_at; /* offset of the Result Code, 0 where there is none */
};

/* The row of a type, or NULL where the RFC defines none (it then passes unread). */
const struct pptp_shape *pptp_wire_shape(uint16_t type);

/* The RFC's name, or "type 99" written into out. */
const char *pptp_wire_name(uint16_t type, char out[static 16]);

enum wire_answer { WIRE_OK, WIRE_MORE, WIRE_BAD };

struct pptp_header {
	uint16_t length; /* of the whole message, PPTP_HEADER_LEN to PPTP_MESSAGE_MAX */
	uint16_t type;
};

/*
 * Looks at the start of a stream. WIRE_OK: the first header->length of the available octets are one
 * message, as long as its type needs. WIRE_MORE: not all there yet; what is there is no lie so far.
 * WIRE_BAD: a lie, told in *why ("magic cookie", "length below the header's", "length above 1024",
 * "length below what its type needs", "PPTP message type"); the stream cannot be trusted any more.
 * A lie is found as soon as the octet that tells it is there.
 */
enum wire_answer pptp_wire_parse(const uint8_t *octets, size_t available,
				 struct pptp_header *header, const char **why);

/* Fields of a message that pptp_wire_parse called WIRE_OK and whose shape has them. */
uint16_t pptp_wire_at12(const uint8_t *message);
uint16_t pptp_wire_at14(const uint8_t *message);
void pptp_wire_set12(uint8_t *message, uint16_t call_id);
void pptp_wire_set14(uint8_t *message, uint16_t call_id);
uint8_t pptp_wire_result(const uint8_t *message); /* 0 where its shape has none */

/* Writes a message of this type into out, as long as its shape says: its head, and zeros. Returns
 * its length. */
size_t pptp_wire_make(uint8_t *out, enum pptp_type type);

/* Messages that a proxy makes on its own. Each writes the whole message into out and returns its
 * length. */
size_t pptp_wire_make_refusal(uint8_t out[static PPTP_ANSWER_MAX], uint16_t request_type,
			      uint16_t peer_call_id);
size_t pptp_wire_make_call_clear(uint8_t out[static PPTP_ANSWER_MAX], uint16_t call_id);
size_t pptp_wire_make_call_disconnect(uint8_t out[static PPTP_ANSWER_MAX], uint16_t call_id);
size_t pptp_wire_make_stop(uint8_t out[static PPTP_ANSWER_MAX], uint8_t reason);

#endif
