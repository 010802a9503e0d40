#!/bin/sh
# Runs the test program of a build folder; Criterion's closing line says how many tests ran.
# Leak checking is left to the runtime's and frontend's own tests: LLVM keeps process-wide tables.
# A build for ThreadSanitizer runs ssmc_threads alone: what Criterion needs it cannot give.
set -eu
cd "$(dirname "$0")/.."
if grep -q '^SSMC_TSAN:BOOL=ON' "$1/CMakeCache.txt"; then
    export TSAN_OPTIONS="halt_on_error=1:${TSAN_OPTIONS:-}"
    "$1/ssmc_threads" tests/goldens/mamba2-base
    "$1/ssmc_threads" tests/data/hybrid/hybrid.yaml
    exec "$1/ssmc_threads" examples/storyteller.yaml
fi
# LLVM allocates much: freed memory is used again after 16 MB of it, not 256, and a report names 8 calls of an
# allocation, not 30. ASAN_OPTIONS of the environment say otherwise.
export ASAN_OPTIONS="detect_leaks=0:abort_on_error=0:quarantine_size_mb=16:malloc_context_size=8:${ASAN_OPTIONS:-}"
export UBSAN_OPTIONS="print_stacktrace=1:${UBSAN_OPTIONS:-}"
exec "$1/ssmc_tests" --jobs "$(nproc)" --short-filename
