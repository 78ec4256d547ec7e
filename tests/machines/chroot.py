"""Commands inside a tree, as root there: without a network, and without a trace on this machine."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.machines.cache import need_root

# Mounts stand in a namespace of their own, which ends with the command: whatever happens, none stays.
# $1: the tree; $2: "keep" or "discard" what is changed in it; then FROM TO pairs up to "--", then the command.
ENTER = """
set -eu
root=$1 changes=$2
shift 2
if [ "$changes" = discard ]; then
    mount -t tmpfs tmpfs /mnt
    mkdir /mnt/upper /mnt/work /mnt/root
    chmod --reference="$root" /mnt/upper
    mount -t overlay overlay -o "lowerdir=$root,upperdir=/mnt/upper,workdir=/mnt/work" /mnt/root
    root=/mnt/root
else
    mount --bind "$root" "$root"
fi
mount -t proc proc "$root/proc"
mount -t sysfs -o ro sysfs "$root/sys"
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
mount -t tmpfs -o mode=755 tmpfs "$root/run"
mkdir "$root/dev/shm" "$root/dev/pts" "$root/run/lock"
chmod 1777 "$root/dev/shm" "$root/run/lock"
mount -t devpts -o newinstance,ptmxmode=0666 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
for device in null zero full random urandom tty; do
    : >"$root/dev/$device"
    mount --bind "/dev/$device" "$root/dev/$device"
done
while [ "$1" != -- ]; do
    mkdir -p "$root$2"
    mount --bind "$1" "$root$2"
    shift 2
done
shift
ip link set lo up
exec chroot "$root" "$@"
"""
ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LC_ALL": "C.UTF-8",
    "DEBIAN_FRONTEND": "noninteractive",
}


def within(
    tree: Path,
    *command: str,
    keep: bool = False,
    shared: Mapping[Path, str] | None = None,
    environment: Mapping[str, str] | None = None,
    seconds: float = 600,
) -> subprocess.CompletedProcess[str]:
    """Run `command` in `tree` with an empty network and its own processes; the caller looks at the exit code.

    Changes are discarded unless `keep`. `shared` are directories of this machine with the place where they stand inside.
    Processes that the command leaves behind end with it.
    """
    need_root()
    pairs = [part for here, there in (shared or {}).items() for part in (str(here), there)]
    unshared = ["unshare", "--mount", "--net", "--ipc", "--uts", "--pid", "--fork", "--kill-child"]
    entered = ["sh", "-c", ENTER, "sh", str(tree), "keep" if keep else "discard", *pairs, "--", *command]
    return subprocess.run(
        [*unshared, *entered],
        env={**ENVIRONMENT, **(environment or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=seconds,
    )


def said(done: subprocess.CompletedProcess[str]) -> str:
    """Standard output of a command that had to succeed. Raises RuntimeError with all it said when it did not."""
    if done.returncode:
        command = done.args[done.args.index("--") + 1 :]
        raise RuntimeError(f"{command}: exit code {done.returncode}\n{(done.stdout + done.stderr)[-3000:]}")
    return done.stdout


def shell(script: str) -> Sequence[str]:
    """`script` as a command that stops at its first error."""
    return ("sh", "-euc", script)
