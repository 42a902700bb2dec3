/*
 * readiness: tells whoever started us how it is going: a supervisor that listens on a socket
 * (NOTIFY_SOCKET in the environment, as systemd has it, sd_notify(3)), and one that reads a
 * descriptor (s6, OpenRC).
 *
 * Without NOTIFY_SOCKET nothing is sent. A supervisor that does not read is waited for a second at
 * most, and what it then has not taken is lost. The status is a short text without newlines, for
 * people; longer than 200 octets it is cut. Thread: main.
 */
#ifndef HOST_READINESS_H
#define HOST_READINESS_H

#include "host/why.h"

/* The variable that is for the supervised process alone: who starts others keeps it from them. */
#define READINESS_VARIABLE "NOTIFY_SOCKET"

/* From now on this descriptor, which we were started with, is closed on execution. To be called
 * before anything is opened, as what has been opened might be taken for it. -1 with why set: it is
 * not open, or cannot be written. */
int readiness_take_descriptor(int fd, struct why *why);

/* We do what we are here for, at first and after readiness_reloading. fd: gets a newline and is
 * closed; -1: none. */
void readiness_ready(int fd, const char *status);

/* The configuration is being read anew; to be followed by readiness_ready. */
void readiness_reloading(void);

/* Nothing has changed but the status. */
void readiness_status(const char *status);

void readiness_stopping(void);

#endif
