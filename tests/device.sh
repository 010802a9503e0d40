#!/bin/sh
# Every model with logits of another implementation, on a device: in f32 and bf16, prompts read whole, in pieces and
# token by token; greedy ids; states that are saved on one device and loaded on the other. Memory of a GPU that is said
# and taken, also after 100000 tokens; what is said where it has no room, or its driver is too old.
#
#   tests/device.sh [--build DIR] [DEVICE] [NAME...]    DEVICE as `ssmc --device` has it (cuda); NAMEs: these models alone
#   tests/device.sh --make DIR [DEVICE] [NAME...]       makes products for a machine that has no compiler, and all that
#                                                       is needed there: `DIR/device.sh [NAME...]` tries them
#   tests/device.sh --products DIR [NAME...]            does so too; DEVICE is what they were made for
#
# Status 0: all is within its bounds; 1: not all is; 77: there is no such device here.
set -u
self=$0
here=$(cd "$(dirname "$0")" && pwd)
build=build make='' products='' device=''
while [ $# -gt 0 ]; do
    case $1 in
    --build) build=$2; shift 2 ;;
    --make) make=$2; shift 2 ;;
    --products) products=$2; shift 2 ;;
    -*) sed -n '2,12p' "$self"; exit 2 ;;
    *) break ;;
    esac
done
[ -z "$products" ] && [ -r "$here/models" ] && products=$here
f32_bound=2e-4
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0

# Lines: directory of the model, name, bf16's bound, f32's.
if [ -n "$products" ]; then
    list=$products/models
    tool=$products/ssmc_device
else
    cd "$here/.." || exit 2
    [ $# -gt 0 ] && { device=$1; shift; }
    tool=$build/ssmc_device ssmc=$build/ssmc
    {
        sed -n 's/^GOLDEN("\([^"]*\)", *"\([^"]*\)", *\([^ ,]*\),.*/\1\/\2 \2 \3 GOLDEN_F32/p' tests/goldens.def
        sed -n 's/^GOLDEN_OFF("\([^"]*\)", *"\([^"]*\)", *\([^ ,]*\), *\([^ ,]*\),.*/\1\/\2 \2 \4 \3/p' tests/goldens.def
    } | sed "s/GOLDEN_F32/$f32_bound/" >"$work/all"
    echo "examples/storyteller storyteller 0.1 $f32_bound" >>"$work/all"
    while read -r dir name bound f32_bound; do
        [ -r "$dir/config.json" ] && echo "$dir $name $bound $f32_bound"
    done <"$work/all" >"$work/models"
    list=$work/models
fi

names=" $* "
wanted() { # name
    [ "$names" = "  " ] && return 0
    case $names in *" $1 "*) return 0 ;; *) return 1 ;; esac
}

golden_of() { # directory, name
    if [ -n "$products" ]; then
        echo "$products/$2.safetensors"
    elif [ -r "$1/golden.safetensors" ]; then
        echo "$1/golden.safetensors"
    else
        echo "tests/goldens/$2/golden.safetensors"
    fi
}

# ---- products -----------------------------------------------------------------------------------------------------

if [ -n "$make" ]; then
    device=${device:-sm_80}
    mkdir -p "$make" || exit 2
    while read -r dir name bound f32_bound; do
        wanted "$name" || continue
        for dtype in f32 bf16; do
            "$ssmc" compile "$dir" --device "$device" --dtype $dtype --emit so --weights embed --cpu x86-64-v3 \
                -o "$make/$name-$dtype.so" || { echo "$name: no product in $dtype"; failed=1; }
        done
        "$ssmc" compile "$dir" --device cpu --dtype f32 --emit so --weights embed --cpu x86-64-v3 \
            -o "$make/$name-cpu.so" || failed=1
        cp "$(golden_of "$dir" "$name")" "$make/$name.safetensors"
        echo "$dir $name $bound $f32_bound"
    done <"$list" >"$make/models"
    cp "$tool" "$self" "$make/" || failed=1
    echo "$device" >"$make/device"
    echo "$(grep -c . <"$make/models") models in $make: $(du -sh "$make" | cut -f1)"
    exit $failed
fi

# ---- trying them --------------------------------------------------------------------------------------------------

[ -n "$products" ] && device=$(cat "$products/device")
device=${device:-cuda}

report() { # name, what, status, what was measured
    case $3 in
    0) verdict=ok ;;
    *) verdict=FAILED failed=1 ;;
    esac
    printf '%-26s %-14s %-10s %s\n' "$1" "$2" "$4" "$verdict"
}

# Says why, once, and ends, where the device cannot be had.
probe() {
    if [ -n "$products" ]; then
        read -r dir name rest <"$list"
        "$tool" logits "$products/$name-f32.so" "$products/$name.safetensors" prefill 1e9 >"$work/out" 2>"$work/err"
    else
        "$ssmc" logits tests/goldens/mamba2-base --device "$device" --ids tests/goldens/mamba2-base/golden.safetensors \
            --out "$work/o" >"$work/out" 2>"$work/err"
    fi && return
    echo "no model runs on $device here:"
    cat "$work/err"
    grep -q 'there is no GPU\|there is no driver of a GPU' "$work/err" && exit 77
    exit 1
}

logits() { # directory, name, dtype, mode, bound
    if [ -n "$products" ]; then
        off=$("$tool" logits "$products/$2-$3.so" "$(golden_of "$1" "$2")" "$4" "$5")
    else
        "$ssmc" logits "$1" --device "$device" --ids "$(golden_of "$1" "$2")" --out "$work/o" --dtype "$3" --mode "$4" &&
            off=$("$tool" compare "$work/o" "$(golden_of "$1" "$2")" "$5")
    fi
    report "$2" "$3 $4" $? "$off"
    off=''
}

# What ssmc run prints; what it says beside it only where it fails.
text() {
    "$ssmc" run "$@" --greedy --dtype f32 2>"$work/err" || { cat "$work/err" >&2; return 1; }
}

# By ids where there is no compiler, and so no command that prints texts.
greedy() { # directory, name
    if [ -n "$products" ]; then
        same=$("$tool" greedy "$products/$2-f32.so" "$(golden_of "$1" "$2")")
        report "$2" "greedy ids" $? "$same"
        return
    fi
    for on in cpu "$device"; do
        text "$1" -p "Once upon a time" -n 48 --device $on >"$work/$on" || echo $on >>"$work/$on"
    done
    cmp -s "$work/cpu" "$work/$device"
    report "$2" "greedy text" $? "$(wc -c <"$work/$device") bytes"
}

states() { # directory, name
    if [ -n "$products" ]; then
        for to in cpu f32; do
            from=cpu
            [ $to = cpu ] && from=f32
            off=$("$tool" states "$products/$2-$from.so" "$products/$2-$to.so" "$(golden_of "$1" "$2")" $f32_bound)
            report "$2" "state to $to" $? "$off"
        done
        return
    fi
    text "$1" -p "Once upon a time" -n 40 --device cpu >"$work/whole"
    for to in cpu "$device"; do
        from=cpu
        [ $to = cpu ] && from=$device
        {
            text "$1" -p "Once upon a time" -n 16 --device "$from" --save-state "$work/s" &&
                text "$1" -n 24 --device "$to" --load-state "$work/s"
        } | tr -d '\n' >"$work/halves"
        tr -d '\n' <"$work/whole" | cmp -s - "$work/halves"
        report "$2" "state to $to" $? "$(wc -c <"$work/halves") bytes"
    done
}

# Of storyteller's product, on a GPU.
memory() { # directory, name
    model=$products/$2-f32.so
    if [ -z "$products" ]; then
        model=$work/$2.so
        "$ssmc" compile "$1" --device "$device" --dtype f32 --emit so --weights embed -o "$model" >"$work/out" 2>&1 ||
            cat "$work/out"
    fi
    took=$("$tool" memory "$model" 100000)
    report "$2" "memory" $? "$took"
    said=$("$tool" room "$model")
    report "$2" "without room" $? "$said"
    SSMC_CUDA_LIBRARY=libm.so.6 "$tool" greedy "$model" "$(golden_of "$1" "$2")" >"$work/out" 2>"$work/err"
    grep -q "the GPU's driver is too old: libm.so.6 has no cuInit" "$work/err"
    report "$2" "an old driver" $? "$(head -c 80 "$work/err")"
}

# Projections wide enough for every product of few rows, with random weights: more sequences than stay in one tile.
many() {
    cat >"$work/wide.yaml" <<EOF
name: wide
vocab: 9000
dim: 800
layers: [{block: mamba2, repeat: 2, state: 32, head_dim: 32}]
weights: {init: reference, seed: 1}
EOF
    "$ssmc" compile "$work/wide.yaml" --device "$device" --dtype bf16 --emit so --weights embed -o "$work/wide.so" \
        >"$work/out" 2>&1 || cat "$work/out"
    for sequences in 150 128 97; do # more than a pass picks; in halves of 64, and of others
        same=$("$tool" many "$work/wide.so" $sequences)
        report wide "$sequences together, bf16" $? "$same"
    done
}

probe
echo "on $device"
tried=0
while read -r dir name bound f32_bound; do
    wanted "$name" || continue
    tried=$((tried + 1))
    for mode in prefill step split; do
        logits "$dir" "$name" f32 $mode $f32_bound
        logits "$dir" "$name" bf16 $mode "$bound"
    done
    case $name in
    storyteller*)
        greedy "$dir" "$name"
        states "$dir" "$name"
        case $device in cpu | model) ;; *) memory "$dir" "$name"; [ -n "$products" ] || many ;; esac
        ;;
    *) [ -n "$products" ] && states "$dir" "$name" ;;
    esac
done <"$list"
[ $tried = 0 ] && { echo "none of these models is here:$names"; exit 1; }
[ $failed = 0 ] && echo "all within their bounds" || echo "not all within their bounds"
exit $failed
