#!/bin/bash
# Cold start of a model: from starting a process to its first token. Medians of RUNS starts of
#   exe        a program with its weights inside          (compile --emit exe --weights embed)
#   exe+files  the same, weights in files, packed at every start
#   so+files   a C++ program with a library, weights in files (compile --emit so; examples/embed/generate.cpp, 5 ids in)
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
"$build/ssmc" compile "$model" --emit so -o "$dir/libmodel.so" --header "$dir/model.h" --set name=model
"$build/ssmc" compile "$model" --emit so --weights embed -o "$dir/embed.so"
c++ -std=c++17 -O2 -I"$dir" examples/embed/generate.cpp "$dir/libmodel.so" -Wl,-rpath,"$dir" -o "$dir/generate"
echo 1 2 3 4 5 >"$dir/ids"

# The time of a start, CMD..., in units of 10 microseconds: the shell reads its own clock.
start() {
    local from=$EPOCHREALTIME
    "$@" <"$dir/ids" >/dev/null 2>&1
    local to=$EPOCHREALTIME
    echo $(((${to/./} - ${from/./}) / 10))
}

# row NAME CMD...: one line of the table, after a start that reads the files.
row() {
    local name=$1
    shift
    start "$@" >/dev/null
    for ((i = 0; i < runs; i++)); do
        start "$@"
    done | sort -n >"$dir/times"
    awk -v name="$name" -v runs="$runs" '
        { at[NR] = $1 / 100 }
        END { printf "%-10s %8.2f ms   %.2f to %.2f\n", name, at[int((runs + 1) / 2)], at[1], at[runs] }' "$dir/times"
}

size() { stat -c %s "$dir/$1"; }
printf 'bytes: exe %s, so %s; without weights: exe %s, so %s\n' "$(size exe)" "$(size embed.so)" "$(size exe-files)" \
    "$(size libmodel.so)"
printf 'first token, median of %s starts, least to greatest\n' "$runs"
row exe "$dir/exe" -p "Once upon a time" -n 1
row exe+files "$dir/exe-files" -p "Once upon a time" -n 1
row so+files "$dir/generate" 1
row "run so" "$build/ssmc" run "$dir/libmodel.so" -p "Once upon a time" -n 1
row jit "$build/ssmc" run "$model" -p "Once upon a time" -n 1
