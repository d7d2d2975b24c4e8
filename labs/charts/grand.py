"""Every transport on one workload: a row for each, a column for each thing that it costs."""

from collections.abc import Iterable, Mapping

from matplotlib.figure import Figure

from labs.charts.look import COLORS, GREY, INK, NAMES, Chart, in_style, plain

LEFT, RIGHT = 0.118, 0.992
HEAD, FOOT, ROW = 0.95, 0.82, 0.7  # inches
WIDTHS = {"delay": 3.1, "bytes": 1.3, "requests": 1.3, "cpu": 1.3, "idle": 1.45, "memory": 1.3}
HEADS = {
    "delay": "delay of an event, ms",
    "bytes": "bytes\nper event",
    "requests": "requests\nper event",
    "cpu": "server CPU\nper event, µs",
    "idle": "bytes an\nidle hour",
    "memory": "server memory\nper client, KiB",
}
LIMITS = {
    "delay": (0.18, 5000),
    "bytes": (40, 900),
    "requests": (8e-4, 12),
    "cpu": (2, 3000),
    "idle": (500, 4e7),
    "memory": (3, 1500),
}
TICKS = {
    "delay": (1, 10, 100, 1000),
    "bytes": (50, 200),
    "requests": (0.01, 1),
    "cpu": (10, 100),
    "idle": (1000, 100_000),
    "memory": (10, 100),
}
SPREAD, APART = 0.29, 0.055  # between rates, between distances: shares of a row
SMALL = 7.6


@in_style
def grand(cells: Iterable, costs: Mapping, *, title: str, says: str | None = None, caption: str | None = None) -> Chart:
    """Small multiples from `labs.choosing.grand.Cell` and `labs.choosing.decision.Cost`.

    Delays: a dot at the median, a line to the 99th percentile, hollow for the nearest readers, a black tick where the model's
    median is. The lines of a row are the rates, ascending. Bytes, requests and CPU time are of the farthest readers.
    """
    cells = list(cells)
    names = [name for name in COLORS if name in {cell.transport for cell in cells}]
    names.sort(key=[cell.transport for cell in cells].index)
    rates = sorted({cell.run.per_second for cell in cells})
    drawn = Figure(figsize=(9.3, HEAD + FOOT + ROW * len(names)))
    panels = _panels(drawn, names)
    for cell in cells:
        row, line = names.index(cell.transport), rates.index(cell.run.per_second)
        _delay(panels["delay"], cell, row + SPREAD * (line - (len(rates) - 1) / 2), _near(cell, cells))
    far = [cell for cell in cells if not _near(cell, cells)]
    _per_event(panels, far, names, rates, costs)
    for row, name in enumerate(names):
        if name in costs:
            _stem(panels["idle"], row, costs[name].idle_bytes_per_hour, name, _short)
            _stem(panels["memory"], row, costs[name].idle_kib, name)
    _axes(panels, names, rates)
    drawn.suptitle(title, x=0.012, y=0.985, ha="left", va="top", fontsize=12.5, fontweight="bold")
    drawn.text(0.012, 0.012, caption or _caption(cells), ha="left", va="bottom", fontsize=7.8, color=GREY)
    return Chart(drawn, says or _says(far, costs))


def _near(cell, cells) -> bool:
    return cell.run.rtt_ms < max(other.run.rtt_ms for other in cells)


def _panels(drawn, names) -> dict:
    """The columns, with one row for each transport and its name in its color at the left."""
    height = drawn.get_figheight()
    edges = {"left": LEFT, "right": RIGHT, "top": 1 - HEAD / height, "bottom": FOOT / height}
    grid = drawn.add_gridspec(1, len(WIDTHS), **edges, wspace=0.1, width_ratios=list(WIDTHS.values()))
    panels = {}
    for place, key in enumerate(WIDTHS):
        axes = panels[key] = drawn.add_subplot(grid[0, place])
        axes.set_title(HEADS[key], fontsize=8.8, pad=6)
        axes.set(ylim=(len(names) - 0.5, -0.5), yticks=[])
        axes.spines[["left", "bottom"]].set_visible(False)
        axes.grid(axis="y", visible=False)
        axes.tick_params(length=0, labelsize=SMALL, colors=GREY)
        for row in range(0, len(names), 2):
            axes.axhspan(row - 0.5, row + 0.5, color="#f4f5f7", zorder=0, lw=0)
    for row, name in enumerate(names):
        panels["delay"].text(-0.03, row, NAMES[name].replace(" ", "\n", 1), transform=panels["delay"].get_yaxis_transform(),
                             ha="right", va="center", color=COLORS[name], fontweight="bold", fontsize=9.5)  # fmt: skip
    return panels


def _delay(axes, cell, y: float, near: bool) -> None:
    color, latency = COLORS[cell.transport], cell.run.latency
    y += -APART if near else APART
    half, most = latency.percentile(50), latency.percentile(99)
    axes.plot([half, most], [y, y], color=color, lw=1.3, zorder=3)
    axes.plot([most], [y], "|", color=color, ms=4.5, zorder=3)
    axes.plot([half], [y], "o", mec=color, mfc="white" if near else color, ms=4.8, zorder=4)
    at, side, shift = (half, "right", -5) if near else (most, "left", 5)
    _number(axes, rounded(half), at, y, side, shift, 6.9)
    if (model := cell.model.quantile(0.5)) > 0:
        axes.plot([model, model], [y - 0.09, y + 0.09], color=INK, lw=1.3, zorder=5)


def _per_event(panels, far, names, rates, costs) -> None:
    """The three columns with one value for each rate, or with one that no rate changes."""
    for cell in far:
        row, name, line = names.index(cell.transport), cell.transport, rates.index(cell.run.per_second)
        y = row + SPREAD * (line - (len(rates) - 1) / 2)
        _stem(panels["bytes"], y, cell.bytes_each, name, model=cell.model_bytes)
        asks = cell.requests_each > 0
        if asks or line == 0:
            y = y if asks else row
            _stem(panels["requests"], y, cell.requests_each, name)
            if name in costs:
                _stem(panels["cpu"], y, costs[name].cpu_us(cell.requests_each), name)


def _stem(axes, y: float, value: float, name: str, text=None, model: float | None = None) -> None:
    """One value, with its number; nothing but the number where it is 0, which a log axis cannot show."""
    color, said = COLORS[name], (text or rounded)(value)
    if value <= 0:
        axes.text(0.03, y, said, transform=axes.get_yaxis_transform(), fontsize=SMALL, va="center")
        return
    axes.plot([1e-9, value], [y, y], color=color, lw=1.6, alpha=0.5, zorder=2)
    axes.plot([value], [y], "o", color=color, ms=4.4, zorder=3)
    if model:
        axes.plot([model, model], [y - 0.1, y + 0.1], color=INK, lw=1.3, zorder=4)
    _number(axes, said, value, y, "left", 5, SMALL)


def _number(axes, text: str, x: float, y: float, side: str, shift: float, size: float) -> None:
    axes.annotate(
        text, (x, y), (shift, -0.3), textcoords="offset points", ha=side, va="center", fontsize=size, color=INK
    )


def rounded(value: float) -> str:
    """Two significant digits below ten, whole numbers above."""
    return f"{value:,.0f}" if value >= 9.95 else f"{value:.2g}"


def _short(value: float) -> str:
    return f"{value / 1000:,.0f} kB" if value >= 10_000 else f"{value / 1000:.1f} kB"


def _axes(panels, names, rates) -> None:
    for key, axes in panels.items():
        axes.set_xscale("log")
        axes.set_xlim(*LIMITS[key])
        plain(axes.xaxis, ticks=TICKS[key])
        axes.minorticks_off()
    panels["idle"].set_xticks(TICKS["idle"], [f"{tick // 1000} kB" for tick in TICKS["idle"]])
    for line, rate in enumerate(rates):
        y = SPREAD * (line - (len(rates) - 1) / 2)
        panels["delay"].text(0.012, y, f"{rate:,.0f}/s", transform=panels["delay"].get_yaxis_transform(), fontsize=6.9,
                             color=GREY, va="center")  # fmt: skip


def _caption(cells) -> str:
    run = cells[0].run
    trips = " and ".join(f"{rtt:g}" for rtt in sorted({cell.run.rtt_ms for cell in cells}))
    rates = ", ".join(f"{rate:,.0f}" for rate in sorted({cell.run.per_second for cell in cells}))
    events = min(cell.run.expected for cell in cells)
    return (
        f"{events} events at {rates} a second (the lines of a row), round trips of {trips} ms (hollow, filled). "
        f"Dot: median; line: up to the 99th\npercentile; black: model. Polling asks once a second. "
        f"Bytes above TCP or UDP, without connecting. CPU of a server in Python\nwith 20 readers (WebRTC: 2). {run.machine}"
    )


def _says(far, costs) -> str:
    slow = min(cell.run.per_second for cell in far)
    parts = [
        f"{NAMES[cell.transport]} {cell.run.latency.percentile(50):,.0f} ms and {cell.bytes_each:,.0f} bytes"
        for cell in far
        if cell.run.per_second == slow
    ]
    where = f"At {slow:g} events a second from {far[0].run.rtt_ms:g} ms away"
    return f"{where}, half of the events within, and bytes for each: {'; '.join(parts)}."
