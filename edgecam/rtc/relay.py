"""Whether the TURN server serves us: said when that changes, and to a viewer who cannot do without."""

from __future__ import annotations

from typing import Any

import structlog

from edgecam.errors import ViewerRefusedError
from edgecam.rtc.sdp import has_relay_candidate

log = structlog.get_logger(__name__)

# aioice keeps to itself whether a server refused us or was silent, hence both remedies in one.
REMEDY = "check that it is running and reachable, and that its username and credential (password) are right"


class Relay:
    """What is known of the TURN server. `url` is the one that was used last, `works` None before the first use."""

    def __init__(self, policy: str) -> None:
        self.url: str | None = None
        self.works: bool | None = None
        self._policy = policy

    def gathered(self, url: str | None, description: str) -> None:
        """A session with TURN server `url` has gathered what stands in its SDP. Raises ViewerRefusedError
        (turn-unusable) when the policy allows relayed candidates only and there is none."""
        found = has_relay_candidate(description)
        if url is not None and (url, found) != (self.url, self.works):
            if not found:
                log.warning("turn.unusable", url=url, reason="the TURN server gave no relay address", remedy=REMEDY)
            elif self.works is False:
                log.info("turn.usable", url=url)
            self.url, self.works = url, found
        if found or self._policy != "relay":
            return
        if url is None:
            raise ViewerRefusedError(
                "only relayed connections are allowed, but there is no TURN server",
                remedy='add one to [[ice.servers]], or set [ice] policy = "all"',
                code="turn-unusable",
            )
        raise ViewerRefusedError(
            f"only relayed connections are allowed, and the TURN server {url} gave no relay address",
            remedy=REMEDY,
            code="turn-unusable",
        )

    def as_dict(self) -> dict[str, Any]:
        """For the status document."""
        return {"policy": self._policy, "url": self.url, "works": self.works}
