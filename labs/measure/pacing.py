"""When things are due, and waiting for it."""

import asyncio
import math
import random
from collections.abc import Awaitable, Callable
from itertools import accumulate

from tqdm.auto import tqdm

from labs.clock import now_ns, simulated

GOLDEN = (5**0.5 - 1) / 2  # its multiples, modulo 1, fill the interval evenly at any count


def schedule(events: int, per_second: float, seed: int = 1) -> list[float]:
    """When messages are due, in seconds from the start: one in each slot, at a place in it that no rhythm of a reader fits.

    The places spread evenly over the slot, so that a few hundred messages show the distribution that a random moment has.
    """
    offset = random.Random(seed).random()
    return [(number + (offset + number * GOLDEN) % 1) / per_second for number in range(events)]


def poisson(events: int, per_second: float, seed: int = 1) -> list[float]:
    """When messages are due if each comes at a random moment that has nothing to do with the others', as from many people.

    The pauses between them are exponential. One is drawn from each of `events` equally likely ranges and all are shuffled:
    the same distribution with less luck in it, so that a few hundred messages are enough.
    """
    draw = random.Random(seed)
    pauses = [-math.log(1 - (place + draw.random()) / events) / per_second for place in range(events)]
    draw.shuffle(pauses)
    return list(accumulate(pauses))


async def sleep_until(moment_ns: int) -> None:
    """Sleep until a moment of `now_ns`; in steps, so that a notebook can be interrupted."""
    while (left := moment_ns - now_ns()) > 1000:
        await asyncio.sleep(min(left / 1e9, 0.5))


async def until(holds: Callable[[], Awaitable[bool]], *, within_s: float = 20.0) -> None:
    """Wait until something holds, for so long at most: a busy machine takes its time."""
    end = now_ns() + within_s * 1e9
    while not await holds() and now_ns() < end:
        await asyncio.sleep(0.05)


def progress(items, what: str):
    """A progress bar that leaves nothing behind; in virtual time, where there is nothing to wait for, none."""
    return tqdm(items, desc=what, leave=False, disable=simulated(), delay=0.5)
