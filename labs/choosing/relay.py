"""What a packet meets between two TUN devices: a fixed delay and a coin. `Direction` is the wire, `relay` its input and output."""

import os
import random
import select
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress

MTU = 1500


class Direction:
    """One direction of the wire, fed with packets and times in seconds. No input, no output."""

    def __init__(self, loss: float, one_way_s: float, coin: random.Random):
        self.loss, self.one_way_s, self.coin = loss, one_way_s, coin
        self.offered = self.lost = 0
        self._under_way: deque[tuple[float, bytes]] = deque()

    def enter(self, packet: bytes, now: float) -> None:
        """A packet goes onto the wire. IPv6 goes nowhere: kernels chat in it unasked, and would use up the coin."""
        if packet[0] >> 4 != 4:
            return
        self.offered += 1
        if self.coin.random() < self.loss:
            self.lost += 1
        else:
            self._under_way.append((now + self.one_way_s, packet))

    def leave(self, now: float) -> list[bytes]:
        """The packets that have reached the other end by now, in the order in which they entered."""
        arrived = []
        while self._under_way and self._under_way[0][0] <= now:
            arrived.append(self._under_way.popleft()[1])
        return arrived

    def next(self) -> float:
        """When the next packet reaches the other end."""
        return self._under_way[0][0] if self._under_way else float("inf")


def relay(
    near: int, far: int, directions: tuple[Direction, Direction], ended: Callable[[], bool], until: float
) -> None:
    """Carry packets between two TUN devices, until a function says that it is over or the time is up."""
    ways = ((near, far, directions[0]), (far, near, directions[1]))
    while not ended() and (now := time.monotonic()) < until:
        pause = min(0.05, until - now, *(way.next() - now for way in directions))
        readable, _, _ = select.select([near, far], [], [], max(0, pause))
        for source, target, way in ways:
            if source in readable:
                with suppress(BlockingIOError):
                    while True:
                        way.enter(os.read(source, MTU), time.monotonic())
            for packet in way.leave(time.monotonic()):
                os.write(target, packet)
