"""The Debian packages, built from this working tree in a Debian 13 tree, and a tree where they are installed."""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.machines.cache import ROOT, kept, key, run
from tests.machines.chroot import said, shell, within
from tests.machines.trixie import tree, unpacked

# All that the packages are made of. Tests and the tools of development are no part of them.
SOURCES = """
    CHANGELOG.md CONTRIBUTING.md ARCHITECTURE.md LICENSE README.md pyproject.toml completion config debian docs edgecam man systemd
""".split()  # noqa: SIM905
NOT_SOURCES = ("__pycache__", ".debhelper")


@dataclass(frozen=True, slots=True)
class Built:
    """The result of one build. `directory` also holds the source package, .buildinfo and .changes."""

    directory: Path

    @property
    def packages(self) -> tuple[Path, ...]:
        """Every binary package, each before those that depend on it."""
        return tuple(
            sorted(
                self.directory.glob("*.deb"), key=lambda path: (not path.name.startswith("edgecam-common_"), path.name)
            )
        )

    def package(self, name: str) -> Path:
        """The one named `name`."""
        (found,) = self.directory.glob(f"{name}_*.deb")
        return found


def built() -> Built:
    """The packages of this working tree as it is now, kept under `.cache/machines/` until a packaged file changes.

    Takes half a minute. Raises RuntimeError with the build's last lines.
    """
    sources = read_sources()
    builder = build_tree()
    parts = [part for name, (mode, raw) in sorted(sources.items()) for part in (name, str(mode), raw)]

    def make(directory: Path) -> None:
        build(sources, builder, directory)

    return Built(kept("deb", key([builder.name, *parts]), make, "building the Debian packages, about half a minute"))


def installed() -> Path:
    """A tree like `trixie.tree()` where the packages are installed and their units enabled: boot it, and they run."""
    packages = built()
    base = tree()

    def make(directory: Path) -> None:
        run("cp", "-a", f"{base}/.", directory)
        names = [f"/tmp/packages/{path.name}" for path in packages.packages]
        # Everything they depend on is in the tree already: nothing is fetched.
        said(
            within(
                directory,
                "apt-get",
                "-q",
                "-y",
                "--no-install-recommends",
                "install",
                *names,
                keep=True,
                shared={packages.directory: "/tmp/packages"},
            )
        )
        (directory / "tmp/packages").rmdir()

    return kept(
        "installed", key([base.name, packages.directory.name]), make, "installing the Debian packages in a tree"
    )


def build_tree() -> Path:
    """A Debian 13 with what debian/control asks for to build, and with what judges packages."""
    wanted = re.search(r"(?m)^Build-Depends:((?:\n? .*)+)", (ROOT / "debian/control").read_text())
    if wanted is None:
        raise RuntimeError("debian/control has no Build-Depends")
    names = re.findall(r"(?m)^ *([a-z0-9.+-]+)", wanted[1])
    # A word for a version of debhelper's interface, provided by debhelper.
    names = ["debhelper" if name == "debhelper-compat" else name for name in names]
    # lintian lives in a directory that the other trees do without.
    tools = ["build-essential", "lintian", "man-db", "bsdextrautils", "faketime"]
    return unpacked(
        "trixie-build", [*names, *tools], variant="buildd", left_out=("/usr/share/doc/*", "/usr/share/locale/*")
    )


def read_sources() -> dict[str, tuple[int, bytes]]:
    """Each packaged file's path in the tree, with its mode and content. Symbolic links are followed."""
    found: dict[str, tuple[int, bytes]] = {}
    for name in SOURCES:
        start = ROOT / name
        files = [start] if start.is_file() else sorted(path for path in start.rglob("*") if path.is_file())
        for file in files:
            inside = file.relative_to(ROOT)
            if not set(NOT_SOURCES) & set(inside.parts):
                found[str(inside)] = (0o755 if os.access(file, os.X_OK) else 0o644, file.read_bytes())
    return found


def build(
    sources: dict[str, tuple[int, bytes]],
    builder: Path,
    directory: Path,
    *,
    place: str = "/build",
    environment: dict[str, str] | None = None,
    prefix: tuple[str, ...] = (),
    umask: int = 0o022,
) -> None:
    """Build source and binary packages into `directory`, in a new place without a network. `prefix` stands before the build's command."""
    with TemporaryDirectory() as scratch:
        for name, (mode, raw) in sources.items():
            file = Path(scratch, "edgecam", name)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(raw)
            file.chmod(mode)
        command = f"umask {umask:03o} && cd {place}/edgecam && exec {' '.join(prefix)} dpkg-buildpackage -us -uc --no-check-builddeps 2>&1"
        said(within(builder, *shell(command), shared={Path(scratch): place}, environment=environment))
        for made in Path(scratch).iterdir():
            if made.is_file():
                shutil.copy(made, directory)


if __name__ == "__main__":
    # `make deb` copies the packages out of the directory that is printed.
    print(built().directory)
