#!/bin/sh
# Hands each fuzz target inputs by libFuzzer for its part of the time, and prints one line. What was found new is kept beside the programs.
# usage: sh tests/fuzz/run.sh DIRECTORY_OF_PROGRAMS SECONDS SEED [TARGET]...
# Without targets: every parser. `members`, whose input is a cluster's life and takes some milliseconds, is asked for by its name, so that it takes the others no time.
# An input may take 64 MiB in one allocation, and 1 s. One that fails is kept, and the command that repeats it printed.
#
# The same targets under AFL++ (Debian: afl++), which has mutators of its own; its driver calls LLVMFuzzerTestOneInput:
#   afl-clang-fast++ -std=c++20 -O1 -DBROOK_FUZZ_WITHOUT_MUTATOR -DBROOK_ASSERTIONS=1 -fsanitize=fuzzer -Iinclude -Itests \
#     tests/fuzz/frames.cpp tests/fuzz/libfuzzer.cpp -llz4 -lzstd -o frames && afl-fuzz -i tests/fuzz/corpus/frames -o found -- ./frames
set -eu
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
programs=$1
seconds=$2
seed=$3
shift 3
if [ $# -eq 0 ]; then
  for corpus in "$here"/corpus/*; do
    [ "${corpus##*/}" = members ] || set -- "$@" "${corpus##*/}"
  done
fi
each=$((seconds / $#))
[ $each -gt 0 ] || each=1

# A small quarantine: what a target takes of memory is to be seen, not what AddressSanitizer keeps of it.
ASAN_OPTIONS=quarantine_size_mb=4:malloc_context_size=4:${ASAN_OPTIONS:-}
UBSAN_OPTIONS=print_stacktrace=1
export ASAN_OPTIONS UBSAN_OPTIONS
all=0
bad=0
edges=0
slowest=0
for target in "$@"; do
  kept=$programs/found/$target
  mkdir -p "$kept"
  log=$kept.log
  status=0
  "$programs/brook_fuzz_$target" "$kept" "$here/corpus/$target" -seed="$seed" -max_total_time=$each -max_len=4096 -timeout=1 -malloc_limit_mb=64 -rss_limit_mb=1024 \
    -entropic=0 -artifact_prefix="$kept-" -print_final_stats=1 >"$log" 2>&1 || status=$?
  tried=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
  covered=$(sed -n 's/.* cov: \([0-9]*\) .*/\1/p' "$log" | tail -n 1)
  slow=$(sed -n 's/^stat::slowest_unit_time_sec: *//p' "$log")
  all=$((all + ${tried:-0}))
  edges=$((edges + ${covered:-0}))
  [ "${slow:-0}" -le $slowest ] || slowest=$slow
  if [ $status -ne 0 ]; then
    bad=$((bad + 1))
    artifact=$(sed -n 's/.*Test unit written to //p' "$log" | head -n 1)
    grep -a -m 3 '^BAD\|ERROR\|runtime error' "$log" | sed 's/^BAD *//;s/^/BAD  '"$target"': /' || true
    echo "     again: $programs/brook_fuzz_$target $artifact"
  else
    printf '  %-12s %12s inputs, %5s edges\n' "$target" "${tried:-0}" "${covered:-0}"
  fi
done
echo "fuzz: $all inputs tried on $# targets, $edges edges covered, slowest $slowest s; bad $bad; seed $seed"
[ $bad -eq 0 ]
