/*
 * libpcap writes by way of stdio, whose buffer is emptied here before a record would not fit: so a
 * write holds whole records only.
 */
#include "host/capture_file.h"

#include "host/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pcap/pcap.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdio_ext.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	HEADER = 24, /* of a file */
	RECORD = 16, /* before each packet */
	BUFFER = 256 * 1024,
};

#define TAKEN "another process writes a capture to it"

_Static_assert(BUFFER > HEADER + CAPTURE_FILE_RECORD_MAX, "a record fits into the buffer");

struct capture_file {
	FILE *stream;
	char *buffer;
	pcap_t *pcap;
	pcap_dumper_t *dumper; /* closing it closes stream, too */
	uint64_t size;
	size_t waiting;	      /* octets of it in the buffer */
	uint64_t added, left; /* packets; those that no write has failed for */
	uint64_t left_size;   /* octets of these, with the header */
	off_t position;	      /* of the descriptor behind them; -1: it has none */
	/* Where in the buffer each packet ends that waits there. */
	uint32_t ends[BUFFER / RECORD];
};

/* ---- one file ---- */

static void forget(struct capture_file *file)
{
	if (file->dumper)
		pcap_dump_close(file->dumper);
	else if (file->stream)
		fclose(file->stream);
	if (file->pcap)
		pcap_close(file->pcap);
	free(file->buffer);
	free(file);
}

static int open_dumper(struct capture_file *file)
{
	file->buffer = malloc(BUFFER);
	file->pcap = pcap_open_dead(DLT_RAW, CAPTURE_FILE_PACKET_MAX);
	if (!file->buffer || !file->pcap)
		return -1;
	setvbuf(file->stream, file->buffer, _IOFBF, BUFFER);
	file->dumper = pcap_dump_fopen(file->pcap, file->stream);
	if (!file->dumper)
		return -1;
	file->size = file->waiting = HEADER;
	file->position = lseek(fileno(file->stream), 0, SEEK_CUR);
	return 0;
}

struct capture_file *capture_file_open(int fd)
{
	struct capture_file *file = calloc(1, sizeof(*file));
	if (file)
		file->stream = fdopen(fd, "w");
	if (!file || !file->stream) {
		int error = errno;
		close(fd);
		free(file);
		errno = error;
		return NULL;
	}
	if (open_dumper(file) == 0)
		return file;
	forget(file);
	errno = ENOMEM;
	return NULL;
}

int capture_file_add(struct capture_file *file, uint64_t time_us, const uint8_t *octets,
		     size_t length)
{
	const struct pcap_pkthdr header = {
	    .ts = {.tv_sec = (time_t)(time_us / 1000000),
		   .tv_usec = (suseconds_t)(time_us % 1000000)},
	    .caplen = (bpf_u_int32)length,
	    .len = (bpf_u_int32)length,
	};
	if (file->waiting + RECORD + length > BUFFER && capture_file_flush(file) != 0)
		return -1;
	pcap_dump((u_char *)file->dumper, &header, octets);
	file->waiting += RECORD + length;
	file->size += RECORD + length;
	file->ends[file->added++ - file->left] = (uint32_t)file->waiting;
	return 0;
}

/* Of the buffer only so many octets have left. */
static void count_part(struct capture_file *file, uint64_t octets)
{
	uint64_t count = 0, waiting = file->added - file->left;
	while (count < waiting && file->ends[count] <= octets)
		count++;
	if (count == 0)
		return;
	file->left_size += file->ends[count - 1];
	file->left += count;
}

int capture_file_flush(struct capture_file *file)
{
	bool left = fflush(file->stream) == 0;
	int error = errno;
	off_t before = file->position;
	file->waiting = 0;
	file->position = lseek(fileno(file->stream), 0, SEEK_CUR);
	if (left) {
		file->left = file->added;
		file->left_size = file->size;
	} else if (before >= 0 && file->position > before) {
		count_part(file, (uint64_t)(file->position - before));
	}
	errno = error;
	return left ? 0 : -1;
}

void capture_file_end(struct capture_file *file, uint64_t lost)
{
	const struct pcap_pkthdr header = {
	    .len = lost < UINT32_MAX ? (bpf_u_int32)lost : UINT32_MAX,
	};
	if (file->waiting + RECORD > BUFFER && capture_file_flush(file) != 0)
		return;
	pcap_dump((u_char *)file->dumper, &header, (const u_char *)"");
	capture_file_flush(file);
}

void capture_file_cut(struct capture_file *file)
{
	__fpurge(file->stream);
	/* A pipe cannot be, and a file that cannot be cut has half a packet more. */
	if (ftruncate(fileno(file->stream), (off_t)file->left_size) != 0)
		return;
}

uint64_t capture_file_packets(const struct capture_file *file)
{
	return file->left;
}

uint64_t capture_file_size(const struct capture_file *file)
{
	return file->size;
}

void capture_file_close(struct capture_file *file)
{
	if (file)
		forget(file);
}

/* ---- its place ---- */

/* Either order of octets, microseconds or nanoseconds. */
static bool is_capture(int fd)
{
	static const uint32_t kinds[] = {0xa1b2c3d4, 0xa1b23c4d, 0xd4c3b2a1, 0x4d3cb2a1};
	uint32_t first;
	if (pread(fd, &first, sizeof(first), 0) != sizeof(first))
		return false;
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (first == kinds[i])
			return true;
	}
	return false;
}

static int refuse(const char *path, const char *reason, struct why *why)
{
	return why_set(why, "capture file %.200s: %s", path, reason);
}

/* Without O_NONBLOCK a pipe would wait for its writer. *size is -1 where there is none. */
static int look(const char *path, off_t *size, struct why *why)
{
	struct stat status;
	const char *wrong = NULL;
	int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

	*size = -1;
	if (fd < 0 && errno == ENOENT)
		return 0;
	if (fd < 0)
		return refuse(path, errno == ELOOP ? "it is a symbolic link" : strerror(errno),
			      why);
	if (fstat(fd, &status) != 0)
		wrong = strerror(errno);
	else if (!S_ISREG(status.st_mode))
		wrong = "it is there, and no file";
	else if (status.st_size > 0 && !is_capture(fd))
		wrong = "it is there, and no capture";
	*size = wrong ? -1 : status.st_size;
	close(fd);
	return wrong ? refuse(path, wrong, why) : 0;
}

/* What a link leads to stays as it is: its name alone is replaced. */
static bool is_link(const char *path)
{
	struct stat status;
	return lstat(path, &status) == 0 && S_ISLNK(status.st_mode);
}

/* Both places, so that no start leads to a capture that ends where FILE.1 is needed. */
static int look_at_both(const char *path, char older[static PATH_MAX], off_t *size, struct why *why)
{
	off_t older_size;
	if (snprintf(older, PATH_MAX, "%s.1", path) >= PATH_MAX)
		return refuse(path, strerror(ENAMETOOLONG), why);
	if (look(path, size, why) != 0)
		return -1;
	return is_link(older) ? 0 : look(older, &older_size, why);
}

int capture_file_check(const char *path, struct why *why)
{
	char older[PATH_MAX];
	off_t size;
	if (look_at_both(path, older, &size, why) != 0)
		return -1;
	return file_check_new(path) == 0 ? 0 : refuse(path, strerror(errno), why);
}

struct capture_file_id capture_file_id(int fd)
{
	struct stat status;
	if (fstat(fd, &status) != 0)
		return (struct capture_file_id){0};
	return (struct capture_file_id){status.st_dev, status.st_ino};
}

/* Who writes a capture has its file locked, for as long as any process has that descriptor; so the
 * lock is not of the kind that a process has. flock(2)'s could only be looked for by taking it, and
 * whoever looks would be found to write. Where the file system knows no locks nobody is found. */
static struct flock whole_file(void)
{
	return (struct flock){.l_type = F_WRLCK, .l_whence = SEEK_SET};
}

static bool is_locked(int fd)
{
	struct flock lock = whole_file();
	return fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

static bool is_taken(const char *path, const struct capture_file_id *mine)
{
	int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return false;
	struct capture_file_id id = capture_file_id(fd);
	bool ours = mine && id.device == mine->device && id.inode == mine->inode;
	bool taken = !ours && is_locked(fd);
	close(fd);
	return taken;
}

int capture_file_check_free(const char *path, const struct capture_file_id *mine, struct why *why)
{
	if (capture_file_check(path, why) != 0)
		return -1;
	return is_taken(path, mine) ? refuse(path, TAKEN, why) : 0;
}

static int make_room(const char *path, const char *older, off_t size, struct why *why)
{
	if (size > HEADER && rename(path, older) != 0)
		return refuse(path, strerror(errno), why);
	if (size >= 0 && size <= HEADER && unlink(path) != 0)
		return refuse(path, strerror(errno), why);
	return 0;
}

/* The file is there before it is locked: in between another process may have made room, and this
 * is no capture's place any more, or has it locked. */
static bool lock_mine(int fd, const char *path)
{
	struct flock lock = whole_file();
	struct capture_file_id id = capture_file_id(fd);
	struct stat there;
	if (fcntl(fd, F_OFD_SETLK, &lock) != 0 && errno == EAGAIN)
		return false;
	return lstat(path, &there) == 0 && there.st_dev == id.device && there.st_ino == id.inode;
}

int capture_file_create(const char *path, const struct capture_file_id *mine, struct why *why)
{
	char older[PATH_MAX];
	off_t size;
	if (look_at_both(path, older, &size, why) != 0)
		return -1;
	if (is_taken(path, mine))
		return refuse(path, TAKEN, why);
	if (make_room(path, older, size, why) != 0)
		return -1;
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return refuse(path, strerror(errno), why);
	if (lock_mine(fd, path))
		return fd;
	close(fd);
	return refuse(path, TAKEN, why);
}
