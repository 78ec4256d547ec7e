"""Connectivity checks: answering the viewer's (RFC 8445 section 7.3), making ours (7.2), nominating (8.1)."""

from __future__ import annotations

from contextlib import suppress
from struct import pack
from typing import TYPE_CHECKING

from edgecam.rtc.ice.candidate import priority
from edgecam.rtc.ice.endpoints import Endpoint
from edgecam.rtc.ice.pairs import Pair, State
from edgecam.rtc.ice.restart import credentials_for
from edgecam.rtc.ice.stun import Address, Attribute, Kind, Message, Method
from edgecam.rtc.ice.transactions import StunError

if TYPE_CHECKING:
    from edgecam.rtc.ice.agent import Agent

RESENT = (0.1, 0.2, 0.4, 0.8, 1.0, 1.0, 1.0, 1.0, 1.0)  # seconds; 6.5 in all
ROLE_CONFLICT = 487
_PRIORITY = pack("!I", priority("prflx", 65535))


def answer(agent: Agent, endpoint: Endpoint, request: Message, source: Address) -> bool:
    """Respond to a check; whether it is one of the viewer's, to be acted upon."""
    former = _key_of_former_path(agent, request)
    if former is not None:
        _succeed(former, endpoint, request, source)
        return False
    key = agent.local_password.encode()
    if request.method != Method.BINDING:
        return _refuse(endpoint, request, source, 400, "Bad Request", None)
    ours, _, theirs = request.text(Attribute.USERNAME).partition(":")
    known = ours == agent.local_username and agent.remote_username in {None, theirs}
    if not known or not request.is_signed_with(key):
        agent.evidence.strangers += 1
        return _refuse(endpoint, request, source, 401, "Unauthenticated", None)
    if _roles_conflict(agent, request):
        return _refuse(endpoint, request, source, ROLE_CONFLICT, "Role Conflict", key)
    _succeed(key, endpoint, request, source)
    agent.evidence.heard(endpoint)
    return True


def _succeed(key: bytes, endpoint: Endpoint, request: Message, source: Address) -> None:
    response = Message(Method.BINDING, Kind.SUCCESS, request.transaction)
    response.put_address(Attribute.XOR_MAPPED_ADDRESS, source)
    endpoint.send(response.encode(key), source)


def _key_of_former_path(agent: Agent, request: Message) -> bytes | None:
    """Of a check that only confirms the path from before an ICE restart, which carries media until there is a new one."""
    if agent.former is None or request.method != Method.BINDING:
        return None
    credentials = agent.former.credentials
    key = credentials.local_password.encode()
    named = f"{credentials.local_username}:{credentials.remote_username}"
    return key if request.text(Attribute.USERNAME) == named and request.is_signed_with(key) else None


def _refuse(endpoint: Endpoint, request: Message, source: Address, code: int, reason: str, key: bytes | None) -> bool:
    if key is None and endpoint.local_candidate.type == "relay":
        return False  # an answer would take a channel, and a stranger may have any number of ports
    response = Message(request.method, Kind.ERROR, request.transaction)
    response.put_error(code, reason)
    endpoint.send(response.encode(key), source)
    return False


def _roles_conflict(agent: Agent, request: Message) -> bool:
    """RFC 8445 section 7.3.1.1: the greater tie-breaker controls; whether the viewer is to change its role."""
    mine = Attribute.ICE_CONTROLLING if agent.ice_controlling else Attribute.ICE_CONTROLLED
    theirs = request.attributes.get(mine)
    if theirs is None:
        return False
    if (agent.tie_breaker >= theirs) == agent.ice_controlling:
        return True
    agent.ice_controlling = not agent.ice_controlling
    return False


def take_request(agent: Agent, endpoint: Endpoint, request: Message, source: Address) -> None:
    """Act upon a check of the viewer's that has been answered."""
    pair = agent.discovered(endpoint, source, request.number(Attribute.PRIORITY) or 1)
    if Attribute.USE_CANDIDATE in request.attributes and not agent.ice_controlling:
        pair.nominated = True
        if pair.state is State.SUCCEEDED and agent.selected is not pair:
            agent.select(pair)
    if pair.state is State.CHECKING:
        # The viewer's NAT has just let something out to us: what ours held back a moment ago gets through now.
        if pair.triggered or pair.task is None:
            return
        pair.task.cancel()
    if pair.state is not State.SUCCEEDED:
        pair.triggered = True
        start(agent, pair)


def start(agent: Agent, pair: Pair) -> None:
    """Begin the check of a pair."""
    pair.state = State.CHECKING
    pair.task = agent.spawn(_check(agent, pair), "check")


async def _check(agent: Agent, pair: Pair) -> None:
    try:
        await _ask(agent, pair, nominate=False)
    except StunError as error:
        if error.code == ROLE_CONFLICT:
            agent.ice_controlling = not agent.ice_controlling
            pair.state = State.WAITING
        else:
            pair.state, pair.error = State.FAILED, str(error)
        agent.wake()
        return
    pair.state = State.SUCCEEDED
    agent.evidence.answered(pair)
    if not agent.ice_controlling:
        if pair.nominated and agent.selected is not pair:
            agent.select(pair)
    elif _worth_nominating(agent, pair):
        await _nominate(agent, pair)


def _worth_nominating(agent: Agent, pair: Pair) -> bool:
    current = agent.selected
    return current is None or agent.former is not None or (current.is_relayed and not pair.is_relayed)


async def _nominate(agent: Agent, pair: Pair) -> None:
    with suppress(StunError):
        await _ask(agent, pair, nominate=True)
        if _worth_nominating(agent, pair):
            pair.nominated = True
            agent.select(pair)


async def _ask(agent: Agent, pair: Pair, *, nominate: bool) -> None:
    """Send a check and await its answer, which must come from where the check went (section 7.2.5.2.1)."""
    agent.evidence.asked(pair)
    reply = await pair.protocol.transactions.request(
        request_of(agent, pair, nominate=nominate), pair.remote_addr, key_of(agent, pair), RESENT
    )
    if reply.source != pair.remote_addr:
        raise StunError(0, "answered from another address")


def request_of(agent: Agent, pair: Pair, *, nominate: bool) -> Message:
    """A Binding request to the viewer over that pair."""
    credentials = credentials_for(agent, pair)
    role = Attribute.ICE_CONTROLLING if agent.ice_controlling else Attribute.ICE_CONTROLLED
    request = Message(Method.BINDING)
    request.attributes[Attribute.USERNAME] = f"{credentials.remote_username}:{credentials.local_username}".encode()
    request.attributes[Attribute.PRIORITY] = _PRIORITY
    request.attributes[role] = agent.tie_breaker
    if nominate:
        request.attributes[Attribute.USE_CANDIDATE] = b""
    return request


def key_of(agent: Agent, pair: Pair) -> bytes:
    """What signs it, and its response."""
    return credentials_for(agent, pair).remote_password.encode()
