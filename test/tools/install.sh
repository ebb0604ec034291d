#!/usr/bin/env bash
# Installs everything that the suites need from outside: Debian packages, Go programs, one npm package.
# Usage: test/tools/install.sh [name...]      no name: everything. Names: see --list.
# The versions are in versions.env beside this file. Programs go to ${LADING_TOOLS:-$HOME/.cache/lading-tools}/bin.
# Done already: it takes a second. What cannot be installed is named at the end, and the exit code is 1.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=versions.env
. "$here/versions.env"

TOOLS=${LADING_TOOLS:-$HOME/.cache/lading-tools}
BIN=$TOOLS/bin
STAMPS=$TOOLS/stamps
LOGS=$TOOLS/logs
# Cheap and most needed first.
BUILT=(conformance-main conformance-v1.1.1 crane versitygw registry-3 regctl oras zot node-24 helm containerd-2 cosign dockerd-29)

debs=() # name=version-prefix, in the order of the file
for v in $(sed -n 's/^\(DEB_[A-Z0-9_]*\)=.*/\1/p' "$here/versions.env"); do debs+=("${!v}"); done

pin_of() { # crane -> $CRANE, conformance-v1.1.1 -> $CONFORMANCE_V1_1_1
  local v=${1^^}
  v=${v//[-.]/_}
  printf '%s' "${!v}"
}

want_debs=() want_built=()
case "${1:-}" in
  -h | --help) sed -n '2,5s/^# //p' "$0"; exit 0 ;;
  --list) printf '%s\n' debian "${debs[@]%%=*}" "${BUILT[@]}"; exit 0 ;;
esac
if [ $# -eq 0 ]; then
  want_debs=("${debs[@]}") want_built=("${BUILT[@]}")
fi
for name in "$@"; do
  found=
  if [ "$name" = debian ]; then want_debs=("${debs[@]}") found=1; fi
  for d in "${debs[@]}"; do if [ "${d%%=*}" = "$name" ]; then want_debs+=("$d") found=1; fi; done
  for b in "${BUILT[@]}"; do if [ "$b" = "$name" ]; then want_built+=("$b") found=1; fi; done
  if [ -z "$found" ]; then echo "install.sh: there is no tool called $name; --list names them all." >&2; exit 2; fi
done

mkdir -p "$BIN" "$STAMPS" "$LOGS"
exec 9>"$TOOLS/.lock"
flock 9 # two installs at once would build everything twice
work=$(mktemp -d)
rows=() failures=()

# ---- Debian packages ---------------------------------------------------------------------------

policy=/usr/sbin/policy-rc.d
policy_set=
restore_policy() {
  [ -n "$policy_set" ] || return 0
  if [ -e "$policy.lading-kept" ]; then mv -f "$policy.lading-kept" "$policy"; else rm -f "$policy"; fi
  policy_set=
}
trap 'restore_policy; rm -rf "$work"' EXIT
trap 'echo "install.sh: stopped by an error at line $LINENO." >&2' ERR

deb_version() { dpkg-query -W -f '${db:Status-Abbrev}|${Version}' "$1" 2>/dev/null | sed -n 's/^ii *|//p' || true; }
listens_5000() { [ -n "$(ss -Hltn 'sport = :5000' 2>/dev/null || true)" ]; }

# Services that these packages bring and nobody here wants started, now or at the next boot.
units_of() {
  case $1 in
    docker-registry) echo docker-registry.service ;;
    docker.io) echo docker.service docker.socket ;;
    containerd) echo containerd.service ;;
    nginx-light) echo nginx.service ;;
    radosgw) echo ceph-radosgw.target ;;
    ceph-mon) echo ceph-mon.target ;;
    ceph-osd) echo ceph-osd.target ;;
    ceph-common) echo ceph.target ;;
    podman) echo podman.service podman.socket podman-restart.service podman-auto-update.service podman-auto-update.timer ;;
  esac
}

install_debs() {
  local d name got missing=() before=$SECONDS held=
  for d in "${want_debs[@]}"; do
    got=$(deb_version "${d%%=*}")
    case $got in "${d#*=}"*) ;; *) missing+=("${d%%=*}") ;; esac
  done
  if [ ${#missing[@]} -gt 0 ]; then
    if ! command -v apt-get >/dev/null; then
      failures+=("The Debian packages ${missing[*]} are not installed: this machine has no apt-get.")
      return
    fi
    if [ "$(id -u)" != 0 ]; then
      failures+=("The Debian packages ${missing[*]} are not installed: that needs root.")
      return
    fi
    if listens_5000; then held=1; fi
    if [ -e "$policy" ] && [ ! -e "$policy.lading-kept" ]; then mv "$policy" "$policy.lading-kept"; fi
    policy_set=1
    printf '#!/bin/sh\nexit 101\n' >"$policy" # no service starts while apt runs
    chmod 755 "$policy"
    apt-get update -qq >"$LOGS/debian" 2>&1 || echo "debian: the package lists could not be brought up to date, trying with the old ones"
    # All at once is quick; where that fails, one by one, so that one bad package does not take the others with it.
    if ! apt_install "${missing[@]}"; then
      for name in "${missing[@]}"; do apt_install "$name" || true; done
    fi
    restore_policy
    for name in "${missing[@]}"; do
      [ -n "$(deb_version "$name")" ] || continue
      for unit in $(units_of "$name"); do
        if command -v systemctl >/dev/null; then systemctl disable "$unit" >>"$LOGS/debian" 2>&1 || true; fi
      done
    done
    if [ -z "$held" ] && listens_5000; then
      failures+=("Port 5000 is taken by a service that came with a Debian package: $(ss -Hltnp 'sport = :5000').")
    fi
  fi
  for d in "${want_debs[@]}"; do
    name=${d%%=*} got=$(deb_version "${d%%=*}")
    if [ -z "$got" ]; then
      failures+=("The Debian package $name is not installed: apt-get could not install it, see $LOGS/debian.")
    elif [[ $got != "${d#*=}"* ]]; then
      failures+=("The Debian package $name is $got here, and versions.env wants ${d#*=}.")
    else
      rows+=("$name|$got|Debian package")
    fi
  done
  if [ ${#missing[@]} -gt 0 ]; then
    echo "debian: ${#missing[@]} of ${#want_debs[@]} packages were missing, $((SECONDS - before)) s"
  else
    echo "debian: all ${#want_debs[@]} packages are here already, $((SECONDS - before)) s"
  fi
}

apt_install() {
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
    -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold "$@" >>"$LOGS/debian" 2>&1 </dev/null
}

# ---- Go programs and the npm package -----------------------------------------------------------

gocmd() {
  # The Go that is here, no downloaded one; static programs; two packages at a time, behind everything else.
  GOTOOLCHAIN=local GOWORK=off CGO_ENABLED=0 GOFLAGS="-p=2 -buildvcs=false" nice -n 10 go "$@"
}

# go_install NAME PACKAGE VERSION TAGS: one main package, put at $BIN/NAME
go_install() {
  mkdir -p "$work/$1"
  GOBIN=$work/$1 gocmd install -trimpath -ldflags='-s -w' -tags "$4" "$2@$3"
  set -- "$1" "$work/$1"/*
  mv -f "$2" "$BIN/$1"
}

# go_build_required NAME PACKAGE MODULE VERSION: the same through a module of our own that requires it.
# "go install" also wants the list of all the versions of the module, to warn about retracted ones, and
# fails where a module proxy serves the pinned version but not that list (seen with oras.land/oras).
go_build_required() {
  mkdir -p "$work/$1"
  cd "$work/$1"
  printf 'module tool-build\n\ngo 1.24\n\nrequire %s %s\n' "$3" "$4" >go.mod
  gocmd build -mod=mod -trimpath -ldflags='-s -w' -o "$BIN/$1" "$2"
}

# The v1.1.1 suite is only test files: a module of our own requires it, and its test program is compiled.
conformance_v111() {
  mkdir -p "$work/v111"
  cd "$work/v111"
  printf 'module conformance-build\n\ngo 1.24\n' >go.mod
  gocmd get "$1@$2"
  gocmd test -mod=mod -c -trimpath -ldflags='-s -w' -o "$BIN/conformance-v1.1.1" "$1"
}

node_24() {
  if [ "$(uname -sm)" != "Linux x86_64" ]; then echo "the package $1 is for Linux on x86-64 only"; return 1; fi
  rm -rf "$TOOLS/node-24"
  mkdir -p "$TOOLS/node-24"
  npm install --prefix "$TOOLS/node-24" --no-save --no-audit --no-fund --ignore-scripts --loglevel=error "$1@$2"
  ln -sfn "../node-24/node_modules/$1/bin/node" "$BIN/node-24"
}

# Where each built tool's files are, to see that they are still there.
files_of() {
  if [ "$1" = containerd-2 ]; then echo containerd-2 ctr-2 containerd-shim-runc-v2; else echo "$1"; fi
}

build_one() { # runs in a subshell with errexit, see below
  local name=$1 pin tags pkg version
  pin=$(pin_of "$name")
  tags=${pin#* }
  if [ "$tags" = "$pin" ]; then tags=; fi
  pin=${pin%% *} tags=${tags// /,}
  pkg=${pin%@*} version=${pin##*@}
  case $name in
    node-24) node_24 "$pkg" "$version" ;;
    conformance-v1.1.1) conformance_v111 "$pkg" "$version" ;;
    containerd-2)
      go_install containerd-2 "$pkg" "$version" "$tags"
      go_install ctr-2 "${pkg%/*}/ctr" "$version" "$tags"
      go_install containerd-shim-runc-v2 "${pkg%/*}/containerd-shim-runc-v2" "$version" "$tags"
      # dockerd looks for the plain names: put this folder first in its PATH.
      mkdir -p "$TOOLS/containerd-2"
      ln -sfn ../bin/containerd-2 "$TOOLS/containerd-2/containerd"
      ln -sfn ../bin/ctr-2 "$TOOLS/containerd-2/ctr"
      ln -sfn ../bin/containerd-shim-runc-v2 "$TOOLS/containerd-2/containerd-shim-runc-v2"
      ;;
    oras) go_build_required oras "$pkg" oras.land/oras "$version" ;;
    *) go_install "$name" "$pkg" "$version" "$tags" ;;
  esac
}

install_built() {
  local name=$1 pin before=$SECONDS f whole=1 status from
  pin=$(pin_of "$name")
  for f in $(files_of "$name"); do if [ ! -x "$BIN/$f" ]; then whole=; fi; done
  from="Go module"
  if [ "$name" = node-24 ]; then from="npm package"; fi
  if [ -z "$whole" ] || [ "$(cat "$STAMPS/$name" 2>/dev/null || true)" != "$pin" ]; then
    if [ "$name" = node-24 ] && ! command -v npm >/dev/null; then
      failures+=("$name is not installed: there is no npm on this machine."); return
    elif [ "$name" != node-24 ] && ! command -v go >/dev/null; then
      failures+=("$name is not installed: there is no go on this machine."); return
    fi
    rm -f "$STAMPS/$name"
    # Not "if ! (...)": errexit would be off inside.
    set +e
    (set -e; build_one "$name") >"$LOGS/$name" 2>&1 </dev/null
    status=$?
    set -e
    if [ $status -ne 0 ]; then
      echo "$name: FAILED after $((SECONDS - before)) s"
      failures+=("$name (${pin%% *}) is not installed: $(grep -v '^go: downloading' "$LOGS/$name" | tail -n 3 | tr -s '\n\t' '  ')")
      return
    fi
    printf '%s\n' "$pin" >"$STAMPS/$name"
    echo "$name: built, $((SECONDS - before)) s"
  else
    echo "$name: here already, $((SECONDS - before)) s"
  fi
  pin=${pin%% *}
  for f in $(files_of "$name"); do rows+=("$f|${pin##*@}|$from ${pin%@*}"); done
}

if [ ${#want_debs[@]} -gt 0 ]; then install_debs; fi
for b in ${want_built[@]+"${want_built[@]}"}; do install_built "$b"; done

echo
{
  echo "TOOL|VERSION|WHERE FROM"
  if [ ${#rows[@]} -gt 0 ]; then printf '%s\n' "${rows[@]}"; fi
} | awk -F'|' '{ printf "%-24s %-28s %s\n", $1, $2, $3 }'
echo
echo "Programs are in $BIN; $SECONDS s in all."
if [ ${#failures[@]} -gt 0 ]; then
  printf 'NOT INSTALLED: %s\n' "${failures[@]}" >&2
  exit 1
fi
