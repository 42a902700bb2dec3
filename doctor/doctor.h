/*
 * doctor: what a start would meet, and what keeps calls from passing (pptpproxy --doctor): looks at
 * the host, then calls each server. Prints to standard output as it goes; changes nothing, and
 * leaves an instance that runs alone.
 *
 *   doctor_host      rights, user, descriptors, files, fast path
 *   doctor_kernel    modules, settings, other sockets        doctor_sockets  whose they are
 *   doctor_net       names, ports, routes
 *   doctor_firewall  rules that drop     doctor_rules, doctor_nft, doctor_iptables  read them
 *                                        doctor_command  has others print them
 *                                        doctor_mend     commands that change them
 *   doctor_server    control connection  doctor_talk     messages, with deadlines
 *   doctor_call      packets
 *   doctor_report    findings
 *
 * What a server sends is read after the rights that the worker would not have either are gone, if
 * they can be given up.
 */
#ifndef DOCTOR_DOCTOR_H
#define DOCTOR_DOCTOR_H

#include "options.h"

/* With a call to each server if the options want it (doctor_call). How many things are wrong.
 * Thread: main, the only one; it may not become root again. */
unsigned doctor_run(const struct options *options);

#endif
