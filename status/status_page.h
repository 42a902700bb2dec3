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

/* How figures are told: "1,234,567"; octets "1.23 MB"; times "0.4 s", "3 min 07 s", "2 d 04 h".
 * Cut, never rounded up. */
enum { STATUS_PAGE_FIGURE = 40 };
char *status_page_count(uint64_t number, char out[static STATUS_PAGE_FIGURE]);
char *status_page_octets(uint64_t octets, char out[static STATUS_PAGE_FIGURE]);
char *status_page_time(uint64_t ms, char out[static STATUS_PAGE_FIGURE]);

#endif
