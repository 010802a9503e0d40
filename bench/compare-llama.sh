#!/bin/sh
# compare-llama.sh LLAMA_BENCH GGUF MODEL [ssmc bench options, such as --dtype bf16]
#
# Runs llama.cpp's llama-bench on a GGUF and `ssmc bench` on a model of the same shape in alternation, and prints
# tokens per second of each round, the ratios, their median and their spread. Machines drift: only rates of one
# round can be compared, and only the ratios of several rounds say something.
#
# Environment: ROUNDS (5), PREFILL (512), DECODE (64), THREADS (all cores), SSMC (build/ssmc).
set -eu

usage() {
    echo 'usage: bench/compare-llama.sh LLAMA_BENCH GGUF MODEL [OPTIONS OF ssmc bench]' >&2
    echo '  ROUNDS=5 PREFILL=512 DECODE=64 THREADS=2 SSMC=build/ssmc in the environment' >&2
    exit 2
}
[ $# -ge 3 ] || usage
llama=$1 gguf=$2 model=$3
shift 3
rounds=${ROUNDS:-5} prefill=${PREFILL:-512} decode=${DECODE:-64} threads=${THREADS:-$(nproc)}
ssmc=${SSMC:-$(dirname "$0")/../build/ssmc}
[ -x "$llama" ] || { echo "compare-llama: no program $llama" >&2; exit 2; }
[ -x "$ssmc" ] || { echo "compare-llama: no program $ssmc: build first, or set SSMC" >&2; exit 2; }
for file in "$gguf" "$model"; do
    [ -e "$file" ] || { echo "compare-llama: no file $file" >&2; exit 2; }
done

# Both print "PREFILL DECODE", tokens per second. llama-bench's CSV has quoted fields without commas inside.
theirs() {
    "$llama" -m "$gguf" -p "$prefill" -n "$decode" -t "$threads" -r 1 -o csv 2>/dev/null | awk -F, '
        { gsub(/"/, "") }
        NR == 1 { for (i = 1; i <= NF; i++) column[$i] = i; next }
        $column["n_prompt"] > 0 { prefill = $column["avg_ts"] }
        $column["n_gen"] > 0 { decode = $column["avg_ts"] }
        END { print prefill, decode }'
}
ours() {
    "$ssmc" bench "$model" --prefill "$prefill" --decode "$decode" --threads "$threads" --repeats 1 --json "$@" |
        awk -F'[:,]' '
        /"kind"/ { kind = $2; gsub(/"/, "", kind) }
        /"tokens_per_s"/ { rate[kind] = $2 }
        END { print rate["prefill"], rate["decode"] }'
}

table=$(mktemp)
trap 'rm -f "$table"' EXIT
round=1
while [ "$round" -le "$rounds" ]; do
    # Whoever runs first in one round runs last in the next.
    if [ $((round % 2)) -eq 1 ]; then
        a=$(ours "$@") && b=$(theirs)
    else
        b=$(theirs) && a=$(ours "$@")
    fi
    echo "$a $b" >>"$table"
    round=$((round + 1))
done

awk 'NF != 4 { print "compare-llama: a program failed; run both by hand to see why" >"/dev/stderr"; exit 1 }' "$table"
awk -v prefill="$prefill" -v decode="$decode" -v threads="$threads" '
    function sort(v, n,    i, j, t) {
        for (i = 2; i <= n; i++)
            for (j = i; j > 1 && v[j] < v[j - 1]; j--) { t = v[j]; v[j] = v[j - 1]; v[j - 1] = t }
    }
    function summary(what, v, n) {
        sort(v, n)
        printf "%s: median ratio %.2f, %.2f to %.2f\n", what, v[int((n + 1) / 2)], v[1], v[n]
    }
    BEGIN {
        printf "prefill of %d, decode of %d, %d threads; tokens/s\n", prefill, decode, threads
        print "round   prefill: ssmc   llama.cpp   ratio    decode: ssmc   llama.cpp   ratio"
    }
    {
        p[NR] = $1 / $3
        d[NR] = $2 / $4
        printf "%5d %15.1f %11.1f %7.2f %15.1f %11.1f %7.2f\n", NR, $1, $3, p[NR], $2, $4, d[NR]
    }
    END { summary("prefill", p, NR); summary("decode", d, NR) }' "$table"
