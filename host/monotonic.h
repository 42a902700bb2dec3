/*
 * monotonic: time that only goes forward, whatever happens to the date. Any thread; never 0.
 */
#ifndef HOST_MONOTONIC_H
#define HOST_MONOTONIC_H

#include <stdint.h>
#include <time.h>

static inline uint64_t monotonic_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static inline uint64_t monotonic_ms(void)
{
	return monotonic_ns() / 1000000 + 1;
}

#endif
