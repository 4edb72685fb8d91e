#!/bin/sh
# Runs a program with Apache Kafka's jars in BROOK_KAFKA_CLASSPATH. They are fetched by Maven, once, from where it is set up to fetch from.
# usage: sh with_kafka.sh FOLDER PROGRAM [ARGUMENT...]      FOLDER keeps the jars
# Exits with 77, and says why, where there is no Java 17, or the jars cannot be had.
set -eu
version=3.7.1
folder=$1
shift
skip() { echo "skipped: $*"; exit 77; }

command -v java >/dev/null 2>&1 || skip "there is no java (Debian, Ubuntu: openjdk-17-jre-headless)"
command -v kcat >/dev/null 2>&1 || skip "there is no kcat (Debian, Ubuntu: kcat)"
if [ -n "${BROOK_KAFKA_JARS:-}" ]; then
  folder=$BROOK_KAFKA_JARS
elif [ ! -e "$folder/.whole" ]; then
  command -v mvn >/dev/null 2>&1 || skip "there are no jars, and no mvn to fetch them (Debian, Ubuntu: maven); or name their folder in BROOK_KAFKA_JARS"
  mkdir -p "$folder"
  cat >"$folder/pom.xml" <<POM
<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>test</groupId><artifactId>kafka</artifactId><version>1</version>
<dependencies><dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>$version</version></dependency></dependencies>
</project>
POM
  if ! timeout 300 mvn -q -B -f "$folder/pom.xml" dependency:copy-dependencies -DincludeScope=runtime "-DoutputDirectory=$folder" >"$folder/mvn.log" 2>&1; then
    skip "mvn cannot fetch org.apache.kafka:kafka_2.13:$version: $(tail -n 1 "$folder/mvn.log")"
  fi
  touch "$folder/.whole"
fi
BROOK_KAFKA_CLASSPATH="$folder/*"
export BROOK_KAFKA_CLASSPATH
exec "$@"
