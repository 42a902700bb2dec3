/*
 * page.js has the same.
 */
#include "status/status_figure.h"

#include <stdio.h>

char *status_figure_count(uint64_t number, char out[static STATUS_FIGURE])
{
	char digits[24];
	int length = snprintf(digits, sizeof(digits), "%llu", (unsigned long long)number);
	char *at = out;
	for (int i = 0; i < length; i++) {
		if (i > 0 && (length - i) % 3 == 0)
			*at++ = ',';
		*at++ = digits[i];
	}
	*at = '\0';
	return out;
}

char *status_figure_octets(uint64_t octets, char out[static STATUS_FIGURE])
{
	static const char *const units[] = {"B", "kB", "MB", "GB", "TB", "PB", "EB"};
	uint64_t unit = 1;
	unsigned which = 0;
	while (octets / unit >= 1000 && which < sizeof(units) / sizeof(*units) - 1) {
		unit *= 1000;
		which++;
	}
	unsigned whole = (unsigned)(octets / unit);
	unsigned thousandths = which > 0 ? (unsigned)(octets % unit / (unit / 1000)) : 0;
	if (which == 0 || whole >= 100)
		snprintf(out, STATUS_FIGURE, "%u %s", whole, units[which]);
	else if (whole >= 10)
		snprintf(out, STATUS_FIGURE, "%u.%u %s", whole, thousandths / 100, units[which]);
	else
		snprintf(out, STATUS_FIGURE, "%u.%02u %s", whole, thousandths / 10, units[which]);
	return out;
}

char *status_figure_time(uint64_t ms, char out[static STATUS_FIGURE])
{
	unsigned long long s = ms / 1000;
	if (s < 10)
		snprintf(out, STATUS_FIGURE, "%llu.%u s", s, (unsigned)(ms % 1000 / 100));
	else if (s < 60)
		snprintf(out, STATUS_FIGURE, "%llu s", s);
	else if (s < 3600)
		snprintf(out, STATUS_FIGURE, "%llu min %02llu s", s / 60, s % 60);
	else if (s < 86400)
		snprintf(out, STATUS_FIGURE, "%llu h %02llu min", s / 3600, s % 3600 / 60);
	else
		snprintf(out, STATUS_FIGURE, "%llu d %02llu h", s / 86400, s % 86400 / 3600);
	return out;
}
