#include "options/options_check.h"

#include <string.h>

/* An option, as a sentence names it. */
struct named {
	const char *word, *name; /* as a word, "-l"; in the file, "log" */
	unsigned line;		 /* of the file; 0: it is a word */
};

static const char *text_of(const struct named *named)
{
	return named->line > 0 ? named->name : named->word;
}

/* The line, if it is one, goes before the sentence. Always -1. */
static int blame(const struct options_file *file, const struct named *named, struct why *why)
{
	return named->line > 0 ? options_file_blame(file, named->line, why) : -1;
}

/* Names may be any address; the worker sees to those. */
static int check_stats(const struct options *options, const struct options_file *file,
		       struct why *why)
{
	const struct named stats = {"--stats", "stats", options->lines.stats};
	for (size_t i = 0; options->stats.port != 0 && i < options->pair_count; i++) {
		char text[PAIR_TEXT_MAX], other[PAIR_TEXT_MAX];
		if (!pair_conflict(&options->stats, &options->pairs[i].listen))
			continue;
		why_set(why, "%s %.80s: it conflicts with a pair's listen address, %.80s",
			text_of(&stats), pair_endpoint_text(&options->stats, text),
			pair_endpoint_text(&options->pairs[i].listen, other));
		return blame(file, &stats, why);
	}
	return 0;
}

/* Each would spoil the other, the log a capture, say. Only names are compared: this is no look at
 * the disk. */
static int check_files(const struct options *options, const struct options_file *file,
		       struct why *why)
{
	const struct options_lines *lines = &options->lines;
	const struct {
		struct named named;
		const char *path;
	} files[] = {
	    {{"-l", "log", lines->log_file}, options->log_file},
	    {{"--pid-file", "pid-file", lines->pid_file}, options->pid_file},
	    {{"--capture", "capture", lines->capture}, options->capture},
	    {{"--control", "control", lines->control},
	     options->control[0] != '@' ? options->control : NULL},
	};
	enum { FILES = sizeof(files) / sizeof(*files) };
	for (int i = 0; i < FILES; i++) {
		for (int k = 0; k < i; k++) {
			if (!files[i].path || !files[k].path ||
			    strcmp(files[i].path, files[k].path) != 0)
				continue;
			/* The one in the file is what has a place that can be told. */
			bool other = files[i].named.line == 0 && files[k].named.line > 0;
			const struct named *blamed = &files[other ? k : i].named;
			why_set(why, "%s %.100s: %s has the same file", text_of(blamed),
				files[i].path, text_of(&files[other ? i : k].named));
			return blame(file, blamed, why);
		}
	}
	return 0;
}

static int check_interfaces(const struct options *options, const struct options_file *file,
			    struct why *why)
{
	const struct named interface = {"--fastpath-interface", "fastpath-interface",
					options->lines.interface};
	/* With an off that was asked for they may stay where they are. */
	if (options->interface_count == 0 || options->fastpath_given)
		return 0;
	why_set(why, "%s %.100s: it needs %sfastpath auto, native or generic", text_of(&interface),
		options->interfaces[0], interface.line > 0 ? "" : "--");
	return blame(file, &interface, why);
}

static int check_capture(const struct options *options, const struct options_file *file,
			 struct why *why)
{
	const struct named capture = {"--capture", "capture", options->lines.capture};
	if (!options->capture || strcmp(options->capture, "-") != 0)
		return 0;
	why_set(why, "%s -: standard output goes with --tap only", text_of(&capture));
	return blame(file, &capture, why);
}

int options_check_whole(const struct options *options, const struct options_file *file,
			struct why *why)
{
	if (options->json || options->watch)
		return why_set(why, "%s: it goes with --show only",
			       options->json ? "--json" : "--watch");
	if (check_capture(options, file, why) < 0 || check_files(options, file, why) < 0 ||
	    check_interfaces(options, file, why) < 0)
		return -1;
	/* The host can be looked at without. */
	if (options->pair_count == 0 && options->doctor)
		return 0;
	if (options->pair_count == 0 && file)
		return why_set(why,
			       "nothing to forward: at least one -p is needed, or a line with "
			       "proxy in %.100s",
			       file->path);
	if (options->pair_count == 0)
		return why_set(why, "nothing to forward: at least one -p is needed (try --help)");
	return check_stats(options, file, why);
}

enum options_answer options_check_question(const struct options *options,
					   const struct options_others *others, struct why *why)
{
	const char *question = options->show ? "--show" : options->end_call ? "--end" : "--tap";
	const struct options_given *other =
	    others->any.option == 0 && !options->tap ? &others->but_with_tap : &others->any;
	if (options->show && options->end_call)
		why_set(why, "--end: it does not go with --show");
	else if (options->tap && (options->show || options->end_call))
		why_set(why, "--tap: it does not go with %s", question);
	else if (other->option != 0)
		why_set(why, "%s: it does not go with %s", other->name, question);
	else if (options->show && options->json && options->watch)
		why_set(why, "--watch: it does not go with --json");
	else if (!options->show && (options->json || options->watch))
		why_set(why, "%s: it does not go with %s", options->json ? "--json" : "--watch",
			question);
	else if (options->tap && !options->capture)
		why_set(why, "--tap %.100s: it needs --capture FILE, or - for standard output",
			options->tap);
	else
		return options->show ? OPTIONS_SHOW : options->tap ? OPTIONS_TAP : OPTIONS_END;
	return OPTIONS_BAD;
}
