"""`python -m tests.network.longcut SECONDS`: cut a link for so long in a network of its own; prints what came of it as one line of JSON."""

from __future__ import annotations

import json
import signal
import sys
from dataclasses import asdict

from tests.network.events import link_cut
from tests.network.matrix import town


def main(seconds: float) -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # the machines go with whoever made them
    with town() as (made, _server):
        after = link_cut(made, seconds)
    print(json.dumps(asdict(after)))


main(float(sys.argv[1]))
