#!/bin/sh
# Builds the benchmarks (Release, in .build/benchmarks) and runs them; on Debian and Ubuntu it first installs what is missing.
# usage: sh benchmarks/run.sh [--smoke | --quick] [--only NAME]... [--directory PATH]
#   --smoke            small sizes, seconds in all: everything works; the figures mean nothing
#   --quick            the full sizes, fewer rounds: a first impression, in a few minutes
#   --only NAME        those whose path contains NAME, such as   --only append
#   --directory PATH   where data goes, .build/benchmarks/data if not given: on the disk that one wants to know about
#   CXX                the compiler, g++ if not given
# A full run wants a quiet machine, 6 GiB of disk and as much memory. See benchmarks/README.md for how to read it.
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
build=$root/.build/benchmarks
data=$build/data
size=
only=
while [ $# -gt 0 ]; do
  case $1 in
    --smoke | --quick) size=$1 ;;
    --only) only="$only ${2:?--only needs a name}"; shift ;;
    --directory) data=${2:?--directory needs a path}; shift ;;
    *) sed -n 's/^# usage: //p' "$0" >&2; exit 2 ;;
  esac
  shift
done

sh "$root/.ci/need.sh" compiler cmake ninja xxhash lz4 zstd asio
log=$(mktemp)
trap 'rm -f "$log"' EXIT
echo "Building the benchmarks in .build/benchmarks ..."
if ! {
  cmake -S "$root" -B "$build" -G Ninja -Wno-dev -DCMAKE_CXX_COMPILER="${CXX:-g++}" -DCMAKE_BUILD_TYPE=Release \
    -DBROOK_BUILD_TESTS=OFF -DBROOK_BUILD_EXAMPLES=OFF -DBROOK_BUILD_BENCHMARKS=ON && cmake --build "$build" --parallel 2
} >"$log" 2>&1; then
  cat "$log" >&2
  exit 1
fi

mkdir -p "$data"
failed=
ran=0
for path in $(cd "$root/benchmarks" && find . -name '*_bench.cpp' | sed 's|^\./||' | sort); do
  wanted=yes
  for name in $only; do
    wanted=no
    case $path in *"$name"*) wanted=yes; break ;; esac
  done
  [ $wanted = yes ] || continue
  program=$build/benchmarks/brook_$(echo "${path%.cpp}" | tr / _)
  case $size:$path in
    --smoke:*) set -- --smoke ;;
    --quick:storage/recovery_bench.cpp | --quick:storage/sustained_bench.cpp | --quick:replication/cluster_bench.cpp) set -- --rounds=1 ;;
    --quick:storage/footprint_bench.cpp | --quick:storage/instructions_bench.cpp) set -- ;;
    --quick:*) set -- --rounds=3 ;;
    *) set -- ;;
  esac
  ran=$((ran + 1))
  "$program" "$@" --directory="$data" || failed="$failed $path"
done
[ "$ran" -gt 0 ] || { echo "No benchmark's path contains$only." >&2; exit 2; }
if [ -n "$failed" ]; then
  printf '\nWrong work in:%s\n' "$failed" >&2
  exit 1
fi
printf '\n%s benchmarks ran, and did what they say.\n' "$ran"
