"""What has to come of a link that was cut for longer than consent lasts."""

from __future__ import annotations

from tests.network.events import Aftermath


def assert_lost_and_found(after: Aftermath) -> None:
    assert not after.kept
    assert after.noticed is not None
    assert after.noticed < 5.2  # the look at it takes time too
    assert after.back < 5
    assert after.path == "direct"
    assert "consent-lost" in after.codes
