/*
 * Figures in words.
 */
#include "status/status_figure.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void figures_are_cut_not_rounded(void **state)
{
	static const struct {
		char *(*tell)(uint64_t, char *);
		uint64_t number;
		const char *told;
	} rows[] = {
	    {status_figure_count, 0, "0"},
	    {status_figure_count, 999, "999"},
	    {status_figure_count, 1000, "1,000"},
	    {status_figure_count, UINT64_MAX, "18,446,744,073,709,551,615"},
	    {status_figure_octets, 0, "0 B"},
	    {status_figure_octets, 1023, "1023 B"},
	    {status_figure_octets, 1024, "1.00 KiB"},
	    {status_figure_octets, 1536, "1.50 KiB"},
	    {status_figure_octets, 2047, "1.99 KiB"},
	    {status_figure_octets, 10240, "10.0 KiB"},
	    {status_figure_octets, 102399, "99.9 KiB"},
	    {status_figure_octets, 1048575, "1023 KiB"},
	    {status_figure_octets, 1101005, "1.05 MiB"},
	    {status_figure_octets, UINT64_C(5) << 30, "5.00 GiB"},
	    {status_figure_octets, UINT64_MAX, "16383 PiB"},
	    {status_figure_rate, 0, "0 bit/s"},
	    {status_figure_rate, 999, "999 bit/s"},
	    {status_figure_rate, 1000, "1.00 kbit/s"},
	    {status_figure_rate, 1999, "1.99 kbit/s"},
	    {status_figure_rate, 99999, "99.9 kbit/s"},
	    {status_figure_rate, 999999999, "999 Mbit/s"},
	    {status_figure_rate, UINT64_MAX, "18446744 Tbit/s"},
	    {status_figure_time, 0, "0.0 s"},
	    {status_figure_time, 9999, "9.9 s"},
	    {status_figure_time, 10000, "10 s"},
	    {status_figure_time, 59999, "59 s"},
	    {status_figure_time, 60000, "1 min 00 s"},
	    {status_figure_time, 3599999, "59 min 59 s"},
	    {status_figure_time, 3600000, "1 h 00 min"},
	    {status_figure_time, 86399999, "23 h 59 min"},
	    {status_figure_time, 90061500, "1 d 01 h"},
	};
	char out[STATUS_FIGURE];
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		assert_string_equal(rows[i].tell(rows[i].number, out), rows[i].told);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(figures_are_cut_not_rounded),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
