#!/bin/sh
# make_report.sh on results made up for it: what it prints, and what it writes. A browser is not asked here.
# usage: sh make_report_test.sh
set -eu
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
failures=0
expect_equal() {  # WHAT FOUND WANTED
  [ "$2" = "$3" ] || { printf '%s\nfound:\n%s\nwanted:\n%s\n' "$1" "$2" "$3" >&2; failures=$((failures + 1)); }
}

cat >"$scratch/whole.jsonl" <<'END'
{"kind":"aim","program":"storage/append","what":"\"quoted\", {odd} / 10 × 10 </script> & \\1","ratio":[0.5,0.71,1.1],"rule":">=","bound":0.8,"reached":false}
{"kind":"aim","program":"storage/append","what":"two threads","ratio":[3,3.06,120.5],"rule":"<=","bound":10,"reached":true}

{"kind":"aim","program":"client/latency","what":"nobody set one","ratio":[0.0004,0.00052,0.0019]}
{"kind":"left_out","program":"compare/durable","name":"a peer","why":"is not installed"}
{"kind":"run","program":"storage/append","title":"t","version":"0.1.0","machine":"m | k | c","file_system":"ext4","smoke":false,"when":"w","parameters":{"rounds":5}}
{"kind":"run","program":"client/latency","title":"t","version":"0.1.0","machine":"m | k | c","file_system":"ext4","smoke":false,"when":"w","parameters":{}}
END
found=$(sh "$here/make_report.sh" "$scratch/whole.jsonl" "$scratch/whole")
expect_equal "the summary" "$found" 'Aims: ratio, median (lowest-highest)
storage/append
  "quoted", {odd} / 10 × 10 </script> & \1  0.71 (0.50-1.10)         >= 0.80   MISSED
  two threads                               3.06 (3.00-120.50)       <= 10.00  reached
client/latency
  nobody set one                            0.00052 (0.0004-0.0019)
1 reached, 1 missed, 1 without an aim
Left out
  a peer: is not installed
Did not finish: compare/durable'

# The array holds the lines as they were, the page holds the array, and only the page itself ends a script element.
lines=$(grep . "$scratch/whole.jsonl")
expect_equal "report.json" "$(sed -e '/^[][]$/d' -e 's/,$//' "$scratch/whole/report.json")" "$lines"
expect_equal "the brackets of report.json" "$(sed -n -e '1p' -e '$p' "$scratch/whole/report.json")" "$(printf '[\n]')"
expect_equal "the commas of report.json" "$(grep -c '},$' "$scratch/whole/report.json")" 5
expect_equal "ends of script elements" "$(grep -c '</script' "$scratch/whole/report.html")" "$(grep -c '</script' "$here/report.html")"
pasted=$(sed -n '/id="results"/,/<\/script>/p' "$scratch/whole/report.html" | sed -e '1d' -e '$d' -e 's/\\u003c/</g')
expect_equal "what is pasted" "$pasted" "$(cat "$scratch/whole/report.json")"
expect_equal "places left to paste at" "$(grep -c '^@RESULTS@$' "$scratch/whole/report.html")" 0

# Smoke: nothing is judged.
sed 's/"smoke":false/"smoke":true/' "$scratch/whole.jsonl" >"$scratch/smoke.jsonl"
found=$(sh "$here/make_report.sh" "$scratch/smoke.jsonl" "$scratch/smoke")
expect_equal "the first line of a smoke run" "$(printf '%s\n' "$found" | sed 1q)" "smoke: the figures mean nothing"
expect_equal "verdicts of a smoke run" "$(printf '%s\n' "$found" | grep -c -e MISSED -e reached)" 0

# A killed program leaves half a line: the rest is reported, and it is said.
{ cat "$scratch/whole.jsonl"; printf '{"kind":"aim","prog'; } >"$scratch/torn.jsonl"
status=0
sh "$here/make_report.sh" "$scratch/torn.jsonl" "$scratch/torn" >/dev/null 2>"$scratch/said" || status=$?
expect_equal "the status after half a line" "$status" 1
expect_equal "what is said of half a line" "$(cat "$scratch/said")" "make_report.sh: line 8 is not a whole object: left out"
expect_equal "the rest" "$(cat "$scratch/torn/report.json")" "$(cat "$scratch/whole/report.json")"

: >"$scratch/nothing.jsonl"
expect_equal "the summary of nothing" "$(sh "$here/make_report.sh" "$scratch/nothing.jsonl" "$scratch/nothing")" ""
expect_equal "report.json of nothing" "$(cat "$scratch/nothing/report.json")" "[]"

[ "$failures" -eq 0 ] && echo "make_report.sh does what it says."
