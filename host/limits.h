/*
 * limits: what the system lets the process have. Thread: main.
 */
#ifndef HOST_LIMITS_H
#define HOST_LIMITS_H

#include <stddef.h>

/* Raises the soft descriptor limit to the hard one and returns it. */
size_t limits_raise_descriptors(void);

#endif
