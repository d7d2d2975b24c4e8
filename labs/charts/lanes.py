"""What crossed the wire, and when: a client's and a server's lane, to scale, time running downward."""

from collections.abc import Iterable

from labs.charts.look import COLORS, GREY, INK, SOFT, Chart, figure, in_style


@in_style
def ladder(
    found, *, start: int, seconds: float, title: str, says: str, published: Iterable = (), color: str = "#D55E00"
) -> Chart:
    """Client and server lanes with every request and response of a captured run, to scale; time runs downward.

    `found` are ledger messages, `published` events (their `at` marks the server's lane), `start` monotonic nanoseconds.
    """
    drawn, axes = figure(
        title, "Captured on the wire by the link, to scale. Grey: empty answers.", height=1.4 + 0.95 * seconds
    )
    shown = [pair for pair in _pairs(found) if (pair[0].sent - start) / 1e9 < seconds - 0.1]
    for request, response in shown:
        _exchange(axes, request, response, start, color)
    for event in published:
        _publication(axes, event, start, shown)
    _lanes(axes, seconds)
    return Chart(drawn, says)


def _exchange(axes, request, response, start, color):
    """Two arrows, one there and one back. On loopback a trip takes no visible time, so each slopes by a little."""
    news = response.events
    color, weight = (color, 2.2) if news else (SOFT, 1.3)
    look = {"color": color, "lw": weight, "shrinkA": 0, "shrinkB": 0, "arrowstyle": "-|>"}
    sent, reached, left, came = (
        (t - start) / 1e9 for t in (request.sent, request.arrived, response.sent, response.arrived)
    )
    arrival = max(reached, sent + 0.04)
    answer = max(left, arrival)
    back = max(came, answer + 0.04)
    axes.annotate("", (1, arrival), (0, sent), arrowprops=look)
    axes.annotate("", (0, back), (1, answer), arrowprops=look)
    if answer - arrival > 0.1:  # the server holds the question
        axes.plot([1, 1], [arrival, answer], color=color, lw=5, alpha=0.45, solid_capstyle="butt")
    text = {"ha": "center", "textcoords": "offset points", "fontsize": 8.8, "color": color if news else GREY}
    asked = f"{_short(request.start_line)}   {request.size} bytes"
    axes.annotate(asked, (0.5, (sent + arrival) / 2), (0, 4), va="bottom", **text)
    what = f"{len(news)} event{'s' * (len(news) != 1)}" if news else "[]"
    said = f"{response.start_line.split(' ')[1]}   {what}   {response.size} bytes"
    axes.annotate(said, (0.5, (answer + back) / 2), (0, -4), va="top", fontweight="bold" if news else "normal", **text)


def _publication(axes, event, start, pairs):
    at = (event.at - start) / 1e9
    fetched = min(
        ((q.arrived - start) / 1e9 for q, a in pairs if any(e["id"] == event.id for e in a.events)), default=at
    )
    axes.plot([1], [at], "*", color=COLORS["you"], ms=14, zorder=5)
    axes.text(1.04, at, f"event {event.id} is published", color=COLORS["you"], va="center", fontsize=9.5)
    if fetched > at + 0.02:
        axes.plot([1, 1], [at, fetched], color=COLORS["you"], lw=5, alpha=0.35, solid_capstyle="round")
        waits = f"waits {fetched - at:.2f} s to be asked for"
        axes.text(1.04, at + max(0.17, (fetched - at) / 2), waits, color=COLORS["you"], va="center", fontsize=8.8)


def _pairs(found):
    """Requests with their responses: on one connection, HTTP/1.1 answers in order."""
    waiting: dict[int, list] = {}
    pairs = []
    for message in sorted(found, key=lambda message: message.sent):
        if message.direction == "up":
            waiting.setdefault(message.connection, []).append(message)
        elif waiting.get(message.connection):
            pairs.append((waiting[message.connection].pop(0), message))
    return pairs


def _short(start_line: str) -> str:
    method, target, _ = start_line.split(" ")
    path, mark, cursor = target.partition("?after=")
    return f"{method} {path}{mark}" + (f"…-{cursor.rpartition('-')[2]}" if mark else "")


@in_style
def stream_ladder(chunks, *, start: int, seconds: float, title: str, says: str, published: Iterable = ()) -> Chart:
    """Client and server lanes of one endless answer: every piece of it that crossed the link, to scale."""
    drawn, axes = figure(
        title, "Captured on the wire by the link, to scale. Grey: no event in it.", height=1.4 + 0.95 * seconds
    )
    for event in published:
        axes.plot([1], [(event.at - start) / 1e9], "*", color=COLORS["you"], ms=14, zorder=5)
        axes.text(
            1.04,
            (event.at - start) / 1e9,
            f"event {event.id} is published",
            color=COLORS["you"],
            va="center",
            fontsize=9.5,
        )
    for chunk in chunks:
        sent = (chunk.sent - start) / 1e9
        news = chunk.data.count(b"data: {") if chunk.direction == "down" else 0
        color, weight = (COLORS["sse"], 2.2) if news else (SOFT, 1.3)
        ends = ((0, sent), (1, sent + 0.04)) if chunk.direction == "up" else ((1, sent + 0.05), (0, sent + 0.09))
        look = {"color": color, "lw": weight, "shrinkA": 0, "shrinkB": 0, "arrowstyle": "-|>"}
        axes.annotate("", ends[1], ends[0], arrowprops=look)
        up = chunk.direction == "up"
        axes.annotate(f"{_said(chunk, news)}   {chunk.size} bytes", (0.5, sent + 0.02 + 0.05 * (not up)), (0, 4 if up else -4),
                      textcoords="offset points", va="bottom" if up else "top", ha="center", fontsize=8.8,
                      color=color if news else GREY, fontweight="bold" if news else "normal")  # fmt: skip
    _lanes(axes, seconds)
    return Chart(drawn, says)


def _lanes(axes, seconds: float) -> None:
    for x, name in ((0, "client"), (1, "server")):
        axes.axvline(x, color=INK, lw=1.6)
        axes.text(x, -0.22, name, ha="center", va="bottom", fontweight="bold")
    axes.set(xlim=(-0.12, 1.5), ylim=(seconds, -0.2), xticks=[])
    axes.set_yticks(range(int(seconds) + 1), [f"{s} s" for s in range(int(seconds) + 1)])
    axes.grid(False)
    axes.spines[["left", "bottom"]].set_visible(False)
    axes.tick_params(length=0)


def _said(chunk, news: int) -> str:
    if chunk.direction == "up":
        return "GET /events"
    if chunk.data.startswith(b"HTTP/"):
        return "200, headers of an answer that will not end"
    return f"{news} event{'s' * (news != 1)}" if news else "heartbeat" if b"\n:\n" in chunk.data else "retry"
