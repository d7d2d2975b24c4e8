"""HTTP/1.1, HTTP/2 and HTTP/3 side by side: bytes of a poll, round trips to the first byte, what a loss does to messages."""

from collections.abc import Mapping, Sequence

from labs.charts.look import GREY, INK, SOFT, Chart, figure, in_style, number

OLD, NEW = SOFT, GREY  # no transport's color: each of them can run over each version
LATE, LOST = SOFT, GREY
MODEL = {"color": INK, "lw": 1.8, "zorder": 5}


@in_style
def versions(
    polls: Mapping[str, tuple[float, float]],
    trips: Mapping[str, tuple[Sequence[float], float]],
    shares: Mapping[str, tuple[float, float, float]],
    *,
    title: str,
    says: str,
    caption: str,
) -> Chart:
    """Bytes of a poll (counted, predicted), round trips (measured, model), shares of messages (late, lost, the model of both).

    Bars and points are measured, the upright line on each is the model.
    """
    drawn, (left, middle, right) = figure(title, caption, width=11.5, height=3.3, columns=3)
    for place, (counted, predicted) in enumerate(polls.values()):
        _bar(left, place, [(counted, NEW if place else OLD)], predicted, number(counted))
    _rows(left, polls, "bytes of one poll, request and answer", max(counted for counted, _ in polls.values()))
    for place, (name, (measured, model)) in enumerate(trips.items()):
        middle.plot(measured, [place] * len(measured), "o", color=NEW if "QUIC" in name else OLD, ms=7, alpha=0.8)
        middle.plot([model] * 2, [place - 0.33, place + 0.33], **MODEL)
    _rows(middle, trips, "round trips until the first byte", max(max(measured) for measured, _ in trips.values()))
    for place, (late, lost, model) in enumerate(shares.values()):
        words = " and ".join(f"{share:.1%} {word}" for share, word in ((late, "late"), (lost, "lost")) if share)
        _bar(right, place, [(late * 100, LATE), (lost * 100, LOST)], model * 100, words)
    _rows(right, shares, "messages late or lost (%)", 100 * max(late + lost for late, lost, _ in shares.values()), 2.0)
    return Chart(drawn, says)


def _bar(axes, place: int, parts: list[tuple[float, str]], model: float, words: str) -> None:
    """Parts side by side, the model's line over them, and words behind them."""
    left = 0.0
    for size, color in parts:
        axes.barh(place, size, left=left, color=color, height=0.5)
        left += size
    axes.plot([model] * 2, [place - 0.33, place + 0.33], **MODEL)
    axes.annotate(words, (max(left, model), place), (6, 0), textcoords="offset points", va="center", fontweight="bold")


def _rows(axes, names: Mapping, unit: str, longest: float, room: float = 1.3) -> None:
    axes.set_yticks(range(len(names)), names)
    axes.set(ylim=(len(names) - 0.4, -0.6), xlim=(0, longest * room))
    axes.set_xlabel(unit)
    axes.grid(axis="y", visible=False)
