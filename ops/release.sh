#!/bin/sh
# Makes a release for servers out of this checkout: one file, from which they install everything, and build and fetch nothing.
#     ops/release.sh [DIRECTORY]        there, default dist/: ringmaster-VERSION.tar and its .sha256
# What is fetched is held against the hashes of requirements.txt. Some of it is source and is built here, so what servers
# hold theirs against is a list of its own in the release, of the wheels that are in it.
set -eu

cd "$(dirname "$0")/.."
to=${1:-dist}
python="$PWD/.venv/bin/python"
[ -x "$python" ] || { echo "release: no .venv: make setup" >&2; exit 2; }
version=$("$python" -c "import tomllib; print(tomllib.load(open('pyproject.toml', 'rb'))['project']['version'])")
name="ringmaster-$version"
mkdir -p "$to"
work=$(mktemp -d "$to/unfinished.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM HUP
mkdir -p "$work/$name/wheels" "$work/$name/tools"

pip="$python -m pip --quiet --disable-pip-version-check"
$pip wheel --require-hashes --wheel-dir "$work/$name/wheels" -r requirements.txt
$pip wheel --no-deps --wheel-dir "$work/$name/wheels" .
$pip download --require-hashes --no-deps --dest "$work/$name/tools" -r requirements-uv.txt

"$python" - "$work/$name" <<'END'
import hashlib, sys
from pathlib import Path

release = Path(sys.argv[1])
lines = []
for wheel in sorted(release.glob("wheels/*.whl")):
    name, version, *_ = wheel.name.split("-")
    lines.append(f"{name}=={version} --hash=sha256:{hashlib.sha256(wheel.read_bytes()).hexdigest()}\n")
(release / "requirements.txt").write_text("".join(lines))
END
echo "$version" > "$work/$name/version"
git rev-parse HEAD > "$work/$name/commit"
install -m 755 ops/install.sh "$work/$name/install.sh"
awk '/^[^#]/ && $2 == "node" { print $1 }' ops/packages.txt > "$work/$name/packages"

tar --sort=name --owner=0 --group=0 --numeric-owner -cf "$work/$name.tar" -C "$work" "$name"
(cd "$work" && sha256sum "$name.tar" > "$name.tar.sha256")
mv "$work/$name.tar" "$work/$name.tar.sha256" "$to/"
echo "release: $to/$name.tar $(du -m "$to/$name.tar" | cut -f1) MB, $(ls "$work/$name/wheels" | wc -l) wheels"
