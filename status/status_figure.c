/*
 * page.js has the same.
 */
#include "status/status_figure.h"

#include <stddef.h>
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

/* Three digits: of what is below ten units two decimals, of what is below a hundred one. */
static char *scaled(uint64_t number, uint64_t base, const char *const *units, size_t last,
		    char *out)
{
	uint64_t unit = 1;
	size_t which = 0;
	while (number / unit >= base && which < last) {
		unit *= base;
		which++;
	}
	unsigned long long whole = number / unit;
	unsigned hundredths = (unsigned)(number % unit * 100 / unit);
	if (which == 0 || whole >= 100)
		snprintf(out, STATUS_FIGURE, "%llu %s", whole, units[which]);
	else if (whole >= 10)
		snprintf(out, STATUS_FIGURE, "%llu.%u %s", whole, hundredths / 10, units[which]);
	else
		snprintf(out, STATUS_FIGURE, "%llu.%02u %s", whole, hundredths, units[which]);
	return out;
}

/* The last unit's hundredfold is still a number of 64 bits. */
char *status_figure_octets(uint64_t octets, char out[static STATUS_FIGURE])
{
	static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
	return scaled(octets, 1024, units, sizeof(units) / sizeof(*units) - 1, out);
}

char *status_figure_rate(uint64_t bits, char out[static STATUS_FIGURE])
{
	static const char *const units[] = {"bit/s", "kbit/s", "Mbit/s", "Gbit/s", "Tbit/s"};
	return scaled(bits, 1000, units, sizeof(units) / sizeof(*units) - 1, out);
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
