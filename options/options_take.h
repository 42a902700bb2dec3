/*
 * options_take: what an option does to the struct: its default, its range, what its value means.
 * Knows neither words nor lines. Pure.
 *
 * options' own.
 */
#ifndef OPTIONS_TAKE_H
#define OPTIONS_TAKE_H

#include "options.h"
#include "options/options_own.h"

/* All defaults, on a struct that holds nothing. 0, or -1 with a sentence: no memory. */
int options_take_defaults(struct options *options, struct why *why);

/* 0, or -1 with a sentence that names option and value. */
int options_take(struct options *options, const struct options_given *given, struct why *why);

#endif
