/*
 * control_graves: descriptors that are to be closed one or two turns of the event loop later.
 *
 * The loop takes a descriptor out of the system's watch list (epoll) at its next turn only. One
 * that has a duplicate in another process stays in that list when it is closed before, and its
 * events are then told to whoever gets the same number.
 *
 * Thread: control thread.
 */
#ifndef CONTROL_GRAVES_H
#define CONTROL_GRAVES_H

struct event_base;
struct control_graves;

struct control_graves *control_graves_new(struct event_base *base); /* NULL: no memory */

/* Closes what is left, at once. NULL is fine. */
void control_graves_free(struct control_graves *graves);

/* Its event has been deleted; takes it over. */
void control_graves_bury(struct control_graves *graves, int fd);

#endif
