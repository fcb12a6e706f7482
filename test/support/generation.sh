#!/usr/bin/env bash
# generation.sh SUITE DIR: unpacks patchelf, binutils and the C library of a Debian suite below DIR, and prints where
# they are and where the suite's ld.so is. The machine's own apt and dpkg know nothing of it. What is unpacked is named
# by its versions and kept; once a day the mirror is asked whether there are newer ones. Exit status 3: it does not
# answer, which is believed for ten minutes.
set -euo pipefail
suite=$1
mkdir -p "$2"
dir=$(realpath "$2")
packages=(patchelf binutils libc6)

exec 9>"$dir/$suite.lock"
flock 9
current=$dir/$suite.current
if [[ -n $(find "$current" -mmin -1440 2>/dev/null) && -e $(<"$current")/complete ]]; then
  root=$(<"$current")
  echo "$root"
  cat "$root/complete"
  exit
fi

if [[ -n $(find "$dir/$suite.failed" -mmin -10 2>/dev/null) ]]; then
  cat "$dir/$suite.failed" >&2
  exit 3
fi
failed() {
  echo "$1" | tee "$dir/$suite.failed" >&2
  exit 3
}

own=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
# The mirror that the machine itself uses, and keys that its packages have brought.
mirror=$(apt-get update --print-uris | sed -n "s|^'\(.*\)/dists/$own/InRelease'.*|\1|p" | head -n 1)
[[ -n $mirror ]] || failed "this machine's apt knows no mirror of ${own:-its release}"
apt=$dir/$suite.apt
mkdir -p "$apt/state/lists/partial" "$apt/cache/archives/partial"
: >"$apt/status"
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main" >"$apt/sources.list"
cat >"$apt/apt.conf" <<CONF
Dir::State "$apt/state";
Dir::State::status "$apt/status";
Dir::Cache "$apt/cache";
Dir::Etc::sourcelist "$apt/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
Acquire::Languages "none";
Acquire::Retries "1";
Acquire::http::Timeout "20";
Acquire::https::Timeout "20";
APT::Update::Error-Mode "any";
APT::Sandbox::User "";
Debug::NoLocking "true";
CONF
export APT_CONFIG=$apt/apt.conf
# Settings of the machine, which come later than that file, may let each call make this anew.
cached=(-o Dir::Cache::pkgcache=pkgcache.bin)
apt-get "${cached[@]}" update -qq >&2 || failed "the mirror does not answer for $suite"

# To a dpkg that has nothing installed, what these need is all that they need.
wanted=("${cached[@]}" install -qq -y --no-install-recommends "${packages[@]}")
download() {
  apt-get -d "${wanted[@]}" >&2 || failed "the mirror does not give the packages of $suite"
}
names_there() {
  find "$apt/cache/archives" -maxdepth 1 -name '*.deb' -printf '%f\n'
}
rm -f "$apt/cache/archives"/*.deb
if [[ -n $(find "$dir" -maxdepth 2 -path "$dir/$suite-*/complete" 2>/dev/null) ]]; then
  names=$(apt-get --print-uris "${wanted[@]}" | cut -d ' ' -f 2)
else
  download
  names=$(names_there)
fi
key=$(sort <<<"$names" | sha256sum | cut -c 1-16)
root=$dir/$suite-$key
if [[ ! -e $root/complete ]]; then
  rm -rf "$root" "$root.new"
  [[ -n $(names_there) ]] || download
  mkdir "$root.new"
  for deb in "$apt/cache/archives"/*.deb; do
    dpkg -x "$deb" "$root.new"
  done

  # Each tool gets a script that starts it with its own suite's loader and libraries, so that a path is all one needs.
  found=$(find "$root.new/usr/lib" -name libc.so.6)
  libraries=$root/${found#"$root.new/"}
  libraries=${libraries%/*}
  loader=$libraries/$(basename "$(find "${found%/*}" -maxdepth 1 -name 'ld-*.so.*')")
  mkdir "$root.new/tools"
  for tool in "$root.new/usr/bin/"*; do
    # Scripts among them need no loader.
    [[ $(head -c 4 "$tool") == $'\x7fELF' ]] || continue
    name=$(basename "$tool")
    printf '#!/bin/sh\nexec "%s" --argv0 "%s" --library-path "%s" "%s" "$@"\n' \
      "$loader" "$name" "$libraries" "$root/usr/bin/$name" >"$root.new/tools/$name"
    chmod +x "$root.new/tools/$name"
  done
  echo "$loader" >"$root.new/complete"
  mv "$root.new" "$root"
fi
rm -rf "$apt"
echo "$root" >"$current"
echo "$root"
cat "$root/complete"
