/*
 * sanitized: whether this build carries a sanitizer, whose runtime has a thread of its own, reads
 * /proc and writes reports, so that a few of our own walls must be lower for it. Pure.
 */
#ifndef HOST_SANITIZED_H
#define HOST_SANITIZED_H

#include <stdbool.h>

#ifndef __has_feature /* gcc has no such thing before 14 */
#define __has_feature(name) 0
#endif

static const bool sanitized =
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) ||                               \
    __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
    true;
#else
    false;
#endif

#endif
