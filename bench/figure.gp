# bench/figure.gp -- the two panels of "Transformers are SSMs", figure 10, from what `ssmc bench --figure --csv` measured:
# time by length for one state size, and time by state size for one length.
#
#   ssmc bench --figure F.html --csv F.csv --device cuda --ssd 64,64,128,1 --state 16,32,64,128,256 \
#       --prefill 512,2048,8192,16384 --batch 4
#   gnuplot -e "csv='F.csv'; out='F.svg'; state=128; tokens=16384; where='one H200, four sequences'" bench/figure.gp
#
# Columns of the table: state, form, dot, chunk, tokens, milliseconds.
set datafile separator ','
set datafile missing NaN
stats csv skip 1 using 6 nooutput
set terminal svg size 960,400 font 'sans-serif,13' background '#ffffff'
set output out
set multiplot layout 1,2 title where
set logscale xy 2
set format x '%.0f'
set format y '%.4g'
set grid back lc rgb '#dddddd'
set key top left reverse Left samplen 2
set yrange [*:20 * STATS_max] # room for the key
set ylabel 'milliseconds'

# Of a line of the table: its x if it is about this form, product and, where it has one, state size; not a number otherwise.
is(form, dot) = strcol(2) eq form && strcol(3) eq dot
length_of(form, dot, n) = is(form, dot) && (n < 0 || column(1) == n) ? column(5) : NaN
state_of(form, dot) = is(form, dot) && column(5) == tokens ? column(1) : NaN

set xlabel 'tokens of a sequence'
set title sprintf('N = %d', state)
plot csv skip 1 using (length_of('attention', 'bf16', -1)):6 with linespoints lw 2 pt 7 ps 0.5 lc rgb '#c2410c' title 'attention, bf16', \
     '' skip 1 using (length_of('selective_scan', 'f32', state)):6 with linespoints lw 2 pt 7 ps 0.5 lc rgb '#7c3aed' title sprintf('selective scan, N = %d', state), \
     '' skip 1 using (length_of('selective_scan', 'f32', 16)):6 with linespoints lw 2 pt 7 ps 0.5 lc rgb '#a78bfa' title 'selective scan, N = 16', \
     '' skip 1 using (length_of('chunked', 'bf16', state)):6 with linespoints lw 2 pt 7 ps 0.5 lc rgb '#0369a1' title 'SSD in chunks, bf16'

set xlabel 'state size N'
set title sprintf('%d tokens', tokens)
plot csv skip 1 using (state_of('selective_scan', 'f32')):6 with linespoints lw 2 pt 7 ps 0.5 lc rgb '#7c3aed' title 'selective scan', \
     '' skip 1 using (state_of('chunked', 'bf16')):6 with linespoints lw 2 pt 7 ps 0.5 lc rgb '#0369a1' title 'SSD in chunks, bf16'
unset multiplot
