/*
 * doctor_command: what another program prints: searched in PATH, started without a shell, bounded
 * in time and octets. Thread: main.
 */
#ifndef DOCTOR_DOCTOR_COMMAND_H
#define DOCTOR_DOCTOR_COMMAND_H

#include "host/why.h"

enum doctor_command_answer { DOCTOR_COMMAND_OK, DOCTOR_COMMAND_MISSING, DOCTOR_COMMAND_FAILED };

/* words[0] is the program's name, NULL ends them; ms: for all of it. OK: *output is the caller's to
 * free. FAILED: a sentence in why: it could not be started, did not end in time, printed too much,
 * or ended with another status than 0. One that does not end is killed, with its children. */
enum doctor_command_answer doctor_command_run(const char *const *words, unsigned ms, char **output,
					      struct why *why);

#endif
