#!/bin/sh
# Installs what benchmarks/peers compares brook with, one after the other. What cannot be had is named, and left out of the benchmarks:
# this never fails because of it. Packages are Debian 12's; what no package has comes into .build/peers: jars from Maven Central, Go's modules from
# their proxy, Rust's crates from crates.io, as the toolchains are set up.
# usage: sh benchmarks/peers/need.sh
set -u
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
jars=$(dirname -- "$(dirname -- "$here")")/.build/peers
log=$(mktemp)
trap 'rm -f "$log"' EXIT

as_root=
if [ "$(id -u)" -ne 0 ]; then as_root=sudo; fi
can_install=yes
if ! command -v apt-get >/dev/null 2>&1; then
  can_install=
elif [ -n "$as_root" ] && ! command -v sudo >/dev/null 2>&1; then
  can_install=
fi

is_updated=
# package NAME...: the packages of one peer.
package() {
  peer=$1
  shift
  missing=
  for name in "$@"; do
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$name" 2>/dev/null)" = installed ] || missing="$missing $name"
  done
  [ -n "$missing" ] || return 0
  if [ -z "$can_install" ]; then
    echo "$peer: not installed, since this is not Debian or Ubuntu, or needs root (packages:$missing)"
    return 0
  fi
  if [ -z "$is_updated" ]; then
    $as_root apt-get update >"$log" 2>&1 || echo "apt-get update failed: $(tail -n 1 "$log")"
    is_updated=yes
  fi
  echo "Installing for $peer:$missing"
  # shellcheck disable=SC2086  # one word a package
  $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $missing >"$log" 2>&1 ||
    echo "$peer: cannot be had, it is left out: $(tail -n 1 "$log")"
}

# fetch NAME PEER: the jars of NAME.pom.xml.
fetch() {
  if [ -n "$(ls "$jars/$1" 2>/dev/null)" ]; then return 0; fi
  if ! command -v mvn >/dev/null 2>&1; then
    echo "$2: its jars cannot be fetched without Maven"
    return 0
  fi
  echo "Fetching the jars of $2"
  mkdir -p "$jars"
  if ! timeout 300 mvn -q -B -f "$here/$1.pom.xml" org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies \
    -DoutputDirectory="$jars/$1" >"$log" 2>&1; then
    rm -rf "${jars:?}/$1"
    echo "$2: its jars cannot be had: $(tail -n 1 "$log")"
  fi
}

# fetch_by NAME PEER COMMAND...: what COMMAND, the toolchain's own, brings for the harness in the folder NAME; nothing where it is all there.
fetch_by() {
  folder=$here/$1
  peer=$2
  shift 2
  if ! command -v "$1" >/dev/null 2>&1; then
    echo "$peer: cannot be fetched without $1"
    return 0
  fi
  mkdir -p "$jars"
  (cd "$folder" && CARGO_HOME=$jars/cargo GOMODCACHE=$jars/go GOFLAGS=-modcacherw GOTOOLCHAIN=local GOWORK=off timeout 300 "$@") >"$log" 2>&1 ||
    echo "$peer: cannot be had: $(tail -n 1 "$log")"
}

package LMDB liblmdb-dev
package LevelDB libleveldb-dev
package RocksDB librocksdb-dev
package SQLite libsqlite3-dev
package "Redis Streams" libhiredis-dev redis-server
package "NATS JetStream" libnats-dev nats-server
package Kafka librdkafka-dev
package "Chronicle Queue and Kafka's broker" openjdk-17-jdk-headless
package "Chronicle Queue 3" libopenhft-chronicle-queue-java
package "jars from Maven Central" maven
fetch chronicle "Chronicle Queue 5"
fetch kafka "Kafka's broker"
command -v go >/dev/null 2>&1 || package "tidwall/wal" golang-go
command -v cargo >/dev/null 2>&1 || package "raft-engine and commitlog" cargo-web
fetch_by go "tidwall/wal" go mod download
fetch_by rust "raft-engine and commitlog" cargo fetch --locked --target "$(rustc -vV 2>/dev/null | sed -n 's/^host: //p')"
exit 0
