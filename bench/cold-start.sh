#!/bin/sh
# Cold start of a model: from starting a process to its first token, and to the 20th. Medians of RUNS starts of
#   exe       a program with its weights inside        (compile --emit exe --weights embed)
#   so+files  a library, weights in files, packed at every start, run by the command (compile --emit so)
#   so+cache  the same with packed weights kept        (run --pack-cache)
#   jit       the description, compiled at every start (run MODEL)
# usage: bench/cold-start.sh [BUILD [MODEL [RUNS]]]; files are in the page cache, as on any second start.
set -eu
cd "$(dirname "$0")/.."
build=${1:-build} model=${2:-examples/storyteller.yaml} runs=${3:-20}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
mkdir "$dir/cache"
"$build/ssmc" compile "$model" --emit exe --weights embed -o "$dir/exe"
"$build/ssmc" compile "$model" --emit exe -o "$dir/exe-files"
"$build/ssmc" compile "$model" --emit so -o "$dir/m.so"

# median CMD...: milliseconds of the middle run.
median() {
    i=0
    while [ $i -lt "$runs" ]; do
        start=$(date +%s%N)
        "$@" >/dev/null 2>&1
        end=$(date +%s%N)
        echo $(((end - start) / 10000))
        i=$((i + 1))
    done | sort -n | sed -n "$(((runs + 1) / 2))p" | sed 's/\(..\)$/.\1/; s/^\./0./'
}

row() {
    name=$1
    shift
    "$@" -n 1 >/dev/null 2>&1 # the files are read, a cache is made
    printf '%-10s %10s ms %10s ms\n' "$name" "$(median "$@" -n 1)" "$(median "$@" -n 20)"
}

set -- -p "Once upon a time" --greedy
printf 'sizes: exe %s bytes, without weights %s; so without weights %s\n' "$(stat -c %s "$dir/exe")" \
    "$(stat -c %s "$dir/exe-files")" "$(stat -c %s "$dir/m.so")"
printf '%-10s %13s %13s   (median of %s starts)\n' "" "first token" "20 tokens" "$runs"
row exe "$dir/exe" "$@"
row exe+files "$dir/exe-files" "$@"
row so+files "$build/ssmc" run "$dir/m.so" "$@"
row so+cache "$build/ssmc" run "$dir/m.so" --pack-cache "$dir/cache" "$@"
row jit "$build/ssmc" run "$model" "$@"
