"""How many bytes, and what for."""

from collections.abc import Mapping

import matplotlib as mpl

from labs.charts.look import COLORS, GREY, INK, SOFT, Chart, figure, in_style, number, plain

PARTS = {  # of the byte ledger, darkest for what the reader wanted
    "payload": "#1b1e25",
    "framing": "#6b7080",
    "response headers": "#b4b9c1",
    "status line": "#c9cdd3",
    "request headers": "#dcdfe4",
    "request line": "#eceef1",
}


@in_style
def ledger(
    rows: Mapping[str, Mapping[str, float]], *, title: str, says: str, caption: str, colors: Mapping = {}
) -> Chart:
    """Bytes by part, one stacked bar a row; the parts of a row add up to its total, which is written behind it."""
    drawn, axes = figure(title, caption, height=1.5 + 0.62 * len(rows))
    longest = max(sum(parts.values()) for parts in rows.values())
    for place, (_, parts) in enumerate(rows.items()):
        left = 0.0
        for part, fill in PARTS.items():
            size = parts.get(part, 0)
            axes.barh(place, size, left=left, color=fill, edgecolor="white", lw=0.8, height=0.62)
            left += size
        axes.text(left + longest * 0.012, place, f"{number(left)} B", va="center", fontweight="bold")
    axes.set_yticks(range(len(rows)), rows)
    for label, name in zip(axes.get_yticklabels(), rows, strict=True):
        label.set(fontweight="bold", color=colors.get(name, INK))
    axes.invert_yaxis()
    axes.set_xlim(0, longest * 1.16)
    axes.set_xlabel("bytes")
    axes.grid(axis="y", visible=False)
    used = [part for part in PARTS if any(parts.get(part) for parts in rows.values())]
    handles = [mpl.patches.Patch(fc=PARTS[part], ec=SOFT, lw=0.6, label=part) for part in used]
    # Above the bars, where the layout makes room for it; below them the axis and the caption are in its way.
    axes.legend(handles=handles, ncols=len(used), loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0.2, borderpad=0,
                fontsize=8.8, handlelength=1.1, columnspacing=1.3)  # fmt: skip
    return Chart(drawn, says)


@in_style
def bytes_per_event(
    measured: Mapping, simulated: Mapping, line: Mapping, *, payload: float, title: str, says: str, caption: str
):
    """Bytes for each delivered event against polls for each event: points over the model's line, and the event's own size."""
    drawn, axes = figure(title, caption)
    axes.plot(list(line), list(line.values()), color=GREY, lw=1.2, zorder=3)
    axes.plot(list(simulated), list(simulated.values()), "o", mfc="white", mec=INK, ms=8, zorder=4)
    axes.plot(list(measured), list(measured.values()), "o", color=COLORS["http_polling"], ms=8, zorder=5)
    for x, y in list(simulated.items())[:: max(1, len(simulated) // 4)]:
        axes.annotate(f"{number(y)} B", (x, y), (-8, 8), textcoords="offset points", ha="right", fontsize=9.5)
    axes.axhline(payload, color=INK, lw=1.2, ls=":")
    axes.annotate(
        f"the event itself: {number(payload)} B", (max(line), payload), (-4, 5), textcoords="offset points", ha="right"
    )
    x, y = max(measured.items())
    axes.annotate(
        "measured", (x, y), (12, -12), textcoords="offset points", color=COLORS["http_polling"], fontweight="bold"
    )
    x, y = max(simulated.items())
    axes.annotate("simulated", (x, y), (2, -20), textcoords="offset points", fontweight="bold")
    axes.set_xscale("log"), axes.set_yscale("log")
    plain(axes.xaxis), plain(axes.yaxis)
    axes.set(xlabel="polls for each event (log scale)", ylabel="bytes for each delivered event (log scale)")
    return Chart(drawn, says)


@in_style
def bars(
    rows: Mapping[str, float],
    *,
    unit: str,
    title: str,
    says: str,
    caption: str,
    colors: Mapping = {},
    notes: Mapping = {},
) -> Chart:
    """One bar a row, its value written behind it, and after that what `notes` has to say about it."""
    drawn, axes = figure(title, caption, height=1.5 + 0.5 * len(rows))
    longest = max(rows.values())
    for place, (name, value) in enumerate(rows.items()):
        axes.barh(place, value, color=colors.get(name, GREY), height=0.6)
        axes.text(value + longest * 0.012, place, number(value), va="center", fontweight="bold")
        axes.annotate(notes.get(name, ""), (value, place), (14 + 7 * len(number(value)), 0), textcoords="offset points",
                      va="center", color=GREY, fontsize=9)  # fmt: skip
    axes.set_yticks(range(len(rows)), rows)
    for label, name in zip(axes.get_yticklabels(), rows, strict=True):
        label.set(fontweight="bold", color=colors.get(name, INK))
    axes.invert_yaxis()
    axes.set_xlim(0, longest * (1.45 if notes else 1.16))
    axes.set_xlabel(unit)
    plain(axes.xaxis)
    axes.grid(axis="y", visible=False)
    return Chart(drawn, says)
