/*
 * control_restore: what the process before has left goes on: its connections and their calls.
 *
 * A connection that there is no memory for is lost, and so are its calls; the others
 * go on. Thread: control thread.
 */
#ifndef CONTROL_RESTORE_H
#define CONTROL_RESTORE_H

struct control_env;
struct control_silence;

/* Restores the connections that env->kept has (NULL: none) with their calls in env->db, and ends
 * those calls that belong to none of them. Calls that opened not long ago are watched by silence.
 * A line tells how many there were, if any. Once, before the first newcomer. */
void control_restore(struct control_env *env, struct control_silence *silence);

#endif
