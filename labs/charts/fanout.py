"""Five ways to tell a room: how late the last member is, what a delivery costs, and what one stalled member does."""

from collections.abc import Iterable

from labs.charts.look import COLORS, GREY, INK, SOFT, Chart, end_labels, figure, in_style, number, plain

WAYS = {
    "in_turn": ("await in turn", SOFT),
    "gather": ("gather", GREY),
    "tasks": ("a task per send", "#86c5ec"),
    "broadcast": ("websockets.broadcast", "#3f97d6"),
    "joined": ("encode once, join writes", COLORS["websocket"]),
}  # the ways in which everybody waits for the slowest are grey


@in_style
def fanout_latency(points: Iterable, *, title: str, says: str, guess: tuple[int, float] | None = None, models) -> Chart:
    """When the last member has a message, against the size of the room, log-log: `points` are of `labs.fanout.Point`.

    Dots are medians of what was measured with one message in flight; each thin line is the CPU time of one delivery in the
    largest room, times members. Dashed is the CPU time that the members take to count; no latency here is below that.
    `guess` is (members, milliseconds).
    """
    points = [point for point in points if point.in_flight == 1]
    sizes = sorted({point.members for point in points})
    drawn, axes = figure(title, f"{_caption(points)}. Dots: median of the last member's delay; lines: CPU × members")
    labels = []
    for way, (label, color) in _present(points):
        mine = {point.members: point for point in points if point.way == way}
        delays = {size: point.last.percentile(50) for size, point in mine.items()}
        model = {size: models.last_member_ms(mine[max(mine)].cpu_us, size) for size in sizes}
        axes.plot(list(model), list(model.values()), color=color, lw=1.2, zorder=3)
        axes.plot(list(delays), list(delays.values()), "o", color=color, ms=8, zorder=4)
        labels.append((label, color if color != SOFT else GREY, max(delays), delays[max(delays)]))
    counting = min(point.counting_us for point in points if point.members == sizes[-1])
    floor = {size: models.last_member_ms(counting, size) for size in sizes}
    axes.plot(list(floor), list(floor.values()), "--", color=INK, lw=1, zorder=2)
    labels.append(("the members' own share", INK, sizes[-1], floor[sizes[-1]]))
    if guess is not None:
        axes.plot(*([part] for part in guess), "v", color=COLORS["you"], ms=12, zorder=6)
        axes.annotate("your guess", guess, (-12, 0), textcoords="offset points", color=COLORS["you"], ha="right", va="center",
                      bbox={"fc": "white", "ec": "none", "pad": 1, "alpha": 0.75}, zorder=7)  # fmt: skip
    axes.set_xscale("log"), axes.set_yscale("log")
    plain(axes.xaxis, ticks=sizes)
    plain(axes.yaxis)
    axes.set(xlim=(sizes[0] * 0.8, sizes[-1] * (sizes[-1] / sizes[0]) ** 0.5), ylim=(axes.get_ylim()[0], 2.5 * axes.get_ylim()[1]),
             xlabel="members of the room (log scale)", ylabel="until the last one has it, ms (log scale)")  # fmt: skip
    end_labels(axes, labels)
    return Chart(drawn, says)


@in_style
def fanout_cpu(points: Iterable, *, title: str, says: str) -> Chart:
    """The server's CPU time for each delivered message, a row for each way: one in flight filled, several hollow. Log axis.

    All points are of one size of room.
    """
    points = list(points)
    drawn, axes = figure(title, _caption(points), height=3.9)
    for row, (way, (_, color)) in enumerate(_present(points)):
        mine = sorted((point for point in points if point.way == way), key=lambda point: point.in_flight)
        axes.plot([point.cpu_us for point in mine], [row] * len(mine), color=color, lw=1.4, zorder=3)
        for point in mine:
            alone, left = point.in_flight == 1, point.cpu_us == min(other.cpu_us for other in mine)
            axes.plot(
                [point.cpu_us], [row], "o", color=color, mfc=color if alone else "white", ms=10, mew=1.8, zorder=4
            )
            axes.annotate(number(point.cpu_us), (point.cpu_us, row), (-10 if left else 10, 0), textcoords="offset points",
                          ha="right" if left else "left", va="center", color=INK, fontsize=9.5)  # fmt: skip
    axes.set_yticks(range(len(_present(points))), [label for _, (label, _) in _present(points)])
    axes.set_xscale("log")
    plain(axes.xaxis, ticks=(0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50))
    low, high = min(point.cpu_us for point in points), max(point.cpu_us for point in points)
    axes.set(ylim=(len(_present(points)) - 0.4, -0.8), xlim=(low / 2, high * 2),
             xlabel="server CPU for each delivered message, microseconds (log scale)")  # fmt: skip
    several = max(point.in_flight for point in points)
    axes.text(
        0.01, 0.97, f"● 1 message in flight   ○ {several} in flight", transform=axes.transAxes, color=GREY, va="top"
    )
    axes.tick_params(axis="y", length=0)
    return Chart(drawn, says)


@in_style
def fanout_stall(runs: Iterable, *, title: str, says: str, models, kernel: int = 0) -> Chart:
    """What one stalled member does, from records of `labs.fanout.Stalled`, for each way one with the fault and one without.

    Left: the 99th percentile of the others' delays, hollow without the fault and filled with it. Right: the bytes that the
    server holds for the one, and as a thin line rate × size × time; `kernel` bytes of it are in the system's buffers.
    """
    runs = list(runs)
    some = runs[0]
    drawn, (left, right) = figure(title, _stall_caption(some), width=11.5, height=4.4, columns=2)
    for row, (way, (_, color)) in enumerate(_present(runs)):
        late = {run.stall: run.latency.percentile(99) for run in runs if run.way == way}
        left.plot(list(late.values()), [row] * len(late), color=color, lw=1.4, zorder=3)
        for stall, ms in late.items():
            left.plot([ms], [row], "o", color=color, mfc=color if stall else "white", ms=10, mew=1.8, zorder=4 + stall)
        shown = late.get(True, max(late.values()))
        rightmost = shown == max(late.values())
        left.annotate(f"{number(shown)} ms", (shown, row), (10 if rightmost else -10, 0), textcoords="offset points",
                      ha="left" if rightmost else "right", va="center", color=INK, fontsize=9.5)  # fmt: skip
    left.set_yticks(range(len(_present(runs))), [label for _, (label, _) in _present(runs)])
    left.set_xscale("log")
    plain(left.xaxis)
    low, high = left.get_xlim()
    left.set(ylim=(len(_present(runs)) - 0.4, -0.8), xlim=(low, high * (high / low) ** 0.25),
             xlabel="99th percentile of the others' delays, ms (log scale)")  # fmt: skip
    left.text(0.01, 0.97, "○ all read   ● one does not", transform=left.transAxes, color=GREY, va="top")
    left.tick_params(axis="y", length=0)
    _held(right, [run for run in runs if run.stall], models, kernel)
    return Chart(drawn, says)


def _held(axes, runs, models, kernel) -> None:
    labels = []
    for way, (label, color) in _present(runs):
        told = next(run for run in runs if run.way == way).server
        axes.plot(
            [moment.at for moment in told], [moment.held / 1024 for moment in told], "o-", color=color, lw=2, ms=4
        )
        labels.append((label, color if color != SOFT else GREY, told[-1].at, told[-1].held / 1024))
    some, end = runs[0], max(run.server[-1].at for run in runs)
    times = [some.seconds * step / 60 for step in range(61)]
    line = [models.held_bytes(some.per_second, some.size, at, kernel) / 1024 for at in times]
    axes.plot(times, line, color=INK, lw=1.1, zorder=5)
    axes.annotate(
        "rate × size × time", (times[48], line[48]), (-10, 4), textcoords="offset points", ha="right", color=INK
    )
    axes.set(xlim=(0, end * 1.8), ylim=(-0.04 * max(line), max(line) * 1.12), xlabel="seconds since it stopped reading",
             ylabel="held in the server for it, KiB")  # fmt: skip
    axes.set_xticks(range(int(end) + 1))
    end_labels(axes, labels)


def _present(records) -> list:
    """The ways that occur in the records, in the order of the course."""
    return [(way, look) for way, look in WAYS.items() if any(record.way == way for record in records)]


def _caption(points) -> str:
    sizes = sorted({point.members for point in points})
    room = f"{sizes[0]} to {sizes[-1]} members" if len(sizes) > 1 else f"{sizes[0]} members"
    return (
        f"One room of {room} on loopback, messages of {points[0].size} bytes, the next when all have the last; "
        f"at least {min(point.last.n for point in points)} messages a point; {points[0].machine}"
    )


def _stall_caption(run) -> str:
    return (
        f"{run.healthy} members who read and one who does not, {run.per_second:g} messages a second of {run.size} bytes for "
        f"{run.seconds:g} s, direct on loopback; what had not come at the end counts as that late; {run.machine}"
    )
