/*
 * xstate_wide - pretends to linux.uml that this CPU's register state is as wide as with AMX
 *
 * For trying xstate_shim on any CPU. Preloaded behind the shim ("xstate_shim.so xstate_wide.so") or
 * alone, it answers PTRACE_GETREGSET and PTRACE_SETREGSET of NT_X86_XSTATE as a kernel does whose
 * full size is WIDE octets: a get fills as much as the caller's buffer holds, a set that brings
 * less fails with EFAULT. With this alone linux.uml panics, with the shim it has to boot.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/types.h>
#include <sys/uio.h>

#define WIDE 11008

typedef long ptrace_fn(enum __ptrace_request request, ...);

static long get_wide(ptrace_fn *next, pid_t pid, struct iovec *given)
{
	static char state[WIDE];
	struct iovec real = {state, sizeof(state)};

	memset(state, 0, sizeof(state));
	if (next(PTRACE_GETREGSET, pid, (void *)NT_X86_XSTATE, &real) < 0)
		return -1;
	if (given->iov_len > WIDE)
		given->iov_len = WIDE;
	memcpy(given->iov_base, state, given->iov_len);
	return 0;
}

static long set_wide(ptrace_fn *next, pid_t pid, const struct iovec *given)
{
	if (given->iov_len < WIDE) {
		errno = EFAULT;
		return -1;
	}
	return next(PTRACE_SETREGSET, pid, (void *)NT_X86_XSTATE, given);
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

	if (next == NULL)
		next = (ptrace_fn *)dlsym(RTLD_NEXT, "ptrace");
	if (addr == (void *)NT_X86_XSTATE && request == PTRACE_GETREGSET)
		return get_wide(next, pid, data);
	if (addr == (void *)NT_X86_XSTATE && request == PTRACE_SETREGSET)
		return set_wide(next, pid, data);
	return next(request, pid, addr, data);
}
