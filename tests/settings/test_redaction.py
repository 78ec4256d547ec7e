"""What is masked, and what must stay readable."""

from __future__ import annotations

import pytest
from pydantic import SecretStr

from edgecam.redaction import MASK, mask, mask_text, register_secret


@pytest.mark.parametrize(
    "key", ["token", "web_token", "credential", "password", "client_secret", "Authorization", "set-cookie", "ice-pwd"]
)
def test_a_value_under_a_key_that_looks_secret_is_masked(key: str) -> None:
    assert mask(key, "31415926") == MASK
    assert mask("request", {"headers": {key: "31415926"}}) == {"headers": {key: MASK}}


def test_a_secret_string_is_masked_wherever_it_is() -> None:
    assert mask("anything", [SecretStr("31415926")]) == [MASK]
    assert mask("anything", SecretStr("")) == ""


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("GET /view/front?token=31415926&x=1 HTTP/1.1", f"GET /view/front?token={MASK}&x=1 HTTP/1.1"),
        ("http://h/#token=31415926", f"http://h/#token={MASK}"),
        ("Authorization: Bearer 31415926.abc", f"Authorization: Bearer {MASK}"),
        ("a=ice-ufrag:abcd\r\na=ice-pwd:31415926\r\na=mid:0", f"a=ice-ufrag:abcd\r\na=ice-pwd:{MASK}\r\na=mid:0"),
        ("wss://me:31415926@signaling.example/ws", f"wss://me:{MASK}@signaling.example/ws"),
        ('"rtsp://me:31@41@59:26@cam/x@y", z', f'"rtsp://me:{MASK}@cam/x@y", z'),
        ("https://31415926@api.example/?a=b@c", f"https://{MASK}@api.example/?a=b@c"),
        ("turn:me:31415926@turn.example:3478", f"turn:{MASK}@turn.example:3478"),
        ("http://cam/x?usr=me&pwd=31415926&loginpas=31415926", f"http://cam/x?usr=me&pwd={MASK}&loginpas={MASK}"),
        ("wss://h/?apikey=31415926&X-Api-Key=31415926", f"wss://h/?apikey={MASK}&X-Api-Key={MASK}"),
        ("https://h/s3?X-Amz-Signature=31415926&auth=31415926", f"https://h/s3?X-Amz-Signature={MASK}&auth={MASK}"),
    ],
)
def test_secrets_in_known_places_of_a_text_are_masked(text: str, masked: str) -> None:
    assert mask_text(text) == masked


@pytest.mark.parametrize(
    "text",
    [
        "http://127.0.0.1:8088/view/front?autoplay=1",
        "http://cam:8080/axis.cgi?keyframes=1&monkey=2&author=me",
        "a=fingerprint:sha-256 AA:BB",
        "12:30 me@example.org",
        "basic usage",
    ],
)
def test_ordinary_text_stays_readable(text: str) -> None:
    assert mask_text(text) == text


def test_a_registered_secret_is_masked_inside_any_value() -> None:
    register_secret("correct-horse-battery")
    assert mask("error", ValueError("refused correct-horse-battery")) == f"refused {MASK}"
    assert mask("detail", ("x", {"y": "xcorrect-horse-batteryx"})) == ["x", {"y": f"x{MASK}x"}]


def test_a_registered_secret_is_masked_however_it_is_written() -> None:
    register_secret('pass/word "1"\nand a second line\n')
    for text in ('pass/word "1"', "pass%2Fword%20%221%22", r"pass/word \"1\"", "and a second line"):
        assert mask_text(f"it was {text}.") == f"it was {MASK}."


def test_a_secret_too_short_to_tell_from_a_word_is_not_registered() -> None:
    register_secret("demo")
    assert mask_text("camera demo") == "camera demo"


def test_numbers_and_absence_stay_what_they_are() -> None:
    assert mask("viewers", 3) == 3
    assert mask("token", None) is None
