/*
 * libpcap reads the files, frame by frame, always from the one whose next frame is the oldest; the
 * case takes the packets; the story is told at the end.
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
	NAME_MAX_LENGTH = 400,
	FRAMES_BETWEEN = 4096, /* looks at the clock */
	PROGRESS_AFTER_MS = 500,
	/* Further off no clock is: a lie, and differences must not overflow. */
	SECONDS_MAX = INT32_MAX,
};

/* One file. */
struct source {
	const char *name;
	struct stat status; /* which file it is, and of what size */
	pcap_t *pcap;	    /* NULL: not open */
	int link;
	bool ended;
	struct pcap_pkthdr *header; /* of the next frame */
	const uint8_t *octets;
	int64_t time_us;
};

struct reader {
	struct source *sources;
	size_t count;
	char name[NAME_MAX_LENGTH], broken[PCAP_ERRBUF_SIZE + NAME_MAX_LENGTH];
	FILE *progress;
	bool told_progress;
	uint64_t begun_ms, told_ms;
	uint64_t octets, size; /* read; of the files, 0 where nobody knows */
	bool unsized;	       /* nobody knows of one of them */
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
	if (!reader->unsized)
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

static void take_frame(struct reader *reader, const struct source *source)
{
	struct explain_packet packet;
	const struct pcap_pkthdr *header = source->header;
	int64_t time_us = source->time_us;
	if (reader->about.frames++ == 0) {
		reader->start_us = time_us;
		reader->about.start_s = time_us / 1000000;
	}
	reader->octets += 16 + header->caplen;
	time_us -= reader->start_us;
	if (time_us > reader->about.length_us)
		reader->about.length_us = time_us;
	switch (
	    explain_link_read(source->link, source->octets, header->caplen, header->len, &packet)) {
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

/* Of several the first one that is broken is told by its name. */
static void tell_broken(struct reader *reader, const struct source *source)
{
	if (reader->about.broken)
		return;
	snprintf(reader->broken, sizeof(reader->broken), "%.300s%s%s",
		 reader->count > 1 ? source->name : "", reader->count > 1 ? ": " : "",
		 pcap_geterr(source->pcap));
	reader->about.broken = reader->broken;
}

/* libpcap keeps the frame until the next one is read. */
static void read_next(struct reader *reader, struct source *source)
{
	int answer = pcap_next_ex(source->pcap, &source->header, &source->octets);
	source->ended = answer != 1;
	if (!source->ended)
		source->time_us = time_of(source->header);
	else if (answer == PCAP_ERROR)
		tell_broken(reader, source);
}

/* NULL: all have ended. Of two frames of one moment that of the file that was named first. */
static struct source *oldest(const struct reader *reader)
{
	struct source *found = NULL;
	for (size_t i = 0; i < reader->count; i++) {
		struct source *source = &reader->sources[i];
		if (!source->ended && (!found || source->time_us < found->time_us))
			found = source;
	}
	return found;
}

static void read_frames(struct reader *reader)
{
	struct source *source;
	for (size_t i = 0; i < reader->count; i++)
		read_next(reader, &reader->sources[i]);
	while ((source = oldest(reader))) {
		take_frame(reader, source);
		if (reader->progress && reader->about.frames % FRAMES_BETWEEN == 0)
			tell_progress(reader);
		read_next(reader, source);
	}
	explain_case_end(&reader->all);
	end_progress(reader);
}

/* The whole. */

/* The file is the source's, or closed. */
static int open_capture(struct reader *reader, struct source *source, FILE *file, struct why *why)
{
	char error[PCAP_ERRBUF_SIZE];
	if (fstat(fileno(file), &source->status) == 0 && S_ISREG(source->status.st_mode))
		reader->size += (uint64_t)source->status.st_size;
	else
		reader->unsized = true;
	source->pcap = pcap_fopen_offline(file, error);
	if (!source->pcap) {
		fclose(file);
		return why_set(why, "cannot explain %.160s: it is no capture: %.120s", source->name,
			       error);
	}
	source->link = pcap_datalink(source->pcap);
	if (explain_link_known(source->link))
		return 0;
	const char *link = pcap_datalink_val_to_name(source->link);
	return why_set(why, "cannot explain %.160s: frames of link type %d (%.60s) are not known",
		       source->name, source->link, link ? link : "no name");
}

/* By whatever names: each of its packets would come twice. Standard input could not even be read,
 * or closed, twice. */
static bool is_open(const struct reader *reader, const struct source *source, FILE *file)
{
	struct stat status;
	if (fstat(fileno(file), &status) != 0)
		return false;
	for (const struct source *other = reader->sources; other < source; other++)
		if (other->status.st_dev == status.st_dev && other->status.st_ino == status.st_ino)
			return true;
	return false;
}

static int open_path(struct reader *reader, struct source *source, const char *path,
		     struct why *why)
{
	bool standard_input = strcmp(path, "-") == 0;
	FILE *file = standard_input ? stdin : fopen(path, "re");
	source->name = standard_input ? "standard input" : path;
	if (!file)
		return why_set(why, "cannot explain %.200s: %s", path, strerror(errno));
	if (is_open(reader, source, file)) {
		if (!standard_input)
			fclose(file);
		return why_set(why, "cannot explain %.200s: it is named twice", source->name);
	}
	return open_capture(reader, source, file, why);
}

/* "x.pcap.1, x.pcap", or the first one's and how many there are. */
static void name_all(struct reader *reader)
{
	const struct source *sources = reader->sources;
	if (reader->count == 1)
		snprintf(reader->name, sizeof(reader->name), "%.390s", sources[0].name);
	else if (reader->count == 2)
		snprintf(reader->name, sizeof(reader->name), "%.190s, %.190s", sources[0].name,
			 sources[1].name);
	else
		snprintf(reader->name, sizeof(reader->name), "%.300s and %zu other files",
			 sources[0].name, reader->count - 1);
	reader->about.name = reader->name;
}

static int tell(struct reader *reader, FILE *out, struct why *why)
{
	struct explain_findings findings = {0};
	/* Without memory for it a call has two stories, which is not wrong. */
	explain_legs_match(&reader->all);
	explain_findings_look(&findings, &reader->all);
	explain_story_tell(out, &reader->about, &reader->all, &findings);
	explain_findings_clear(&findings);
	if (fflush(out) == 0 && !ferror(out))
		return 0;
	return why_set(why, "cannot write the story of %.160s: %s", reader->name, strerror(errno));
}

static int read_and_tell(struct reader *reader, FILE *out, struct why *why)
{
	name_all(reader);
	int answer = explain_case_init(&reader->all);
	if (answer < 0) {
		why_set(why, "cannot explain %.160s: %s", reader->name, strerror(errno));
	} else {
		read_frames(reader);
		answer = tell(reader, out, why);
	}
	explain_case_clear(&reader->all);
	return answer;
}

int explain_open_file(FILE *file, const char *name, FILE *out, FILE *progress, struct why *why)
{
	struct source source = {.name = name};
	struct reader reader = {
	    .sources = &source, .count = 1, .progress = progress, .begun_ms = monotonic_ms()};
	int answer = open_capture(&reader, &source, file, why);
	if (answer == 0)
		answer = read_and_tell(&reader, out, why);
	if (source.pcap)
		pcap_close(source.pcap);
	return answer;
}

int explain_files(char *const *paths, size_t count, FILE *out, FILE *progress, struct why *why)
{
	struct reader reader = {.sources = calloc(count, sizeof(*reader.sources)),
				.count = count,
				.progress = progress,
				.begun_ms = monotonic_ms()};
	int answer =
	    reader.sources ? 0 : why_set(why, "cannot explain %.160s: no memory", paths[0]);
	for (size_t i = 0; i < count && answer == 0; i++)
		answer = open_path(&reader, &reader.sources[i], paths[i], why);
	if (answer == 0)
		answer = read_and_tell(&reader, out, why);
	for (size_t i = 0; i < count && reader.sources; i++) {
		if (reader.sources[i].pcap)
			pcap_close(reader.sources[i].pcap);
	}
	free(reader.sources);
	return answer;
}
