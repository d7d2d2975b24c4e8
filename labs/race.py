"""The course in one minute: the same messages over every transport, one clock, one table, one picture.

python -m labs.race [--events 250] [--png out/race.png]
"""

import argparse
import asyncio
from pathlib import Path

from labs import charts, measure
from labs.choosing import costs, grand
from labs.choosing.optional import LOCK, PACKAGES, listed
from labs.launch import launch

PNG = Path(__file__).parent.parent / "out" / "race.png"
TITLE = "Holding the connection buys the latency; what differs after that is CPU, memory and idle bytes"
HEADS = ("", "p50 ms", "p99 ms", "mean ms", "model", "bytes/msg", "requests/msg", "CPU µs/msg", "lost")


def row(cell: grand.Cell, cost) -> str:
    """One line of the table."""
    run = cell.run
    return (
        f"{charts.NAMES[cell.transport]:14}{run.latency.percentile(50):9.1f}{run.latency.percentile(99):9.1f}"
        f"{run.latency.mean:9.1f}{cell.model.mean:9.1f}{cell.bytes_each:11.0f}{cell.requests_each:14.3f}"
        f"{cost.cpu_us(cell.requests_each):12.0f}{run.lost:6}"
    )


async def race(events: int) -> tuple[list[grand.Cell], dict]:
    """Every transport at every rate, from near and from far, and what it costs."""
    print(
        f"{events} messages at {', '.join(f'{rate:,}' for rate in grand.RATES)} a second; {measure.machine()}\n",
        flush=True,
    )
    servers, cells = await grand.fleet(), []
    try:
        for rate in grand.RATES:
            cells += await grand.at(servers, rate, events=events)
    finally:
        await grand.stop(servers)
    return cells, await costs.measure_costs()


def table(cells: list[grand.Cell], found: dict) -> None:
    """The farthest readers at the lowest rate, as text."""
    far = [cell for cell in cells if (cell.run.rtt_ms, cell.run.per_second) == (grand.RTTS[-1], grand.RATES[0])]
    print(f"{grand.RATES[0]} a second, round trip {grand.RTTS[-1]:g} ms\n")
    print("{:14}{:>9}{:>9}{:>9}{:>9}{:>11}{:>14}{:>12}{:>6}".format(*HEADS))
    for cell in far:
        print(row(cell, found[cell.transport]))
    if lacking := [PACKAGES[package] for name in grand.TRANSPORTS if (package := grand.missing(name))]:
        print(
            f"\nNot in the race for want of their packages: {listed(lacking)}. `pip install -r {LOCK.name}` brings them."
        )


async def upstream(messages: int = 1000) -> None:
    """The other direction: small messages from client to server, as requests and as frames, without a distance."""
    print(f"\n{messages} messages to the server, no distance\n\n{'':40}{'a second':>10}{'bytes/msg':>11}")
    async with launch("sse") as http, launch("websocket") as socket:
        for found in await measure.upstream(http, socket, messages=messages):
            name = f"{charts.NAMES.get(found.transport, 'HTTP')}: {found.way}"
            print(f"{name:40}{found.per_second:10,.0f}{found.bytes_each:11.0f}")


def picture(cells: list[grand.Cell], found: dict) -> charts.Chart:
    """The grand figure: every transport, and everything that it costs."""
    return charts.grand(cells, found, title=TITLE)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--events", type=int, default=250, help="how many messages at each rate (default %(default)s)")
    parser.add_argument("--png", type=Path, default=PNG, help="where the picture goes (default out/race.png)")
    options = parser.parse_args()
    cells, found = asyncio.run(race(options.events))
    table(cells, found)
    asyncio.run(upstream())
    options.png.parent.mkdir(parents=True, exist_ok=True)
    picture(cells, found).save(options.png)
    print(f"\nthe picture: {options.png.name} in the folder {options.png.parent.name}")


if __name__ == "__main__":
    main()
