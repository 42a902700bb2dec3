/*
 * a_capture: one capture of Ethernet frames, which a case makes step by step; and what PPP's
 * control packets in it are made of. For units of one case after the other: begin and clear stand
 * around each.
 */
#ifndef TESTS_UNIT_A_CAPTURE_H
#define TESTS_UNIT_A_CAPTURE_H

#include "tests/unit/frames.h"

enum { C = FRAMES_CLIENT, S = FRAMES_SERVER };
enum {
	LCP = 0xC021,
	CHAP = 0xC223,
	PAP = 0xC023,
	EAP = 0xC227,
	IPCP = 0x8021,
	CCP = 0x80FD,
	IPV6CP = 0x8057
};

static struct frames frames;

static inline int begin(void **state)
{
	(void)state;
	frames_begin(&frames, 1);
	return 0;
}

static inline int clear(void **state)
{
	(void)state;
	frames_clear(&frames);
	return 0;
}

/* Within a case: another one. */
static inline void begin_anew(void)
{
	frames_clear(&frames);
	frames_begin(&frames, 1);
}

#define EXPECT(text)	frames_expect(&frames, text)
#define EXPECT_NO(text) frames_expect_no(&frames, text)

/* The options, or what is said, are a string. */
#define PPP(end, protocol, code, options)                                                          \
	frames_add_ppp(&frames, end, protocol, code, options, sizeof(options) - 1)
#define CHALLENGE(name) PPP(S, CHAP, 1, "\x04\x61\x62\x63\x64" name)
#define RESPONSE(name)	PPP(C, CHAP, 2, "\x04\x61\x62\x63\x64" name)

/* Options as both ends ask for them. */
#define MAGIC_C "\x05\x06\x11\x22\x33\x44"
#define MAGIC_S "\x05\x06\x55\x66\x77\x88"

/* A connection and a call on it, without PPP so far. */
static inline void up(void)
{
	frames_open(&frames);
	frames_call(&frames);
}

#endif
