#!/bin/sh
# Makes what brokers need to speak TLS to each other, for trying it: an authority of one's own, and a certificate and a key for each broker.
# usage: sh examples/certificates.sh DIRECTORY [BROKERS]        ca.crt, node-1.crt, node-1.key, ...; 3 brokers if not said; good for a year
# What is there already stays: with a larger number brokers are added, and without ca.key nothing more can be signed.
set -eu
if [ $# -lt 1 ] || [ $# -gt 2 ]; then
  sed -n 's/^# usage: /usage: /p' "$0" >&2
  exit 2
fi
directory=$1
brokers=${2:-3}
case $brokers in
  '' | *[!0-9]* | 0*) echo "certificates.sh: '$brokers' is no number of brokers" >&2; exit 2 ;;
esac
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
sh "$root/.ci/need.sh" openssl-command

umask 077  # a key that others can read is refused
mkdir -p "$directory"
cd "$directory"
quietly() {
  if ! said=$("$@" 2>&1); then
    printf '%s\n' "$said" >&2
    exit 1
  fi
}
if [ ! -e ca.crt ]; then
  quietly openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 3650 -subj "/CN=brook try-out authority" \
    -addext "keyUsage=critical,keyCertSign,cRLSign" -keyout ca.key -out ca.crt
fi
node=1
while [ "$node" -le "$brokers" ]; do
  if [ ! -e "node-$node.crt" ]; then
    printf 'subjectAltName=URI:brook:node:%s\nextendedKeyUsage=serverAuth,clientAuth\nkeyUsage=critical,digitalSignature\nbasicConstraints=critical,CA:FALSE\n' "$node" >"node-$node.ext"
    quietly openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj "/CN=brook broker $node" -keyout "node-$node.key" -out "node-$node.csr"
    quietly openssl x509 -req -in "node-$node.csr" -CA ca.crt -CAkey ca.key -CAcreateserial -days 365 -extfile "node-$node.ext" -out "node-$node.crt"
    rm -f "node-$node.csr" "node-$node.ext"
  fi
  node=$((node + 1))
done
echo "In $PWD: ca.crt, and for each of $brokers brokers node-N.crt and node-N.key. Each broker needs ca.crt and its own two; keep ca.key somewhere else."
