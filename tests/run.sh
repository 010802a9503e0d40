#!/bin/sh
# Runs the test program of a build folder; Criterion's closing line says how many tests ran.
# Leak checking is left to the runtime's and frontend's own tests: LLVM keeps process-wide tables.
set -eu
cd "$(dirname "$0")/.."
export ASAN_OPTIONS="detect_leaks=0:abort_on_error=0:${ASAN_OPTIONS:-}"
export UBSAN_OPTIONS="print_stacktrace=1:${UBSAN_OPTIONS:-}"
exec "$1/ssmc_tests" --jobs "$(nproc)" --short-filename
