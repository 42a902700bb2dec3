/*
 * Flushed line by line: who waits for a server that is silent sees what is known so far.
 */
#include "doctor/doctor_report.h"

#include <stdarg.h>
#include <string.h>

void doctor_report_section(struct doctor_report *report, const char *title)
{
	report->section = title;
}

static void print(struct doctor_report *report, const char *head, const char *format,
		  va_list values)
{
	fputs(head, report->out);
	vfprintf(report->out, format, values);
	fputc('\n', report->out);
	fflush(report->out);
}

static void find(struct doctor_report *report, enum doctor_severity severity, const char *format,
		 va_list values)
{
	static const char *const heads[] = {
	    [DOCTOR_OK] = "  ok       ",
	    [DOCTOR_NOTE] = "  note     ",
	    [DOCTOR_WARNING] = "  warning  ",
	    [DOCTOR_ERROR] = "  error    ",
	};
	if (report->section)
		fprintf(report->out, "%s\n", report->section);
	report->section = NULL;
	report->counts[severity]++;
	print(report, heads[severity], format, values);
}

void doctor_report_ok(struct doctor_report *report, const char *format, ...)
{
	va_list values;
	va_start(values, format);
	find(report, DOCTOR_OK, format, values);
	va_end(values);
}

void doctor_report_note(struct doctor_report *report, const char *format, ...)
{
	va_list values;
	va_start(values, format);
	find(report, DOCTOR_NOTE, format, values);
	va_end(values);
}

void doctor_report_warning(struct doctor_report *report, const char *format, ...)
{
	va_list values;
	va_start(values, format);
	find(report, DOCTOR_WARNING, format, values);
	va_end(values);
}

void doctor_report_error(struct doctor_report *report, const char *format, ...)
{
	va_list values;
	va_start(values, format);
	find(report, DOCTOR_ERROR, format, values);
	va_end(values);
}

void doctor_report_why(struct doctor_report *report, const char *format, ...)
{
	va_list values;
	va_start(values, format);
	print(report, "           why: ", format, values);
	va_end(values);
}

void doctor_report_mend(struct doctor_report *report, const char *format, ...)
{
	va_list values;
	va_start(values, format);
	print(report, "           mend: ", format, values);
	va_end(values);
}

char *doctor_report_word(const char *word, char out[static DOCTOR_REPORT_WORD])
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
				    "%+,-./:=@_";
	size_t length = 0;
	if (*word && word[strspn(word, plain)] == '\0') {
		snprintf(out, DOCTOR_REPORT_WORD, "%s", word);
		return out;
	}
	out[length++] = '\'';
	for (; *word && length < DOCTOR_REPORT_WORD - 6; word++) {
		if (*word == '\'')
			length += (size_t)sprintf(out + length, "'\\''");
		else
			out[length++] = *word;
	}
	strcpy(out + length, "'");
	return out;
}

static const char *plural(unsigned count)
{
	return count == 1 ? "" : "s";
}

unsigned doctor_report_end(struct doctor_report *report)
{
	const unsigned *counts = report->counts;
	unsigned wrong = counts[DOCTOR_ERROR] + counts[DOCTOR_WARNING];

	if (wrong == 0)
		fprintf(report->out, "nothing is wrong (%u note%s)\n", counts[DOCTOR_NOTE],
			plural(counts[DOCTOR_NOTE]));
	else
		fprintf(report->out, "%u thing%s wrong (%u error%s, %u warning%s, %u note%s)\n",
			wrong, wrong == 1 ? " is" : "s are", counts[DOCTOR_ERROR],
			plural(counts[DOCTOR_ERROR]), counts[DOCTOR_WARNING],
			plural(counts[DOCTOR_WARNING]), counts[DOCTOR_NOTE],
			plural(counts[DOCTOR_NOTE]));
	fflush(report->out);
	return wrong;
}
