/*
 * status_text: how text and numbers get into an evbuffer, fast, and escaped for whoever reads it.
 *
 * Gathered on the stack and handed on in pieces. A failure sticks: the last call tells it. Texts
 * are any octets up to a NUL; what is no UTF-8 becomes U+FFFD. Any thread, if the evbuffer is its
 * own.
 */
#ifndef STATUS_STATUS_TEXT_H
#define STATUS_STATUS_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct evbuffer;

enum { STATUS_TEXT_PIECE = 4096 };

struct status_text {
	struct evbuffer *out;
	bool failed;
	size_t used;
	char piece[STATUS_TEXT_PIECE];
};

void status_text_begin(struct status_text *text, struct evbuffer *out);
int status_text_end(struct status_text *text); /* 0, or -1: no memory, something is missing */

void status_text_add(struct status_text *text, const char *words); /* as they are */
void status_text_octets(struct status_text *text, const char *octets, size_t length); /* likewise */
void status_text_number(struct status_text *text, uint64_t number);
void status_text_seconds(struct status_text *text, uint64_t ms); /* "1.250" */
void status_text_addr(struct status_text *text, uint32_t addr);	 /* host byte order */

/* With what each of them needs: "..." with its quotes; content or a quoted attribute, without; a
 * label's value, without quotes. Control octets are U+FFFD in HTML. */
void status_text_json(struct status_text *text, const char *words);
void status_text_html(struct status_text *text, const char *words);
void status_text_label(struct status_text *text, const char *words);

#endif
