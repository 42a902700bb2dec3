/*
 * status_figure: how figures are told to eyes, on the status page and in --show's tables; page.js
 * has the same once more. Cut, never rounded up. Pure.
 *
 *   count    "1,234,567"; on the page only, as what a terminal shows is counted on by scripts
 *   octets   "812 B", "1.23 KiB", "34.5 MiB"
 *   rate     "812 bit/s", "1.23 kbit/s", "34.5 Mbit/s"
 *   time     "0.4 s", "12 s", "3 min 07 s", "5 h 02 min", "2 d 04 h"
 */
#ifndef STATUS_STATUS_FIGURE_H
#define STATUS_STATUS_FIGURE_H

#include <stdint.h>

enum { STATUS_FIGURE = 40 };
char *status_figure_count(uint64_t number, char out[static STATUS_FIGURE]);
char *status_figure_octets(uint64_t octets, char out[static STATUS_FIGURE]);
char *status_figure_rate(uint64_t bits, char out[static STATUS_FIGURE]); /* a second */
char *status_figure_time(uint64_t ms, char out[static STATUS_FIGURE]);

#endif
