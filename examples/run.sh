#!/bin/sh
# Builds the first example and runs it twice on one directory: the second run goes on where the first one stopped.
# On Debian and Ubuntu it first installs what is missing (as root or by sudo).     usage: sh examples/run.sh
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
build=$root/.build/examples
data=$root/.build/examples-data

sh "$root/.ci/need.sh" compiler cmake ninja xxhash
echo "Building examples/01_produce_consume.cpp in .build/examples ..."
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if ! {
  cmake -S "$root" -B "$build" -G Ninja -Wno-dev -DCMAKE_CXX_COMPILER="${CXX:-g++}" -DCMAKE_BUILD_TYPE=Release \
    -DBROOK_BUILD_TESTS=OFF -DBROOK_BUILD_BENCHMARKS=OFF -DBROOK_BUILD_EXAMPLES=ON && cmake --build "$build" --target 01_produce_consume
} >"$log" 2>&1; then
  cat "$log" >&2
  exit 1
fi

rm -rf "$data"
for run in first second; do
  printf '\n---- the %s run ----\n' "$run"
  "$build/examples/01_produce_consume" "$data" "$root/examples/data/earthquakes.csv"
done
cat <<END

What you saw is examples/01_produce_consume.cpp. Its records are in .build/examples-data: run it a third time with
  .build/examples/examples/01_produce_consume .build/examples-data examples/data/earthquakes.csv
Where to look next: README.md (what survives which crash, how to add brook to a project), then the other examples:
  cmake --build .build/examples --parallel 2        builds them, in .build/examples/examples; examples/README.md tells what they do
END
