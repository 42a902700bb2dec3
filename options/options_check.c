#include "options/options_check.h"

#include <string.h>

/* Names may be any address; the worker sees to those. */
static int check_stats(const struct options *options, struct why *why)
{
	for (size_t i = 0; options->stats.port != 0 && i < options->pair_count; i++) {
		char text[PAIR_TEXT_MAX], other[PAIR_TEXT_MAX];
		if (pair_conflict(&options->stats, &options->pairs[i].listen))
			return why_set(why,
				       "--stats %.80s: it conflicts with a pair's listen "
				       "address, %.80s",
				       pair_endpoint_text(&options->stats, text),
				       pair_endpoint_text(&options->pairs[i].listen, other));
	}
	return 0;
}

/* Each would spoil the other, the log a capture, say. Only names are compared: this is no look at
 * the disk. */
static int check_files(const struct options *options, struct why *why)
{
	const struct {
		const char *option, *path;
	} files[] = {
	    {"-l", options->log_file},
	    {"--pid-file", options->pid_file},
	    {"--capture", options->capture},
	    {"--control", options->control[0] != '@' ? options->control : NULL},
	};
	enum { FILES = sizeof(files) / sizeof(*files) };
	for (int i = 0; i < FILES; i++) {
		for (int k = 0; k < i; k++) {
			if (files[i].path && files[k].path &&
			    strcmp(files[i].path, files[k].path) == 0)
				return why_set(why, "%s %.100s: %s has the same file",
					       files[i].option, files[i].path, files[k].option);
		}
	}
	return 0;
}

int options_check_whole(const struct options *options, const struct options_file *file,
			struct why *why)
{
	if (options->json || options->watch)
		return why_set(why, "%s: it goes with --show only",
			       options->json ? "--json" : "--watch");
	if (options->capture && strcmp(options->capture, "-") == 0)
		return why_set(why, "--capture -: standard output goes with --tap only");
	if (check_files(options, why) < 0)
		return -1;
	/* With an off that was asked for they may stay where they are. */
	if (options->interface_count > 0 && !options->fastpath_given)
		return why_set(
		    why, "--fastpath-interface %.100s: it needs --fastpath auto, native or generic",
		    options->interfaces[0]);
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
	return check_stats(options, why);
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
