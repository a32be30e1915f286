"""Releases to deploy: the checkout's own, made once by `ops/release.sh`, and the same that says it is another version.

Another version takes seconds: it is the first one's files, with another number in the product's own wheel; a broken one
has other bytes in one of its modules, too.
"""

from __future__ import annotations

import base64
import fcntl
import hashlib
import shutil
import subprocess
import zipfile
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from tests.ops.machines.base import KEPT, ROOT

PLACE: Final = KEPT / "releases"
SOURCES: Final = (
    "nodes", "grammars", "protocols", "supervisors", "requirements.txt", "requirements-uv.txt", "pyproject.toml",
    "README.md", "ops/release.sh", "ops/install.sh", "ops/packages.txt",
)  # fmt: skip
"""What a release consists of."""
NAME: Final = "ringmaster"


def release() -> Path:
    """Return the checkout's release, made if there is none of these very sources. Raises: CalledProcessError."""
    PLACE.mkdir(parents=True, exist_ok=True)
    with (PLACE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        place = PLACE / _sources()
        if not place.exists():
            for old in filter(Path.is_dir, PLACE.iterdir()):
                shutil.rmtree(old)
            with TemporaryDirectory(dir=PLACE) as made:
                subprocess.run([ROOT / "ops/release.sh", made], check=True, timeout=1200)
                subprocess.run(["sha256sum", "--check", "--quiet", *Path(made).glob("*.sha256")], check=True, cwd=made)
                Path(made).rename(place)
                Path(made).mkdir()  # for who removes it
    (found,) = place.glob("*.tar")
    return found


def another(first: Path, version: str, to: Path, edits: Mapping[str, bytes] = {}) -> Path:
    """Make of a release one of another version, in `to`. `edits`: a file in the product's wheel -> what it is then."""
    with TemporaryDirectory(dir=to) as work:
        subprocess.run(["tar", "-xf", first, "-C", work], check=True)
        (before,) = Path(work).iterdir()
        after = before.rename(before.with_name(f"{NAME}-{version}"))
        (old,) = after.glob(f"wheels/{NAME}-*.whl")
        new = old.with_name(f"{NAME}-{version}-py3-none-any.whl")
        _rewritten(old, new, version, edits)
        old.unlink()
        digest = hashlib.sha256(new.read_bytes()).hexdigest()
        lines = (after / "requirements.txt").read_text().splitlines()
        lines = [one for one in lines if not one.startswith(f"{NAME}==")]
        (after / "requirements.txt").write_text("\n".join([*lines, f"{NAME}=={version} --hash=sha256:{digest}", ""]))
        (after / "version").write_text(f"{version}\n")
        made = to / f"{NAME}-{version}.tar"
        subprocess.run(["tar", "-cf", made, "-C", work, after.name], check=True)
        return made


def _rewritten(old: Path, new: Path, version: str, edits: Mapping[str, bytes]) -> None:
    with zipfile.ZipFile(old) as read, zipfile.ZipFile(new, "w", zipfile.ZIP_DEFLATED) as written:
        names = read.namelist()
        (before,) = {name.partition("/")[0] for name in names if ".dist-info/" in name}
        after, record = f"{NAME}-{version}.dist-info", list[str]()
        for name in names:
            data = edits.get(name, read.read(name))
            if name == f"{before}/METADATA":
                number = before.removeprefix(f"{NAME}-").removesuffix(".dist-info")
                data = data.replace(f"\nVersion: {number}\n".encode(), f"\nVersion: {version}\n".encode(), 1)
            if name != f"{before}/RECORD":
                name = name.replace(before, after)
                digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
                record.append(f"{name},sha256={digest},{len(data)}\n")
                written.writestr(name, data)
        written.writestr(f"{after}/RECORD", "".join([*record, f"{after}/RECORD,,\n"]))


def _sources() -> str:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", *SOURCES],
        cwd=ROOT, check=True, capture_output=True, text=True,
    ).stdout.split("\0")  # fmt: skip
    digest = hashlib.blake2b(digest_size=6)
    for name in sorted(filter(None, listed)):
        if (path := ROOT / name).is_file():
            digest.update(f"{name}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()


__all__ = ["another", "release"]
