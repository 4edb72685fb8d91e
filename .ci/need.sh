#!/bin/sh
# Makes sure that what a build needs is there. On Debian and Ubuntu it installs what is missing, elsewhere it says what is.
# usage: sh .ci/need.sh compiler|clang|llvm|ext4|cmake|ninja|xxhash|lz4|zstd|asio|openssl|valgrind|catch2|rdkafka|kcat|java|maven ...
set -eu

has_command() { command -v "$1" >/dev/null 2>&1; }
has_header() {  # searched as the compiler will search; XXHASH_INCLUDE_DIR may add a folder
  for compiler in "${CXX:-}" c++ g++ clang++; do
    if [ -z "$compiler" ] || ! has_command "$compiler"; then continue; fi
    for header in "$@"; do
      printf '#include <%s>\n' "$header" |
        "$compiler" ${XXHASH_INCLUDE_DIR:+-I"$XXHASH_INCLUDE_DIR"} -std=c++20 -x c++ -M - >/dev/null 2>&1 && return 0
    done
    return 1
  done
  return 1
}

packages=
for name in "$@"; do
  case $name in
    compiler) if [ -n "${CXX:-}" ]; then has_command "$CXX"; else has_command g++; fi || packages="$packages g++" ;;
    clang)
      has_command clang++-14 || has_command clang++ || packages="$packages clang"
      [ ! -e /etc/debian_version ] || dpkg-query -W libclang-rt-14-dev >/dev/null 2>&1 || packages="$packages libclang-rt-14-dev" ;;
    llvm) [ -x /usr/lib/llvm-14/bin/llvm-cov ] || packages="$packages llvm-14" ;;
    ext4) [ -x /sbin/mkfs.ext4 ] || [ -x /usr/sbin/mkfs.ext4 ] || packages="$packages e2fsprogs" ;;
    cmake) has_command cmake || packages="$packages cmake" ;;
    ninja) has_command ninja || packages="$packages ninja-build" ;;
    xxhash) has_header xxhash.h || packages="$packages libxxhash-dev" ;;
    lz4) has_header lz4.h || packages="$packages liblz4-dev" ;;
    zstd) has_header zstd.h || packages="$packages libzstd-dev" ;;
    asio) has_header asio/io_context.hpp || packages="$packages libasio-dev" ;;
    openssl) has_header openssl/ssl.h || packages="$packages libssl-dev" ;;
    openssl-command) has_command openssl || packages="$packages openssl" ;;
    valgrind) has_command valgrind || packages="$packages valgrind" ;;
    rdkafka) has_header librdkafka/rdkafka.h || packages="$packages librdkafka-dev" ;;
    kcat) has_command kcat || packages="$packages kcat" ;;
    java) has_command java || packages="$packages openjdk-17-jre-headless" ;;
    maven) has_command mvn || packages="$packages maven" ;;
    catch2) has_header catch2/catch_all.hpp catch2/catch.hpp || packages="$packages catch2" ;;
    *) echo "need.sh: $name?" >&2; exit 2 ;;
  esac
done
[ -n "$packages" ] || exit 0
packages=${packages# }

if ! has_command apt-get; then
  echo "Please install these first (named as in Debian 12): $packages" >&2
  exit 1
fi
as_root=
if [ "$(id -u)" -ne 0 ]; then
  if ! has_command sudo; then
    echo "Please run as root: apt-get install $packages" >&2
    exit 1
  fi
  as_root=sudo
fi
echo "Installing what is missing: $packages"
log=$(mktemp)
# shellcheck disable=SC2086  # one word a package
if ! { $as_root apt-get update && $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $packages; } >"$log" 2>&1; then
  cat "$log" >&2
  rm -f "$log"
  echo "Installing failed: $packages" >&2
  exit 1
fi
rm -f "$log"
