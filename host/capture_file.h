/*
 * capture_file: a file of packets as libpcap has it, link type raw IP, which Wireshark and tshark
 * read; and the place where such files are, FILE and before it FILE.1.
 *
 * Knows no PPTP. Whole records leave with one write, so that who reads along, or finds what a
 * process has left that died, finds no half one. A disk that is full may leave half of one at the
 * end, unless capture_file_cut takes it away. Thread: one at a time for a file.
 */
#ifndef HOST_CAPTURE_FILE_H
#define HOST_CAPTURE_FILE_H

#include "host/why.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum {
	CAPTURE_FILE_PACKET_MAX = 65535, /* octets, from the IP header on */
	CAPTURE_FILE_RECORD_MAX = CAPTURE_FILE_PACKET_MAX + 16,
};

struct capture_file;

/* Takes fd over, also where it fails; whatever can be written to, nothing is there yet. NULL with
 * errno. */
struct capture_file *capture_file_open(int fd);

/* One packet, octets from the IP header on (at most CAPTURE_FILE_PACKET_MAX), and the time of day
 * in microseconds. It may wait for others until capture_file_flush. 0, or -1 with errno, after
 * which only close is left. */
int capture_file_add(struct capture_file *file, uint64_t time_us, const uint8_t *octets,
		     size_t length);
int capture_file_flush(struct capture_file *file); /* likewise */

/* Behind the last packet, and flushed: how many others there were. A record of no octets, whose
 * time is 0 and whose original length is that number, or the largest there is: so whoever reads
 * packets from a socket hears of it (see capture_tap.h). It may fail, as others. */
void capture_file_end(struct capture_file *file, uint64_t lost);

/* After an error: a file ends with the last packet that capture_file_packets counts; of all else
 * nothing more is written. It is not for the worker, who may cut no file. */
void capture_file_cut(struct capture_file *file);

/* Packets that have left; where a write has failed in their midst, of a file, the whole ones. */
uint64_t capture_file_packets(const struct capture_file *file);

uint64_t capture_file_size(const struct capture_file *file); /* octets, with those that wait */

/* Flushes what it can. NULL is fine. */
void capture_file_close(struct capture_file *file);

/* Which file it is, whatever its name. All zero: none. */
struct capture_file_id {
	dev_t device;
	ino_t inode;
};
struct capture_file_id capture_file_id(int fd);

/*
 * A new, empty file at path, of mode 0600, for nobody else's eyes. What is there becomes path.1,
 * and what was there as path.1 is gone; what is there and holds nothing is replaced. Where one of
 * the two is no file, or a file that is no capture, both are left as they are, and so is a link at
 * path; one at path.1 gives its name to the capture. What is there and is still written by another
 * process, one that has it from here, is left to it; but for *mine, the file before this one, which
 * another process of ours may have yet (NULL: none). The descriptor, closed on exec, or -1 with a
 * sentence.
 */
int capture_file_create(const char *path, const struct capture_file_id *mine, struct why *why);

/* Whether that could be done now: 0, or -1 with a sentence. The first one does not ask whether
 * another process writes there. */
int capture_file_check(const char *path, struct why *why);
int capture_file_check_free(const char *path, const struct capture_file_id *mine, struct why *why);

#endif
