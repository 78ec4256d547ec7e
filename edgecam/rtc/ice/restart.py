"""ICE restart (RFC 8445 section 9): new credentials and new checks, while media stays on the path from before until there is a new one."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgecam.rtc.ice.agent import Agent
    from edgecam.rtc.ice.pairs import Pair


@dataclass(frozen=True, slots=True)
class Credentials:
    """User name fragments and passwords of both sides (RFC 8839 section 5.4)."""

    local_username: str
    local_password: str
    remote_username: str
    remote_password: str


@dataclass(frozen=True, slots=True)
class Former:
    """The path from before a restart, kept with its own credentials: the viewer goes on confirming that it wants to receive there."""

    credentials: Credentials
    pair: Pair


def own_credentials() -> tuple[str, str]:
    """A user name fragment and a password, of at least the lengths that RFC 8445 section 5.3 asks for."""
    return secrets.token_hex(4), secrets.token_hex(12)


def credentials_for(agent: Agent, pair: Pair) -> Credentials:
    """What signs messages over that pair."""
    if agent.former is not None and agent.former.pair is pair:
        return agent.former.credentials
    assert agent.remote_username is not None
    assert agent.remote_password is not None
    return Credentials(agent.local_username, agent.local_password, agent.remote_username, agent.remote_password)


async def restart(agent: Agent, username: str, password: str) -> None:
    """Begin anew with the viewer's new credentials. The sockets stay, and what servers give is asked for again."""
    pair = agent.selected
    # A second restart before the first has found a path: the path is still the one from before both.
    agent.former = agent.former or (Former(credentials_for(agent, pair), pair) if pair is not None else None)
    agent.local_username, agent.local_password = own_credentials()
    agent.described_remote = username, password
    agent.forget_remote()
    if agent.began is not None:
        agent.remote_username, agent.remote_password = username, password
        agent.began = time.monotonic()
    await agent.local.renew()
    agent.wake()
