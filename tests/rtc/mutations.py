"""RTCP that nobody should send: compounds broken in every way we could think of, the same ones for the same seed."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from tests.rtc.rtcp import (
    application,
    block,
    bye,
    extended_report,
    fir,
    nack,
    pli,
    receiver_report,
    remb,
    sdes,
    sender_report,
    transport_feedback,
)

LARGEST = 1350  # bytes; pylibsrtp protects no more


class Mutations:
    """Endless hostile compounds about the streams `ssrcs`."""

    def __init__(self, seed: int, *ssrcs: int) -> None:
        self._dice = Random(seed)
        self._ssrcs = ssrcs
        self._kinds: list[Callable[[], bytes]] = [
            self._report, self._nack, self._nack_flood, self._remb, self._pli, self._fir, self._transport, self._bye,
            self._noise, self._noise,
        ]  # fmt: skip

    def __iter__(self) -> Mutations:
        return self

    def __next__(self) -> bytes:
        dice = self._dice
        whole = b"".join(dice.choice(self._kinds)() for _ in range(dice.choice((1, 1, 2, 3, 8, 40))))
        data = bytearray(whole[:LARGEST])
        if dice.random() < 0.3:
            del data[dice.randrange(len(data)) :]
        if data and dice.random() < 0.7:
            for _ in range(dice.choice((1, 1, 2, 5, 20))):
                data[self._place(len(data))] = dice.choice((0, 255, dice.randrange(256)))
        if dice.random() < 0.1:
            data += dice.randbytes(dice.randrange(LARGEST + 1 - len(data)))
        return bytes(data)

    def _place(self, size: int) -> int:
        """Headers are where it hurts."""
        return self._dice.randrange(min(size, 24)) if self._dice.random() < 0.5 else self._dice.randrange(size)

    def _ssrc(self) -> int:
        return self._dice.choice((*self._ssrcs, *self._ssrcs, 0, 1, 0xFFFFFFFF, self._dice.getrandbits(32)))

    def _blocks(self) -> list[bytes]:
        bits = self._dice.getrandbits
        return [
            block(self._ssrc(), bits(8), bits(24), bits(32), bits(32), bits(32), bits(32))
            for _ in range(self._dice.choice((0, 1, 2, 31)))
        ]

    def _report(self) -> bytes:
        return self._dice.choice((receiver_report, sender_report))(*self._blocks(), sender=self._ssrc())

    def _nack(self) -> bytes:
        bits = self._dice.getrandbits
        return nack(self._ssrc(), *((bits(16), bits(16)) for _ in range(self._dice.randrange(20))))

    def _nack_flood(self) -> bytes:
        return nack(self._dice.choice(self._ssrcs), *((17 * n & 0xFFFF, 0xFFFF) for n in range(self._dice.choice((100, 340)))))

    def _remb(self) -> bytes:
        bits = self._dice.getrandbits
        return remb(bits(18), self._dice.choice((0, 1, bits(6), 63)), *(self._ssrc() for _ in range(self._dice.choice((0, 1, 2, 255)))))

    def _pli(self) -> bytes:
        return pli(self._ssrc())

    def _fir(self) -> bytes:
        return fir(self._dice.getrandbits(8), *(self._ssrc() for _ in range(self._dice.randrange(5))))

    def _transport(self) -> bytes:
        bits, dice = self._dice.getrandbits, self._dice
        chunks = [dice.choice((0x1FFF, 0x2004, 0x5FFF, bits(16))) for _ in range(dice.randrange(1, 12))]
        deltas = dice.randbytes(dice.choice((0, 4, 40, 200)))
        return transport_feedback(bits(16), bits(8), bits(24), chunks, deltas, dice.choice((0, 14, 1000, 1024, 65535)))

    def _bye(self) -> bytes:
        return bye(*(self._ssrc() for _ in range(self._dice.randrange(32))))

    def _noise(self) -> bytes:
        junk = self._dice.randbytes(4 * self._dice.randrange(20))
        return self._dice.choice((application, extended_report, sdes))(junk)
