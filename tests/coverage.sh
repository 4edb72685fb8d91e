#!/bin/sh
# Which branches of recovery, parsers, append and election no test goes through.
# usage: sh tests/coverage.sh [--build | --report]    without either both
# Of the tests of these headers alone (brook_coverage_tests in tests/CMakeLists.txt) and the fuzz targets: what covers a branch by the way, in a
# cluster or a storm of kills, does not count, since it would not say what is wrong where the branch is.
# Clang's source-based coverage, since it counts a branch where somebody has written one: a condition, and each part of it, both ways. GCC's has
# one more for every call that may throw, which the compiler makes; those are failing_allocations' (tests/fault), which fails every allocation.
# Assertions are no branches: what they ask for is a macro's. Tests with threads are left out: counts of two threads get lost, and counting atomically takes three times
# as long.
# Prints a line for each header. A branch that is never taken, one way or the other, is bad, but for those which tests/coverage.unreached says that
# no test can reach; so is an entry there that is reached, or is not there any more. The whole report is in .build/torture/coverage.
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
build=$root/.build/torture/coverage
headers='storage/recovery.hpp storage/recovered_log.hpp storage/segment_listing.hpp storage/segment_scan.hpp storage/segment_doubt.hpp storage/segment_erase.hpp
  storage/claim_gap.hpp storage/evidence.hpp storage/quarantine.hpp storage/segment_directory.hpp storage/segment_names.hpp storage/segment_summary.hpp
  storage/checkpoint_file.hpp storage/frame_walk.hpp storage/appender.hpp storage/published_prefix.hpp storage/segment.hpp
  format/checkpoint.hpp format/checksum.hpp format/codec.hpp format/epoch_history.hpp format/frame.hpp format/properties.hpp format/record.hpp format/segment_header.hpp format/table_file.hpp
  format/wire_frame.hpp replication/byte_stream.hpp replication/message.hpp replication/vote_count.hpp replication/epoch_line.hpp replication/voter_history.hpp
  replication/replica.hpp broker/ballot_file.hpp broker/datagram.hpp broker/group_call.hpp broker/topic_meta.hpp broker/transaction_record.hpp client/serde.hpp
  lz4.hpp zstd.hpp transport/tcp_frame.hpp transport/tcp_hello.hpp'
clang='clang++-14'
command -v "$clang" >/dev/null 2>&1 || clang='clang++'
llvm=/usr/lib/llvm-14/bin  # where need.sh llvm has put it

if [ "${1:---build}" = --build ]; then
  cmake -S "$root" -B "$build" -G Ninja -Wno-dev "-DCMAKE_CXX_COMPILER=$clang" -DBROOK_BUILD_TESTS=ON -DBROOK_BUILD_BENCHMARKS=OFF -DBROOK_BUILD_EXAMPLES=OFF \
    '-DCMAKE_CXX_FLAGS=-fprofile-instr-generate -fcoverage-mapping'
  cmake --build "$build" --parallel 2 --target brook_coverage_tests brook_fuzz
fi
[ "${1:-}" != --build ] || exit 0

[ -x $llvm/llvm-cov ] || sh "$root/.ci/need.sh" llvm || true  # without it: skipped
[ -x $llvm/llvm-cov ] || { echo "coverage: skipped, there is no llvm-cov (Debian: llvm-14)"; exit 77; }
rm -rf "$build/profiles"
mkdir -p "$build/profiles"
export LLVM_PROFILE_FILE="$build/profiles/%m_%p.profraw"
"$build/tests/brook_coverage_tests" "~[stress]~[threads]" >"$build/tests.log" 2>&1 || { tail -n 30 "$build/tests.log"; echo 'BAD  the tests fail'; exit 1; }
for corpus in "$root"/tests/fuzz/corpus/*; do
  target=${corpus##*/}
  (cd "$build" && "$build/tests/fuzz/brook_fuzz" "$target" --corpus "$root/tests/fuzz/corpus/$target" --mutations 3000 >"$build/fuzz.log" 2>&1) || { cat "$build/fuzz.log"; exit 1; }
done
$llvm/llvm-profdata merge -sparse "$build"/profiles/*.profraw -o "$build/all.profdata"
objects="$build/tests/brook_coverage_tests -object $build/tests/fuzz/brook_fuzz"
sources=
for header in $headers; do
  sources="$sources $root/include/brook/$header"
  bodies="$root/include/brook/${header%/*}/bodies/${header##*/}"
  [ ! -f "$bodies" ] || sources="$sources $bodies"
done
# shellcheck disable=SC2086  # one word an argument
$llvm/llvm-cov report $objects -instr-profile="$build/all.profdata" $sources --show-branch-summary --show-region-summary=false 2>/dev/null >"$build/report.txt"
# shellcheck disable=SC2086
$llvm/llvm-cov show $objects -instr-profile="$build/all.profdata" $sources --show-branches=count --show-line-counts=false --show-instantiations=false 2>/dev/null >"$build/branches.txt"
# A branch is taken where any instance of its template takes it. What no test can reach is listed, with the reason, in tests/coverage.unreached.
rm -f "$build/uncovered.txt"
awk -v root="$root/include/brook/" -v uncovered="$build/uncovered.txt" '
  FILENAME ~ /unreached$/ {
    if ($0 !~ /^[a-z]/) next
    split($1, header, ":"); name = header[1]; rest = substr($0, length($1) + 2); due = 1
    if (rest ~ /^[0-9]/) { due = rest + 0; sub(/^[0-9]+ /, "", rest) }
    is_rare = rest ~ /^rarely /
    way = rest ~ /^(never|rarely) true: / ? "true" : rest ~ /^(never|rarely) false: / ? "false" : ""
    sub(/^[a-z]+ [a-z]+: /, "", rest)
    entry = name ": never " way ": " rest
    if (way == "" || rest == "" || entry in wanted) { print "BAD  tests/coverage.unreached: " $0; next }
    wanted[entry] = due; rare[entry] = is_rare; of[entry] = name; begins[entry] = rest; goes[entry] = way
    next
  }
  /^\// { file = $0; sub(/:$/, "", file); sub(/.*include\/brook\//, "", file) }
  /Branch \(/ {
    at = $0; sub(/.*Branch \(/, "", at); sub(/\).*/, "", at)
    yes = $0; sub(/.*True: /, "", yes); sub(/,.*/, "", yes)
    no = $0; sub(/.*False: /, "", no); sub(/\].*/, "", no)
    key = file " " at
    if ($0 ~ /Folded/) next
    seen[key] = 1
    if (yes !~ /^0$/) taken[key] = 1
    if (no !~ /^0$/) passed[key] = 1
  }
  function text_at(file, at,   line, text, place) {  # from the condition on
    split(at, place, ":")
    for (line = 0; line < place[1] && (getline text < (root file)) > 0; ++line) { }
    close(root file)
    return substr(text, place[2])
  }
  function miss(file, at, way,   text, entry) {
    text = text_at(file, at)
    for (entry in wanted) {
      if (of[entry] == file && goes[entry] == way && substr(text, 1, length(begins[entry])) == begins[entry]) {
        ++met[entry]; ++listed; ++listed_of[file]
        return
      }
    }
    print file ":" at " is never " way ": " text > uncovered
  }
  END {
    for (key in seen) {
      split(key, part, " ")
      all[part[1]] += 2; count += 2
      hit = (key in taken) + (key in passed)
      had[part[1]] += hit; sum += hit
      if (!(key in taken)) miss(part[1], part[2], "true")
      if (!(key in passed)) miss(part[1], part[2], "false")
    }
    for (entry in wanted) {
      if (met[entry] > wanted[entry] || (met[entry] < wanted[entry] && !rare[entry])) printf "BAD  tests/coverage.unreached says %d times, and it is %d: %s\n", wanted[entry], met[entry], entry
    }
    for (file in all) printf "  %-36s %5d of %5d branches, %3d listed, %5.1f %%\n", file, had[file], all[file] - listed_of[file], listed_of[file], 100 * had[file] / (all[file] - listed_of[file]) | "sort"
    close("sort")
    printf "coverage: %d of %d branches that can be reached, and %d that cannot are listed with the reason: %.1f %% of branches in recovery, parsers, append and election\n", sum, count - listed, listed, count ? 100 * sum / (count - listed) : 0
  }' "$root/tests/coverage.unreached" "$build/branches.txt" >"$build/summary.txt"
touch "$build/uncovered.txt"
sort -o "$build/uncovered.txt" "$build/uncovered.txt"
cat "$build/summary.txt"
sed 's/^/BAD  /' "$build/uncovered.txt"
! grep -q '^BAD' "$build/summary.txt" && [ ! -s "$build/uncovered.txt" ]
