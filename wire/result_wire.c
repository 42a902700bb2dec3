#include "wire/result_wire.h"

#include "wire/pptp_wire.h"

#include <stddef.h>

enum { CODES = 8 };

/* By type and code; 0 is in none of them. */
static const char *const results[][CODES] = {
    /* section 2.2 */
    [PPTP_START_REPLY] = {NULL, "accepted", "general error", "there is already such a connection",
			  "not authorized", "protocol version not supported"},
    /* section 2.3 */
    [PPTP_STOP_REQUEST] = {NULL, "no reason given", "protocol version not supported",
			   "it is shutting down"},
    /* section 2.4 */
    [PPTP_STOP_REPLY] = {NULL, "done", "general error"},
    /* section 2.6 */
    [PPTP_ECHO_REPLY] = {NULL, "done", "general error"},
    /* section 2.8 */
    [PPTP_OUTGOING_CALL_REPLY] = {NULL, "connected", "general error", "no carrier", "busy",
				  "no dial tone", "timed out", "prohibited by its administrator"},
    /* section 2.10 */
    [PPTP_INCOMING_CALL_REPLY] = {NULL, "accepted", "general error", "not accepted"},
    /* section 2.13 */
    [PPTP_CALL_DISCONNECT_NOTIFY] = {NULL, "lost carrier", "general error",
				     "shut down by its administrator", "as requested"},
};

/* section 2.16 */
static const char *const errors[] = {
    "none", "not connected", "bad format", "bad value", "no resource", "bad call ID", "PAC's error",
};

const char *result_wire_text(uint16_t type, uint8_t result, const char *otherwise)
{
	if (type >= sizeof(results) / sizeof(*results) || result >= CODES)
		return otherwise;
	return results[type][result] ? results[type][result] : otherwise;
}

const char *result_wire_error_text(uint8_t error, const char *otherwise)
{
	return error < sizeof(errors) / sizeof(*errors) ? errors[error] : otherwise;
}
