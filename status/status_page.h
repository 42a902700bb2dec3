/*
 * status_page: the status page, whole and readable as it is; its script (page.js) and style
 * (page.css), which lie in the program.
 *
 * The script shows later figures in the same places and the same words, so what is written here and
 * what is written there must agree; tests/net/test_stats.py compares the two. Any thread, if out is
 * its own.
 */
#ifndef STATUS_STATUS_PAGE_H
#define STATUS_STATUS_PAGE_H

#include "status/snapshot.h"

#include <stddef.h>

struct evbuffer;

/* More calls than these are in no table: /calls.json has them, and the page says so. */
enum { STATUS_PAGE_CALLS_MAX = 1000 };

/* Appends the page, UTF-8. 0, or -1: no memory, and what was appended is not whole. */
int status_page_write(struct evbuffer *out, const struct snapshot *snapshot);

const char *status_page_script(size_t *length);
const char *status_page_style(size_t *length);

#endif
