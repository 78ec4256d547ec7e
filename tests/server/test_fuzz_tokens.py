"""Tokens that nobody signed, places that belong to others, roles that are taken: what forging, replaying and guessing gives."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import random
import string
import time

import aiohttp
import pytest

from edgecam.http.credentials import FAILURES_ALLOWED
from edgecam.http.rights import Rights
from edgecam.http.signed import Key, judge, sign
from tests.server.scene import Town, play
from tests.server.test_access import ANNA, KEY, KEYS, bearer, camera, token

BERT = "bert-" + "b" * 16
NOW = time.time()
GOOD = Rights("viewer", ("front",), token_id="abcd", expires=NOW + 3600)


def encoded(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def forged(header: dict[str, object], claims: dict[str, object] | None = None, key: str = KEY, algorithm: str = "sha256") -> str:
    """A token with this header, genuinely signed with `key` in whatever way it says."""
    body = claims or {"role": "admin", "cameras": ["*"], "exp": NOW + 3600}
    signed = f"{encoded(header)}.{encoded(body)}"
    signature = hmac.new(key.encode(), signed.encode(), getattr(hashlib, algorithm)).digest()
    return f"{signed}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"


def test_every_flipped_bit_of_a_token_makes_it_worthless() -> None:
    keys, good = [Key.of(KEY)], sign(GOOD, Key.of(KEY))
    assert judge(good, keys, NOW) == Rights("viewer", ("front",), "", "abcd", float(round(NOW + 3600)))
    for at, character in enumerate(good):
        for bit in range(7):
            changed = good[:at] + chr(ord(character) ^ (1 << bit)) + good[at + 1 :]
            assert not isinstance(judge(changed, keys, NOW), Rights), (at, bit)


def test_tens_of_thousands_of_mutated_tokens_entitle_to_nothing() -> None:
    chance, keys = random.Random(5), [Key.of(KEY), Key.of("another key that is long enough for it")]
    good = sign(GOOD, keys[0])
    alphabet = string.ascii_letters + string.digits + "-_.=+/ \n\0é"
    for _ in range(30_000):
        text = good
        for _ in range(chance.randint(1, 3)):
            at = chance.randrange(len(text) + 1)
            text = chance.choice((text[:at] + chance.choice(alphabet) + text[at:], text[:at] + text[at + 1 :], text[:at] * 2, text[at:]))
        if text != good:
            assert not isinstance(judge(text, keys, NOW), Rights), text


@pytest.mark.parametrize(
    "text",
    [
        forged({"alg": "none"}),
        forged({"alg": "none"}).rpartition(".")[0] + ".",
        forged({"alg": "None", "typ": "JWT"}),
        forged({"alg": "HS512"}, algorithm="sha512"),
        forged({"alg": "HS384"}, algorithm="sha384"),
        forged({"alg": "RS256"}),
        forged({"alg": ["HS256"]}),
        forged({}),
        forged({"alg": "HS256", "crit": ["exp"]}),
        forged({"alg": "HS256", "kid": "../../dev/null"}, key=""),
        forged({"alg": "HS256", "kid": ""}),
        forged({"alg": "HS256"}, key="another key that is long enough for it"),
        forged({"alg": "HS256"}, {"role": "admin", "cameras": ["*"], "exp": NOW - 1}),
        forged({"alg": "HS256"}, {"role": "admin", "cameras": ["*"]}),
        forged({"alg": "HS256"}, {"role": "admin", "cameras": ["*"], "exp": True}),
        forged({"alg": "HS256"}, {"role": "admin", "cameras": ["*"], "exp": "9999999999"}),
        forged({"alg": "HS256"}, {"role": "admin", "cameras": ["*"], "exp": 1e300}),
        forged({"alg": "HS256"}, {"role": "admin", "cameras": ["*"], "exp": NOW + 60, "nbf": NOW + 3000}),
        forged({"alg": "HS256"}, {"role": "root", "cameras": ["*"], "exp": NOW + 60}),
        forged({"alg": "HS256"}, {"role": "admin", "cameras": "*", "exp": NOW + 60}),
        forged({"alg": "HS256"}, {"role": "admin", "cameras": [], "exp": NOW + 60}),
        "..", "a.b.c", "." * 400, "x" * 600, "", "\0", "é" * 100,
    ],
)  # fmt: skip
def test_a_token_of_another_making_entitles_to_nothing(text: str) -> None:
    assert not isinstance(judge(text, [Key.of(KEY)], NOW), Rights)


def test_at_the_door_forged_tokens_open_nothing_and_guessing_is_slowed_down() -> None:
    async def script(town: Town) -> None:
        good = token("viewer", "front")
        attempts = [forged({"alg": "none"}), good[:-1] + ("A" if good[-1] != "A" else "B"), token("admin", key="x" * 40)]
        attempts += [good + "A", good.swapcase()]
        statuses = []
        for text in (*attempts, *attempts, *attempts):
            with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
                await town.connect(Authorization=f"Bearer {text}")
            statuses.append(caught.value.status)
        assert set(statuses[:FAILURES_ALLOWED]) == {401}
        assert statuses[-1] == 429

    play(script, token="sesame", **KEYS)


def test_an_old_join_that_is_played_again_gets_nothing_once_its_token_has_ended() -> None:
    async def script(town: Town) -> None:
        front = await camera(town, "front")
        ended = token("viewer", "front", lasts=-1)
        with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
            await town.connect(Authorization=f"Bearer {ended}")
        assert caught.value.status == 401
        # On a connection of its own rights, which do not reach that camera, the recorded messages do no better.
        other = await town.connect(**bearer("viewer", "yard"))
        replay = {"cameraId": "front", "peerId": ANNA, "offers": True}
        assert (await other.register("receiver", token=ended, **replay))["code"] == "token-expired"
        assert (await other.register("receiver", **replay))["code"] == "forbidden"
        await other.send("offer", sdp="v=0", cameraId="front", peerId=ANNA)
        assert (await other.next())["code"] == "not-registered"
        await front.nothing_more()

    play(script, token="sesame", **KEYS)


def test_registering_twice_is_one_registration() -> None:
    async def script(town: Town) -> None:
        front = await camera(town, "front")
        viewer = await town.connect(**bearer("viewer", "front"))
        for _ in range(3):
            assert (await viewer.register("receiver", cameraId="front", peerId=ANNA))["type"] == "registered"
            assert (await viewer.next())["type"] == "peer-connected"
            assert (await front.next())["peerId"] == ANNA
        for _ in range(2):
            assert (await front.register("sender", cameraId="front"))["type"] == "registered"
        await front.send("offer", sdp="v=0", peerId=ANNA)
        assert (await viewer.next())["type"] == "offer"
        await viewer.nothing_more()
        await front.nothing_more()

    play(script, token="sesame", **KEYS)


def test_a_camera_reaches_no_viewer_of_another_and_a_viewer_no_other_camera() -> None:
    async def script(town: Town) -> None:
        front, yard = await camera(town, "front"), await camera(town, "yard")
        anna, bert = await town.connect(**bearer("viewer", "front")), await town.connect(**bearer("viewer", "yard"))
        assert (await anna.register("receiver", cameraId="front", peerId=ANNA))["type"] == "registered"
        assert (await bert.register("receiver", cameraId="yard", peerId=BERT))["type"] == "registered"
        for peer in (anna, bert, front, yard):
            assert (await peer.next())["type"] == "peer-connected"
        for kind in ("offer", "answer"):  # the front's camera has somehow learned the id of the yard's viewer
            await front.send(kind, sdp="v=0", peerId=BERT, cameraId="yard")
            assert (await front.next())["code"] == "peer-absent"
        await front.send("ice-candidate", candidate="candidate:1", peerId=BERT, cameraId="yard")
        await front.send("error", message="go away", peerId=BERT, cameraId="yard")
        for kind in ("offer", "answer"):  # and a viewer says that it is another, at another camera
            await anna.send(kind, sdp="v=0 anna", peerId=BERT, cameraId="yard")
            heard = await front.next()
            assert (heard["sdp"], heard["peerId"], heard["cameraId"]) == ("v=0 anna", ANNA, "front")
        for peer in (bert, yard, anna, front):
            await peer.nothing_more()

    play(script, token="sesame", **KEYS)


def test_guessing_peer_ids_finds_nobody() -> None:
    async def script(town: Town) -> None:
        front, anna = await town.camera("front"), await town.viewer("front", ANNA)
        await front.next()
        await anna.next()
        thief = await town.camera("yard")
        chance = random.Random(3)
        for _ in range(300):
            await thief.send("ice-candidate", candidate="candidate:1", peerId=f"anna-{chance.getrandbits(64):016x}")
        await thief.send("ice-candidate", candidate="candidate:1", peerId=ANNA)
        await thief.nothing_more()
        await anna.nothing_more()

    play(script)


def test_a_viewer_is_no_camera_and_a_second_camera_of_that_name_is_none() -> None:
    async def script(town: Town) -> None:
        front = await town.camera("front", instanceId="secret-of-the-camera")
        anna = await town.viewer("front", ANNA)
        await front.next()
        await anna.next()
        # On the same socket, with what a viewer may know.
        assert (await anna.register("sender", cameraId="front"))["code"] == "already-registered"
        await anna.send("answer", sdp="v=0 as if I were the camera", peerId=ANNA)
        assert (await front.next())["peerId"] == ANNA
        for guess in ({}, {"instanceId": "secret-of-the-camerb"}, {"instanceId": ""}, {"instanceId": "secret-of-the-camera "}):
            thief = await town.connect()
            assert (await thief.register("sender", cameraId="front", **guess))["type"] == "error", guess
            await thief.send("offer", sdp="v=0", peerId=ANNA)
            assert (await thief.next())["code"] == "not-registered"
        await front.send("offer", sdp="v=0", peerId=ANNA)
        assert (await anna.next())["type"] == "offer"
        await anna.nothing_more()

    play(script)
