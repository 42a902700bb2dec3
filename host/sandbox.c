#include "host/sandbox.h"

#include "host/sandbox_calls.h"
#include "host/sandbox_files.h"

#include <errno.h>
#include <string.h>
#include <sys/prctl.h>

int sandbox_enter(const struct sandbox_config *config, struct why *why)
{
	int lacks = 0;

	/* Without it either wall is root's alone to put up. */
	if (prctl(PR_SET_NO_NEW_PRIVS, 1UL, 0UL, 0UL, 0UL) != 0)
		return why_set(why, "sandbox: new privileges are not given up: %s",
			       strerror(errno));
	/* In this order: the calls of the first are not on the second one's list. */
	int files = sandbox_files_enter(config->readable, config->readable_count, why);
	if (files < 0)
		return -1;
	if (files > 0)
		lacks |= SANDBOX_LACKS_FILES;
	int calls = sandbox_calls_enter(config->report_fd, why);
	if (calls < 0)
		return -1;
	if (calls > 0)
		lacks |= SANDBOX_LACKS_CALLS;
	return lacks;
}
