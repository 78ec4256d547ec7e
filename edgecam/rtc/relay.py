"""What viewers cannot do without when only relayed connections are allowed, and what the status says of TURN."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from edgecam.errors import ViewerRefusedError
from edgecam.rtc.ice.servers import Server, ServerHealth
from edgecam.rtc.sdp import has_relay_candidate


def require_relay(servers: Sequence[Server], health: ServerHealth, description: str) -> None:
    """Raise ViewerRefusedError unless our description offers a relayed address: turn-unusable, or what the servers' refusal
    means (`refusals`)."""
    if has_relay_candidate(description):
        return
    if not any(server.kind == "turn" for server in servers):
        raise ViewerRefusedError(
            "only relayed connections are allowed, but there is no TURN server",
            remedy='add one to [[ice.servers]], or set [ice] policy = "all"',
            code="turn-unusable",
        )
    refusal = health.refusal(servers)
    raise ViewerRefusedError(
        "only relayed connections are allowed, and no TURN server gave a relay address",
        remedy=health.explain(servers),
        code=refusal.code if refusal is not None else "turn-unusable",
    )


def relay_summary(policy: str, servers: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """One line for the status: a TURN server that works, else one that does not; `works` is None before the first use."""
    turns = [server for server in servers if str(server["url"]).startswith("turn")]
    best = next((server for server in turns if server["works"]), turns[0] if turns else None)
    return {"policy": policy, "url": best["url"] if best else None, "works": best["works"] if best else None}
