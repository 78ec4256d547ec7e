"""Credentials made with a shared secret. That a real TURN server takes them is shown in tests/network/test_doctor.py."""

from __future__ import annotations

import pytest
from pydantic import SecretStr, ValidationError

from edgecam.health import HealthBoard
from edgecam.ice_servers.minted import Minted, minted
from edgecam.ice_servers.provider import ConfiguredIceServers
from edgecam.peers import expiry_of
from edgecam.settings import IceServer, Settings
from edgecam.signaling.fields import ice_servers_to

SECRET = "shared by the TURN server and whoever makes credentials"
SERVER = IceServer(urls=("turn:turn.example:3478",), secret=SecretStr(SECRET), ttl=3600)


def test_user_name_and_password_are_those_of_the_turn_rest_api() -> None:
    # Computed with: printf 1000003600:front | openssl dgst -sha1 -hmac "$SECRET" -binary | base64
    named = SERVER.model_copy(update={"username": "front"})
    made = minted(named, 1_000_000_000.5)
    assert made.username == "1000003600:front"
    assert made.credential.get_secret_value() == "/at2HXCGKPhsVxrccJ+AapJaJNA="


def test_what_is_handed_out_does_not_hold_the_secret() -> None:
    made = minted(SERVER, 0)
    assert SECRET not in str(ice_servers_to([made])) + made.secret.get_secret_value()
    assert minted(SERVER, 0).username.endswith(":edgecam")


def test_credentials_are_kept_until_half_of_their_time_is_over() -> None:
    clock = [1_000_000.0]
    source = Minted(SERVER, lambda: clock[0])
    (first,) = source.current()
    clock[0] += 1799
    assert source.current() == (first,)
    clock[0] += 2
    (second,) = source.current()
    assert expiry_of(second.username) == 1_000_000 + 1801 + 3600


@pytest.mark.parametrize("jump", [-3600.0, 56 * 365 * 86_400.0], ids=["back", "forward"])
def test_a_clock_that_is_set_leads_to_new_credentials_at_once(jump: float) -> None:
    clock = [1_000_000.0 + 86_400]
    source = Minted(SERVER, lambda: clock[0])
    source.current()
    clock[0] += jump
    (made,) = source.current()
    assert expiry_of(made.username) == clock[0] + 3600


def test_each_server_keeps_its_own_way() -> None:
    static = IceServer(urls=("turn:b.example",), username="u", credential=SecretStr("p"))
    stun = IceServer(urls=("stun:a.example",))
    listed = ConfiguredIceServers((stun, SERVER, static), HealthBoard()).current()
    assert [server.urls[0] for server in listed] == ["stun:a.example", "turn:turn.example:3478", "turn:b.example"]
    assert expiry_of(listed[1].username) is not None
    assert listed[2] == static


@pytest.mark.parametrize(
    ("server", "wrong"),
    [
        ({"urls": ["turn:a"]}, "needs username and credential, or secret, or credentials_url"),
        ({"urls": ["turn:a"], "username": "u"}, "needs username and credential"),
        ({}, "needs urls"),
        ({"urls": ["turn:a"], "secret": "s", "credentials_url": "https://b"}, "exclude each other"),
        ({"urls": ["turn:a"], "username": "u", "credential": "c", "secret": "s"}, "exclude each other"),
    ],
)
def test_a_server_without_a_way_to_credentials_or_with_two_is_refused(server: dict[str, object], wrong: str) -> None:
    with pytest.raises(ValidationError, match=wrong):
        Settings.model_validate({"ice": {"servers": [server]}})


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("15m", 900), ("6h", 21_600), ("2d", 172_800), (42, 42)])
def test_durations_may_be_written_with_a_unit(text: object, seconds: float) -> None:
    assert Settings.model_validate({"doctor": {"relay_every": text}}).doctor.relay_every == seconds
