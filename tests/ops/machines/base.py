"""The Debian that every machine begins as: made once, kept below `var/ops`, and never written to after that.

debootstrap makes it, in a minute, with what a bare server has. The packages that roles install are in apt's cache, not
installed: machines reach no registry, as machines in a locked room. Another list of packages is another base; to have
newer packages of the same list, remove `var/ops`.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
from functools import partial
from pathlib import Path
from typing import Final

from supervisors.leash import die_with

ROOT: Final = Path(__file__).parents[3]
KEPT: Final = ROOT / "var/ops"
RELEASE: Final = "bookworm"
INSTALLED: Final = (
    "systemd", "systemd-sysv", "dbus", "openssh-server", "sudo", "python3", "python3-venv", "python3-apt", "iproute2",
    "procps", "ca-certificates",
)  # fmt: skip
"""What a server has when we get it, and what Ansible wants to find."""
FETCHED: Final = (
    "nats-server", "systemd-timesyncd", "systemd-journal-remote", "prometheus", "prometheus-alertmanager", "kamailio",
    "kamailio-tls-modules",
)  # fmt: skip
"""What roles install, beside what a node needs (`ops/packages.txt`)."""
REACH: Final = (
    "/etc/apt/sources.list", "/etc/apt/sources.list.d", "/etc/apt/apt.conf.d", "/etc/apt/trusted.gpg.d",
    "/etc/pip.conf", "/etc/xdg/pip", "/etc/resolv.conf", "/etc/hosts", "/etc/ssl/certs",
    "/usr/local/share/ca-certificates",
)  # fmt: skip
"""How this machine reaches the registries: files and directories, where they are there."""
TAKEN_BACK: Final = ("/etc/apt/apt.conf.d", "/etc/pip.conf", "/etc/xdg/pip", "/etc/resolv.conf", "/etc/hosts")
"""What of them is no business of a machine. Where packages come from stays: apt finds those of its cache by it."""
APART: Final = ("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
"""In namespaces of its own: nothing stays mounted or runs on, however it ends."""
IN_CHROOT: Final = (
    "mount -t proc proc {0}/proc && mount --rbind /dev {0}/dev && exec chroot {0} sh -ec '"
    "apt-get clean; apt-get update -qq; apt-get install -y -qq --no-install-recommends --download-only {1}; "
    "rm -f /etc/machine-id /var/lib/dbus/machine-id'"
)
LIMIT_S: Final = 900.0


def base() -> Path:
    """Return the root directory of the base, made if it is not there. Raises: CalledProcessError, TimeoutExpired."""
    fetched = (*_needed_by_a_node(), *FETCHED)
    recipe = repr((RELEASE, INSTALLED, fetched, IN_CHROOT, TAKEN_BACK))
    done = KEPT / f"base-{hashlib.blake2b(recipe.encode(), digest_size=6).hexdigest()}"
    KEPT.mkdir(parents=True, exist_ok=True)
    with (KEPT / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            made = KEPT / "unfinished"
            shutil.rmtree(made, ignore_errors=True)
            _make(made, fetched)
            made.rename(done)
    return done


def lend(root: Path) -> None:
    """Let a root directory reach the registries as this machine does."""
    (root / "etc/apt/sources.list").unlink(missing_ok=True)  # debootstrap's own: this machine's are copied
    for name in REACH:
        _copy(Path(name), root / name.lstrip("/"))


def _make(root: Path, fetched: tuple[str, ...]) -> None:
    _apart("debootstrap", "--variant=minbase", f"--include={','.join(INSTALLED)}", RELEASE, str(root))
    lend(root)
    _apart("sh", "-ec", IN_CHROOT.format(root, " ".join(fetched)))
    for name in TAKEN_BACK:
        there = root / name.lstrip("/")
        shutil.rmtree(there) if there.is_dir() else there.unlink(missing_ok=True)
    (root / "etc/apt/apt.conf.d").mkdir()


def _apart(*command: str) -> None:
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8", "TMPDIR": "/tmp"}
    log = KEPT / "base.log"
    try:
        with log.open("a") as said:
            subprocess.run(
                [*APART, *command], check=True, timeout=LIMIT_S, env=env, stdin=subprocess.DEVNULL, stdout=said,
                stderr=said, preexec_fn=partial(die_with, os.getpid()),
            )  # fmt: skip
    except subprocess.CalledProcessError as error:
        error.add_note("\n".join(log.read_text(errors="replace").splitlines()[-20:]))
        raise


def _needed_by_a_node() -> list[str]:
    lines = (line.split() for line in (ROOT / "ops/packages.txt").read_text().splitlines())
    return [line[0] for line in lines if line and not line[0].startswith("#") and line[1] == "node"]


def _copy(here: Path, there: Path) -> None:
    if here.is_dir():
        shutil.copytree(here, there, dirs_exist_ok=True, ignore_dangling_symlinks=True, copy_function=_copy_file)
    elif here.exists():
        there.parent.mkdir(parents=True, exist_ok=True)
        _copy_file(here, there)


def _copy_file(here: Path | str, there: Path | str) -> None:
    """Copy a file, and never through a link: those of a root directory would lead to files of this machine."""
    Path(there).unlink(missing_ok=True)
    shutil.copyfile(here, there)
