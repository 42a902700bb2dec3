/*
 * sandbox_calls: the list of system calls.
 *
 * Found by watching the program, and made good for other machines by hand: where a call has a
 * younger or an older sister (openat and open, futex and futex_time64), both are there, so that it
 * does not matter which of them a libc uses. Names that a machine or a libseccomp does not know are
 * left out.
 *
 * Arguments of 32 bits are compared in these only: the kernel does not look at the rest, which may
 * hold anything.
 */
#include "host/sandbox_calls.h"

#include "host/sanitized.h"

#include <asm/termbits.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef PR_SET_VMA
#define PR_SET_VMA 0x53564d41
#endif

/* ---- what may be called with any arguments ---- */

static const char *const plain[] = {
    /* what is open */
    "close", "close_range", "lseek", "_llseek", "pread64", "read", "readv", "write", "writev",
    /* what a file is, by name or descriptor, but not what is in it */
    "access", "faccessat", "faccessat2", "fstat", "fstat64", "fstatat64", "lstat", "lstat64",
    "newfstatat", "readlink", "readlinkat", "stat", "stat64", "statx",
    /* waiting */
    "clock_nanosleep", "clock_nanosleep_time64", "epoll_create", "epoll_create1", "epoll_ctl",
    "epoll_pwait", "epoll_pwait2", "epoll_wait", "eventfd2", "nanosleep", "pipe2", "poll", "ppoll",
    "ppoll_time64", "restart_syscall", "timerfd_create", "timerfd_gettime", "timerfd_gettime64",
    "timerfd_settime", "timerfd_settime64",
    /* sockets that are there; what kinds can be made, see below */
    "accept", "accept4", "bind", "connect", "getpeername", "getsockname", "getsockopt", "listen",
    "recv", "recvfrom", "recvmmsg", "recvmmsg_time64", "recvmsg", "send", "sendmmsg", "sendmsg",
    "sendto", "shutdown",
    /* memory; mmap and mprotect, see below */
    "brk", "madvise", "mremap", "munmap",
    /* threads; how they start, see below */
    "exit", "exit_group", "futex", "futex_time64", "get_robust_list", "getcpu", "membarrier",
    "rseq", "sched_getaffinity", "sched_yield", "set_robust_list", "set_tid_address",
    /* at the start: a terminal is left */
    "dup2", "dup3",
    /* signals; what is sent and handled, see below */
    "rt_sigpending", "rt_sigprocmask", "rt_sigreturn", "rt_sigtimedwait", "rt_sigtimedwait_time64",
    "sigaltstack", "sigreturn",
    /* who, when, how much */
    "clock_getres", "clock_getres_time64", "clock_gettime", "clock_gettime64", "getegid",
    "getegid32", "geteuid", "geteuid32", "getgid", "getgid32", "getpid", "getppid", "getrandom",
    "getrlimit", "getrusage", "gettid", "gettimeofday", "getuid", "getuid32", "sysinfo", "time",
    "times", "ugetrlimit", "uname"};

/*
 * A sanitizer's runtime opens a report, asks what memory is there, and at the end starts a process
 * that holds all others and looks through their memory for leaks.
 */
static const char *const sanitizers[] = {
    /* all with any arguments */
    "clone",
    "dup",
    "dup2",
    "dup3",
    "fchmod",
    "getcwd",
    "getdents",
    "getdents64",
    "mincore",
    "mmap",
    "mmap2",
    "mprotect",
    "msync",
    "open",
    "openat",
    "personality",
    "pipe",
    "prctl",
    "prlimit64",
    "process_vm_readv",
    "ptrace",
    "rt_sigaction",
    "sched_setaffinity",
    "sched_getparam",
    "sched_getscheduler",
    "setrlimit",
    "socketpair",
    "tkill",
    "unlink",
    "unlinkat",
    "wait4",
    "waitid"};

/* ---- what its arguments decide on; any of a call's rows will do ---- */

#define BITS(argument, mask, value)                                                                \
	{                                                                                          \
		argument, SCMP_CMP_MASKED_EQ, mask, value                                          \
	}
#define INT(argument, value) BITS(argument, 0xffffffffU, (unsigned)(value))

enum {
	CHECKS_MAX = 3,
	WRITES = O_ACCMODE | O_CREAT | O_TRUNC,
	KIND = 0xf, /* of a socket; the rest are flags */
};

struct row {
	const char *name;
	unsigned checks;
	struct scmp_arg_cmp check[CHECKS_MAX];
};

#define SOCKET(family, kind, protocol)                                                             \
	{                                                                                          \
		"socket", 3,                                                                       \
		{                                                                                  \
			INT(0, family), BITS(1, KIND, kind), INT(2, protocol)                      \
		}                                                                                  \
	}

static const struct row rows[] = {
    {"open", 1, {BITS(1, WRITES, 0)}},
    {"openat", 1, {BITS(2, WRITES, 0)}},
    {"fcntl", 1, {INT(1, F_GETFD)}},
    {"fcntl", 1, {INT(1, F_SETFD)}},
    {"fcntl", 1, {INT(1, F_GETFL)}},
    {"fcntl", 1, {INT(1, F_SETFL)}},
    {"fcntl", 1, {INT(1, F_DUPFD_CLOEXEC)}},
    {"fcntl64", 1, {INT(1, F_GETFD)}},
    {"fcntl64", 1, {INT(1, F_SETFD)}},
    {"fcntl64", 1, {INT(1, F_GETFL)}},
    {"fcntl64", 1, {INT(1, F_SETFL)}},
    {"fcntl64", 1, {INT(1, F_DUPFD_CLOEXEC)}},
    /* Is it a terminal? How much is in a socket, not read yet, not acknowledged yet? */
    {"ioctl", 1, {INT(1, TCGETS)}},
    {"ioctl", 1, {INT(1, SIOCINQ)}},
    {"ioctl", 1, {INT(1, SIOCOUTQ)}},

    SOCKET(AF_INET, SOCK_STREAM, 0),
    SOCKET(AF_INET, SOCK_STREAM, IPPROTO_TCP),
    SOCKET(AF_INET, SOCK_DGRAM, 0),
    SOCKET(AF_INET, SOCK_DGRAM, IPPROTO_UDP),
    /* resolv.conf may name such a server. */
    SOCKET(AF_INET6, SOCK_STREAM, 0),
    SOCKET(AF_INET6, SOCK_STREAM, IPPROTO_TCP),
    SOCKET(AF_INET6, SOCK_DGRAM, 0),
    SOCKET(AF_INET6, SOCK_DGRAM, IPPROTO_UDP),
    /* syslog */
    SOCKET(AF_UNIX, SOCK_STREAM, 0),
    SOCKET(AF_UNIX, SOCK_DGRAM, 0),
    /* getifaddrs; 0 is NETLINK_ROUTE */
    SOCKET(AF_NETLINK, SOCK_RAW, 0),
    {"socketpair", 1, {INT(0, AF_UNIX)}},
    /* Not IP_HDRINCL, with which a raw socket sends in anybody's name, and no other filter. */
    {"setsockopt", 2, {INT(1, SOL_SOCKET), INT(2, SO_SNDBUF)}},
    {"setsockopt", 2, {INT(1, SOL_SOCKET), INT(2, SO_RCVBUF)}},
    {"setsockopt", 2, {INT(1, SOL_SOCKET), INT(2, SO_KEEPALIVE)}},
    {"setsockopt", 2, {INT(1, SOL_SOCKET), INT(2, SO_REUSEADDR)}},
    {"setsockopt", 1, {INT(1, IPPROTO_TCP)}},

    {"mmap", 1, {BITS(2, PROT_EXEC, 0)}},
    {"mmap2", 1, {BITS(2, PROT_EXEC, 0)}},
    {"mprotect", 1, {BITS(2, PROT_EXEC, 0)}},

    /* A thread, not a process. */
    {"clone", 1, {BITS(0, CLONE_THREAD, CLONE_THREAD)}},
    {"prctl", 1, {INT(0, PR_SET_NAME)}},
    {"prctl", 1, {INT(0, PR_GET_NAME)}},
    {"prctl", 1, {INT(0, PR_SET_VMA)}},
    /* What tells of a forbidden call stays where it is. */
    {"rt_sigaction", 1, {{0, SCMP_CMP_NE, SIGSYS, 0}}},
    /* Asking for limits, not setting them. */
    {"prlimit64", 1, {{2, SCMP_CMP_EQ, 0, 0}}},
};

/* ---- telling of a forbidden call ---- */

enum { NAMES_MAX = 512, LINE_MAX_OCTETS = 128 };

static struct {
	int report_fd;
	/* By number; asked for before, as libseccomp allocates. Kept for ever: who dies needs
	 * them. */
	const char *name[NAMES_MAX];
} told = {.report_fd = -1};

static char *put_text(char *at, const char *end, const char *text)
{
	while (*text && at < end)
		*at++ = *text++;
	return at;
}

static char *put_number(char *at, const char *end, unsigned number)
{
	char digits[16], *first = digits + sizeof(digits) - 1;
	*first = '\0';
	do
		*--first = (char)('0' + number % 10);
	while (number /= 10);
	return put_text(at, end, first);
}

/* Whoever does not read holds nobody: the process is to die. */
static void write_at_once(int fd, const char *text, size_t length)
{
	struct pollfd ready = {.fd = fd, .events = POLLOUT};
	if (poll(&ready, 1, 0) == 1 && write(fd, text, length) < 0) {
		/* There is nobody left to tell. */
	}
}

/* SA_RESETHAND has put back the default action, and SA_NODEFER left the signal unblocked, so this
 * process is dead when raise returns. What is on the list and safe in a handler is used only. */
static void on_forbidden(int number, siginfo_t *info, void *context)
{
	char line[LINE_MAX_OCTETS], *end = line + sizeof(line) - 1, *at = line;
	unsigned call = (unsigned)info->si_syscall;
	(void)context;

	at = put_number(put_text(at, end, "forbidden system call "), end, call);
	if (call < NAMES_MAX && told.name[call])
		at = put_text(put_text(put_text(at, end, " ("), end, told.name[call]), end, ")");
	*at++ = '\n';
	write_at_once(STDERR_FILENO, line, (size_t)(at - line));
	if (told.report_fd >= 0 && told.report_fd != STDERR_FILENO)
		write_at_once(told.report_fd, line, (size_t)(at - line));
	raise(number);
}

static int prepare_to_tell(int report_fd)
{
	struct sigaction action = {.sa_sigaction = on_forbidden,
				   .sa_flags = SA_SIGINFO | SA_NODEFER | SA_RESETHAND};
	sigset_t only;

	for (int i = 0; i < NAMES_MAX; i++) {
		if (!told.name[i])
			told.name[i] = seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, i);
	}
	told.report_fd = report_fd;
	sigemptyset(&action.sa_mask);
	sigemptyset(&only);
	sigaddset(&only, SIGSYS);
	return sigaction(SIGSYS, &action, NULL) == 0 &&
		       pthread_sigmask(SIG_UNBLOCK, &only, NULL) == 0
		   ? 0
		   : -1;
}

/* ---- the filter; errors are negative numbers of errno, as libseccomp has them ---- */

static int add(scmp_filter_ctx filter, uint32_t action, const struct row *row)
{
	int number = seccomp_syscall_resolve_name(row->name);
	if (number == __NR_SCMP_ERROR)
		return 0;
	int result = seccomp_rule_add_array(filter, action, number, row->checks, row->check);
	/* EDOM: this machine has no such call. */
	return result == -EDOM ? 0 : result;
}

static int add_names(scmp_filter_ctx filter, const char *const *names, size_t count)
{
	int result = 0;
	for (size_t i = 0; i < count && result == 0; i++)
		result = add(filter, SCMP_ACT_ALLOW, &(struct row){.name = names[i]});
	return result;
}

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static int add_rows(scmp_filter_ctx filter)
{
	/* Its flags lie in memory, where a filter does not look, so libc is to use clone. */
	const struct row clone3 = {.name = "clone3"};
	/* A signal to a thread of ours: abort and the like. */
	const struct row tgkill = {"tgkill", 1, {INT(0, getpid())}};

	int result = add(filter, SCMP_ACT_ERRNO(ENOSYS), &clone3);
	if (result == 0)
		result = add(filter, SCMP_ACT_ALLOW, &tgkill);
	for (size_t i = 0; i < COUNT(rows) && result == 0; i++)
		result = add(filter, SCMP_ACT_ALLOW, &rows[i]);
	return result;
}

static int fill(scmp_filter_ctx filter)
{
	/* Another machine's calls, by way of which numbers mean something else; the default kills
	 * only the thread. */
	seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
	/* Kernels before 5.16 would switch off speculation for whoever has a filter. That is for
	 * those who run others' code. */
	seccomp_attr_set(filter, SCMP_FLTATR_CTL_SSB, 1);
	/* A binary search, not one comparison after the other; from libseccomp 2.5 on. */
	seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);

	int result = seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1);
	if (result == 0)
		result = add_names(filter, plain, COUNT(plain));
	if (result == 0 && sanitized)
		result = add_names(filter, sanitizers, COUNT(sanitizers));
	if (result == 0)
		result = add_rows(filter);
	return result;
}

static bool kernel_has_filters(void)
{
	/* There is no filter at that address, which only a kernel that has them finds out. */
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, NULL) != 0 && errno == EFAULT;
}

int sandbox_calls_enter(int report_fd, struct why *why)
{
	if (!kernel_has_filters())
		return 1;
	if (prepare_to_tell(report_fd) != 0)
		return why_set(why, "sandbox: SIGSYS cannot be handled: %s", strerror(errno));
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_TRAP);
	int result = filter ? fill(filter) : -ENOMEM;
	if (result == 0)
		result = seccomp_load(filter);
	seccomp_release(filter);
	return result == 0 ? 0
			   : why_set(why, "sandbox: filter of system calls: %s", strerror(-result));
}
