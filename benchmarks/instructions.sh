#!/bin/sh
# Instructions per record, counted by callgrind: figures that repeat, on a busy machine and in a virtual one.
# usage: sh benchmarks/instructions.sh [WORK...]      all pieces of work, or those with these numbers
#   BROOK_BUILD_DIR   where the benchmarks were built, .build/benchmarks if not given (sh benchmarks/run.sh builds them)
#   BROOK_PROFILES    a folder: keeps callgrind's files there, for callgrind_annotate
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
program=${BROOK_BUILD_DIR:-$root/.build/benchmarks}/benchmarks/brook_storage_instructions_bench
records=5000

command -v valgrind >/dev/null 2>&1 || { echo "This needs valgrind (Debian, Ubuntu: valgrind)." >&2; exit 1; }
[ -x "$program" ] || { echo "$program is missing: sh benchmarks/run.sh --smoke builds it." >&2; exit 1; }
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
if [ $# -eq 0 ]; then
  "$program" --smoke --directory="$scratch" >"$scratch/all"
  # shellcheck disable=SC2046  # one word a number
  set -- $(sed -n 's/^work \([0-9]*\):.*/\1/p' "$scratch/all")
fi
printf '%12s  %s\n' 'instructions' 'a record'
for work; do
  profile=${BROOK_PROFILES:-$scratch}/callgrind.work$work
  valgrind --tool=callgrind --toggle-collect=counted --callgrind-out-file="$profile" \
    "$program" --work="$work" --records="$records" --directory="$scratch" >"$scratch/out" 2>"$scratch/err" || {
    cat "$scratch/out" "$scratch/err" >&2
    exit 1
  }
  name=$(sed -n "s/^work $work: //p" "$scratch/out")
  sed -n 's/.*Collected : \([0-9]*\).*/\1/p' "$scratch/err" | awk -v n="$records" -v name="$name" '{ printf "%12.1f  %s\n", $1 / n, name }'
done
