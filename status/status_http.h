/*
 * status_http: the status page's server: HTTP/1.1 (RFC 9110, 9112) on a listening socket that
 * somebody else has opened.
 *
 *   /            the page          /calls.json   the same figures as JSON
 *   /page.js     its script        /metrics      for Prometheus
 *   /page.css    its style         /healthz      "ok", as long as the control thread answers
 *
 * GET and HEAD only, one request a connection. Figures are those of the moment of the request, or
 * when those before it have been made. What is asked must be asked of an address or of localhost: a
 * name that somebody else owns may be made to mean us, and his page in an operator's browser would
 * read along (DNS rebinding).
 *
 * It reads what strangers send, and changes nothing. Thread: the one that runs the event base.
 */
#ifndef STATUS_STATUS_HTTP_H
#define STATUS_STATUS_HTTP_H

#include "host/why.h"
#include "status/status_maker.h"

struct event_base;
struct status_http;

enum {
	STATUS_HTTP_CLIENTS = 16,	    /* at once; one more puts out the oldest */
	STATUS_HTTP_PATIENCE_MS = 10000,    /* for a connection, from accept to the last octet */
	STATUS_HTTP_HEAD_MAX = 8192,	    /* octets of a request line and its headers */
	STATUS_HTTP_BODY_MAX = 1024,	    /* of a body, which nobody reads */
	STATUS_HTTP_WAITING_MAX = 64 << 20, /* octets that clients have not taken yet; more: 503 */
};

struct status_http_config {
	struct event_base *base;
	int fd; /* listening, non-blocking; stays the caller's */
	status_look *look;
	void *arg;
};

/* NULL with a sentence in why: no memory. */
struct status_http *status_http_open(const struct status_http_config *config, struct why *why);

/* Ends all its connections. NULL is fine. */
void status_http_close(struct status_http *http);

#endif
