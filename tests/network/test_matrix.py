"""Every pair of networks: the expected path, in the expected time. The table in docs/connectivity.md comes from here."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.harness.stolen import repeated_while_stolen
from tests.network.coturn import Coturn
from tests.network.events import address_changed, link_cut, turn_restarted
from tests.network.longcut import assert_lost_and_found
from tests.network.matrix import ROWS, Row, run_row, town
from tests.network.nats import Homes


@pytest.fixture(scope="module")
def built() -> Iterator[tuple[Homes, Coturn]]:
    with town() as both:
        yield both


@pytest.fixture
def made(built: tuple[Homes, Coturn]) -> Homes:
    return built[0]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_the_best_path_is_found_soon(made: Homes, row: Row) -> None:
    def call() -> None:
        outcome = run_row(made, row)
        assert outcome.path == row.expected
        if row.expected not in {"direct", "relay"}:
            return
        assert outcome.video is not None
        assert outcome.video < 5000
        if row.ice.get("policy") != "relay":
            assert outcome.answered is not None
            assert outcome.answered < 250  # milliseconds on a busy machine; a silent server costs seconds

    repeated_while_stolen(call)


def test_a_link_that_is_cut_for_three_seconds_costs_no_session(made: Homes) -> None:
    after = link_cut(made, 3.0)
    assert after.kept
    assert after.noticed is None
    assert after.back < 2


def test_a_link_that_is_cut_for_longer_is_noticed_within_five_seconds_and_the_viewer_is_back_at_once(made: Homes) -> None:
    assert_lost_and_found(link_cut(made, 20.0))


def test_a_turn_server_that_was_killed_serves_again_once_it_is_back(built: tuple[Homes, Coturn]) -> None:
    after = turn_restarted(*built, away=6.0)
    assert after.noticed is not None
    assert after.noticed < 5.2
    assert after.path == "relay"
    assert {"relay-lost", "consent-lost"} & set(after.codes)


def test_when_the_cameras_address_changes_the_session_is_rebuilt_at_once(made: Homes) -> None:
    after = address_changed(made)
    assert "address-lost" in after.codes
    assert after.noticed is not None
    assert after.noticed < 1
    assert after.back < 4
