/*
 * explain_words: what numbers of RFC 2637 and of PPP's RFCs mean, in words, and text that can be
 * printed.
 *
 * Pure; any thread.
 */
#ifndef EXPLAIN_EXPLAIN_WORDS_H
#define EXPLAIN_EXPLAIN_WORDS_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum {
	EXPLAIN_ADDRESS_MAX = 16, /* "255.255.255.255" */
	EXPLAIN_COUNT_MAX = 28,	  /* "18,446,744,073,709,551,615" */
	EXPLAIN_RESULT_MAX = 96,
	EXPLAIN_WIDTH = 80, /* columns */
};

const char *explain_words_address(uint32_t address, char out[static EXPLAIN_ADDRESS_MAX]);

/* With a comma before each three digits. */
const char *explain_words_count(uint64_t count, char out[static EXPLAIN_COUNT_MAX]);

/* The result, or reason, that a control message has (pptp_wire_result), and its General Error Code
 * if it says that that counts. */
const char *explain_words_result(uint16_t type, uint8_t result, uint8_t error,
				 char out[static EXPLAIN_RESULT_MAX]);

/* Octets of a peer, in quotes: those that are no printable ASCII as \xNN, and what does not fit is
 * left away for "...". size is at least 8. */
char *explain_words_quote(const uint8_t *octets, size_t length, char *out, size_t size);

/* Lines of up to EXPLAIN_WIDTH columns: the first begins with `first`, the others with so many
 * blanks as that has columns. A word that is longer than a line stays whole. */
void explain_words_wrap(FILE *out, const char *first, const char *text);

#endif
