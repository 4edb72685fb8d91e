#!/bin/sh
# Every mutant against the test that is named for it, and one line: how many were caught. A build with -DBROOK_BUILD_MUTANTS=ON has them.
# usage: sh tests/mutants/run.sh BUILD
# Without a mutant the same tests have to pass, too: those runs are counted apart. One that a machine does not allow is neither caught nor alive.
set -eu
build=${1:?the folder of a build with mutants}
status=0
began=$(date +%s)
ctest --test-dir "$build" --parallel 1 -L mutant --output-on-failure --no-tests=error --timeout 420 >"$build/mutants.log" 2>&1 || status=$?
count() { grep -c "$1" "$build/mutants.log" || true; }
caught=$(count '^ *[0-9]*/[0-9]* Test .* mutant\.[^ ]* .*Passed' )
without=$(count '^ *[0-9]*/[0-9]* Test .* mutant\.none\.[^ ]* .*Passed')
all=$(count '^ *[0-9]*/[0-9]* Test .* mutant\.')
all_without=$(count '^ *[0-9]*/[0-9]* Test .* mutant\.none\.')
skipped=$(count '^ *[0-9]*/[0-9]* Test .* mutant\..*Skipped')
[ $status -eq 0 ] || sed -n '/^The following tests FAILED/,$ { /mutant/ s/.*\(mutant[^ ]*\).*/BAD  \1/p }' "$build/mutants.log"
printf 'mutants: %d of %d caught, %d of %d runs without one passed, %d skipped; %d s\n' $((caught - without)) $((all - all_without)) "$without" "$all_without" "$skipped" $(($(date +%s) - began))
exit $status
