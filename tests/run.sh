#!/bin/sh
# Builds and runs the tests; on Debian and Ubuntu it first installs what is missing (as root or by sudo).
# usage: sh tests/run.sh [--faults | --all] [ctest arguments]        such as   sh tests/run.sh -R storage
#   nothing              the tests of each room, the programs as users write them, the scenarios
#   --faults             what comes from outside: kills, losses of power, damages, failing calls, full disks, forged input
#   --all                both, and what takes longer: brook as a package of somebody else's project, and on a Kafka cluster
#   CXX                  the compiler, g++ if not given
#   BROOK_BUILD_DIR      where to build, .build/tests if not given
#   BROOK_CMAKE_OPTIONS  for cmake, such as -DBROOK_SANITIZE=thread
#   BROOK_TARGETS        what to build instead; tests of what was not built fail unless ctest is told to leave them out
#   BROOK_TEST_JOBS      how many tests run at once, 2 if not given; some wait more than they compute
#   BROOK_FAULT_SECONDS  how long the storms of faults may last; each test that makes one has a small default
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
build=${BROOK_BUILD_DIR:-$root/.build/tests}
targets=${BROOK_TARGETS:-}
case ${1:-} in
  --faults) shift; targets=${targets:-brook_faults}; set -- -L '^(fault|fuzz)$' "$@" ;;
  --all) shift; targets=${targets:-all} ;;
  --[!r]*) sed -n 's/^# usage: //p' "$0" >&2; exit 64 ;;  # ctest passes over what it does not know
  *) [ -n "$targets" ] || { targets=brook_tests; set -- -LE '^(fault|fuzz|kafka|package)$' "$@"; } ;;
esac

sh "$root/.ci/need.sh" compiler cmake ninja xxhash lz4 zstd asio openssl catch2 rdkafka
# shellcheck disable=SC2086  # one word an option
cmake -S "$root" -B "$build" -G Ninja -Wno-dev -DCMAKE_CXX_COMPILER="${CXX:-g++}" -DBROOK_BUILD_TESTS=ON \
  -DBROOK_BUILD_BENCHMARKS=OFF -DBROOK_BUILD_EXAMPLES=OFF ${BROOK_CMAKE_OPTIONS:-}
# shellcheck disable=SC2086  # one word a target
cmake --build "$build" --parallel 2 --target $targets
ctest --test-dir "$build" --parallel "${BROOK_TEST_JOBS:-2}" --output-on-failure --no-tests=error --no-label-summary --timeout 300 "$@"
