# bench/results/packets.csv as a picture; results names the directory.
set terminal svg size 820,480 font "sans-serif,13" background "#ffffff"
set output results."/packets.svg"
set datafile separator ","
set datafile missing NaN
set title "Packets carried, 64-octet payloads, client to server (medians)"
set xlabel "calls"
set ylabel "million packets a second"
set logscale xy
set xrange [0.8:80000]
set yrange [0.005:15]
set xtics ("1" 1, "100" 100, "1,000" 1000, "3,000" 3000, "10,000" 10000, "60,000" 60000)
set format y "%g"
set grid ytics xtics lc "#dddddd"
set key outside bottom center horizontal maxcols 3
systems = "'no middle box' 'XDP that only redirects' 'pptpproxy: fast path' 'pptpproxy: generic XDP' 'pptpproxy: raw sockets' 'Linux NAT with PPTP helper' 'naive relay'"
colours = "#999999 #555555 #c62828 #ad1457 #1565c0 #ef6c00 #2e7d32"
file = results."/packets.csv"
name(i) = word(systems, i)
present(i) = int(system(sprintf("grep -c '%s' '%s'", name(i), file)))
plot for [i = 1:words(systems)] file skip 1 \
	using 2:((strcol(1) eq name(i) && strcol(3) eq "64" && strcol(4) eq "up") ? column(5) : NaN) \
	with linespoints lw 2 pt 7 ps 0.6 lc rgb word(colours, i) \
	title (present(i) ? name(i) : name(i)." (n/a)")
