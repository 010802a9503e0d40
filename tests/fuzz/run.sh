#!/bin/sh
# run.sh build-fuzz/fuzz_NAME [SECONDS]: fuzzes one target from its seeds. What it finds on the way lies beside
# the program in found_NAME/; an input that crashes it is written there as crash-*.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
program=$1
name=${program##*/fuzz_}
found=$(dirname "$program")/found_$name
mkdir -p "$found"
exec "$program" "$found" "$root/tests/fuzz/corpus/$name" -max_total_time="${2:-60}" -max_len=20000 \
    -timeout=10 -rss_limit_mb=2048 -artifact_prefix="$found/" </dev/null
