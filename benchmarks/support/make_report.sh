#!/bin/sh
# Makes a report of what the benchmarks wrote: report.json (all results as one array), report.html (a page that needs
# nothing else), and a summary on the terminal.
# usage: sh make_report.sh RESULTS_JSONL OUT_DIRECTORY
# A line that is not a whole object, as a killed program leaves it, is left out, named, and makes this exit with 1.
# Relies on one object a line, without spaces around ':' and ',' as support/results.hpp writes them.
set -eu
[ $# -eq 2 ] || { sed -n 's/^# usage: /usage: /p' "$0" >&2; exit 2; }
template=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)/report.html
results=$1
out=$2
[ -r "$results" ] || { echo "make_report.sh: $results cannot be read" >&2; exit 1; }
LC_ALL=C
export LC_ALL
mkdir -p "$out"

torn=0
awk '
  /^[ \t\r]*$/ { next }
  !/^\{.*\}[ \t\r]*$/ { printf "make_report.sh: line %d is not a whole object: left out\n", NR | "cat >&2"; torn = 1; next }
  { printf "%s%s", count++ ? ",\n" : "[\n", $0 }
  END { print count ? "\n]" : "[]"; exit torn }
' <"$results" >"$out/report.json" || torn=1

# In JSON, < stands in strings only. Written as \u003c it neither ends the script element nor begins a comment.
sed 's/</\\u003c/g' "$out/report.json" | cat - "$template" | awk '
  !is_template { json[++count] = $0; if ($0 == "]" || $0 == "[]") is_template = 1; next }
  $0 == "@RESULTS@" { for (i = 1; i <= count; ++i) print json[i]; next }
  { print }
' >"$out/report.html"

awk '
  # What a line has at a key: a string without its quotes, or a number, or a list without its brackets. A quote within a
  # string has a backslash before it, so that "key": is found nowhere else.
  function field(key,    begin, rest, i, c, text) {
    begin = index($0, "\"" key "\":")
    if (begin == 0) return ""
    rest = substr($0, begin + length(key) + 3)
    c = substr(rest, 1, 1)
    if (c == "[") return substr(rest, 2, index(rest, "]") - 2)
    if (c != "\"") { match(rest, /^[^,}]*/); return substr(rest, 1, RLENGTH) }
    for (i = 2; (c = substr(rest, i, 1)) != "\"" && c != ""; ++i) {
      if (c == "\\") { c = substr(rest, ++i, 1); if (c ~ /[bfnrt]/) c = " "; if (c == "u") { c = "?"; i += 4 } }
      text = text c
    }
    return text
  }
  function columns(text) { gsub(/[\200-\277]/, "", text); return length(text) }  # of UTF-8: its first bytes
  function number(value) { return sprintf(value + 0 != 0 && value + 0 < 0.1 ? "%.2g" : "%.2f", value) }
  function padded(text, width) { while (columns(text) < width) text = text " "; return text }
  function verdict(i) {
    if (rule[i] == "") return ""
    if (program[i] in is_smoke) return "smoke: not judged"
    return is_reached[i] == "true" ? "reached" : "MISSED"
  }

  $0 == "[" || $0 == "]" || $0 == "[]" { next }
  { kind = field("kind"); seen[field("program")] = 1 }
  kind == "run" { finished[field("program")] = 1; if (field("smoke") == "true") { is_smoke[field("program")] = 1; has_smoke = 1 } }
  kind == "aim" {
    split(field("ratio"), ratio, ",")
    what[++aims] = field("what"); program[aims] = field("program"); rule[aims] = field("rule"); is_reached[aims] = field("reached")
    found[aims] = number(ratio[2]) " (" number(ratio[1]) "-" number(ratio[3]) ")"
    aim[aims] = rule[aims] == "" ? "" : rule[aims] " " number(field("bound"))
    if (columns(what[aims]) > widest && columns(what[aims]) <= 64) widest = columns(what[aims])
    if (columns(found[aims]) > widest_found) widest_found = columns(found[aims])
    if (columns(aim[aims]) > widest_aim) widest_aim = columns(aim[aims])
  }
  kind == "left_out" { left_out[++left_outs] = field("name") ": " field("why") }

  END {
    if (has_smoke) print "smoke: the figures mean nothing"
    if (aims) print "Aims: ratio, median (lowest-highest)"
    for (i = 1; i <= aims; ++i) {
      if (i == 1 || program[i] != program[i - 1]) print program[i]
      if (columns(what[i]) > widest) { print "  " what[i]; what[i] = "" }  # too long for the column: on a line of its own
      line = "  " padded(what[i], widest) "  " padded(found[i], widest_found) "  " padded(aim[i], widest_aim) "  " verdict(i)
      sub(/ +$/, "", line)
      print line
      ++count[verdict(i)]
    }
    if (aims && !has_smoke) printf "%d reached, %d missed, %d without an aim\n", count["reached"], count["MISSED"], count[""]
    if (left_outs) print "Left out"
    for (i = 1; i <= left_outs; ++i) print "  " left_out[i]
    for (name in seen) if (!(name in finished)) print "Did not finish: " name
  }
' "$out/report.json"
exit "$torn"
