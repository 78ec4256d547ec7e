"""The requests of a mediasoup server over Socket.IO (seed 003), in the several forms in which such servers take and answer them.

What a server answers to is remembered, so that a reconnect needs no guessing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from edgecam.errors import SignalingError
from edgecam.signaling.mediasoup_rtp import Json, RemoteTransport, capabilities_of, transport_of
from edgecam.signaling.socketio_client import SocketioConnection, body_of

REPLY_TIMEOUT = 10.0  # seconds for an acknowledgement that has to come
FORM_TIMEOUT = 1.5  # seconds until the other form of a request is tried as well
CONNECT_TIMEOUT = 1.0  # seconds for the acknowledgement of a transport's connection, which may never come
# Hints that servers of this kind look for in `createWebRtcTransport`; those that look for none ignore them.
SENDING = {"direction": "send", "producing": True, "consuming": False, "forceTcp": False}
CONNECT_NAMES = ("connectWebRtcTransport", "connectTransport")

Form = tuple[object, ...]
Reply = asyncio.Future[tuple[Any, ...]]


@dataclass(slots=True)
class ServerHabits:
    """What has been found out about a server: by event the form to begin with, and what connecting a transport is called there:
    None before that is known, empty when it acknowledges neither."""

    forms: dict[str, int] = field(default_factory=dict)
    connects: str | None = None


class Calls:
    """The requests, on one connection. Each raises SignalingError with what the server says, or NegotiationError for what
    cannot be used of it."""

    def __init__(self, connection: SocketioConnection, habits: ServerHabits) -> None:
        self._connection = connection
        self._habits = habits

    async def capabilities(self, room: str) -> Json:
        """The router's RtpCapabilities."""
        return capabilities_of(await self._ask_either("getRtpCapabilities", ((), ({"roomId": room},))))

    async def create_transport(self) -> RemoteTransport:
        """A WebRtcTransport to send on."""
        return RemoteTransport.of(transport_of(await self._ask_either("createWebRtcTransport", ((SENDING,), ()))))

    async def connect_transport(self, transport: RemoteTransport, dtls_parameters: Json) -> None:
        """Tell the transport who we are. It may never be acknowledged; whether it was understood, DTLS will tell."""
        body = {"transportId": transport.id, "dtlsParameters": dtls_parameters}
        known = self._habits.connects
        self._habits.connects = ""
        for name in [known] if known else CONNECT_NAMES:
            reply = await self._connection.ask(name, body)
            reply.add_done_callback(partial(self._connects_by, name))
            if known == "" or name == CONNECT_NAMES[-1]:
                continue  # nothing to wait for: `produce` is worked off after it in any case
            answered, _ = await asyncio.wait([reply], timeout=CONNECT_TIMEOUT)
            if answered:
                require_no_error(self._connection, name, reply.result())
                return

    def _connects_by(self, name: str, reply: Reply) -> None:
        # Where both are understood, the later one may be answered with an error, because the earlier one has connected already.
        if not reply.cancelled() and not (self._habits.connects and body_of(reply.result()).get("error")):
            self._habits.connects = name

    async def produce(self, transport: RemoteTransport, rtp_parameters: Json) -> str:
        """Begin to send; the producer's id."""
        body = {"transportId": transport.id, "kind": "video", "rtpParameters": rtp_parameters, "appData": {}}
        reply = await self._connection.ask("produce", body)
        try:
            async with asyncio.timeout(REPLY_TIMEOUT):
                said = await reply
        except TimeoutError as error:
            raise refused(self._connection, "it does not answer produce") from error
        answer = require_no_error(self._connection, "produce", said)
        return str(answer.get("id") or answer.get("producerId") or "")

    async def _ask_either(self, event: str, forms: Sequence[Form]) -> Json:
        """The answer to a request of which some servers take one form and some another; whichever is answered first counts."""
        asked: dict[Reply, int] = {}
        error = None
        best = self._habits.forms.get(event, 0)
        for number, form in sorted(enumerate(forms), key=lambda numbered: numbered[0] != best):
            # The wrong form may bring a server down: then it is the other one's turn next time.
            self._habits.forms[event] = (number + 1) % len(forms)
            asked[await self._connection.ask(event, *form)] = number
            within = REPLY_TIMEOUT if len(asked) == len(forms) else FORM_TIMEOUT
            answered, _ = await asyncio.wait(asked, timeout=within, return_when=asyncio.FIRST_COMPLETED)
            for reply in answered:
                form_asked = asked.pop(reply)
                try:
                    answer = require_no_error(self._connection, event, reply.result())
                except SignalingError as refusal:
                    error = error or refusal
                else:
                    self._habits.forms[event] = form_asked
                    return answer
        raise error or refused(self._connection, f"it does not answer {event}")


def require_no_error(connection: SocketioConnection, event: str, said: tuple[Any, ...]) -> Json:
    """The object in an acknowledgement, empty if there is none. Raises SignalingError when it tells of an error."""
    body = body_of(said)
    failed = body.get("success") is False or body.get("status") == "error"
    error = body.get("error") or (body.get("message") if failed else None)
    if error or failed:
        text = error.get("message") or error if isinstance(error, Mapping) else error
        raise refused(connection, f"{event}: {' '.join(str(text or 'it failed').split())[:200]}")
    return body


def refused(connection: SocketioConnection, reason: str) -> SignalingError:
    """The SignalingError for a server that is there and does not take the camera."""
    address = connection.address
    return SignalingError(
        f"the mediasoup server {address.shown} refused the camera: {reason}",
        remedy=f"check room and participant in [signaling.{address.section}], and the server's log; it is tried again by itself",
        code="signaling-refused",
    )
