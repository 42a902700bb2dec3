/*
 * libpcap reads the file, frame by frame; the case takes the packets; the story is told at the end.
 */
#include "explain/explain.h"

#include "explain/explain_case.h"
#include "explain/explain_findings.h"
#include "explain/explain_legs.h"
#include "explain/explain_story.h"
#include "host/monotonic.h"

#include <errno.h>
#include <pcap/pcap.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum {
	MIB = 1 << 20,
	FRAMES_BETWEEN = 4096, /* looks at the clock */
	PROGRESS_AFTER_MS = 500,
	/* Further off no clock is: a lie, and differences must not overflow. */
	SECONDS_MAX = INT32_MAX,
};

struct reader {
	pcap_t *pcap;
	FILE *file;
	FILE *progress;
	bool told_progress;
	uint64_t begun_ms, told_ms;
	uint64_t octets, size; /* read; of the file, 0 where nobody knows */
	int link;
	int64_t start_us;
	struct explain_case all;
	struct explain_story_file about;
};

/* How far it is. */

static void tell_progress(struct reader *reader)
{
	uint64_t now = monotonic_ms();
	if (now - reader->begun_ms < PROGRESS_AFTER_MS || now - reader->told_ms < PROGRESS_AFTER_MS)
		return;
	reader->told_ms = now;
	reader->told_progress = true;
	if (reader->size > 0)
		fprintf(reader->progress, "\rpptpproxy: %llu of %llu MiB read ",
			(unsigned long long)(reader->octets / MIB),
			(unsigned long long)(reader->size / MIB));
	else
		fprintf(reader->progress, "\rpptpproxy: %llu MiB read ",
			(unsigned long long)(reader->octets / MIB));
	fflush(reader->progress);
}

/* The line is for who waits: the story is not to begin in it. */
static void end_progress(struct reader *reader)
{
	if (reader->told_progress)
		fprintf(reader->progress, "\r%*s\r", 48, "");
	if (reader->progress)
		fflush(reader->progress);
}

/* Frames. */

static int64_t time_of(const struct pcap_pkthdr *header)
{
	int64_t s = header->ts.tv_sec, us = header->ts.tv_usec;
	if (s < 0 || s > SECONDS_MAX)
		s = 0;
	return s * 1000000 + (us >= 0 && us < 1000000 ? us : 0);
}

static void take_frame(struct reader *reader, const struct pcap_pkthdr *header,
		       const uint8_t *octets)
{
	struct explain_packet packet;
	int64_t time_us = time_of(header);
	if (reader->about.frames++ == 0) {
		reader->start_us = time_us;
		reader->about.start_s = time_us / 1000000;
	}
	reader->octets += 16 + header->caplen;
	time_us -= reader->start_us;
	if (time_us > reader->about.length_us)
		reader->about.length_us = time_us;
	switch (explain_link_read(reader->link, octets, header->caplen, header->len, &packet)) {
	case EXPLAIN_LINK_IPV4:
		packet.time_us = time_us;
		explain_case_take(&reader->all, &packet);
		break;
	case EXPLAIN_LINK_OTHER:
		reader->about.other++;
		break;
	case EXPLAIN_LINK_CUT:
	case EXPLAIN_LINK_BAD:
		reader->about.bad++;
		break;
	}
}

static void read_frames(struct reader *reader)
{
	struct pcap_pkthdr *header;
	const uint8_t *octets;
	int answer;
	while ((answer = pcap_next_ex(reader->pcap, &header, &octets)) == 1) {
		take_frame(reader, header, octets);
		if (reader->progress && reader->about.frames % FRAMES_BETWEEN == 0)
			tell_progress(reader);
	}
	if (answer == PCAP_ERROR)
		reader->about.broken = pcap_geterr(reader->pcap);
	explain_case_end(&reader->all);
	end_progress(reader);
}

/* The whole. */

/* On failure the file is closed. */
static int open_capture(struct reader *reader, const char *name, struct why *why)
{
	char error[PCAP_ERRBUF_SIZE];
	struct stat status;
	if (fstat(fileno(reader->file), &status) == 0 && S_ISREG(status.st_mode))
		reader->size = (uint64_t)status.st_size;
	reader->pcap = pcap_fopen_offline(reader->file, error);
	if (!reader->pcap) {
		fclose(reader->file);
		return why_set(why, "cannot explain %.160s: it is no capture: %.120s", name, error);
	}
	reader->link = pcap_datalink(reader->pcap);
	if (explain_link_known(reader->link))
		return 0;
	const char *link = pcap_datalink_val_to_name(reader->link);
	why_set(why, "cannot explain %.160s: frames of link type %d (%.60s) are not known", name,
		reader->link, link ? link : "no name");
	pcap_close(reader->pcap);
	return -1;
}

static int tell(struct reader *reader, const char *name, FILE *out, struct why *why)
{
	struct explain_findings findings = {0};
	reader->about.name = name;
	/* Without memory for it a call has two stories, which is not wrong. */
	explain_legs_match(&reader->all);
	explain_findings_look(&findings, &reader->all);
	explain_story_tell(out, &reader->about, &reader->all, &findings);
	explain_findings_clear(&findings);
	if (fflush(out) == 0 && !ferror(out))
		return 0;
	return why_set(why, "cannot write the story of %.160s: %s", name, strerror(errno));
}

int explain_open_file(FILE *file, const char *name, FILE *out, FILE *progress, struct why *why)
{
	struct reader reader = {.file = file, .progress = progress, .begun_ms = monotonic_ms()};
	if (open_capture(&reader, name, why) < 0)
		return -1;
	int answer = explain_case_init(&reader.all);
	if (answer < 0) {
		why_set(why, "cannot explain %.160s: %s", name, strerror(errno));
	} else {
		read_frames(&reader);
		answer = tell(&reader, name, out, why);
	}
	explain_case_clear(&reader.all);
	pcap_close(reader.pcap);
	return answer;
}

int explain_file(const char *path, FILE *out, FILE *progress, struct why *why)
{
	if (strcmp(path, "-") == 0)
		return explain_open_file(stdin, "standard input", out, progress, why);
	FILE *file = fopen(path, "re");
	if (!file)
		return why_set(why, "cannot explain %.200s: %s", path, strerror(errno));
	return explain_open_file(file, path, out, progress, why);
}
