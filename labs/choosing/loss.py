"""What lost packets do to a stream of events: over TCP, and over a WebRTC data channel that sends again or does not.

    experiment = await measured_or_recorded()
    print(experiment.says)                                  # which of the two it is, and why
    cell = experiment.cell("websocket", 0.05)
    print(cell.late, cell.lost)                             # shares
    python -m labs.choosing.loss --record                   # ten runs of each cell, in three minutes: recorded/loss.json

Design notes
  * The same events go three ways at once over one wire (`labs.choosing.lossy_wire`), so all meet the same loss rate, the same
    minute and the same machine. The packets are lost by a coin, so each way has other holes.
  * Late is what takes longer than a round trip. A message on a whole wire takes half of one; what was lost cannot come again
    in less than one and a half, and what waits behind it takes anything in between.
  * What the sender does after a loss depends on the kernel, so the record says which one it was, and TCP's algorithm.
"""

import argparse
import asyncio
import json
import platform
import shlex
import sys
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path

from labs.choosing.loss_record import Cell, Experiment, record, recorded, together
from labs.choosing.lossy_wire import across, impossible
from labs.choosing.optional import have
from labs.measure import machine, progress

TRANSPORTS = ("websocket", "reliable", "unreliable")
AVAILABLE = Path("/proc/sys/net/ipv4/tcp_available_congestion_control")
LOSSES = (0, 0.01, 0.05)
STARTING_S = 40.0  # what three times three processes may need to begin and to end on a busy machine


def congestion_control() -> str:
    """What this kernel has for TCP: CUBIC, as almost everybody uses it, else Reno, which every kernel has."""
    return "cubic" if "cubic" in available() else "reno"


def available() -> list[str]:
    """What else this kernel has; tcp(7)."""
    return AVAILABLE.read_text().split() if AVAILABLE.exists() else []


async def run(loss: float, rtt_ms: float, per_second: float, messages: int, seed: int, congestion: str) -> list[Cell]:
    """One wire, the three ways over it at once. Raises `RuntimeError`."""
    near, far = (
        shlex.join([sys.executable, "-m", "labs.choosing.loss_ends", *map(str, words)])
        for words in (("near", congestion, per_second, messages), ("far", messages))
    )
    limit = messages / per_second + STARTING_S
    found = json.loads(await across(near, far, loss=loss, rtt=rtt_ms, seed=seed, limit=limit))
    common = (loss, rtt_ms, per_second, (seed,), congestion)
    return [Cell(name, *common, tuple(ms and round(ms, 1) for ms in found[name])) for name in TRANSPORTS]


async def measure(
    losses: Iterable[float] = LOSSES, *, seconds: float = 10, per_second: float = 50, rtt_ms: float = 50, seed: int = 1
) -> Experiment:
    """Every loss rate on a wire of its own, all at the same time: `seconds` and a few more. Raises `RuntimeError`."""
    settings = (rtt_ms, per_second, round(seconds * per_second), seed, congestion_control())
    return Experiment(tuple(await all_of([run(loss, *settings) for loss in losses], seconds + 8)), about())


async def all_of(runs: list, about_s: float) -> list[Cell]:
    """What runs that go on at the same time find, in their order; with a bar that knows about how long they take."""
    tasks = [asyncio.create_task(one) for one in runs]
    try:
        for _ in progress(range(round(about_s)), "loss"):
            await asyncio.wait(tasks, timeout=1)
        return [cell for found in await asyncio.gather(*tasks) for cell in found]
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def measured_or_recorded(**settings) -> Experiment:
    """`measure` where this machine can, else what the repository carries; `says` tells which, and why."""
    if reason := unable():
        return recorded(reason)
    try:
        return await measure(**settings)
    except RuntimeError as error:
        return recorded(f"The wire did not work here ({str(error).splitlines()[-1]}).")


def unable() -> str | None:
    """Why this machine cannot measure it, as a sentence; None where it can."""
    if not have("aiortc"):
        return "The package aiortc, which speaks WebRTC, is not installed."
    return impossible()


def about() -> str:
    """What this was measured on."""
    names = ", ".join(f"{name} {version(name)}" for name in ("websockets", "aiortc"))
    return f"{machine()}, {names}, kernel {platform.release().split('-')[0]}"


async def ten_runs(seconds: float = 10, per_second: float = 50, rtt_ms: float = 50) -> Experiment:
    """Ten seeds of every cell, and at the highest loss also TCP with BBR, which does not slow down when packets are lost."""
    found, messages = [], round(seconds * per_second)
    for seed in range(1, 11):
        wires = [run(loss, rtt_ms, per_second, messages, seed, congestion_control()) for loss in LOSSES]
        if "bbr" in available():
            wires.append(run(LOSSES[-1], rtt_ms, per_second, messages, seed, "bbr"))
        cells = await all_of(wires, seconds + 8)
        found.append(
            cells[: len(LOSSES) * len(TRANSPORTS) + 1]
        )  # of the wire with BBR only the WebSocket, which uses it
    return Experiment(tuple(together(list(runs)) for runs in zip(*found, strict=True)), about())


def main() -> None:
    """Measure once and print the shares, or record."""
    parser = argparse.ArgumentParser(prog="python -m labs.choosing.loss", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--record", action="store_true", help="ten runs of each cell into the repository, in three minutes"
    )
    if parser.parse_args().record:
        experiment = asyncio.run(ten_runs())
        record(experiment)
    else:
        experiment = asyncio.run(measured_or_recorded())
    print(experiment.says)
    for cell in experiment.cells:
        shares = f"late {100 * cell.late:5.1f} %   lost {100 * cell.lost:5.1f} %"
        print(f"{100 * cell.loss:g} %   {cell.transport:<10} {cell.congestion:<6} n = {cell.n}   {shares}")


if __name__ == "__main__":
    main()
