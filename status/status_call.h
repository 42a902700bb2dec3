/*
 * status_call: a call's name, as the log's lines, --show calls and --end have it: the number of its
 * connection and the ID that its client assigned to it, "12:49750"; "12:-" while the client has not
 * assigned one yet. Pure.
 */
#ifndef STATUS_STATUS_CALL_H
#define STATUS_STATUS_CALL_H

#include <stdbool.h>
#include <stdint.h>

enum { STATUS_CALL_UNASSIGNED = -1 };

/* False: it is no such name. *client_id: 0 to 65535, or STATUS_CALL_UNASSIGNED. */
bool status_call_parse(const char *name, uint64_t *connection, int32_t *client_id);

#endif
