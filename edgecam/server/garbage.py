"""Python's cycle collector, kept from stopping the server: left alone it walks through all that every client holds, 0.1 to 0.4 s with
5,000 of them, whenever a quarter more has come.

The young are still collected by Python itself. All are collected here, now and then, and what survives is left out of the next rounds
(`gc.freeze`). What was left out and has gone since, about 1 kB for a connection that asyncio had, is found in each LOOK_AT_ALL-th round.
"""

from __future__ import annotations

import asyncio
import gc

THRESHOLDS = (10_000, 20, 1_000_000)  # allocations, then rounds; the last means: never by itself
EVERY = 30.0  # seconds
LOOK_AT_ALL = 40  # rounds


async def collect_in_rounds() -> None:
    """Until cancelled; afterwards Python collects as it did before. For the process that is the server and nothing else."""
    before = gc.get_threshold()
    gc.set_threshold(*THRESHOLDS)
    number = 0
    try:
        while True:
            if number % LOOK_AT_ALL == 0:
                gc.unfreeze()
            gc.collect()
            gc.freeze()
            number += 1
            await asyncio.sleep(EVERY)
    finally:
        gc.unfreeze()
        gc.set_threshold(*before)
