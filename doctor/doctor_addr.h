/*
 * doctor_addr: an address as text. Pure; any thread. Host byte order.
 */
#ifndef DOCTOR_DOCTOR_ADDR_H
#define DOCTOR_DOCTOR_ADDR_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdint.h>

enum { DOCTOR_ADDR_TEXT = INET_ADDRSTRLEN };

/* Dotted, into out, which it returns. */
static inline char *doctor_addr_text(uint32_t addr, char out[static DOCTOR_ADDR_TEXT])
{
	struct in_addr addr_be = {.s_addr = htonl(addr)};
	inet_ntop(AF_INET, &addr_be, out, DOCTOR_ADDR_TEXT);
	return out;
}

#endif
