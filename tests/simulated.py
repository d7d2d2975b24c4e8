"""Tests in virtual time: `@simulated` runs a coroutine function on the simulated clock, to its end, in a moment."""

import asyncio
import functools

from labs import virtual


def simulated(test):
    """Run this test in virtual time."""

    @functools.wraps(test)
    def run(*args, **kwargs):
        return virtual.run(test(*args, **kwargs), wall_limit_s=60)

    return run


def now_ms() -> float:
    """Milliseconds of the event loop's clock."""
    return round(asyncio.get_running_loop().time() * 1000, 3)
