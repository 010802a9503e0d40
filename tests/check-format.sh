#!/bin/sh
# Every C and C++ file is as clang-format-19 would write it (.clang-format; .def tables are laid out by hand).
set -eu
cd "$(dirname "$0")/.."
find ir machine tokenizer frontend compiler passes codegen runtime bench explore grammar chat serve driver tests examples \( -name '*.[ch]' -o -name '*.[ch]pp' \) -print0 |
    xargs -0 clang-format-19 --dry-run --Werror
echo "formatting: kept"
