#!/bin/sh
# Faults of all kinds against brook, for as long as you like, and one table: what was tried, how often, what was found, the seeds.
# Builds what it needs (on Debian and Ubuntu it installs what is missing, as root or by sudo); that time is not counted.
# usage: sh tests/torture.sh MINUTES [--only NAME]... [--seed N] [--list]
#   --only NAME   this one alone, for all of the time; more than one may be given
#   --seed N      of everything that is drawn; without it one is drawn, and printed
# Two programs run at a time. Logs are in .build/torture/log. The exit status is 0 where nothing bad was found: what a machine does not
# allow (to mount, to trace a child) is skipped, and says why. Less than 30 minutes reach less far than the table's last column, which
# is no failure.
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
work=$root/.build/torture
logs=$work/log
fault=$work/build/tests/fault/brook_fault
fuzzers=$work/fuzz/tests/fuzz

# NAME SHARE: thousandths of the time of both processors. What takes as long as it takes has 0, and goes first.
jobs='
coverage         0
mutants          0
interleavings    0
instructions-gcc-O0    0
instructions-clang-O0  0
storm          130
soak           160
power           85
sweep          190
instructions-gcc-O2    20
instructions-clang-O2  20
ext4-images      8
write-back       4
upkeep          15
calls           15
allocations     38
disk            12
exactly-once    20
histories       25
cluster         60
replica         18
fuzz           230
fuzz-members    20
'

usage() { sed -n '2,/^set/s/^# \{0,1\}//p' "$0" | sed '/^set/d'; }

minutes=
seed=
only=
while [ $# -gt 0 ]; do
  case $1 in
    --only) only="$only ${2:?--only needs a name}"; shift ;;
    --seed) seed=${2:?--seed needs a number}; shift ;;
    --list) echo "$jobs" | awk 'NF { print $1 }'; exit 0 ;;
    -h|--help) usage; exit 0 ;;
    *[!0-9.]*|'') usage >&2; exit 64 ;;
    *) minutes=$1 ;;
  esac
  shift
done
[ -n "$minutes" ] || { usage >&2; exit 64; }
[ -n "$seed" ] || seed=$(od -An -N4 -tu4 /dev/urandom | tr -d ' ')
for name in $only; do
  echo "$jobs" | awk -v name="$name" '$1 == name { found = 1 } END { exit !found }' || { printf 'torture: there is no %s; the names are\n%s\n' "$name" "$(sh "$0" --list)" >&2; exit 64; }
done

is_wanted() {
  [ -z "$only" ] && return 0
  for wanted in $only; do
    [ "$wanted" != "$1" ] || return 0
  done
  return 1
}
# Building the mutants takes some minutes, and so do catching them, and stepping through millions of instructions that no compiler has optimized:
# without being asked for only in a long run.
is_long=$(awk -v minutes="$minutes" 'BEGIN { print (minutes >= 20 ? 1 : 0) }')
wanted_jobs=$(echo "$jobs" | while read -r name share; do
  case $name in mutants|instructions-*-O0) [ -n "$only" ] || [ "$is_long" = 1 ] || continue ;; esac
  if [ -n "$name" ] && is_wanted "$name"; then echo "$name $share"; fi
done)
total=$(echo "$wanted_jobs" | awk '{ sum += $2 } END { print (sum > 0 ? sum : 1) }')
seconds_of() { echo "$wanted_jobs" | awk -v name="$1" -v total="$total" -v minutes="$minutes" '$1 == name { t = minutes * 120 * $2 / total; if (t > minutes * 60) t = minutes * 60; printf "%d", (t < 1 ? 1 : t) }'; }
any_wanted() { for each in "$@"; do if echo "$wanted_jobs" | grep -q "^$each "; then return 0; fi; done; return 1; }

# ---- building ----

quietly() {  # NAME COMMAND...: its output is a log, which is shown where it fails
  what=$1; shift
  "$@" >"$logs/build-$what.log" 2>&1 || { cat "$logs/build-$what.log" >&2; echo "torture: building $what failed" >&2; exit 1; }
}
configure() {  # DIRECTORY COMPILER OPTION...
  to=$1; compiler=$2; shift 2
  cmake -S "$root" -B "$to" -G Ninja -Wno-dev "-DCMAKE_CXX_COMPILER=$compiler" -DBROOK_BUILD_TESTS=ON -DBROOK_BUILD_BENCHMARKS=OFF -DBROOK_BUILD_EXAMPLES=OFF "$@"
}
clang='clang++-14'
command -v $clang >/dev/null 2>&1 || clang='clang++'

build_fault() { configure "$work/build" "${CXX:-g++}" && cmake --build "$work/build" --parallel 2 --target brook_fault brook_fault_memory; }
build_fuzz() { configure "$work/fuzz" $clang '-DBROOK_SANITIZE=address;undefined' -DBROOK_BUILD_FUZZERS=ON && cmake --build "$work/fuzz" --parallel 2 --target brook_fuzzers; }
build_mutants() {
  cmake -S "$root" -B "$root/.build/mutants" -G Ninja -Wno-dev -DCMAKE_CXX_COMPILER=g++ -DBROOK_BUILD_TESTS=ON -DBROOK_BUILD_MUTANTS=ON -DBROOK_BUILD_BENCHMARKS=OFF -DBROOK_BUILD_EXAMPLES=OFF &&
    cmake --build "$root/.build/mutants" --parallel 2 --target brook_mutants
}
build_instructions() {  # COMPILER-LEVEL: kill_every_instruction alone, since what is stepped through is what the compiler made of the library
  compiler=g++
  [ "${1%-*}" = gcc ] || compiler=$clang
  "$compiler" -std=c++20 "-${1#*-}" -g1 -Wno-restrict -Wno-unknown-warning-option ${XXHASH_INCLUDE_DIR:+-I"$XXHASH_INCLUDE_DIR"} -I"$root/include" -I"$root/tests" -pthread -Wl,-z,now \
    "$root/tests/fault/main.cpp" "$root/tests/fault/kill_every_instruction.cpp" -llz4 -lzstd -o "$work/instructions-$1.new" && mv "$work/instructions-$1.new" "$work/instructions-$1"
}

mkdir -p "$logs"
rm -f "$logs"/*
sh "$root/.ci/need.sh" compiler cmake ninja xxhash lz4 zstd asio openssl catch2
any_clang=
for name in $(echo "$wanted_jobs" | awk '{ print $1 }'); do
  case $name in fuzz|fuzz-members|coverage|instructions-clang*) any_clang=1 ;; esac
done
[ -z "$any_clang" ] || sh "$root/.ci/need.sh" clang
! any_wanted ext4-images write-back || [ "$(id -u)" -ne 0 ] || sh "$root/.ci/need.sh" ext4  # else nothing can be mounted anyway
began=$(date +%s)
! any_wanted storm soak power sweep calls allocations disk exactly-once histories cluster replica interleavings ext4-images write-back upkeep || quietly fault build_fault
! any_wanted fuzz fuzz-members || quietly fuzz build_fuzz
for build in gcc-O2 gcc-O0 clang-O2 clang-O0; do
  ! is_wanted "instructions-$build" || quietly "instructions-$build" build_instructions "$build"
done
! any_wanted mutants || quietly mutants build_mutants
! is_wanted coverage || quietly coverage sh "$root/tests/coverage.sh" --build
echo "torture: $minutes minutes, seed $seed, $(uname -sr), $(nproc) processors, commit $(git -C "$root" rev-parse --short HEAD 2>/dev/null || echo unknown); built in $(($(date +%s) - began)) s"

# ---- one job: its output goes to its log, its exit status to NAME.status; the command is what repeats it ----

command_of() {  # NAME SECONDS
  case $1 in
    storm) echo "$fault kill_storm 1 $2 $seed" ;;
    power) echo "env BROOK_FAULT_SECONDS=$2 $fault power_loss" ;;
    sweep) echo "$fault corruption_sweep $2 $seed" ;;
    instructions-*-O0) echo "$work/$1 kill_every_instruction 36 $seed" ;;
    instructions-*) echo "$work/$1 kill_every_instruction $2 $seed" ;;
    calls) echo "$fault failing_calls $2 $seed" ;;
    allocations) echo "${fault}_memory failing_allocations $2 $seed" ;;
    disk) echo "$fault full_disk $2" ;;
    upkeep) echo "$fault upkeep_storm 1 $2 $seed" ;;
    ext4-images) echo "$fault ext4_images $2 $seed" ;;
    write-back) echo "$fault write_back_failure $2 $seed" ;;
    mutants) echo "sh $root/tests/mutants/run.sh $root/.build/mutants" ;;
    exactly-once) echo "$fault exactly_once 1 $2 $seed" ;;
    histories) echo "$fault histories --seconds $2 --seed $seed" ;;
    cluster) echo "$fault cluster_simulation --seconds $2 --first $seed" ;;
    replica) echo "$fault replica_simulation --seeds 1000000000 --first $seed --seconds $2" ;;
    soak) echo "$fault soak $2 $seed" ;;
    interleavings) echo "$fault claim_interleavings all" ;;
    coverage) echo "sh $root/tests/coverage.sh --report" ;;
    fuzz) echo "sh $root/tests/fuzz/run.sh $fuzzers $2 $seed" ;;
    fuzz-members) echo "sh $root/tests/fuzz/run.sh $fuzzers $2 $seed members" ;;
  esac
}

run_job() {  # NAME SECONDS
  status=0
  from=$(date +%s)
  # shellcheck disable=SC2046,SC2091  # one word an argument
  (cd "$work" && $(command_of "$1" "$2")) >"$logs/$1.log" 2>&1 || status=$?
  echo "$(($(date +%s) - from))" >"$logs/$1.seconds"
  echo $status >"$logs/$1.status.new"
  mv "$logs/$1.status.new" "$logs/$1.status"
}

running=
stop() {
  for entry in $running; do
    kill "${entry%:*}" 2>/dev/null || true
  done
  exit 130
}
trap stop INT TERM
lane() {  # begins the next one when one of two is over
  while :; do
    left=
    count=0
    for entry in $running; do
      if [ ! -e "$logs/${entry#*:}.status" ] && kill -0 "${entry%:*}" 2>/dev/null; then
        left="$left $entry"
        count=$((count + 1))
      fi
    done
    running=$left
    [ $count -ge "$1" ] || return 0
    sleep 1
  done
}
while read -r name share; do
  [ -n "$name" ] || continue
  lane 2
  run_job "$name" "$(seconds_of "$name")" &
  running="$running $!:$name"
done <<END
$wanted_jobs
END
lane 1
wait

# ---- the table ----

figure() {  # NAME PATTERN: the first number that stands in front of the pattern in its log
  grep -a -o "[0-9][0-9]* $2" "$logs/$1.log" 2>/dev/null | sed 's/ .*//' | head -n 1
}
failures=0
printf '\n%-22s %-8s %7s  %s\n' program outcome seconds "what it says (logs: .build/torture/log)"
for name in $(echo "$wanted_jobs" | awk '{ print $1 }'); do
  status=$(cat "$logs/$name.status" 2>/dev/null || echo died)
  case $status in
    0) outcome=ok ;;
    77) outcome=skipped ;;
    *) outcome=BAD; failures=$((failures + 1)) ;;
  esac
  [ "$outcome" = BAD ] || ! grep -q '^BAD' "$logs/$name.log" || { outcome=BAD; failures=$((failures + 1)); }
  said=$(grep -v '^ \|^met:\|^BAD\|^bits that\|^INFO' "$logs/$name.log" | grep -a ': ' | tail -n 1 | cut -c1-600 || true)
  printf '%-22s %-8s %7s  %s\n' "$name" "$outcome" "$(cat "$logs/$name.seconds" 2>/dev/null || echo -)" "${said:-$(tail -n 1 "$logs/$name.log")}"
  if [ $outcome = BAD ]; then
    grep -a -A2 '^BAD' "$logs/$name.log" | head -n 12 | sed 's/^/    /'
    echo "    again: cd $work && $(command_of "$name" "$(seconds_of "$name")")"
  fi
done

sum() { awk '{ s += $1 } END { printf "%d", s }'; }
instructions=$(for name in gcc-O2 gcc-O0 clang-O2 clang-O0; do figure "instructions-$name" 'instructions stepped'; done | sum)
operations=$(for name in gcc-O2 gcc-O0 clang-O2 clang-O0; do grep -c '^  .* instructions  *[0-9]* states' "$logs/instructions-$name.log" 2>/dev/null || true; done | sort -rn | head -n 1)
row() { printf '%-46s %16s %16s\n' "$1" "${2:--}" "$3"; }
printf '\n%-46s %16s %16s\n' 'what (seed '"$seed"')' reached 'in 30 min'
row 'instructions killed at' "$instructions" '>= 200000'
row 'operations they are of' "$operations" '>= 12'
row 'SIGKILLs' "$( { figure storm 'kills,'; figure storm 'kills of recovery'; figure exactly-once 'kills,'; figure exactly-once 'while opening'; figure upkeep 'kills,'; figure upkeep 'kills of an opening'; } | sum)" '>= 50000'
row 'acknowledged records over them' "$(figure storm acknowledged)" '>= 25000000'
row 'states after a loss of power' "$(figure power 'states of')" '>= 1000000'
row 'allocations failed, each once and for good' "$(figure allocations 'allocations')" 'every one'
row 'damages' "$(figure sweep damages)" '>= 1131072'
row 'images of a real ext4 after a loss of power' "$(figure ext4-images 'images of')" '-'
row 'real disks that could not write back' "$(figure write-back 'disks that')" '-'
row 'mutants caught' "$(sed -n 's/^mutants: \([0-9]* of [0-9]*\) caught.*/\1/p' "$logs/mutants.log" 2>/dev/null)" 'all'
row 'fuzz inputs' "$({ figure fuzz 'inputs tried'; figure fuzz-members 'inputs tried'; } | sum)" '>= 50000000'
row 'interleavings of the claim protocol' "$(figure interleavings states)" 'all'
row 'branches covered, per cent of those in reach' "$(sed -n 's/^coverage: .* \([0-9.]*\) % of branches.*/\1/p' "$logs/coverage.log" 2>/dev/null)" '100'
row 'branches out of reach, listed with the reason' "$(figure coverage 'that cannot')" '-'
row 'throughput in the soak, per cent of fault-free' "$(sed -n 's/.* \([0-9]*\) % of the fault-free.*/\1/p' "$logs/soak.log" 2>/dev/null | head -n 1)" '>= 50'
row 'programs that found something bad' "$failures" '0'
for name in gcc-O2 gcc-O0 clang-O2 clang-O0; do cat "$logs/instructions-$name.log" 2>/dev/null || true; done | awk '
  match($0, / +[0-9]+ (instructions|stores) +[0-9]+ states/) {
    name = substr($0, 3, RSTART - 3); split(substr($0, RSTART, RLENGTH), part, " ")
    if (!(name in steps)) order[++count] = name
    steps[name] += part[1]; unit[name] = part[2]; states[name] += part[3]
  }
  END {
    if (count) printf "\n%-58s %12s %-12s %8s\n", "killed at each of its, in all builds together", "", "", "states"
    for (i = 1; i <= count; ++i) printf "  %-56s %12d %-12s %8d\n", order[i], steps[order[i]], unit[order[i]], states[order[i]]
  }'
[ $failures -eq 0 ]
