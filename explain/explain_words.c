#include "explain/explain_words.h"

#include "wire/pptp_wire.h"
#include "wire/result_wire.h"

#include <stdbool.h>
#include <string.h>

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

const char *explain_words_result(uint16_t type, uint8_t result, uint8_t error,
				 char out[static EXPLAIN_RESULT_MAX])
{
	const char *text = result_wire_text(type, result, NULL);
	const char *cause = error > 0 ? result_wire_error_text(error, NULL) : NULL;
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
