/*
 * fastpath_record: a record that is written in place while packets pass: between
 * fastpath_record_begin and _end its sequence number is odd, and the eBPF half takes it for
 * nothing. One writer a record.
 */
#ifndef FASTPATH_RECORD_H
#define FASTPATH_RECORD_H

#include <stdint.h>

/* Odd afterwards, also where somebody died while he wrote it. */
static inline void fastpath_record_begin(uint32_t *seq)
{
	__atomic_store_n(seq, (*seq + 1) | 1, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

static inline void fastpath_record_end(uint32_t *seq)
{
	__atomic_store_n(seq, *seq + 1, __ATOMIC_RELEASE);
}

#endif
