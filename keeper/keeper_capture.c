#include "keeper/keeper_capture.h"

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

int keeper_capture_check(const struct keeper_capture *capture, const struct options *options,
			 struct why *why)
{
	if (!options->capture)
		return 0;
	return capture ? capture_file_check_free(options->capture, &capture->last, why)
		       : capture_file_check(options->capture, why);
}

void keeper_capture_begin(struct keeper_capture *capture)
{
	keeper_capture_close(capture);
	capture->fresh = true;
}

/* The worker asks before a packet would not fit any more, whatever its size. */
static bool is_full(int fd, uint64_t limit)
{
	struct stat status;
	return fstat(fd, &status) == 0 &&
	       (uint64_t)status.st_size + CAPTURE_FILE_RECORD_MAX > limit;
}

void keeper_capture_give(struct keeper_capture *capture, const struct options *options,
			 struct link_message *answer)
{
	struct why why;
	*answer = (struct link_message){.type = LINK_CAPTURE};
	if (!options->capture) {
		snprintf(answer->text, sizeof(answer->text), "capture: there is none");
		return;
	}
	if (!capture->fresh &&
	    (capture->file < 0 ||
	     !is_full(capture->file, (uint64_t)options->capture_limit_mib << 20))) {
		snprintf(answer->text, sizeof(answer->text), "capture file %.200s: it is not full",
			 options->capture);
		return;
	}
	keeper_capture_close(capture);
	capture->file = capture_file_create(options->capture, &capture->last, &why);
	if (capture->file < 0) {
		snprintf(answer->text, sizeof(answer->text), "%s", why.text);
		return;
	}
	capture->last = capture_file_id(capture->file);
	answer->fds[answer->fd_count++] = capture->file;
}

void keeper_capture_close(struct keeper_capture *capture)
{
	if (capture->file >= 0)
		close(capture->file);
	capture->file = -1;
	capture->fresh = false;
}
