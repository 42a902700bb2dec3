#include "status/status_call.h"

#include <stdlib.h>
#include <string.h>

/* Decimal digits without a sign, blanks or a leading zero; what strtoull takes beyond that is
 * nobody's name. */
static bool parse_number(const char *text, size_t length, uint64_t max, uint64_t *value)
{
	uint64_t sum = 0;
	if (length == 0 || length > 20 || (text[0] == '0' && length > 1))
		return false;
	for (size_t i = 0; i < length; i++) {
		if (text[i] < '0' || text[i] > '9')
			return false;
		unsigned digit = (unsigned)(text[i] - '0');
		if (sum > (max - digit) / 10)
			return false;
		sum = 10 * sum + digit;
	}
	*value = sum;
	return true;
}

bool status_call_parse(const char *name, uint64_t *connection, int32_t *client_id)
{
	const char *colon = strchr(name, ':');
	uint64_t id;

	if (!colon || !parse_number(name, (size_t)(colon - name), UINT64_MAX, connection))
		return false;
	if (strcmp(colon + 1, "-") == 0) {
		*client_id = STATUS_CALL_UNASSIGNED;
		return true;
	}
	if (!parse_number(colon + 1, strlen(colon + 1), UINT16_MAX, &id))
		return false;
	*client_id = (int32_t)id;
	return true;
}
