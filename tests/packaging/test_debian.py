"""The Debian packages as built: what they contain and ask for, what lintian says, and that a build can be repeated."""

from __future__ import annotations

import ast
import hashlib
import re
import subprocess
import sys
import tarfile
import tomllib
from pathlib import Path

import pytest

from edgecam import __version__
from edgecam.config import load
from tests.machines.chroot import said, shell, within
from tests.machines.package import Built, build, build_tree, built

pytestmark = pytest.mark.timeout(300)  # the tree and the packages may have to be made first

ROOT = Path(__file__).parents[2]
# Modules that are not called like what brings them.
_MODULES = {"python-socketio": "socketio", "paho-mqtt": "paho"}


@pytest.fixture(scope="module")
def packages() -> Built:
    return built()


def test_the_package_has_the_programs_version() -> None:
    command = ["dpkg-parsechangelog", "-l", str(ROOT / "debian" / "changelog"), "-S", "Version"]
    version = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    assert version.split("-")[0] == __version__


def test_each_unit_is_packaged_once(packages: Built) -> None:
    """`edgecam.service` a second time, as the template of further daemons."""
    units = [
        Path(path).name
        for package in packages.packages
        for path in _files(package)
        if "/systemd/system/" in path and not path.endswith("/")
    ]
    ours = [
        path.name
        for path in (ROOT / "systemd").iterdir()
        if path.suffix in (".service", ".socket", ".timer", ".path", ".target")
    ]
    assert sorted(units) == sorted([*ours, "edgecam@.service"])


def test_the_packages_ask_for_what_the_program_asks_for(packages: Built) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = {_debian_name(name): bound for name, bound in map(_requirement, project["dependencies"])}
    given = {
        **_relations(packages.package("edgecam-common"), "Depends"),
        **_relations(packages.package("edgecam"), "Depends"),
    }
    assert {name: bound for name, bound in given.items() if name.startswith("python3-")} == asked


def test_the_program_asks_for_everything_that_it_imports() -> None:
    """What it needs always is among its dependencies, what it imports when that is configured among its extras."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = {_requirement(text)[0] for text in project["dependencies"]}
    asked |= {_requirement(text)[0] for name, extra in project["optional-dependencies"].items() if name != "test" for text in extra}
    modules = {_MODULES.get(name, name.replace("-", "_")) for name in asked}
    trees = [ast.parse(path.read_text()) for path in (ROOT / "edgecam").rglob("*.py")]
    imported = {name for tree in trees for node in ast.walk(tree) for name in _imported(node)}
    assert imported - modules - sys.stdlib_module_names - {"edgecam"} == set()


def test_what_the_program_can_do_with_more_is_suggested(packages: Built) -> None:
    """Only test tools are left out: everything that pyproject.toml lists as an extra."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = [
        name
        for extra, needed in project["optional-dependencies"].items()
        if extra != "test"
        for name, _ in map(_requirement, needed)
    ]
    offered = {
        name
        for package in packages.packages
        for field in ("Recommends", "Suggests")
        for name in _relations(package, field)
        if name.startswith("python3-")
    }
    assert offered >= {_debian_name(name) for name in extras}


def test_the_packaged_configuration_is_right_and_keeps_to_this_machine() -> None:
    settings = load(ROOT / "debian/edgecam.toml").settings
    assert [camera.source for camera in settings.camera.values()] == ["test"]
    assert settings.web.listen.startswith("127.0.0.1:")
    assert settings.server.listen.startswith("127.0.0.1:")
    assert not settings.signaling
    assert not settings.ice.servers


def test_what_the_packaged_configuration_suggests_is_right_too(tmp_path: Path) -> None:
    """Its commented lines, taken in."""
    text = re.sub(r"(?m)^#(?=\[|[a-z_]+ = )", "", (ROOT / "debian/edgecam.toml").read_text())
    file = tmp_path / "edgecam.toml"
    file.write_text(text)
    assert sorted(load(file).settings.camera) == ["front", "test"]


def test_lintian_finds_nothing(packages: Built) -> None:
    """At its strictest, source package included. Where we know better, debian/*.lintian-overrides says why."""
    judge = "lintian --allow-root --pedantic --display-info --info --fail-on none /packages/*.changes"
    done = within(build_tree(), *shell(judge), shared={packages.directory: "/packages"})
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_a_second_build_elsewhere_and_later_gives_the_same_bytes(packages: Built, tmp_path: Path) -> None:
    """In another directory, time zone, language, with another umask, as if three days later, and files found in another order."""
    elsewhere = {
        "TZ": "Pacific/Kiritimati",
        "LC_ALL": "C",
        "LANG": "fr_FR.UTF-8",
        "HOME": "/nonexistent",
        "PYTHONHASHSEED": "4711",
    }
    later = ("faketime", "-f", "+3d")
    build(
        _sources(packages),
        build_tree(),
        tmp_path,
        place="/elsewhere/deeper",
        environment=elsewhere,
        prefix=later,
        umask=0o027,
    )
    first = {path.name: _digest(path) for path in packages.packages}
    assert {path.name: _digest(path) for path in Built(tmp_path).packages} == first


@pytest.mark.parametrize(
    ("package", "page"),
    [("edgecam-common", "edgecam.1"), ("edgecam-common", "edgecam.toml.5"), ("edgecam-server", "edgecam-server.8")],
)
def test_a_manual_page_is_shown_without_a_warning(packages: Built, package: str, page: str) -> None:
    unpack = f"dpkg-deb -x /packages/{packages.package(package).name} /tmp/unpacked"
    show = f"{unpack} && man --warnings -E UTF-8 -l -Tutf8 -Z /tmp/unpacked/usr/share/man/man*/{page}.gz >/dev/null"
    done = within(build_tree(), *shell(show), shared={packages.directory: "/packages"})
    assert (done.returncode, done.stderr) == (0, "")


def test_the_pages_name_each_command_and_each_key(packages: Built) -> None:
    from edgecam.cli import command_parser
    from edgecam.config.reference import tables

    commands = " ".join(_page(packages, "edgecam-common", "man1/edgecam.1.gz").split())
    for line in command_parser().format_help().splitlines():
        if command := re.match(r"    ([a-z-]+)  ", line):
            assert f"edgecam {command[1]}" in commands
    keys = _page(packages, "edgecam-common", "man5/edgecam.toml.5.gz")
    for table in tables():
        for row in table.rows:
            assert re.search(rf"(?m)^ +{re.escape(row.key)}\b", keys), f"{table.header} {row.key}"


def test_links_of_the_documents_lead_somewhere_in_the_package(packages: Built, tmp_path: Path) -> None:
    """Set-ups for others' programs too: they are the examples."""
    subprocess.run(["dpkg-deb", "-x", packages.package("edgecam-common"), tmp_path], check=True)
    home = tmp_path / "usr/share/doc/edgecam"
    found = {
        (page.name, link)
        for page in home.glob("*.md")
        for link in re.findall(r"\]\(([^)#]+)", page.read_text())
        if "://" not in link
    }
    assert {"examples/prometheus.yml", "examples/grafana-dashboard.json", "install.md"} <= {link for _, link in found}
    assert {(page, link) for page, link in found if not (home / link).exists()} == set()


def _page(packages: Built, package: str, path: str) -> str:
    unpack = f"dpkg-deb -x /packages/{packages.package(package).name} /tmp/unpacked"
    show = f"{unpack} && man -l -Tutf8 /tmp/unpacked/usr/share/man/{path} | col -bx"
    return said(
        within(
            build_tree(),
            *shell(show),
            shared={packages.directory: "/packages"},
            environment={"MANWIDTH": "200", "GROFF_NO_SGR": "1"},
        )
    )


def _sources(packages: Built) -> dict[str, tuple[int, bytes]]:
    """What was packaged, out of the source package, whatever the working tree has become since."""
    (archive,) = packages.directory.glob("edgecam_*.tar.xz")
    with tarfile.open(archive) as source:
        members = [(member, source.extractfile(member)) for member in source if member.isfile()]
        return {member.name.partition("/")[2]: (member.mode, file.read()) for member, file in members if file}


def _files(package: Path) -> list[str]:
    listed = subprocess.run(["dpkg-deb", "--fsys-tarfile", package], capture_output=True, check=True).stdout
    return subprocess.run(["tar", "-t"], input=listed, capture_output=True, check=True).stdout.decode().split()


def _relations(package: Path, field: str) -> dict[str, str]:
    """Each package named in a field, with its lower bound."""
    text = subprocess.run(["dpkg-deb", "-f", package, field], capture_output=True, text=True, check=True).stdout
    return dict(re.findall(r"([a-z0-9.+-]+)(?::any)?(?: \(>= ([^)]+)\))?(?:, |\n| \|)", text))


def _requirement(text: str) -> tuple[str, str]:
    name, _, bound = text.partition(">=")
    return name.strip(), bound.strip()


def _imported(node: ast.AST) -> list[str]:
    """First parts of the names that an import statement names."""
    match node:
        case ast.Import():
            return [alias.name.partition(".")[0] for alias in node.names]
        case ast.ImportFrom(module=str(module), level=0):
            return [module.partition(".")[0]]
    return []


def _debian_name(name: str) -> str:
    return {"gpiod": "python3-libgpiod"}.get(name, f"python3-{name.removeprefix('python-')}")


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
