/*
 * vfork and not fork: it copies no address space. (posix_spawn does the same, but cannot become
 * another user.) Why the child could not execute comes by a pipe, which an execution closes.
 */
#include "host/command.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

struct start {
	char *const *words, *const *environment;
	int output, failure; /* descriptors */
	const struct user *as;
};

/* A signal that is ignored stays so over execve. */
static void forget_signals(void)
{
	struct sigaction by_default = {.sa_handler = SIG_DFL};
	sigset_t none;
	for (int number = 1; number < NSIG; number++)
		sigaction(number, &by_default, NULL); /* SIGKILL and SIGSTOP are so anyway */
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

static int set_descriptors(int output)
{
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(output, STDOUT_FILENO) < 0 ||
	    dup2(output, STDERR_FILENO) < 0)
		return -1;
	/* No function in musl. */
	return (int)syscall(SYS_close_range, STDERR_FILENO + 1, UINT32_MAX, CLOSE_RANGE_CLOEXEC);
}

/* In the child, which may share our memory: system calls only. */
static _Noreturn void become(const struct start *start)
{
	if (setpgid(0, 0) == 0 && set_descriptors(start->output) == 0 &&
	    (!start->as || user_become_in_child(start->as) == 0)) {
		forget_signals();
		execve(start->words[0], start->words, start->environment);
	}
	int error = errno;
	ssize_t written = write(start->failure, &error, sizeof(error));
	_exit(written == sizeof(error) ? 127 : 126);
}

/* 0 where nothing came. */
static int hear_failure(int fd)
{
	int error = 0;
	ssize_t got;
	do
		got = read(fd, &error, sizeof(error));
	while (got < 0 && errno == EINTR);
	return got == sizeof(error) ? error : 0;
}

int command_start(pid_t *pid, char *const *words, char *const *environment, int output,
		  const struct user *as)
{
	int ends[2];
	sigset_t all, before;

	if (pipe2(ends, O_CLOEXEC) != 0)
		return errno;
	const struct start start = {words, environment, output, ends[1], as};
	/* No handler of ours may run in the child. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	*pid = vfork();
	if (*pid == 0)
		become(&start);
	int error = *pid < 0 ? errno : 0;
	close(ends[1]);
	if (*pid > 0)
		error = hear_failure(ends[0]);
	close(ends[0]);
	if (*pid > 0 && error != 0)
		waitpid(*pid, NULL, 0);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return error;
}
