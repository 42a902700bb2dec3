/*
 * xstate_shim - lets user-mode-linux run on CPUs whose register state is wider than it expects
 *
 * UML switches guest processes with ptrace() and keeps their vector registers in a buffer of fixed
 * size (2,696 octets in 6.1: up to AVX-512 and PKRU). The host accepts PTRACE_SETREGSET of
 * NT_X86_XSTATE in its own full size only; with AMX that is about 11,000 octets, the answer is
 * EFAULT, and UML panics at its first process:
 *
 *	ptrace set fp regs failed, errno = 14
 *
 * Preloaded into linux.uml, this replaces ptrace(): such a short state is passed on padded to the
 * host's full size, with the "in use" bits of the components cleared that did not fit into it, so
 * that the host puts those into their initial state. Nothing is lost: no guest process uses AMX,
 * since asking for it is a system call, which the guest's kernel refuses.
 *
 * Where the host accepts what UML passes, or refuses it for another reason, nothing changes. UML
 * uses ptrace() in one thread only, so there are no locks.
 *
 *	cc -shared -fPIC -O2 -Wall -Wextra -o xstate_shim.so xstate_shim.c -ldl
 *	LD_PRELOAD=./xstate_shim.so linux.uml ...
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <cpuid.h>
#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/types.h>
#include <sys/uio.h>

#define XSTATE_MAX	65536
#define XSTATE_BV	512 /* where the state's header starts: the bit map of the components in use */
#define XSTATE_EXTENDED 576 /* components from number 2 on lie behind the header */
#define XSTATE_LEAF	0xd

typedef long ptrace_fn(enum __ptrace_request request, ...);

/* The host's full size, 0 as long as nothing was refused. */
static size_t full_size;

/*
 * The components whose place in the host's layout ends within the first len octets. UML's len is
 * always the same; the answer is kept, since CPUID is slow where the host is a virtual machine.
 */
static uint64_t components_within(size_t len)
{
	static size_t known_len;
	static uint64_t map;
	unsigned int size, offset, c, d;

	if (known_len == len)
		return map;
	known_len = len;
	map = 3; /* x87 and SSE, in front of the header */
	for (int i = 2; i < 63; i++)
		if (__get_cpuid_count(XSTATE_LEAF, i, &size, &offset, &c, &d) && size > 0 &&
		    offset >= XSTATE_EXTENDED && (size_t)offset + size <= len)
			map |= UINT64_C(1) << i;
	return map;
}

static size_t ask_full_size(ptrace_fn *next, pid_t pid)
{
	static char state[XSTATE_MAX];
	struct iovec all = {state, sizeof(state)};

	if (next(PTRACE_GETREGSET, pid, (void *)NT_X86_XSTATE, &all) < 0)
		return 0;
	return all.iov_len;
}

static long set_padded(ptrace_fn *next, pid_t pid, const struct iovec *given)
{
	static char state[XSTATE_MAX];
	struct iovec all = {state, full_size};
	uint64_t map;

	memset(state, 0, full_size);
	memcpy(state, given->iov_base, given->iov_len);
	memcpy(&map, state + XSTATE_BV, sizeof(map));
	map &= components_within(given->iov_len);
	memcpy(state + XSTATE_BV, &map, sizeof(map));
	return next(PTRACE_SETREGSET, pid, (void *)NT_X86_XSTATE, &all);
}

long ptrace(enum __ptrace_request request, ...)
{
	static ptrace_fn *next;
	va_list args;

	va_start(args, request);
	pid_t pid = va_arg(args, pid_t);
	void *addr = va_arg(args, void *);
	void *data = va_arg(args, void *);
	va_end(args);

	if (next == NULL) {
		next = (ptrace_fn *)dlsym(RTLD_NEXT, "ptrace");
		if (next == NULL) {
			errno = ENOSYS;
			return -1;
		}
	}
	if (request != PTRACE_SETREGSET || addr != (void *)NT_X86_XSTATE)
		return next(request, pid, addr, data);

	const struct iovec *given = data;

	if (full_size == 0 || given->iov_len >= full_size) {
		long answer = next(request, pid, addr, data);
		if (answer >= 0 || errno != EFAULT)
			return answer;
		size_t size = ask_full_size(next, pid);
		if (size <= given->iov_len || given->iov_len < XSTATE_EXTENDED) {
			errno = EFAULT;
			return -1;
		}
		full_size = size;
	}
	return set_padded(next, pid, given);
}
