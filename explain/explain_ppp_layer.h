/*
 * explain_ppp_layer: the control protocols that bring layers up, which have one shape: LCP, CCP,
 * IPCP, IPV6CP. What the ends ask for, and what is agreed.
 *
 * explain_ppp's own. Thread: one.
 */
#ifndef EXPLAIN_EXPLAIN_PPP_LAYER_H
#define EXPLAIN_EXPLAIN_PPP_LAYER_H

#include "explain/explain_ppp_own.h"

void explain_ppp_layer_take(const struct explain_ppp_packet *packet, enum explain_layer layer);

#endif
