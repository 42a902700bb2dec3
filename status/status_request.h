/*
 * status_request: the head of an HTTP request, read (RFC 9112, sections 2 to 5): what is asked for,
 * and of whom.
 *
 * What is asked must be asked of an address, or of localhost: a name that somebody else owns may be
 * made to mean us, and his page in an operator's browser would read along (DNS rebinding). No host
 * at all is fine, as no browser leaves it out. Pure, any thread.
 */
#ifndef STATUS_STATUS_REQUEST_H
#define STATUS_STATUS_REQUEST_H

#include <stdbool.h>
#include <stddef.h>

struct status_request {
	const char *method, *path; /* NULL: not known; the path without its query, as it came */
	bool head_only;
	const char *wrong; /* what is wrong with it, a few words; NULL: nothing */
	int code;	   /* of the answer to what is wrong */
};

/* Of these octets, without the empty line behind them, and with a NUL there. They are changed, and
 * the request points into them. */
void status_request_read(char *head, size_t length, struct status_request *request);

#endif
