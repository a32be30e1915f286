#!/bin/sh
# Brings a fresh Debian 12 machine to where `make demo` and `make test` can run: OS packages, virtual environment,
# hashed Python packages, the indexed lexicon. Every step is skipped when it is done already. Run from the checkout.
# $1: `node` for that; `tests` for the OS packages of the tests' far ends, on top of it; `soak` and `ops` for those of
# `make soak` and `make test-ops`.
set -eu

wanted=$(awk -v needs="$1" '/^[^#]/ && $2 == needs { print $1 }' ops/packages.txt)
missing=""
for package in $wanted; do
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing="$missing $package"
done
if [ -n "$missing" ]; then
    echo "setup: installing OS packages:$missing"
    if [ "$(id -u)" = 0 ]; then as_root=""
    elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then as_root="sudo"
    elif command -v sudo >/dev/null && [ -t 0 ]; then as_root="sudo"
    else
        echo "setup: not root and no sudo. Ask an administrator to run: apt-get install$missing" >&2
        exit 2
    fi
    export DEBIAN_FRONTEND=noninteractive
    # The daemons among them are run by the tests themselves, as plain processes; none is to start by itself.
    printf '#!/bin/sh\nexit 101\n' > /tmp/ringmaster-policy.$$
    had_policy=0; [ -e /usr/sbin/policy-rc.d ] && had_policy=1
    [ $had_policy = 1 ] || $as_root install -m 755 /tmp/ringmaster-policy.$$ /usr/sbin/policy-rc.d
    rm -f /tmp/ringmaster-policy.$$
    status=0
    { $as_root apt-get update -qq && $as_root apt-get install -y -qq --no-install-recommends $missing >/dev/null; } || status=$?
    [ $had_policy = 1 ] || $as_root rm -f /usr/sbin/policy-rc.d
    [ $status = 0 ] || { echo "setup: apt-get failed with $status; install by hand:$missing" >&2; exit 2; }
fi

[ "$1" = node ] || exit 0

# Our own interpreter always, so that a pyenv or conda python3 in front of PATH changes nothing.
[ -x .venv/bin/python ] || /usr/bin/python3.11 -m venv .venv
.venv/bin/uv --version 2>/dev/null | grep -q "$(sed -n 's/^uv==\([0-9.]*\).*/\1/p' requirements-uv.txt)" ||
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-uv.txt
export VIRTUAL_ENV="$PWD/.venv" TMPDIR="$PWD/.venv/tmp"  # uv leaves its locks there
mkdir -p "$TMPDIR"
.venv/bin/uv pip install --quiet --require-hashes -r requirements-dev.txt
.venv/bin/uv pip install --quiet --no-deps -e .
.venv/bin/python -c "from grammars.lang.en.lexicon import index_gruut; print('setup: lexicon', index_gruut())"
rm -rf "$TMPDIR"
