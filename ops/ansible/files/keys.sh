#!/bin/sh
# Makes the keys of a cluster that are missing, on the controller; says `made: NAME` for each, nothing where none is.
#     keys.sh SECRETS CLUSTER "NATS NATS ..." NODE...      RINGMASTER: the command; ANSIBLE_VAULT_PASSWORD_FILE
# What is secret lies in SECRETS encrypted by ansible-vault, and in the clear in memory only, where there is /dev/shm.
# Whoever kills it says it again: keys of a node without its file are taken back, and made anew.
set -eu

secrets=$1 cluster=$2 nats=$3
shift 3
missing=""
for node in "$@"; do [ -e "$secrets/$node.keys" ] || missing="$missing $node"; done
if [ -z "$missing" ] && [ -e "$secrets/nats/users.json" ]; then exit 0; fi

umask 077
mkdir -p "$secrets/nats"
clear=/dev/shm
[ -w "$clear" ] || clear=${TMPDIR:-/tmp}
work=$(mktemp -d "$clear/ringmaster.XXXXXX")  # a short path: below it are names of sockets
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM HUP
first=${nats%% *}
printf '[node]\nid = "controller"\nroles = ["desk"]\n[paths]\nstate = "state"\n[nats]\nurl = "%s"\n' "$first" > "$work/ringmaster.toml"
export RINGMASTER_CONFIG="$work/ringmaster.toml"
mkdir "$work/state"

if [ -e "$secrets/cluster.tar" ]; then
    ansible-vault decrypt --output "$work/before.tar" "$secrets/cluster.tar" >/dev/null
    tar -xf "$work/before.tar" -C "$work/state"
else
    "$RINGMASTER" cluster init "$cluster" >/dev/null
    echo "made: cluster.tar"
fi
set -- --nkeys
for url in $nats; do set -- "$@" --nats "$url"; done
for node in $missing; do
    if [ -e "$work/before.tar" ]; then "$RINGMASTER" cluster remove "$node" 2>/dev/null || true; fi
    "$RINGMASTER" cluster keys "$node" "$@" --to "$work/$node.keys" 2>"$work/said" || { cat "$work/said" >&2; exit 1; }
done
"$RINGMASTER" cluster nats-config > "$work/users.json"

# First whom the cluster knows, then what they are known by.
tar -cf "$work/cluster.tar" -C "$work/state" .
(cd "$work"; set -- *.keys cluster.tar; [ -e "$1" ] || shift; ansible-vault encrypt "$@" >/dev/null)
keep() { cp "$work/$1" "$secrets/.unfinished"; mv "$secrets/.unfinished" "$secrets/$2"; }
keep cluster.tar cluster.tar
keep users.json nats/users.json
for node in $missing; do
    keep "$node.keys" "$node.keys"
    echo "made: $node.keys"
done
