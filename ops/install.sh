#!/bin/sh
# Installs the release that lies beside it, as root: a directory with an interpreter of its own, at its last place, for
# it cannot be moved. Nothing is fetched or built, and what is installed is held against the release's own list.
#     install.sh [RELEASES]        default /opt/ringmaster/releases; there VERSION is made
# `installed` is written last: a directory without it is made anew, one with it is left as it is.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
version=$(cat "$here/version")
to=${1:-/opt/ringmaster/releases}/$version
if [ -e "$to/installed" ]; then echo "install: $to is there"; exit 0; fi
rm -rf "$to"
mkdir -p "$to"
tools=$(mktemp -d)
trap 'rm -rf "$tools"' EXIT
trap 'exit 1' INT TERM HUP

# Calls may be up on this machine: what compiles for minutes takes what they leave.
renice -n 19 -p $$ > /dev/null
ionice -c 3 -p $$

umask 022
/usr/bin/python3.11 -m zipfile -e "$here"/tools/uv-*.whl "$tools"
uv=$(echo "$tools"/uv-*.data/scripts/uv)
chmod 755 "$uv"
"$uv" venv --quiet --no-cache --offline --no-python-downloads --allow-existing --python /usr/bin/python3.11 "$to"
"$uv" pip install --quiet --no-cache --offline --no-index --find-links "$here/wheels" --require-hashes --no-deps \
    --link-mode copy --python "$to/bin/python" -r "$here/requirements.txt"
# The unit may write nothing here later, so what Python and the lexicon keep is made now; but for what no node loads,
# which is half of all: the tests of libraries, where telephone numbers are at home, tables.
"$to/bin/python" -m compileall -q -j 0 -x '/(tests|geodata|carrierdata|pandas)/' "$to/lib"
"$to/bin/python" -c "from grammars.lang.en.lexicon import index_gruut; print('install: lexicon', index_gruut())"
"$to/bin/ringmaster" --version
cp "$here/commit" "$to/commit"
touch "$to/installed"
