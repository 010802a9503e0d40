#!/bin/sh
# The packages that README.md lists for those who install them by hand are those of bootstrap.
set -eu
cd "$(dirname "$0")/.."
lists=$(sed -n '/_packages="/,/"$/p' bootstrap)
eval "$lists"
readme=$(tr '\n' ' ' <README.md)
status=0
for list in "apt-get install $build_packages" "$test_packages" "$fuzz_packages"; do
    case "$readme" in
    *"\`$list\`"*) continue ;;
    esac
    echo "README.md does not have this list of bootstrap: $list"
    status=1
done
[ $status -eq 0 ] && echo "lists of packages: as bootstrap's"
exit $status
