#!/bin/bash
# A server under load, held against the model alone: for 1, 8 and 64 clients, ROUNDS times in turn, the decode rate of
# `ssmc bench --batch N` and what as many clients of `ssmc serve` get together (ssmc_load, on the same machine).
# usage: bench/serve-load.sh [BUILD [MODEL [SECONDS [ROUNDS]]]]
#   served     tokens/s of all clients; of bench: its share of the bench's, by the medians
#   first, gap time to the first token and between tokens, ms, of the last round
#   equal      answers that are those made alone, of all; resident: the server's memory before and after the last round
# Prompts lie in memory from the first requests on, and answers have the length that was asked for, so that what is compared is
# decoding. THREADS=N: of the bench and of the server's model; with fewer than there are cores, clients have some to themselves.
# SAMPLED=1: every second request is drawn at temperature 0.8, which the bench does not do.
set -eu
cd "$(dirname "$0")/.."
build=${1:-build} model=${2:-examples/storyteller.yaml} seconds=${3:-60} rounds=${4:-3}
dir=$(mktemp -d)
server=
greedy=--greedy threads=${THREADS:-0}
[ "${SAMPLED:-}" ] && greedy=
trap 'if [ "$server" ]; then kill "$server" 2>/dev/null || true; fi; rm -rf "$dir"' EXIT

# The number behind a key of a JSON file with a key a line; of several, the one with index $3.
value() {
    grep -o "\"$2\":[0-9.]*" "$1" | cut -d: -f2 | sed -n "${3:-1}p"
}

median() {
    sort -n "$1" | awk '{v[NR] = $1} END {print v[int((NR + 1) / 2)]}'
}

decode_rate() {
    "$build/ssmc" bench "$model" --reproducible --threads "$threads" --batch "$1" --prefill 16 --decode 256 --repeats 1 --json 2>/dev/null >"$dir/bench"
    value "$dir/bench" tokens_per_s 2
}

start_server() {
    "$build/ssmc" serve "$model" --port 0 --threads "$threads" --slots "$1" --log "$dir/log" 2>/dev/null &
    server=$!
    until grep -q '127.0.0.1:' "$dir/log" 2>/dev/null; do
        kill -0 "$server" || exit 1
        sleep 0.1
    done
    port=$(grep -o '127.0.0.1:[0-9]*' "$dir/log" | head -n 1 | cut -d: -f2)
}

printf '%7s %12s %12s %9s   %-22s %-22s %-15s %s\n' clients 'bench tok/s' served 'of bench' 'first p50, p99' 'gap p50, p99' equal 'resident MiB'
for clients in 1 8 64; do
    rm -f "$dir"/{log,benched,served}
    start_server "$clients"
    for ((i = 0; i < rounds; i++)); do
        decode_rate "$clients" >>"$dir/benched"
        "$build/ssmc_load" --port "$port" --pid "$server" --text README.md --clients "$clients" --seconds "$seconds" \
            --ignore-eos $greedy --json | tr -d ' ' >"$dir/load"
        value "$dir/load" tokens_per_second 2 >>"$dir/served"
    done
    kill "$server"
    wait "$server"
    server=
    ms() { awk -v v="$(sed -n "/\"$1\"/,/}/p" "$dir/load" | tail -n 5 | grep "\"$2\"" | cut -d: -f2 | tr -d ,)" 'BEGIN {printf "%.2f", 1e3 * v}'; }
    awk -v clients="$clients" -v bench="$(median "$dir/benched")" -v served="$(median "$dir/served")" \
        -v first="$(ms first_token_seconds p50), $(ms first_token_seconds p99) ms" \
        -v gap="$(ms between_tokens_seconds p50), $(ms between_tokens_seconds p99) ms" \
        -v equal="$(value "$dir/load" equal 2)/$(value "$dir/load" requests 2)" \
        -v memory="$(sed -n '/resident_bytes/,/]/p' "$dir/load" | grep -o '[0-9]\+' | awk '{printf "%s%.0f", (NR > 1 ? ", " : ""), $1 / 1048576}')" \
        'BEGIN {printf "%7d %12.0f %12.0f %8.0f%%   %-22s %-22s %-15s %s\n", clients, bench, served, 100 * served / bench, first, gap, equal, memory}'
done
