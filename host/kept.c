/*
 * The file starts with a header, which holds the directory of the sections and the undo log; the
 * sections follow, each on a page of its own.
 */
#include "host/kept.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define KEPT_MAGIC UINT64_C(0x7070747070726F78)

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 8U
#endif
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

enum { PAGE = 65536 }; /* any system's are no larger */

struct section {
	uint64_t offset; /* 0: not made yet; written last */
	uint64_t record_size, records;
};

/* Behind a copy in the log, where a walk from its end finds it. */
struct saved {
	uint64_t offset, length;
};

struct header {
	uint64_t magic, version, size;
	uint64_t end; /* where the next section begins */
	struct section sections[KEPT_SECTIONS];
	volatile uint64_t log_length;
	uint8_t log[KEPT_LOG_MAX];
};

struct kept {
	struct header *header;
	bool open; /* a transaction */
};

static size_t to_page(size_t octets)
{
	return (octets + PAGE - 1) / PAGE * PAGE;
}

/* ---- birth and death ---- */

static int make_file(void)
{
	unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
	int fd = memfd_create("pptpproxy", flags | MFD_NOEXEC_SEAL);
	if (fd < 0 && errno == EINVAL) /* before Linux 6.3 */
		fd = memfd_create("pptpproxy", flags);
	return fd;
}

/* A limit of file sizes (softlimit -f) is meant for logs, and would kill us here. */
static int set_size(int fd)
{
	struct rlimit before, none = {RLIM_INFINITY, RLIM_INFINITY};
	struct sigaction ignore = {.sa_handler = SIG_IGN}, action;

	if (getrlimit(RLIMIT_FSIZE, &before) != 0)
		return -1;
	if (setrlimit(RLIMIT_FSIZE, &none) != 0) { /* not ours to lift: as far as it goes */
		none.rlim_cur = none.rlim_max = before.rlim_max;
		setrlimit(RLIMIT_FSIZE, &none);
	}
	sigaction(SIGXFSZ, &ignore, &action);
	int result = ftruncate(fd, (off_t)KEPT_SIZE), error = errno;
	sigaction(SIGXFSZ, &action, NULL);
	setrlimit(RLIMIT_FSIZE, &before);
	errno = error;
	return result;
}

static int write_header(int fd)
{
	struct header header = {
	    .magic = KEPT_MAGIC,
	    .version = KEPT_VERSION,
	    .size = KEPT_SIZE,
	    .end = to_page(sizeof(header)),
	};
	return pwrite(fd, &header, sizeof(header), 0) == (ssize_t)sizeof(header) ? 0 : -1;
}

int kept_create(struct why *why)
{
	int fd = make_file();
	/* Of a fixed size: a mapping of what has been cut off would kill whoever reads it. */
	if (fd < 0 || set_size(fd) != 0 || write_header(fd) != 0 ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
		why_set(why, "kept memory: %s", strerror(errno));
		if (fd >= 0)
			close(fd);
		return -1;
	}
	return fd;
}

bool kept_readable(int fd, struct why *why)
{
	struct header header;
	struct stat file;

	if (fstat(fd, &file) != 0 || pread(fd, &header, sizeof(header), 0) < 0) {
		why_set(why, "kept memory: %s", strerror(errno));
		return false;
	}
	if (file.st_size != (off_t)KEPT_SIZE || header.magic != KEPT_MAGIC) {
		why_set(why, "kept memory: the file is none");
		return false;
	}
	if (header.version != KEPT_VERSION || header.size != KEPT_SIZE ||
	    header.log_length > KEPT_LOG_MAX) {
		why_set(why, "kept memory: of version %llu, not %d",
			(unsigned long long)header.version, KEPT_VERSION);
		return false;
	}
	return true;
}

/* ---- the undo log ---- */

static void roll_back(struct header *header)
{
	uint64_t length = header->log_length;
	while (length > 0) {
		struct saved saved;
		length -= sizeof(saved);
		memcpy(&saved, header->log + length, sizeof(saved));
		length -= saved.length;
		memcpy((uint8_t *)header + saved.offset, header->log + length, saved.length);
		kept_fence();
		header->log_length = length;
		kept_fence();
	}
}

struct kept *kept_open(int fd, struct why *why)
{
	if (!kept_readable(fd, why))
		return NULL;
	struct kept *kept = calloc(1, sizeof(*kept));
	void *memory =
	    kept ? mmap(NULL, KEPT_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0)
		 : MAP_FAILED;
	if (memory == MAP_FAILED) {
		why_set(why, "kept memory: %s", strerror(errno));
		free(kept);
		return NULL;
	}
	kept->header = memory;
	roll_back(kept->header);
	return kept;
}

void kept_close(struct kept *kept)
{
	if (!kept)
		return;
	munmap(kept->header, KEPT_SIZE);
	free(kept);
}

bool kept_is_open(const struct kept *kept)
{
	return kept && kept->open;
}

void kept_begin(struct kept *kept)
{
	if (!kept)
		return;
	assert(!kept->open);
	kept->open = true;
}

void kept_save(struct kept *kept, const void *octets, size_t length)
{
	if (!kept_is_open(kept))
		return;
	struct header *header = kept->header;
	uint64_t at = header->log_length;
	struct saved saved = {(uint64_t)((const uint8_t *)octets - (uint8_t *)header), length};

	assert(saved.offset >= sizeof(*header) && saved.offset + length <= KEPT_SIZE);
	assert(at + length + sizeof(saved) <= KEPT_LOG_MAX);
	memcpy(header->log + at, octets, length);
	memcpy(header->log + at + length, &saved, sizeof(saved));
	kept_fence();
	header->log_length = at + length + sizeof(saved);
	kept_fence();
}

void kept_commit(struct kept *kept)
{
	if (!kept)
		return;
	assert(kept->open);
	kept_fence();
	kept->header->log_length = 0;
	kept_fence();
	kept->open = false;
}

/* ---- sections ---- */

void *kept_section(struct kept *kept, enum kept_id id, size_t record_size, size_t records)
{
	struct header *header = kept->header;
	struct section *section = &header->sections[id];

	assert(id < KEPT_SECTIONS && record_size > 0);
	if (section->offset == 0) {
		uint64_t offset = header->end;
		if (records > (KEPT_SIZE - offset) / record_size) {
			errno = ENOSPC;
			return NULL;
		}
		section->record_size = record_size;
		section->records = records;
		header->end = to_page(offset + record_size * records);
		kept_fence();
		section->offset = offset;
		kept_fence();
	}
	if (section->record_size != record_size || section->records != records) {
		errno = EINVAL;
		return NULL;
	}
	return (uint8_t *)header + section->offset;
}

int kept_provide(struct kept *kept, void *octets, size_t length)
{
	size_t first = (size_t)((uint8_t *)octets - (uint8_t *)kept->header) / PAGE * PAGE,
	       end = to_page((size_t)((uint8_t *)octets - (uint8_t *)kept->header) + length);
	if (madvise((uint8_t *)kept->header + first, end - first, MADV_POPULATE_WRITE) == 0 ||
	    errno == EINVAL) /* before Linux 5.14 */
		return 0;
	errno = ENOMEM;
	return -1;
}
