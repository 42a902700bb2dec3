/*
 * reason: why a packet or a message was dropped, and why a connection was refused or ended: one
 * name each, the same in the log, on the status page, in the metrics and in the manual's table.
 *
 * Names only: no numbers, no policy. Pure, any thread.
 */
#ifndef REASON_H
#define REASON_H

/* Of packets: enhanced GRE that was not carried on. The words of a name are also its label in the
 * metrics. */
#define REASON_PACKETS(X)                                                                          \
	X(REASON_TRUNCATED, "truncated", "its IP or GRE header is not whole")                      \
	X(REASON_NOT_ENHANCED, "not enhanced GRE",                                                 \
	  "version, flags or protocol are not RFC 2637's")                                         \
	X(REASON_NO_CALL, "no such call", "its call ID names no call at that address of ours")     \
	X(REASON_WRONG_SOURCE, "wrong source", "its call ID names a call with another peer")       \
	X(REASON_EARLY, "too early",                                                               \
	  "it came before its call's Reply and waited too long, or one too many did")              \
	X(REASON_TOO_LARGE, "too large", "the way out does not take its size")                     \
	X(REASON_SEND_ERROR, "send error", "the system did not take it")

/* Of control messages that are not passed on, while their connection goes on. */
#define REASON_MESSAGES(X)                                                                         \
	X(REASON_MISMATCHED_ID, "mismatched ID", "it names a call that its connection has not")    \
	X(REASON_OUT_OF_ORDER, "out of order", "it does not fit the state of its call")            \
	X(REASON_NO_ID, "no call ID", "all IDs between these addresses are taken")                 \
	X(REASON_MESSAGE_LIMIT, "limit", "one call too many on its connection")                    \
	X(REASON_MESSAGE_MEMORY, "no memory", "the host has none")

/* Of connections: refused before a server was dialled. */
#define REASON_REFUSALS(X)                                                                         \
	X(REASON_ACL, "acl", "no access rule allows its source")                                   \
	X(REASON_COMMAND, "command", "no access command allows its source")                        \
	X(REASON_LIMIT, "limit", "one connection too many, of its source or in all")               \
	X(REASON_RATE, "rate", "too many new ones a second of its source")                         \
	X(REASON_REFUSAL_MEMORY, "no memory", "the host has none")

/* Of connections: ended. */
#define REASON_ENDS(X)                                                                             \
	X(REASON_CLIENT_CLOSED, "client closed", "the client closed it")                           \
	X(REASON_SERVER_CLOSED, "server closed", "the server closed it")                           \
	X(REASON_MALFORMED, "malformed",                                                           \
	  "what an end sent is no message of RFC 2637, or not one to begin with")                  \
	X(REASON_DEADLINE, "deadline", "what was waited for did not come")                         \
	X(REASON_NO_SERVER, "no server", "the server could not be reached")                        \
	X(REASON_FAILED, "failed", "the system reported an error of one leg")                      \
	X(REASON_PUT_OUT, "put out", "half open, it gave way to a newcomer")                       \
	X(REASON_SHUTTING_DOWN, "shutting down", "the program ends")                               \
	X(REASON_END_MEMORY, "no memory", "the host has none")

#define REASON_ITEM(id, name, meaning) id,
enum reason_packet { REASON_PACKETS(REASON_ITEM) REASON_PACKET_COUNT };
enum reason_message { REASON_MESSAGES(REASON_ITEM) REASON_MESSAGE_COUNT };
enum reason_refusal { REASON_REFUSALS(REASON_ITEM) REASON_REFUSAL_COUNT };
enum reason_end { REASON_ENDS(REASON_ITEM) REASON_END_COUNT };
#undef REASON_ITEM

const char *reason_packet_name(enum reason_packet reason); /* "truncated", ... */
const char *reason_message_name(enum reason_message reason);
const char *reason_refusal_name(enum reason_refusal reason);
const char *reason_end_name(enum reason_end reason);

/* A sentence's end, as in the table above. */
const char *reason_packet_meaning(enum reason_packet reason);
const char *reason_message_meaning(enum reason_message reason);
const char *reason_refusal_meaning(enum reason_refusal reason);
const char *reason_end_meaning(enum reason_end reason);

#endif
