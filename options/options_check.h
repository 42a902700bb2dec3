/*
 * options_check: what goes together, once all options have been taken, each of which is good. Pure.
 *
 * options' own.
 */
#ifndef OPTIONS_CHECK_H
#define OPTIONS_CHECK_H

#include "options.h"
#include "options/options_own.h"

/* Of an instance that is to run, or a look at the host. file: as of options_parse. 0, or -1 with a
 * sentence. */
int options_check_whole(const struct options *options, const struct options_file *file,
			struct why *why);

/* Of what asks a running instance. OPTIONS_SHOW, _TAP or _END; OPTIONS_BAD with a sentence. */
enum options_answer options_check_question(const struct options *options,
					   const struct options_others *others, struct why *why);

#endif
