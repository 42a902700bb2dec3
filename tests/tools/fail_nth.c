/*
 * fail_nth: a library to be preloaded, so that the n-th call of a kind fails, as the system might
 * have it fail. A test says which by a file that both have mapped; tests/lab/faults.py is its end.
 *
 *   FAIL_NTH_CONTROL=file   struct control, below; without it nothing ever fails
 *
 * It counts calls of all threads of the processes that the file names. What the C library calls
 * within itself is not seen, but for memory. It can also step the clock of the day.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum kind {
	NOTHING,
	MEMORY,
	SOCKET,
	ACCEPT,
	CONNECT,
	SEND,
	RECEIVE,
	SPAWN,
	PIPE,
	EVENTFD,
	MMAP,
	EPOLL,
	OPEN,
	WRITE,
	OPTION,
	EXEC,
};

/* Written by the test but for the counts. */
struct control {
	_Atomic uint32_t kind;
	_Atomic uint32_t nth;	     /* from 1 */
	_Atomic uint32_t error;	     /* errno */
	_Atomic uint32_t pid;	     /* of the process meant */
	_Atomic uint32_t parent;     /* or of that one's parent, whoever it starts */
	_Atomic uint32_t paused;     /* do not count now */
	_Atomic uint32_t count, hit; /* calls so far; whether the n-th has come */
	_Atomic uint32_t worker;     /* or a worker, whoever's */
	_Atomic uint32_t unused;
	_Atomic int64_t clock_ms; /* CLOCK_REALTIME is ahead by so much */
};

static struct control *control;
static bool is_worker;

/* Before the process may no longer open files. */
__attribute__((constructor)) static void find_control(int argc, char **argv)
{
	is_worker = argc > 0 && strcmp(argv[0], "pptpproxy: worker") == 0;
	const char *path = getenv("FAIL_NTH_CONTROL");
	int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
	if (fd < 0)
		return;
	void *mapped = mmap(NULL, sizeof(*control), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (mapped != MAP_FAILED)
		control = mapped;
}

static bool meant(void)
{
	uint32_t pid = control->pid, parent = control->parent;
	return (pid && (uint32_t)getpid() == pid) || (parent && (uint32_t)getppid() == parent) ||
	       (control->worker && is_worker);
}

static bool fails(enum kind kind)
{
	if (!control || control->kind != kind || control->paused || !meant())
		return false;
	if (++control->count != control->nth)
		return false;
	control->hit = 1;
	errno = (int)control->error;
	return true;
}

/* The function that this one stands in front of. */
#define NEXT(name)                                                                                 \
	({                                                                                         \
		static _Atomic(void *) next;                                                       \
		if (!next)                                                                         \
			next = dlsym(RTLD_NEXT, #name);                                            \
		(__typeof__(&name))next;                                                           \
	})

/* ---- memory ---- */

/*
 * Two compilers of filters, used at the start only, and not ours to mend. Where it gets no memory,
 * libpcap's scanner ends the process, by exit() or by a null pointer; libseccomp's generator leaves
 * rules out, so that what should be allowed kills, or goes round for ever.
 */
static bool is_compiler(const void *caller)
{
	Dl_info info;
	return dladdr(caller, &info) && info.dli_fname &&
	       (strstr(info.dli_fname, "libpcap") || strstr(info.dli_fname, "libseccomp"));
}

/* libc, too, while it finds out in which databases users are: see getpwnam_r below. */
static _Thread_local bool looks_up_user;

static bool memory_fails(const void *caller)
{
	return control && control->kind == MEMORY && !looks_up_user && !is_compiler(caller) &&
	       fails(MEMORY);
}

#define NO_MEMORY memory_fails(__builtin_return_address(0))

/* By these names, as dlsym itself allocates. */
extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *old, size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);

void *malloc(size_t size)
{
	return NO_MEMORY ? NULL : __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
	return NO_MEMORY ? NULL : __libc_calloc(count, size);
}

void *realloc(void *old, size_t size)
{
	return NO_MEMORY ? NULL : __libc_realloc(old, size);
}

void *aligned_alloc(size_t alignment, size_t size)
{
	return NO_MEMORY ? NULL : __libc_memalign(alignment, size);
}

/* nsswitch.conf is read by the first look-up, and a list of it that got no memory is gone through
 * all the same. Nothing of a session does that. */
int getpwnam_r(const char *name, struct passwd *entry, char *buffer, size_t size,
	       struct passwd **found)
{
	looks_up_user = true;
	int error = NEXT(getpwnam_r)(name, entry, buffer, size, found);
	looks_up_user = false;
	return error;
}

int getpwuid_r(uid_t uid, struct passwd *entry, char *buffer, size_t size, struct passwd **found)
{
	looks_up_user = true;
	int error = NEXT(getpwuid_r)(uid, entry, buffer, size, found);
	looks_up_user = false;
	return error;
}

void *mmap(void *at, size_t size, int protection, int flags, int fd, off_t offset)
{
	return fails(MMAP) ? MAP_FAILED : NEXT(mmap)(at, size, protection, flags, fd, offset);
}

/* ---- sockets ---- */

int socket(int domain, int type, int protocol)
{
	return fails(SOCKET) ? -1 : NEXT(socket)(domain, type, protocol);
}

int accept(int fd, struct sockaddr *address, socklen_t *length)
{
	return fails(ACCEPT) ? -1 : NEXT(accept)(fd, address, length);
}

int accept4(int fd, struct sockaddr *address, socklen_t *length, int flags)
{
	return fails(ACCEPT) ? -1 : NEXT(accept4)(fd, address, length, flags);
}

int connect(int fd, const struct sockaddr *address, socklen_t length)
{
	return fails(CONNECT) ? -1 : NEXT(connect)(fd, address, length);
}

int setsockopt(int fd, int level, int name, const void *value, socklen_t length)
{
	return fails(OPTION) ? -1 : NEXT(setsockopt)(fd, level, name, value, length);
}

ssize_t send(int fd, const void *octets, size_t length, int flags)
{
	return fails(SEND) ? -1 : NEXT(send)(fd, octets, length, flags);
}

ssize_t sendto(int fd, const void *octets, size_t length, int flags, const struct sockaddr *address,
	       socklen_t address_length)
{
	return fails(SEND) ? -1 : NEXT(sendto)(fd, octets, length, flags, address, address_length);
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
	return fails(SEND) ? -1 : NEXT(sendmsg)(fd, message, flags);
}

int sendmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags)
{
	return fails(SEND) ? -1 : NEXT(sendmmsg)(fd, messages, count, flags);
}

ssize_t recv(int fd, void *octets, size_t length, int flags)
{
	return fails(RECEIVE) ? -1 : NEXT(recv)(fd, octets, length, flags);
}

ssize_t recvmsg(int fd, struct msghdr *message, int flags)
{
	return fails(RECEIVE) ? -1 : NEXT(recvmsg)(fd, message, flags);
}

int recvmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags, struct timespec *timeout)
{
	return fails(RECEIVE) ? -1 : NEXT(recvmmsg)(fd, messages, count, flags, timeout);
}

/* ---- processes and descriptors ---- */

pid_t fork(void)
{
	return fails(SPAWN) ? -1 : NEXT(fork)();
}

/* The caller's memory is a copy then, and whether the child could be executed is found out by its
 * end only; but a function cannot return twice. */
pid_t vfork(void)
{
	return fails(SPAWN) ? -1 : NEXT(fork)();
}

int execve(const char *path, char *const argv[], char *const environment[])
{
	return fails(EXEC) ? -1 : NEXT(execve)(path, argv, environment);
}

int posix_spawn(pid_t *restrict pid, const char *restrict path,
		const posix_spawn_file_actions_t *restrict actions,
		const posix_spawnattr_t *restrict attributes, char *const argv[restrict],
		char *const environment[restrict])
{
	return fails(SPAWN) ? errno
			    : NEXT(posix_spawn)(pid, path, actions, attributes, argv, environment);
}

int pipe2(int fds[2], int flags)
{
	return fails(PIPE) ? -1 : NEXT(pipe2)(fds, flags);
}

int socketpair(int domain, int type, int protocol, int fds[2])
{
	return fails(PIPE) ? -1 : NEXT(socketpair)(domain, type, protocol, fds);
}

int eventfd(unsigned value, int flags)
{
	return fails(EVENTFD) ? -1 : NEXT(eventfd)(value, flags);
}

int epoll_ctl(int fd, int operation, int other, struct epoll_event *event)
{
	/* Taking one out needs nothing. */
	if (operation != EPOLL_CTL_DEL && fails(EPOLL))
		return -1;
	return NEXT(epoll_ctl)(fd, operation, other, event);
}

int open(const char *path, int flags, ...)
{
	va_list more;
	va_start(more, flags);
	mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(more, mode_t) : 0;
	va_end(more);
	return fails(OPEN) ? -1 : NEXT(open)(path, flags, mode);
}

int memfd_create(const char *name, unsigned flags)
{
	return fails(OPEN) ? -1 : NEXT(memfd_create)(name, flags);
}

int dup(int fd)
{
	return fails(OPEN) ? -1 : NEXT(dup)(fd);
}

FILE *fopen(const char *path, const char *mode)
{
	return fails(OPEN) ? NULL : NEXT(fopen)(path, mode);
}

/* Of an eventfd it never fails. */
static bool can_be_full(int fd)
{
	struct stat status;
	return fstat(fd, &status) == 0 && (S_ISREG(status.st_mode) || S_ISFIFO(status.st_mode));
}

ssize_t write(int fd, const void *octets, size_t length)
{
	if (control && control->kind == WRITE && can_be_full(fd) && fails(WRITE))
		return -1;
	return NEXT(write)(fd, octets, length);
}

/* ---- the clock of the day ---- */

int clock_gettime(clockid_t clock, struct timespec *time)
{
	int result = NEXT(clock_gettime)(clock, time);
	if (result != 0 || !control || control->clock_ms == 0 ||
	    (clock != CLOCK_REALTIME && clock != CLOCK_REALTIME_COARSE))
		return result;
	int64_t ns = time->tv_nsec + control->clock_ms % 1000 * 1000000;
	time->tv_sec += control->clock_ms / 1000 + (ns < 0 ? -1 : ns / 1000000000);
	time->tv_nsec = ns < 0 ? ns + 1000000000 : ns % 1000000000;
	return 0;
}

int gettimeofday(struct timeval *restrict time, void *restrict zone)
{
	struct timespec now;
	(void)zone;
	clock_gettime(CLOCK_REALTIME, &now);
	*time = (struct timeval){now.tv_sec, now.tv_nsec / 1000};
	return 0;
}

time_t time(time_t *out)
{
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	if (out)
		*out = now.tv_sec;
	return now.tv_sec;
}
