/*
 * name_word: whether a word can be a host name. Pure; in a header so that those who only parse
 * words need not link the resolver.
 */
#ifndef HOST_NAME_WORD_H
#define HOST_NAME_WORD_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

enum { NAME_WORD_MAX = 253, NAME_WORD_LABEL_MAX = 63 };

/*
 * Labels of letters, digits, '-' and '_', 1 to 63 octets each, 253 in all; none begins or ends with
 * '-'; one dot may follow the last. A word of digits and dots only is none: that would be an
 * address.
 */
static inline bool name_word_valid(const char *word)
{
	static const char digits[] = "0123456789";
	static const char label[] =
	    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_";

	if (strlen(word) > NAME_WORD_MAX || word[strspn(word, digits)] == '\0')
		return false;
	bool only_numbers = true;
	for (const char *at = word;;) {
		size_t length = strspn(at, label);
		if (length == 0 || length > NAME_WORD_LABEL_MAX || at[0] == '-' ||
		    at[length - 1] == '-')
			return false;
		only_numbers = only_numbers && strspn(at, digits) == length;
		at += length;
		if (*at == '.' && at[1])
			at++;
		else
			return !only_numbers && (*at == '\0' || *at == '.');
	}
}

#endif
