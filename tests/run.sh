#!/bin/sh
# Builds and runs all tests; on Debian and Ubuntu it first installs what is missing (as root or by sudo).
# usage: sh tests/run.sh [ctest arguments]        such as   sh tests/run.sh -R storage
#   CXX                  the compiler, g++ if not given
#   BROOK_BUILD_DIR      where to build, .build/tests if not given
#   BROOK_CMAKE_OPTIONS  for cmake, such as -DBROOK_SANITIZE=thread
#   BROOK_TARGETS        what to build, everything if not given; tests of what was not built fail unless ctest is told to leave them out
#   BROOK_FAULT_SECONDS  how long the storms of faults may last; each test that makes one has a small default
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
build=${BROOK_BUILD_DIR:-$root/.build/tests}

sh "$root/.ci/need.sh" compiler cmake ninja xxhash lz4 zstd asio openssl catch2 rdkafka
# shellcheck disable=SC2086  # one word an option
cmake -S "$root" -B "$build" -G Ninja -Wno-dev -DCMAKE_CXX_COMPILER="${CXX:-g++}" -DBROOK_BUILD_TESTS=ON \
  -DBROOK_BUILD_BENCHMARKS=OFF -DBROOK_BUILD_EXAMPLES=OFF ${BROOK_CMAKE_OPTIONS:-}
# shellcheck disable=SC2086  # one word a target
cmake --build "$build" --parallel 2 ${BROOK_TARGETS:+--target $BROOK_TARGETS}
ctest --test-dir "$build" --parallel 2 --output-on-failure --no-tests=error --no-label-summary --timeout 300 "$@"
