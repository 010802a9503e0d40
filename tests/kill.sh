#!/bin/sh
# tests/kill.sh [N [BUILD]]: kills whoever writes a product, a header, packed weights, a state or a cache's states, N
# times each at moments spread over the work (100 by default; the ordinary test run does 10 to 100). Every file must
# be the old one, the new one or absent, and what was left under temporary names must go with the next run.
set -eu
cd "$(dirname "$0")/.."
SSMC_TEST_KILLS=${1:-100}
export SSMC_TEST_KILLS
exec "${2:-build}/ssmc_tests" --filter '*/killed*' --jobs "$(nproc)" --short-filename
