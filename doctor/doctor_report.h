/*
 * doctor_report: findings, printed as they come, and counted.
 *
 *   Host
 *     error    pptpproxy's user 'vpn': no such user
 *              why: the worker could not give up root's rights, and does not start
 *              mend: useradd --system --no-create-home --shell /usr/sbin/nologin vpn
 *
 * Text of a command that stands after "mend:" can be given to a shell as it is, unless "on ...:"
 * stands before it. Thread: main.
 */
#ifndef DOCTOR_DOCTOR_REPORT_H
#define DOCTOR_DOCTOR_REPORT_H

#include <stdio.h>

enum doctor_severity {
	DOCTOR_OK,
	DOCTOR_NOTE,	/* good to know; nothing is wrong */
	DOCTOR_WARNING, /* some calls fail, or may */
	DOCTOR_ERROR,	/* calls fail, or it does not even start */
	DOCTOR_SEVERITIES
};

struct doctor_report {
	FILE *out;	     /* the caller's */
	const char *section; /* whose first finding has not come yet, or NULL */
	unsigned counts[DOCTOR_SEVERITIES];
};

/* The next findings' headline, printed with the first of them; must outlive it. */
void doctor_report_section(struct doctor_report *report, const char *title);

/* A finding: one line. What strangers have sent is escaped by the caller. */
void doctor_report_ok(struct doctor_report *report, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void doctor_report_note(struct doctor_report *report, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void doctor_report_warning(struct doctor_report *report, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void doctor_report_error(struct doctor_report *report, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Of the finding before it, unless all is right: why it matters, and a command that mends it or
 * shows more. */
void doctor_report_why(struct doctor_report *report, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void doctor_report_mend(struct doctor_report *report, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* A word of a command, into out: as it is, or in quotes where a shell would take it apart. What
 * does not fit is cut. */
enum { DOCTOR_REPORT_WORD = 4 * 4096 + 3 };
char *doctor_report_word(const char *word, char out[static DOCTOR_REPORT_WORD]);

/* The last line. How many things are wrong: errors and warnings. */
unsigned doctor_report_end(struct doctor_report *report);

#endif
