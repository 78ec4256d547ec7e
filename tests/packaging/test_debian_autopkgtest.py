"""debian/tests, run by autopkgtest itself in a booted Debian 13 on the packages as built."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from tests.machines.cache import ROOT
from tests.machines.container import container
from tests.machines.package import built
from tests.machines.trixie import tree

pytestmark = pytest.mark.timeout(400)  # the tree and the packages may have to be made first


def test_debians_own_tests_of_the_packages_pass() -> None:
    packages = built()
    with container(tree()) as machine:
        place = "/var/tmp/packages"
        shutil.copytree(packages.directory, Path(f"/proc/{machine.leader}/root{place}"))
        # Everything is there already; a mirror that cannot be reached would be an error.
        machine.sh("rm -f /etc/apt/sources.list /etc/apt/sources.list.d/*")
        # The container is thrown away: it is the isolation that the tests ask for.
        test = f"autopkgtest --ignore-restrictions=isolation-container {place}/*.deb {place}/*.dsc -- null"
        done = machine.run("/bin/sh", "-c", f"{test} 2>&1 </dev/null", within=200)
    # One line a test: its name and PASS, FAIL or SKIP, at the end.
    results = dict(re.findall(r"(?m)^([a-z-]+) +(PASS|FAIL|SKIP)", done.out.rpartition("summary")[2]))
    asked = re.findall(r"(?m)^Tests: (\S+)", (ROOT / "debian/tests/control").read_text())
    assert (done.code, results) == (0, dict.fromkeys(asked, "PASS")), done.out[-12000:]
