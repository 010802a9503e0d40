#!/bin/bash
# Cold start of a model: from starting a process to its first token. Medians of RUNS starts of
#   exe        a program with its weights inside          (compile --emit exe --weights embed)
#   exe+files  the same, weights in files, packed at every start
#   so+files   a C++ program with a library, weights in files (compile --emit so; examples/embed/generate.cpp, 5 ids in)
#   run so     the command with that library, which loads LLVM though it does not use it
#   jit        the description, compiled at every start    (run MODEL)
# usage: bench/cold-start.sh [--device D] [BUILD [MODEL [RUNS]]]; files are in the page cache, as on any second start.
#        bench/cold-start.sh --layers D [BUILD [RUNS]]: compiling 24 and 64 layers of mamba2-130m for a device, to code
# With a GPU its driver compiles the PTX, which it keeps for later starts (~/.nv/ComputeCache): rows `exe anew` and `jit anew`
# are without what it keeps (CUDA_CACHE_DISABLE=1).
set -eu
cd "$(dirname "$0")/.."
what=starts device=cpu
case ${1:-} in
--device) device=$2; shift 2 ;;
--layers) what=layers device=$2; shift 2 ;;
esac
build=${1:-build}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
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

# Kernels are shared by layers: as many, whatever the number of layers is; llvm has the table of steps, too.
if [ $what = layers ]; then
    runs=${2:-9}
    emit=llvm
    case $device in sm_* | cuda) emit=ptx ;; esac
    for layers in 24 64; do
        set -- "$build/ssmc" compile examples/mamba2-130m.yaml --set layers.0.repeat=$layers --device "$device" --emit $emit
        "$@" >"$dir/code"
        row "$layers layers" "$@"
        printf '%-10s %8s kernels, %s bytes of %s\n' '' "$(grep -cE '^\.visible \.entry|^define internal void @ssmc' "$dir/code")" \
            "$(size code)" $emit
    done
    exit
fi

model=${2:-examples/storyteller.yaml} runs=${3:-20}
"$build/ssmc" compile "$model" --device "$device" --emit exe --weights embed -o "$dir/exe"
"$build/ssmc" compile "$model" --device "$device" --emit exe -o "$dir/exe-files"
"$build/ssmc" compile "$model" --device "$device" --emit so -o "$dir/libmodel.so" --header "$dir/model.h" --set name=model
"$build/ssmc" compile "$model" --device "$device" --emit so --weights embed -o "$dir/embed.so"
c++ -std=c++17 -O2 -I"$dir" examples/embed/generate.cpp "$dir/libmodel.so" -Wl,-rpath,"$dir" -o "$dir/generate"
printf 'bytes: exe %s, so %s; without weights: exe %s, so %s\n' "$(size exe)" "$(size embed.so)" "$(size exe-files)" \
    "$(size libmodel.so)"
printf 'first token, median of %s starts, least to greatest\n' "$runs"
row exe "$dir/exe" -p "Once upon a time" -n 1
row exe+files "$dir/exe-files" -p "Once upon a time" -n 1
row so+files "$dir/generate" 1
row "run so" "$build/ssmc" run "$dir/libmodel.so" -p "Once upon a time" -n 1
row jit "$build/ssmc" run "$model" --device "$device" -p "Once upon a time" -n 1
case $device in cpu | model) exit ;; esac
export CUDA_CACHE_DISABLE=1
row "exe anew" "$dir/exe" -p "Once upon a time" -n 1
row "jit anew" "$build/ssmc" run "$model" --device "$device" -p "Once upon a time" -n 1
