/*
 * status_watch: --watch: a table that is shown anew each second, with rates.
 *
 * On a terminal in place, on its alternate screen, until q, or SIGINT, SIGTERM or SIGHUP comes; the
 * terminal is then as it was. Elsewhere one table below the other, with an empty line between.
 */
#ifndef STATUS_STATUS_WATCH_H
#define STATUS_STATUS_WATCH_H

#include "status/status_show.h"

/* As status_show_print. An instance that is not there at first is an error; one that goes away
 * later is told of, and waited for. Handles signals while it runs. */
int status_watch_run(const struct status_show *show, struct why *why);

#endif
