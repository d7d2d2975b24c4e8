"""Lost packets: each message's delay, one row for each way to send, and beside it the shares that came late or never."""

from labs.charts.look import COLORS, GREY, INK, SOFT, Chart, figure, in_style, number
from labs.models.loss import RACK, THREE, late_in_order
from labs.models.loss import lost as share_lost

WAYS = {
    "websocket": ("WebSocket (TCP)", COLORS["websocket"]),
    "reliable": ("WebRTC, ordered and reliable", COLORS["webrtc_feed"]),
    "unreliable": ("WebRTC, unordered, nothing sent again", COLORS["webrtc_feed"]),
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
            _shares(right, place, next(cell for cell in cells[name] if cell.loss == rate), color)
        right.set_yticks(range(len(losses)), [f"{100 * rate:g} % lost" for rate in losses])
        right.set_ylim(len(losses) - 0.45, -0.55)
        right.grid(axis="y", visible=False)
    panels[0][1].set_title("of all messages: late █  never ░  model |", fontsize=10.5, color=INK, pad=6)
    panels[1][0].set_ylabel("delay, milliseconds")
    panels[2][0].set_xlabel(f"message number ({number(experiment.cells[0].per_second)} a second)")
    panels[2][1].set_xlabel("share of the messages, percent")
    panels[0][1].set_xlim(left=0)
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


def _shares(axes, place, cell, color) -> None:
    late, gone = 100 * cell.late, 100 * cell.lost
    axes.barh(place, late, 0.6, color=color, zorder=2)
    axes.barh(place, gone, 0.6, left=late, fc="white", ec=INK, hatch="////", lw=0.8, zorder=2)
    again = cell.transport in LATER
    expected = late_in_order(cell.loss, cell.rtt_ms, cell.per_second, LATER[cell.transport]) if again else 0.0
    expected += share_lost(cell.loss, again=again)
    if expected:
        axes.plot([100 * expected] * 2, [place - 0.42, place + 0.42], color=INK, lw=1.6, zorder=4)
    said = [f"{number(round(share, 1))} % {what}" for share, what in ((late, "late"), (gone, "never")) if share >= 0.05]
    axes.annotate(" + ".join(said) or "none", (max(late + gone, 100 * expected), place), (6, 0),
                  textcoords="offset points", va="center", fontsize=9.5, color=INK)  # fmt: skip


def _caption(experiment, shown) -> str:
    cell = experiment.cell("websocket", shown)
    runs = f"{len(cell.seeds)} runs of {cell.n // len(cell.seeds)}" if len(cell.seeds) > 1 else f"{cell.n}"
    how = "recorded" if experiment.recorded_because else "measured now"
    return (
        f"Left: {100 * shown:g} % of the packets lost each way. Late is above the dashed line, longer than the round trip of "
        f"{cell.rtt_ms:g} ms; × never came. Right: {runs} messages in each row, {cell.per_second:g} a second. TCP with "
        f"{cell.congestion.upper()}; {how}: {experiment.about}"
    )
