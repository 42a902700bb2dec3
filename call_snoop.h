/*
 * call_snoop: the calls of one control connection: a message in, the message as the other side must
 * see it and changes to the table out. RFC 2637 sections 2.7 to 2.15.
 *
 * The only place where wire and callid_db meet for control messages. It has no descriptor and no
 * clock of its own; the caller has checked each message with pptp_wire_parse, and passes it on.
 *
 * Thread: control thread only. Host byte order; times as in callid_db.h.
 */
#ifndef CALL_SNOOP_H
#define CALL_SNOOP_H

#include "callid_db.h"
#include "reason.h"
#include "snoop/snoop_record.h"
#include "wire/pptp_wire.h"

struct call_snoop;

/* Told from within call_snoop's functions; must not call back into them. */
struct call_snoop_events {
	void (*opened)(void *arg, callid_ref call);
	/* The call as it was at its end, counters included. reason: "cleared", "refused: result 2",
	 * ...; during the call only. */
	void (*ended)(void *arg, const struct callid_info *call, const char *reason);
};

/* legs: the connection's addresses; connection: its number; events outlives it. NULL: no memory. */
struct call_snoop *call_snoop_new(struct callid_db *db, const struct callid_leg legs[2],
				  uint64_t connection, const struct call_snoop_events *events,
				  void *arg);

/* From now on its record is this one in kept, which outlives it. fresh: filled from what it knows
 * so far; else it goes on with what the record holds. */
void call_snoop_keep(struct call_snoop *snoop, struct kept *kept, struct call_snoop_record *record,
		     bool fresh);

/* Takes a call of its connection that the table has from the process before. 0, or -1 with ENOMEM:
 * it is then to be ended with the others. */
int call_snoop_adopt(struct call_snoop *snoop, callid_ref call, const struct callid_info *info);

/* How many calls there may be at once, reserved or open; one more is refused in the callee's place.
 * 0, as at first: any number. */
void call_snoop_set_max(struct call_snoop *snoop, unsigned max);

/* Its calls must have ended (call_snoop_end). NULL is fine. */
void call_snoop_free(struct call_snoop *snoop);

enum snoop_verdict {
	SNOOP_PASS, /* pass the message on: its call IDs are now those that the other side knows */
	SNOOP_DROP, /* never pass it on; kind and reason say why */
	SNOOP_TAKE, /* it answers a message of our own: it goes no further, and nobody need be told
		     */
};

struct snoop_answer {
	size_t length; /* 0: nothing */
	uint8_t octets[PPTP_ANSWER_MAX];
};

struct snoop_step {
	enum snoop_verdict verdict;
	enum reason_message kind; /* of a drop */
	const char *reason;	  /* of a drop, more about it; valid until the next message */
	/* messages of our own, by the side that gets them, behind the passed one */
	struct snoop_answer answer[2];
};

/* message: whole, checked, length octets of it; rewritten in place. */
void call_snoop_message(struct call_snoop *snoop, enum callid_side from, uint8_t *message,
			size_t length, uint64_t now, struct snoop_step *step);

/* The message that came last from this side, and passed, has now been handed to the system whole:
 * whoever waits for it (early packets behind a Reply) may go on. To be called before the next
 * message from this side is given in. */
void call_snoop_written(struct call_snoop *snoop, enum callid_side from);

/*
 * What one end must hear when we stop, as its peer would have said it, a message a call of this
 * function: for every call the PNS a Call-Disconnect-Notify and the PAC a Call-Clear-Request (or a
 * refusing Reply, to a Request that waits for one), then a Stop-Control-Connection-Request. Returns
 * the message's length, 0 when all has been said. No messages may be given to call_snoop_message
 * any more once this has begun.
 */
size_t call_snoop_farewell(struct call_snoop *snoop, enum callid_side to,
			   uint8_t message[static PPTP_ANSWER_MAX]);

/* The call whose ID, assigned by the client, is this one; a negative one: the only call to which
 * the client has not assigned one yet. 0: there is none, or of these more than one. */
callid_ref call_snoop_find(const struct call_snoop *snoop, int32_t client_id);

/* How many there are to which the client has not assigned an ID yet. */
size_t call_snoop_unassigned(const struct call_snoop *snoop);

/*
 * Ends this one, and fills answer with what each side must hear, as in call_snoop_farewell. What
 * comes about it later is treated as about any call that has ended; the Call-Disconnect-Notify with
 * which a PAC answers is taken (SNOOP_TAKE), whichever ID it names. Not once a farewell has begun.
 */
void call_snoop_end_one(struct call_snoop *snoop, callid_ref call, uint64_t now, const char *reason,
			struct snoop_answer answer[2]);

/* Frees it; its calls go on in another process. */
void call_snoop_leave(struct call_snoop *snoop);

/* Ends every call. */
void call_snoop_end(struct call_snoop *snoop, uint64_t now, const char *reason);

size_t call_snoop_calls(const struct call_snoop *snoop); /* reserved or open */

#endif
