#!/bin/sh
# Cold start of a model: from starting a process to its first token. Medians of RUNS starts of
#   exe        a program with its weights inside          (compile --emit exe --weights embed)
#   exe+files  the same, weights in files, packed at every start
#   so+files   a C program with a library, weights in files (compile --emit so; tests/data/embed.c, 5 ids in)
#   run so     the command with that library, which loads LLVM though it does not use it
#   jit        the description, compiled at every start    (run MODEL)
# usage: bench/cold-start.sh [BUILD [MODEL [RUNS]]]; files are in the page cache, as on any second start.
set -eu
cd "$(dirname "$0")/.."
build=${1:-build} model=${2:-examples/storyteller.yaml} runs=${3:-20}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
"$build/ssmc" compile "$model" --emit exe --weights embed -o "$dir/exe"
"$build/ssmc" compile "$model" --emit exe -o "$dir/exe-files"
"$build/ssmc" compile "$model" --emit so -o "$dir/m.so" --header "$dir/m.h" --set name=cold
cc -O2 -DMODEL_H="\"$dir/m.h\"" -DMODEL_COMPILED=cold_compiled tests/data/embed.c "$dir/m.so" -Wl,-rpath,"$dir" \
    -o "$dir/embed"
printf '\001\0\0\0\002\0\0\0\003\0\0\0\004\0\0\0\005\0\0\0' >"$dir/ids"

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

# row NAME CMD...: one line of the table.
row() {
    name=$1
    shift
    "$@" >/dev/null 2>&1 # the files are read
    printf '%-10s %8s ms\n' "$name" "$(median "$@")"
}

printf 'sizes: exe %s bytes, without weights %s; so without weights %s\n' "$(stat -c %s "$dir/exe")" \
    "$(stat -c %s "$dir/exe-files")" "$(stat -c %s "$dir/m.so")"
printf 'first token, median of %s starts\n' "$runs"
row exe "$dir/exe" -p "Once upon a time" -n 1
row exe+files "$dir/exe-files" -p "Once upon a time" -n 1
row so+files "$dir/embed" "$dir/ids" "$dir/logits"
row "run so" "$build/ssmc" run "$dir/m.so" -p "Once upon a time" -n 1
row jit "$build/ssmc" run "$model" -p "Once upon a time" -n 1
