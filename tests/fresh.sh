#!/bin/sh
# tests/fresh.sh [demo|test|both]: runs ./bootstrap in a bare Debian 12, which has nothing that bootstrap does not install.
# The root is made by debootstrap from the mirror that apt is set to, and holds a clone of HEAD. Mounts are in a
# namespace of their own, which ends with the command whatever happens. Ends with 77 where this machine cannot do it.
set -eu
cd "$(dirname "$0")/.."
release=bookworm

say() { printf '== %s\n' "$*" >&2; }
skip() {
    say "skipped: $*"
    exit 77
}

case "${1:-both}" in
demo | test) doors=$1 ;;
both) doors='demo test' ;;
*)
    echo "usage: tests/fresh.sh [demo|test|both]" >&2
    exit 2
    ;;
esac

[ "$(id -u)" -eq 0 ] || skip "chroot and debootstrap need root"
for tool in debootstrap chroot unshare mount git apt-get; do
    command -v "$tool" >/dev/null || skip "$tool is not installed"
done
unshare --mount true 2>/dev/null || skip "this process may not make a mount namespace"

# What apt is set to, of this release: lines "URI SUITE COMPONENT".
sources=$(apt-get indextargets 'Created-By: Packages' | awk -F': ' '
    { field[$1] = $2 }
    /^$/ { print field["Repo-URI"], field["Release"], field["Component"]; split("", field) }
    END { if ("Release" in field) print field["Repo-URI"], field["Release"], field["Component"] }' |
    grep -E "^[^ ]+ $release(-updates|-security|-backports)? " | sort -u) || true
mirror=$(echo "$sources" | awk -v r="$release" '$2 == r && $3 == "main" { print $1; exit }')
[ -n "$mirror" ] || skip "apt is set to no mirror of $release"
eval "$(apt-config shell proxy Acquire::http::Proxy)"
[ -z "${proxy:-}" ] || export http_proxy="$proxy"

root=$(mktemp -d "${TMPDIR:-/tmp}/ssmc-fresh-XXXXXX")
trap 'rm -rf --one-file-system "$root"' EXIT
trap 'exit 130' INT TERM HUP
chmod 755 "$root"

say "debootstrap $release from $mirror"
unshare --mount --propagation private debootstrap --variant=minbase "$release" "$root" "$mirror" >"$root.log" 2>&1 || {
    tail -n 20 "$root.log"
    exit 1
}
rm "$root.log"

# apt in there finds what apt here finds: the same sources, keys, passwords and proxies.
echo "$sources" | sed 's/^/deb /' >"$root/etc/apt/sources.list"
grep -rhoiE 'signed-by[:=] *[^] ]+' /etc/apt/sources.list /etc/apt/sources.list.d 2>/dev/null | sed 's/^[^:=]*[:=] *//' | sort -u |
    while read -r keys; do
        [ ! -r "$keys" ] || cp "$keys" "$root/etc/apt/trusted.gpg.d/"
    done
apt-config dump | grep '^Acquire::' | grep -v '^Acquire::IndexTargets' >"$root/etc/apt/apt.conf" || true
for file in auth.conf auth.conf.d trusted.gpg trusted.gpg.d; do
    [ ! -e "/etc/apt/$file" ] || cp -R "/etc/apt/$file" "$root/etc/apt/"
done
for file in resolv.conf hosts; do
    [ ! -e "/etc/$file" ] || cp "/etc/$file" "$root/etc/$file"
done
git clone -q --no-hardlinks . "$root/ssmc"

# door NAME: ./bootstrap NAME in there, its time and its last lines; all it says is in $root.NAME.log until it ends.
door() {
    say "./bootstrap $1 in a bare $release"
    log=$root.$1.log started=$(date +%s) status=0
    # shellcheck disable=SC2016 # the inner shell's words
    unshare --mount --propagation private --pid --fork --kill-child sh -euc '
        mount -t proc proc "$1/proc"
        mount -t sysfs -o ro sysfs "$1/sys"
        mount --rbind /dev "$1/dev"
        exec chroot "$1" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root ${http_proxy:+http_proxy="$http_proxy"} \
            /ssmc/bootstrap "$2"' sh "$root" "$1" >"$log" 2>&1 || status=$?
    say "./bootstrap $1: status $status after $(($(date +%s) - started)) s; its last lines:"
    tail -n $((status == 0 ? 4 : 60)) "$log"
    rm "$log"
    return "$status"
}
for name in $doors; do
    door "$name"
done
