"""Signed tokens: what one end signs the other reads, what PyJWT thinks of them, and every way to forge one."""

from __future__ import annotations

import base64
import json
import random
import string
from collections.abc import Callable

import jwt
import pytest

from edgecam.http.rights import Denied, Rights
from edgecam.http.signed import MAX_CHARS, Key, judge, sign

KEY, OLDER, STRANGER = (Key.of(letter * 40) for letter in "abc")
NOW = 1_800_000_000.0
ANNA = Rights("viewer", ("front", "yard-*"), "Anna", "1a2b3c4d", NOW + 3600)
CLAIMS = {"role": "viewer", "cameras": ["front"], "exp": int(NOW + 60)}


def wrong(token: str) -> bool:
    judged = judge(token, [KEY, OLDER], NOW)
    return isinstance(judged, Denied) and judged.code == "token-wrong"


def part(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def test_what_is_signed_is_read_again() -> None:
    token = sign(ANNA, KEY)
    assert judge(token, [KEY], NOW) == ANNA
    assert len(token) < MAX_CHARS


def test_an_older_key_still_verifies_and_a_strangers_does_not() -> None:
    assert judge(sign(ANNA, OLDER), [KEY, OLDER], NOW) == ANNA
    assert wrong(sign(ANNA, STRANGER))


def test_a_token_ends_when_it_says() -> None:
    judged = judge(sign(ANNA, KEY), [KEY], NOW + 3600)
    assert isinstance(judged, Denied)
    assert judged.code == "token-expired"


def test_another_library_reads_ours_and_we_read_its() -> None:
    claims = jwt.decode(sign(ANNA, KEY), KEY.secret, algorithms=["HS256"], options={"verify_exp": False})
    assert claims == {"role": "viewer", "cameras": ["front", "yard-*"], "exp": NOW + 3600, "jti": "1a2b3c4d", "sub": "Anna"}
    theirs = jwt.encode({**CLAIMS, "jti": "x", "sub": "Bo"}, KEY.secret, algorithm="HS256")
    assert judge(theirs, [OLDER, KEY], NOW) == Rights("viewer", ("front",), "Bo", "x", NOW + 60)


@pytest.mark.parametrize("algorithm", ["HS384", "HS512"])
def test_only_one_algorithm_counts(algorithm: str) -> None:
    key = Key.of("k" * 64)
    judged = judge(jwt.encode(CLAIMS, key.secret, algorithm=algorithm), [key], NOW)
    assert judged is None or isinstance(judged, Denied)


def test_no_algorithm_at_all_is_no_token() -> None:
    assert judge(jwt.encode(CLAIMS, "", algorithm="none"), [KEY], NOW) is None
    signature = sign(ANNA, KEY).rpartition(".")[2]
    headers: list[object] = [{"alg": "none"}, {"alg": "hs256"}, {}, [], None, "HS256", {"alg": "HS256", "crit": ["exp"]}]
    for header in headers:
        assert wrong(f"{part(header)}.{part(CLAIMS)}.{signature}"), header


def test_every_other_character_anywhere_breaks_it() -> None:
    token = sign(ANNA, KEY)
    chance = random.Random(1)
    for at in range(len(token)):
        for other in chance.sample(string.ascii_letters + string.digits + "-_.=+/ \0é", 8):
            if other != token[at]:
                assert not isinstance(judge(token[:at] + other + token[at + 1 :], [KEY], NOW), Rights), at
    for altered in (token + "=", token + "A", token[:-1], " " + token, token + "\n", token.replace(".", "..")):
        assert not isinstance(judge(altered, [KEY], NOW), Rights)


def test_claims_of_one_token_and_the_signature_of_another_are_wrong() -> None:
    first = sign(ANNA, KEY).split(".")
    second = sign(Rights("admin", ("*",), "", "", NOW + 10), KEY).split(".")
    assert wrong(".".join([second[0], second[1], first[2]]))


@pytest.mark.parametrize(
    "change",
    [
        {"exp": None}, {"exp": "4000000000"}, {"exp": True}, {"exp": float("1e300")}, {"role": "boss"}, {"role": None},
        {"role": "anyone"}, {"role": ["admin"]}, {"cameras": []}, {"cameras": "*"}, {"cameras": None}, {"cameras": [1]},
        {"cameras": ["a/b"]}, {"cameras": [""]}, {"cameras": ["x"] * 33}, {"nbf": NOW + 3600}, {"nbf": "soon"},
        {"jti": "has space"}, {"jti": 5},
    ],
    ids=str,
)  # fmt: skip
def test_genuine_claims_that_make_no_sense_open_nothing(change: dict[str, object]) -> None:
    token = f"{part({'alg': 'HS256'})}.{part({**CLAIMS, **change})}"
    signature = jwt.api_jws.get_algorithm_by_name("HS256").sign(token.encode(), KEY.secret)
    signed = f"{token}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"
    assert not isinstance(judge(signed, [KEY], NOW), Rights)


def test_a_name_is_made_fit_for_a_log() -> None:
    judged = judge(jwt.encode({**CLAIMS, "sub": "a\nb\x1b[0m" + "c" * 200}, KEY.secret), [KEY], NOW)
    assert isinstance(judged, Rights)
    assert judged.name.isprintable()
    assert len(judged.name) == 80


def test_what_is_no_token_of_this_form_is_left_to_others() -> None:
    for text in ("", "sesame", "a.b", "a.b.c", "x" * 1000, "é.é.é", sign(ANNA, KEY) + "." + "x" * 400):
        assert judge(text, [KEY], NOW) is None


def test_a_token_too_long_to_be_sent_is_not_made() -> None:
    many = Rights("viewer", tuple(f"camera-number-{n}" for n in range(30)), expires=NOW)
    with pytest.raises(ValueError, match="name fewer cameras"):
        sign(many, KEY)


def test_garbage_never_raises() -> None:
    chance = random.Random(7)
    letters = string.ascii_letters + string.digits + "-_"
    texts: list[Callable[[], str]] = [
        lambda: ".".join("".join(chance.choices(letters, k=chance.randrange(80))) for _ in range(chance.randrange(5))),
        lambda: f"{part({'alg': 'HS256'})}.{''.join(chance.choices(letters, k=40))}.{''.join(chance.choices(letters, k=43))}",
    ]
    for _ in range(5000):
        assert not isinstance(judge(chance.choice(texts)(), [KEY], NOW), Rights)


@pytest.mark.parametrize(("role", "sends", "watches"), [("admin", True, True), ("camera", True, False), ("viewer", False, True)])
def test_what_a_role_may_do_and_where(role: str, sends: bool, watches: bool) -> None:
    rights = Rights(role, ("front", "yard-*"))  # type: ignore[arg-type]
    for camera, covered in (("front", True), ("yard-1", True), ("yard", False), ("frontier", False), ("FRONT", False)):
        assert rights.covers(camera) is covered
        assert rights.may_send(camera) is (covered and sends)
        assert rights.may_watch(camera) is (covered and watches)
