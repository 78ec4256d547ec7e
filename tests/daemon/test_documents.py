"""The documents keep up with the code."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
LINK = re.compile(r"\]\((?!https?://)([^)#]+)")


def test_every_code_that_a_person_may_meet_is_explained() -> None:
    source = "\n".join(path.read_text() for path in (ROOT / "edgecam").rglob("*.py"))
    codes = set(re.findall(r'code="([a-z0-9-]+)"', source)) | set(re.findall(r'^    code = "([a-z-]+-[a-z-]+)"', source, re.MULTILINE))
    assert len(codes) > 20
    explained = set(re.findall(r"`([a-z0-9-]+)`", (ROOT / "docs" / "troubleshooting.md").read_text()))
    assert codes - explained == set()


def test_every_verdict_of_the_doctor_is_explained() -> None:
    source = "\n".join(path.read_text() for path in (ROOT / "edgecam" / "doctor").glob("*.py"))
    subjects = "camera|encoder|codec|network|signaling|clock|udp|stun|nat|turn|credential|relay"
    codes = set(re.findall(rf'"((?:{subjects})-[a-z0-9-]*[a-z0-9])"', source))
    assert len(codes) > 18
    explained = set(re.findall(r"^\| `([a-z0-9-]+)`", (ROOT / "docs" / "troubleshooting.md").read_text(), re.MULTILINE))
    assert codes - explained == set()


def test_every_link_between_documents_leads_somewhere() -> None:
    for document in [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]:
        for target in LINK.findall(document.read_text()):
            assert (document.parent / target).exists(), f"{document.name} links to {target}"


def test_every_file_that_the_architecture_names_exists() -> None:
    named = re.findall(r"`([a-z_/]+\.(?:py|js))`", (ROOT / "ARCHITECTURE.md").read_text())
    assert len(named) > 15
    here = {str(path.relative_to(ROOT / "edgecam")) for path in (ROOT / "edgecam").rglob("*.*")}
    for name in named:
        assert any(path == name or path.endswith(f"/{name}") for path in here), name
