#include "host/process.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

int process_follow_parent(pid_t parent, struct why *why)
{
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0)
		return why_set(why, "cannot be tied to process %ld: %s", (long)parent,
			       strerror(errno));
	/* In this order: it may have gone before the kernel was asked, and then no signal comes. */
	if (getppid() != parent)
		return why_set(why, "process %ld, which started this one, is gone", (long)parent);
	return 0;
}
