"""Lost packets: each message's delay, one row for each way to send, and beside it the shares that came late or never."""

from labs.charts.look import COLORS, GREY, INK, SOFT, Chart, figure, in_style, number
from labs.models.loss import RACK, THREE, late_in_order
from labs.models.loss import lost as share_lost

WAYS = {
    "websocket": ("WebSocket (TCP): what is behind a hole waits", COLORS["websocket"]),
    "reliable": ("WebRTC, ordered and reliable: the same wait, in another protocol", COLORS["webrtc_feed"]),
    "unreliable": (
        "WebRTC, unordered, nothing sent again: a hole stays a hole",
        COLORS["webrtc_feed"],
    ),
}
LATER = {"websocket": RACK, "reliable": THREE}


@in_style
def loss(experiment, *, title: str, says: str, shown: float = 0.05, first: int = 0, messages: int = 200) -> Chart:
    """Left, the delays of some messages at the loss rate `shown`; right, what became of all at every rate, with the model.

    `experiment` is that of `labs.choosing.loss`. A cross is a message that never came.
    """
    cells = {name: [cell for cell in experiment.cells if cell.transport == name] for name in WAYS}
    losses = sorted({cell.loss for cell in experiment.cells})
    drawn, placeholder = figure(title, _caption(experiment, shown), width=11.5, height=6.2)
    placeholder.remove()
    panels = drawn.add_gridspec(3, 2, width_ratios=(1.7, 1)).subplots(sharex="col")
    high = 1.15 * max(max(_part(experiment.cell(name, shown), first, messages)) for name in WAYS)
    for (left, right), (name, (label, color)) in zip(panels, WAYS.items(), strict=True):
        _messages(left, experiment.cell(name, shown), first, messages, color, high)
        left.set_title(label, fontsize=11, color=color, pad=6)
        for place, rate in enumerate(losses):
            _shares(right, place, [cell for cell in cells[name] if cell.loss == rate], color)
        right.set_yticks(range(len(losses)), [f"{100 * rate:g} % lost" for rate in losses])
        right.set_ylim(len(losses) - 0.45, -0.55)
        right.grid(axis="y", visible=False)
    panels[0][1].set_title("of all: late (filled), never (hatched), model |", fontsize=10.5, color=INK, pad=6)
    panels[1][0].set_ylabel("delay, milliseconds")
    panels[2][0].set_xlabel(f"message number ({number(experiment.cells[0].per_second)} a second)")
    panels[2][1].set_xlabel("share of the messages, percent")
    panels[0][1].set_xlim(0, 130 * max(run.late + run.lost for cell in experiment.cells for run in cell.runs()))
    return Chart(drawn, says)


def _part(cell, first, messages) -> list[float]:
    return [ms or 0.0 for ms in cell.ms[first : first + messages]]


def _messages(axes, cell, first, messages, color, high) -> None:
    part = list(enumerate(cell.ms[first : first + messages], first + 1))
    axes.axhline(cell.rtt_ms, color=GREY, lw=1, ls="--", zorder=1)
    for wanted, shade, size in ((False, SOFT, 4), (True, color, 5)):
        dots = [(place, ms) for place, ms in part if ms is not None and (ms > cell.rtt_ms) == wanted]
        axes.plot([place for place, _ in dots], [ms for _, ms in dots], "o", color=shade, ms=size, mew=0, zorder=3)
    gone = [place for place, ms in part if ms is None]
    axes.plot(gone, [cell.rtt_ms / 2] * len(gone), "x", color=INK, ms=7, mew=1.8, zorder=4)
    axes.set(ylim=(0, high), xlim=(first, first + messages + 1))
    late = sum(ms is not None and ms > cell.rtt_ms for _, ms in part)
    axes.text(0.995, 0.93, f"{late} late, {len(gone)} never came", transform=axes.transAxes, ha="right", va="top",
              color=INK, fontsize=9.5, bbox={"fc": "white", "ec": "none", "pad": 1, "alpha": 0.8})  # fmt: skip


def _shares(axes, place, cells, color) -> None:
    cell, *others = cells  # the same with another of TCP's algorithms, where that was measured
    late, gone = 100 * cell.late, 100 * cell.lost
    axes.barh(place, late, 0.6, color=color, zorder=2)
    axes.barh(place, gone, 0.6, left=late, fc="white", ec=INK, hatch="////", lw=0.8, zorder=2)
    spread = [100 * (run.late + run.lost) for run in cell.runs()]
    axes.plot([min(spread), max(spread)], [place, place], color=GREY, lw=1.2, zorder=3)
    expected = 100 * _model(cell)
    if expected:
        axes.plot([expected] * 2, [place - 0.42, place + 0.42], color=INK, lw=1.6, zorder=4)
    said = [f"{share:.1f} % {what}" for share, what in ((late, "late"), (gone, "never")) if share >= 0.05]
    for other in others:
        axes.plot(100 * other.late, place, "D", mfc="white", mec=INK, ms=6, zorder=5)
        said.append(f"◇ {other.congestion.upper()} {100 * other.late:.1f} %")
    axes.annotate("\n".join(said) or "none", (max(*spread, late + gone, expected), place), (6, 0),
                  textcoords="offset points", va="center", fontsize=9.5, color=INK)  # fmt: skip


def _model(cell) -> float:
    again = cell.transport in LATER
    late = late_in_order(cell.loss, cell.rtt_ms, cell.per_second, LATER[cell.transport]) if again else 0.0
    return late + share_lost(cell.loss, again=again)


def _caption(experiment, shown) -> str:
    cell = experiment.cell("websocket", shown)
    runs = f"{len(cell.seeds)} runs of {cell.n // len(cell.seeds)}" if len(cell.seeds) > 1 else f"one run of {cell.n}"
    how = "recorded" if experiment.recorded_because else "measured now"
    return (
        f"Left: {100 * shown:g} % of the packets lost each way. Late is above the dashed line, longer than the round trip of "
        f"{cell.rtt_ms:g} ms; × never came. Right: {runs} messages for each bar (grey: from the lowest run to the highest), "
        f"{cell.per_second:g} a second. TCP with {cell.congestion.upper()}; {how}: {experiment.about}"
    )
