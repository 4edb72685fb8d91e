#!/bin/sh
# Instructions per record, counted by callgrind: figures that repeat, on a busy machine and in a virtual one.
# usage: sh benchmarks/instructions.sh [--check | --update] [WORK...]      all pieces of work, or those with these numbers
#   --check           compares with benchmarks/instructions.expected, and fails where it takes more than 3 % more, or less
#   --update          writes that file, of all pieces of work: with a change that costs instructions, or saves some, which says why
#   BROOK_BUILD_DIR   where the benchmarks were built, .build/benchmarks if not given (sh benchmarks/run.sh builds them)
#   BROOK_PROFILES    a folder: keeps callgrind's files there, for callgrind_annotate
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
program=${BROOK_BUILD_DIR:-$root/.build/benchmarks}/benchmarks/brook_storage_instructions_bench
expected=$root/benchmarks/instructions.expected
records=5000
how=print
case ${1:-} in
  --check | --update) how=${1#--}; shift ;;
  -*) sed -n 's/^# usage: //p' "$0" >&2; exit 2 ;;
esac
is_all=$([ $# -gt 0 ] || echo yes)
if [ "$how" = update ] && [ -z "$is_all" ]; then
  echo "--update writes all of the file: without numbers of work." >&2
  exit 2
fi

command -v valgrind >/dev/null 2>&1 || { echo "This needs valgrind (Debian, Ubuntu: valgrind)." >&2; exit 1; }
[ -x "$program" ] || { echo "$program is missing: sh benchmarks/run.sh --smoke builds it." >&2; exit 1; }
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
"$program" --smoke --directory="$scratch" >"$scratch/all"
if [ $# -eq 0 ]; then
  # shellcheck disable=SC2046  # one word a number
  set -- $(sed -n 's/^work \([0-9]*\):.*/\1/p' "$scratch/all")
fi
# Whose processor it is does not matter, but for what valgrind shows of it to programs, and the C library goes by.
made_by="$(uname -m)$(grep -qsw avx2 /proc/cpuinfo && echo ' avx2'), $(sed -n 's/^brook .*| \(.* [0-9]*\.[0-9]*\)\.[0-9]* |.*/\1/p' "$scratch/all" | head -n 1)"
if [ "$how" = check ] && ! grep -qxF "# $made_by" "$expected"; then
  echo "skipped: the counts in benchmarks/instructions.expected are of another machine or compiler than $made_by"
  exit 77
fi

printf '%12s  %s\n' 'instructions' 'a record'
for work; do
  profile=${BROOK_PROFILES:-$scratch}/callgrind.work$work
  valgrind --tool=callgrind --toggle-collect='counted*' --callgrind-out-file="$profile" \
    "$program" --work="$work" --records="$records" --directory="$scratch" >"$scratch/out" 2>"$scratch/err" || {
    cat "$scratch/out" "$scratch/err" >&2
    exit 1
  }
  name=$(sed -n "s/^work $work: //p" "$scratch/out")
  count=$(sed -n 's/.*Collected : \([0-9]*\).*/\1/p' "$scratch/err")
  if [ -z "$name" ] || [ -z "$count" ]; then
    cat "$scratch/out" "$scratch/err" >&2
    echo "Nothing was counted of work $work." >&2
    exit 1
  fi
  echo "$count" | awk -v n="$records" -v name="$name" '{ printf "%12.1f  %s\n", $1 / n, name }' |
    tee -a "$scratch/counts"
done

case $how in
  update) { echo "# $made_by"; cat "$scratch/counts"; } >"$expected" ;;
  check)
    awk -v tolerance=0.03 -v is_all="$is_all" '
      { name = $0; sub(/^ *[0-9.]+  /, "", name) }
      /^#/ { next }
      FNR == NR { wanted[name] = $1; next }
      !(name in wanted) { printf "%s: not in instructions.expected\n", name; bad = 1; next }
      { had = wanted[name]
        is_counted[name] = 1
        if ($1 > had * (1 + tolerance)) { printf "%s: %.1f instructions, %.1f before: say why, with --update\n", name, $1, had; bad = 1 }
        if ($1 < had * (1 - tolerance)) { printf "%s: %.1f instructions, %.1f before: better; keep it, with --update\n", name, $1, had; bad = 1 } }
      END {
        if (is_all) for (name in wanted) if (!(name in is_counted)) { printf "%s: in instructions.expected, and not counted\n", name; bad = 1 }
        exit bad
      }' "$expected" "$scratch/counts" || exit 1
    echo "as expected, within 3 %"
    ;;
esac
