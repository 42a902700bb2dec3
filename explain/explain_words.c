#include "explain/explain_words.h"

#include "wire/pptp_wire.h"

#include <stdbool.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

const char *explain_words_address(uint32_t address, char out[static EXPLAIN_ADDRESS_MAX])
{
	snprintf(out, EXPLAIN_ADDRESS_MAX, "%u.%u.%u.%u", address >> 24, address >> 16 & 255,
		 address >> 8 & 255, address & 255);
	return out;
}

const char *explain_words_count(uint64_t count, char out[static EXPLAIN_COUNT_MAX])
{
	char digits[24];
	int length = snprintf(digits, sizeof(digits), "%llu", (unsigned long long)count);
	char *at = out;
	for (int i = 0; i < length; i++) {
		if (i > 0 && (length - i) % 3 == 0)
			*at++ = ',';
		*at++ = digits[i];
	}
	*at = '\0';
	return out;
}

/* Results by message type; 0 is in none of them. RFC 2637 sections 2.2, 2.3, 2.4, 2.8, 2.10, 2.13.
 */
static const char *const started[] = {NULL,
				      "accepted",
				      "general error",
				      "there is already such a connection",
				      "not authorized",
				      "protocol version not supported"};
static const char *const stopping[] = {NULL, "no reason given", "protocol version not supported",
				       "it is shutting down"};
static const char *const done[] = {NULL, "done", "general error"};
static const char *const called[] = {
    NULL,   "connected",    "general error", "no carrier",
    "busy", "no dial tone", "timed out",     "prohibited by its administrator"};
static const char *const accepted[] = {NULL, "accepted", "general error", "not accepted"};
static const char *const hung_up[] = {NULL, "lost carrier", "general error",
				      "shut down by its administrator", "as requested"};
/* General Error Codes, section 2.16. */
static const char *const errors[] = {NULL,	    "not connected", "bad format", "bad value",
				     "no resource", "bad call ID",   "PAC's error"};

static const struct {
	const char *const *words;
	size_t count;
} results[] = {
    [PPTP_START_REPLY] = {started, COUNT(started)},
    [PPTP_STOP_REQUEST] = {stopping, COUNT(stopping)},
    [PPTP_STOP_REPLY] = {done, COUNT(done)},
    [PPTP_ECHO_REPLY] = {done, COUNT(done)},
    [PPTP_OUTGOING_CALL_REPLY] = {called, COUNT(called)},
    [PPTP_INCOMING_CALL_REPLY] = {accepted, COUNT(accepted)},
    [PPTP_CALL_DISCONNECT_NOTIFY] = {hung_up, COUNT(hung_up)},
};

static const char *word(const char *const *words, size_t count, unsigned number)
{
	return number < count ? words[number] : NULL;
}

const char *explain_words_result(uint16_t type, uint8_t result, uint8_t error,
				 char out[static EXPLAIN_RESULT_MAX])
{
	const char *text = NULL;
	if (type < COUNT(results) && results[type].words)
		text = word(results[type].words, results[type].count, result);
	const char *cause = word(errors, COUNT(errors), error);
	if (!text)
		snprintf(out, EXPLAIN_RESULT_MAX, "result %u, which means nothing", result);
	else if (type == PPTP_STOP_REQUEST || result != PPTP_RESULT_GENERAL_ERROR)
		snprintf(out, EXPLAIN_RESULT_MAX, "%s", text);
	else if (cause)
		snprintf(out, EXPLAIN_RESULT_MAX, "%s: %s", text, cause);
	else
		snprintf(out, EXPLAIN_RESULT_MAX, "%s %u", text, error);
	return out;
}

char *explain_words_quote(const uint8_t *octets, size_t length, char *out, size_t size)
{
	/* The closing quote, dots, the NUL. */
	char *at = out, *end = out + size - 5;
	*at++ = '"';
	for (size_t i = 0; i < length; i++) {
		bool plain = octets[i] >= ' ' && octets[i] < 0x7F;
		bool marked = octets[i] == '"' || octets[i] == '\\';
		int needed = !plain ? 4 : marked ? 2 : 1;
		if (at + needed > end) {
			memcpy(at, "...", 3);
			at += 3;
			break;
		}
		if (!plain) {
			snprintf(at, 5, "\\x%02x", octets[i]);
		} else {
			at[0] = '\\';
			at[needed - 1] = (char)octets[i];
		}
		at += needed;
	}
	*at++ = '"';
	*at = '\0';
	return out;
}

void explain_words_wrap(FILE *out, const char *first, const char *text)
{
	size_t indent = strlen(first), column = indent;
	fputs(first, out);
	while (*text) {
		size_t blanks = strspn(text, " "), length = strcspn(text + blanks, " ");
		if (column > indent && column + blanks + length > EXPLAIN_WIDTH) {
			fprintf(out, "\n%*s", (int)indent, "");
			column = indent;
			text += blanks;
			blanks = 0;
		}
		fprintf(out, "%.*s", (int)(blanks + length), text);
		column += blanks + length;
		text += blanks + length;
	}
	fputc('\n', out);
}
