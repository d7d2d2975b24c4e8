"""The one clock: every process of this machine reads the same nanoseconds; in virtual time, simulated ones.

`time.monotonic_ns` counts from one common start for all processes of a machine, so a stamp made by a server can be
subtracted from a stamp made by its reader. On the event loop of `labs.virtual` time only passes when everybody waits.
"""

import asyncio
import time


def simulated() -> bool:
    """Whether the running event loop is that of virtual time."""
    return getattr(asyncio._get_running_loop(), "simulated", False)


def now_ns() -> int:
    """Nanoseconds since an arbitrary start that all processes of this machine share."""
    return round(asyncio.get_running_loop().time() * 1e9) if simulated() else time.monotonic_ns()
