"""What the status document and the metrics say of the governor."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from edgecam.governors import budget as budgets
from edgecam.governors.budget import Budget
from edgecam.governors.disk import Disk
from edgecam.governors.governor import Governor
from edgecam.governors.lines import sentence
from edgecam.media.types import NO_LIMITS
from edgecam.rtc.ice.traffic import SENT


def as_dict(governor: Governor) -> dict[str, Any]:
    """Bytes, degrees Celsius, shares of 1; what is not known, or not there, is None."""
    limits, readings = governor.limits, governor.readings
    heat, power, memory = governor.heat, readings.power, readings.memory
    return {
        "limits": {"fps": limits.fps, "bitrate": limits.bitrate, "best_rendition": limits.best_rendition},
        "causes": governor.causes,
        "said": sentence(limits, governor.causes) if limits != NO_LIMITS else None,
        "heat": {"step": heat.steps.level, "of": len(governor.ladder) - 1, "changes": heat.steps.changes},
        "temperature": {
            "celsius": readings.temperature.celsius,
            "limit": heat.limit,
            "sensor": readings.temperature.sensor,
        }
        if readings.temperature is not None
        else None,
        "power": {"undervoltage": power.low, "slowed": power.slowed, "undervoltage_since_start": power.was_low}
        if power is not None
        else None,
        "memory": {
            "step": governor.shortage.steps.level,
            "low": governor.shortage.low,
            "available_bytes": memory.available,
            "used_bytes": memory.used,
            "limit_bytes": memory.limit,
            "stalled_pct": memory.stalled,
        }
        if memory is not None
        else None,
        "disk": {"state": _disk(readings.state), "system": _disk(readings.system)},
        "sent_bytes": SENT.total,
        "budget": _budget(governor.budget) if governor.budget is not None else None,
    }


def _disk(disk: Disk | None) -> dict[str, Any] | None:
    return {"path": str(disk.path), "free_bytes": disk.free, "read_only": disk.read_only} if disk is not None else None


def _budget(budget: Budget) -> dict[str, Any]:
    return {
        "day": budget.day,
        "used_bytes": budget.used,
        "of_bytes": budget.budget,
        "day_gone": round(budget.gone, 4),
        "share": round(budget.share, 4),
        "step": budget.level,
        "of": budgets.SPENT,
        "spent": budget.spent,
    }


Samples = Iterator[tuple[str, str, str, list[tuple[dict[str, str], Any]]]]


def samples(governor: dict[str, Any]) -> Samples:
    """What `as_dict` says as Prometheus has it: name, type, help, and samples with their labels; None where it is not known."""
    limits, temperature, power = governor["limits"], governor["temperature"] or {}, governor["power"] or {}
    memory, budget, disk = governor["memory"] or {}, governor["budget"] or {}, governor["disk"]
    steps = [("heat", governor["heat"]["step"]), ("memory", memory.get("step")), ("budget", budget.get("step"))]
    yield "governor_step", "gauge", "How many steps down it stands, by cause.", [({"cause": name}, step) for name, step in steps]
    yield "governor_limit_fps", "gauge", "Pictures a second that cameras may have, where that is limited.", [({}, limits["fps"])]
    yield "governor_limit_bitrate_ratio", "gauge", "Share of their bitrates' ceilings that cameras may have.", [({}, limits["bitrate"])]
    yield "governor_best_rendition", "gauge", "The best rendition that is given, 0 the full size.", [({}, limits["best_rendition"])]
    yield "temperature_celsius", "gauge", "Of the processor.", [({}, temperature.get("celsius"))]
    yield "undervoltage", "gauge", "1 while the power supply is too weak.", [({}, _flag(power.get("undervoltage")))]
    yield "processor_slowed", "gauge", "1 while the firmware slows the processor down.", [({}, _flag(power.get("slowed")))]
    yield "memory_available_bytes", "gauge", "What the machine or the service's limits leave.", [({}, memory.get("available_bytes"))]
    free = [({"of": name}, found["free_bytes"]) for name, found in disk.items() if found is not None]
    yield "disk_free_bytes", "gauge", "Of the file systems of the daemon's state and of the system.", free
    yield "sent_bytes_total", "counter", "Bytes sent for viewers, headers of IP, UDP and TCP included.", [({}, governor["sent_bytes"])]
    yield "budget_bytes", "gauge", "What may be sent a day.", [({}, budget.get("of_bytes"))]
    yield "budget_used_bytes", "gauge", "What of it is sent.", [({}, budget.get("used_bytes"))]


def _flag(value: bool | None) -> int | None:
    return None if value is None else int(value)
