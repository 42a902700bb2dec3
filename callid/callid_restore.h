/*
 * callid_restore: what the process before has left: calls and IDs in quarantine, from the records
 * in the kept memory.
 *
 * callid_db's own. Thread: the table's writer.
 */
#ifndef CALLID_RESTORE_H
#define CALLID_RESTORE_H

struct callid_db;

/* Into a table that is new and empty but for its kept memory. 0, or -1 with errno: what is half
 * there goes with callid_db_free. */
int callid_restore(struct callid_db *db);

#endif
