#!/bin/sh
# Builds the benchmarks (Release, in .build/benchmarks), runs them and writes a report: a table here, report.json, and report.html
# with charts, one page that needs nothing else. On Debian and Ubuntu it first installs what is missing; a peer that cannot be
# had is left out, and named.
# usage: sh benchmarks/run.sh [--smoke | --quick] [--no-install] [--only NAME]... [--directory PATH] [--report PATH]
#   --smoke            small sizes, a few minutes in all, most of it building: everything works; the figures mean nothing
#   --quick            the full sizes, fewer rounds: a first impression
#   --no-install       installs no peer (Java, Go, Rust, Redis and others are some 1.6 GiB): beside those that are there
#   --only NAME        those whose path contains NAME, such as   --only append   --only peers/
#   --directory PATH   where data goes, .build/benchmarks/data if not given: on the disk that one wants to know about
#   --report PATH      where the report goes, .build/benchmarks/report if not given
#   CXX                the compiler, g++ if not given
# A full run wants a quiet machine, 6 GiB of disk and as much memory. See benchmarks/README.md for how to read it.
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
build=$root/.build/benchmarks
data=$build/data
report=$build/report
size=
only=
is_installing=yes
while [ $# -gt 0 ]; do
  case $1 in
    --smoke | --quick) size=$1 ;;
    --no-install) is_installing= ;;
    --only) only="$only ${2:?--only needs a name}"; shift ;;
    --directory) data=${2:?--directory needs a path}; shift ;;
    --report) report=${2:?--report needs a path}; shift ;;
    *) sed -n 's/^# usage: //p' "$0" >&2; exit 2 ;;
  esac
  shift
done

wanted=
for path in $(cd "$root/benchmarks" && find . -name '*_bench.cpp' | sed 's|^\./||' | sort); do
  is_wanted=yes
  for name in $only; do
    is_wanted=no
    case $path in *"$name"*) is_wanted=yes; break ;; esac
  done
  [ $is_wanted = no ] || wanted="$wanted $path"
done
[ -n "$wanted" ] || { echo "No benchmark's path contains$only." >&2; exit 2; }

sh "$root/.ci/need.sh" compiler cmake ninja xxhash lz4 zstd asio rdkafka
case $is_installing:$wanted in yes:*peers/*) sh "$root/benchmarks/peers/need.sh" ;; esac
log=$(mktemp)
trap 'rm -f "$log"' EXIT
echo "Building the benchmarks in .build/benchmarks ..."
targets=$(for path in $wanted; do echo "brook_$(echo "${path%.cpp}" | tr / _)"; done)
# shellcheck disable=SC2086  # one word a target
if ! {
  cmake -S "$root" -B "$build" -G Ninja -Wno-dev -DCMAKE_CXX_COMPILER="${CXX:-g++}" -DCMAKE_BUILD_TYPE=Release \
    -DBROOK_BUILD_TESTS=OFF -DBROOK_BUILD_EXAMPLES=OFF -DBROOK_BUILD_BENCHMARKS=ON && cmake --build "$build" --parallel 2 --target $targets
} >"$log" 2>&1; then
  cat "$log" >&2
  exit 1
fi

mkdir -p "$data" "$report"
results=$report/results.jsonl
: >"$results"

# How long each took the last time at this size, so as to say how long it will be; at first, what it took elsewhere.
times=$build/seconds${size:---full}
[ -e "$times" ] || sed -n "s/^seconds${size:---full} //p" "$root/benchmarks/support/seconds.txt" >"$times"
seconds_of() { awk -v path="$1" -v other=30 '$1 == path { found = $2 } END { print found == "" ? other : found }' "$times"; }
left=0
count=0
for path in $wanted; do
  left=$((left + $(seconds_of "$path")))
  count=$((count + 1))
done
in_words() { if [ "$1" -ge 90 ]; then echo "$((($1 + 30) / 60)) min"; else echo "$1 s"; fi; }

failed=
number=0
for path in $wanted; do
  number=$((number + 1))
  expected=$(seconds_of "$path")
  printf '\n[%s of %s] %s, about %s; all that is left about %s\n' "$number" "$count" "$path" "$(in_words "$expected")" "$(in_words "$left")"
  program=$build/benchmarks/brook_$(echo "${path%.cpp}" | tr / _)
  case $size:$path in
    --smoke:*) set -- --smoke ;;
    --quick:storage/recovery_bench.cpp | --quick:storage/sustained_bench.cpp | --quick:replication/cluster_bench.cpp | --quick:peers/sustained_bench.cpp) set -- --rounds=1 ;;
    --quick:storage/footprint_bench.cpp | --quick:storage/instructions_bench.cpp) set -- ;;
    --quick:*) set -- --rounds=3 ;;
    *) set -- ;;
  esac
  began=$(date +%s)
  "$program" "$@" --directory="$data" --results="$results" || failed="$failed $path"
  took=$(($(date +%s) - began))
  left=$((left - expected))
  { grep -v "^$path " "$times" || true; echo "$path $took"; } >"$times.new" && mv "$times.new" "$times"
done

status=0
sh "$root/benchmarks/support/make_report.sh" "$results" "$report" || status=1
if [ -n "$failed" ]; then
  printf '\nWrong work in:%s\n' "$failed" >&2
  status=1
fi
[ $status = 0 ] || exit 1
printf '\n%s benchmarks ran, and did what they say. The report: %s/report.html, %s/report.json\n' "$count" "$report" "$report"
