/*
 * doctor_host: what the host gives a program that is started now: rights, user, files,
 * descriptors, buffers, the fast path; and what else in its kernel touches calls. Thread: main.
 */
#ifndef DOCTOR_DOCTOR_HOST_H
#define DOCTOR_DOCTOR_HOST_H

#include "doctor/doctor_net.h"
#include "doctor/doctor_report.h"

#include <stdbool.h>

/* Whether an instance runs, and its pid; 0: none, or not told. */
pid_t doctor_host_instance(struct doctor_report *report, const struct options *options);

/* Rights and what they lead to. Whether raw GRE sockets can be had. */
bool doctor_host_rights(struct doctor_report *report, const struct options *options);

/* Of the finding before it: how to come by raw GRE sockets; root: who started this is. */
void doctor_host_mend_rights(struct doctor_report *report, bool root);

void doctor_host_limits(struct doctor_report *report, const struct options *options);
/* instance: as for doctor_net_ports. */
void doctor_host_files(struct doctor_report *report, const struct options *options, pid_t instance);
void doctor_host_fastpath(struct doctor_report *report, const struct options *options,
			  const struct doctor_pair *pairs);

#endif
