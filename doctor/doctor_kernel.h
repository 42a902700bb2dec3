/*
 * doctor_kernel: what else in this host's kernel touches calls: its PPTP modules and helpers, its
 * filter of sources, other sockets for protocol 47. Thread: main.
 */
#ifndef DOCTOR_DOCTOR_KERNEL_H
#define DOCTOR_DOCTOR_KERNEL_H

#include "doctor/doctor_report.h"

#include <sys/types.h>

/* instance: the pid of an instance that runs, whose sockets are no finding; 0: none. */
void doctor_kernel_look(struct doctor_report *report, pid_t instance);

/* Of /proc/modules, the text: "nf_nat_pptp 16384 0 - Live 0x0", a line each. */
void doctor_kernel_modules(struct doctor_report *report, const char *modules);

#endif
