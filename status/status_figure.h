/*
 * status_figure: how figures are told to eyes: "1,234,567"; octets "1.23 MB"; times "0.4 s",
 * "3 min 07 s", "2 d 04 h". Cut, never rounded up. Pure.
 */
#ifndef STATUS_STATUS_FIGURE_H
#define STATUS_STATUS_FIGURE_H

#include <stdint.h>

enum { STATUS_FIGURE = 40 };
char *status_figure_count(uint64_t number, char out[static STATUS_FIGURE]);
char *status_figure_octets(uint64_t octets, char out[static STATUS_FIGURE]);
char *status_figure_time(uint64_t ms, char out[static STATUS_FIGURE]);

#endif
