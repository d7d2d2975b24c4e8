"""The course in one minute: the same messages over every transport, one clock, one table, one picture.

python -m labs.race [--rtt 40] [--events 200] [--rate 25] [--png out/race.png]
"""

import argparse
import asyncio
from pathlib import Path

from labs import charts, measure, models, virtual
from labs.launch import launch

PNG = Path(__file__).parent.parent / "out" / "race.png"


def entrants(rtt_ms: float, rate: float) -> dict[str, tuple[measure.Reader, object]]:
    """Who runs: the server's name, a reader, and the model of its delay."""
    return {
        "http_polling": (measure.poller(1000, rtt_ms), models.polling(1000, rtt_ms)),
        "long_polling": (measure.long_poller(rtt_ms), models.long_polling(rtt_ms, rate)),
        "sse": (measure.streamer(rtt_ms), models.pushed(rtt_ms)),
        **{
            name: (measure.socket_reader(rtt_ms, name), models.pushed(rtt_ms))
            for name in ("raw_websocket", "websocket")
        },
    }


async def heat(launch, name: str, reader: measure.Reader, events: int, rate: float) -> measure.Run:
    """One transport's run."""
    async with launch(name) as server:
        runs = await measure.deliver(server, [reader], events=events, per_second=rate, plan=measure.poisson)
    return runs[0]


def row(run: measure.Run, model) -> str:
    """One line of the table."""
    each, bytes_ = run.latency.n or 1, sum(run.bytes.values())
    return (
        f"{charts.NAMES[run.reader]:14}{run.latency.percentile(50):9.1f}{run.latency.percentile(99):9.1f}{run.latency.mean:9.1f}"
        f"{model.mean:9.1f}{bytes_ / each:11.0f}{run.requests / each:14.2f}{run.lost:6}"
    )


async def race(rtt_ms: float, events: int, rate: float) -> list[tuple[measure.Run, measure.Run, object]]:
    """Every transport in turn: measured, simulated, and its model."""
    results = []
    print(f"{events} messages, {rate:g} a second, round trip {rtt_ms:g} ms; {measure.machine()}\n")
    print(
        f"{'':14}{'p50 ms':>9}{'p99 ms':>9}{'mean ms':>9}{'model':>9}{'bytes/msg':>11}{'requests/msg':>14}{'lost':>6}"
    )
    for name, (reader, model) in entrants(rtt_ms, rate).items():
        run = await heat(launch, name, reader, events, rate)
        simulated = virtual.run(heat(virtual.launch, name, reader, events, rate), wall_limit_s=60)
        print(row(run, model))
        results.append((run, simulated, model))
    return results


async def upstream(messages: int = 1000) -> None:
    """The other direction: small messages from client to server, as requests and as frames, without a distance."""
    print(f"\n{messages} messages to the server, no distance\n\n{'':40}{'a second':>10}{'bytes/msg':>11}")
    async with launch("sse") as http, launch("websocket") as socket:
        for found in await measure.upstream(http, socket, messages=messages):
            name = f"{charts.NAMES.get(found.transport, 'HTTP')}: {found.way}"
            print(f"{name:40}{found.per_second:10,.0f}{found.bytes_each:11.0f}")


def picture(results) -> charts.Chart:
    """All transports on one axis."""
    runs, simulated, model = (list(column) for column in zip(*results, strict=True))
    halves = ", ".join(f"{charts.NAMES[run.reader]} {run.latency.percentile(50):.0f} ms" for run in runs)
    return charts.distributions(
        runs, models=model, simulated=simulated, title="Holding the question turns half a second into one trip",
        says=f"Half of the messages arrive within: {halves}.",
        caption=f"{runs[0].caption}. Polling asks once a second. Steps: measured; circles: simulated; dashes: model.",
    )  # fmt: skip


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rtt", type=float, default=40, help="round trip in ms (default %(default)s)")
    parser.add_argument("--events", type=int, default=200, help="how many messages (default %(default)s)")
    parser.add_argument("--rate", type=float, default=25, help="messages a second (default %(default)s)")
    parser.add_argument("--png", type=Path, default=PNG, help="where the picture goes (default out/race.png)")
    options = parser.parse_args()
    results = asyncio.run(race(options.rtt, options.events, options.rate))
    asyncio.run(upstream())
    options.png.parent.mkdir(parents=True, exist_ok=True)
    picture(results).save(options.png)
    print(f"\nthe picture: {options.png.name} in the folder {options.png.parent.name}")


if __name__ == "__main__":
    main()
