"""A row of the matrix that takes two minutes, in a network of its own."""

from __future__ import annotations

import pytest

from tests.network.events import link_cut
from tests.network.longcut import assert_lost_and_found
from tests.network.matrix import town


@pytest.mark.timeout(240)
def test_a_link_that_was_cut_for_two_minutes_has_its_viewer_back_at_once() -> None:
    with town() as (made, _server):
        assert_lost_and_found(link_cut(made, 120.0))
