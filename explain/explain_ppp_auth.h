/*
 * explain_ppp_auth: who says who he is, and what the other end makes of it: PAP, CHAP, EAP. Names
 * are noted, passwords are not.
 *
 * explain_ppp's own, but for explain_ppp_auth_name, which explain_ppp.h has. Thread: one.
 */
#ifndef EXPLAIN_EXPLAIN_PPP_AUTH_H
#define EXPLAIN_EXPLAIN_PPP_AUTH_H

#include "explain/explain_ppp_own.h"

void explain_ppp_auth_take_pap(const struct explain_ppp_packet *packet);
void explain_ppp_auth_take_chap(const struct explain_ppp_packet *packet);
void explain_ppp_auth_take_eap(const struct explain_ppp_packet *packet);

#endif
