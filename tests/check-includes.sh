#!/bin/sh
# The include rule (ARCHITECTURE.md): driver -> explore -> bench -> compiler -> {frontend -> tokenizer, passes, codegen, runtime}
# -> ir; runtime includes only itself, codegen may also include runtime/abi.h; LLVM headers only in codegen/, libyaml only in frontend/.
set -eu
cd "$(dirname "$0")/.."
status=0

# allow FOLDER REGEX: every project include in FOLDER must match REGEX.
allow() {
    bad=$(grep -rnE '^#include "' "$1" --include='*.c' --include='*.h' --include='*.def' |
        grep -vE "#include \"($2)" || true)
    [ -z "$bad" ] && return
    printf 'include rule: %s/ may not include\n%s\n' "$1" "$bad"
    status=1
}
# only FOLDER HEADER: nobody else includes <HEADER.
only() {
    bad=$(grep -rnE "^#include <$2" ir machine tokenizer frontend passes codegen runtime compiler bench explore grammar chat serve driver \
        --include='*.c' --include='*.h' | grep -v "^$1/" || true)
    [ -z "$bad" ] && return
    printf 'include rule: only %s/ may include <%s...>\n%s\n' "$1" "$2" "$bad"
    status=1
}

allow ir 'ir/'
allow runtime 'runtime/'
allow tokenizer 'tokenizer/|ir/'
allow frontend 'frontend/|tokenizer/(json_file|tokenizer)\.h|runtime/gguf\.h|ir/'
allow machine 'machine/|ir/|runtime/((abi|permit)\.h|features\.def)'
allow passes 'passes/|machine/|ir/'
allow codegen 'codegen/|machine/|ir/|runtime/((abi|permit)\.h|features\.def)'
allow codegen/ptx 'codegen/(ptx|emit)/|codegen/module\.h|machine/|ir/|runtime/(abi\.h|features\.def)'
allow codegen/emit 'codegen/emit/|codegen/codegen\.h|machine/|ir/|runtime/(abi\.h|features\.def)'
allow compiler 'compiler/|frontend/frontend\.h|tokenizer/tokenizer\.h|passes/(pass|cost)\.h|codegen/codegen\.h|runtime/(rt\.h|exports\.def)|machine/|ir/'
allow bench 'bench/|compiler/compiler\.h|machine/|codegen/codegen\.h|runtime/|ir/'
allow explore 'explore/|bench/(bench|json)\.h|compiler/compiler\.h|machine/|ir/'
allow grammar 'grammar/|ir/'
allow chat 'chat/|grammar/grammar\.h|ir/'
allow serve 'serve/|chat/chat\.h|grammar/grammar\.h|tokenizer/tokenizer\.h|runtime/rt\.h|ir/'
allow driver 'driver/|serve/((engine|serve)\.h|(routes|request_keys)\.def)|chat/(chat\.h|formats\.def)|grammar/grammar\.h|explore/(sweep|figure)\.h|bench/(bench|tune)\.h|compiler/compiler\.h|passes/passes\.def|runtime/exports\.def|frontend/keys\.def|ir/((docs|util)\.h|entries\.def)|machine/cpus\.def'
only codegen llvm
only frontend yaml
only serve microhttpd
[ $status -eq 0 ] && echo "include rule: kept"
exit $status
