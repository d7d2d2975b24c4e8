"""One thing against another: cost against delay, measurement against model, what arrived against what was published."""

from collections.abc import Iterable, Mapping

from labs.charts.look import COLORS, GREY, INK, SOFT, Chart, end_labels, figure, in_style, number, plain


@in_style
def cost(runs, *, title: str, says: str, caption: str, models) -> Chart:
    """Mean latency against requests per second for every interval and distance: measured points, model lines, log-log."""
    drawn, axes = figure(title, caption)
    trips = sorted({run.rtt_ms for run in runs})
    for rtt, shade in zip(trips, ("#D55E00", "#a54800", "#6e3000"), strict=False):
        mine = [run for run in runs if run.rtt_ms == rtt]
        axes.plot(
            [r.requests_per_second for r in mine], [r.latency.mean for r in mine], "o", color=shade, ms=8, zorder=4
        )
        every = [2000 * 0.93**i for i in range(60)]
        every = [t for t in every if t >= max(rtt, min(r.settings["every_ms"] for r in runs) * 0.8)]
        axes.plot([models.polling_requests_per_s(t, rtt) for t in every], [models.polling(t, rtt).mean for t in every],
                  color=GREY, lw=1.1, zorder=3)  # fmt: skip
        last = min(mine, key=lambda r: r.latency.mean)
        below = -10 if rtt == trips[0] else 3
        axes.annotate(f"round trip {rtt:g} ms", (last.requests_per_second, last.latency.mean), (12, below),
                      textcoords="offset points", color=shade, fontweight="bold")  # fmt: skip
    axes.set_xscale("log"), axes.set_yscale("log")
    plain(axes.xaxis, ticks=(0.5, 1, 2, 5, 10, 20))
    plain(axes.yaxis, ticks=(20, 50, 100, 200, 500, 1000))
    axes.set(xlim=(0.45, 22), xlabel="requests per second and reader, whether or not anything happens (log scale)",
             ylabel="mean delay of a message, ms (log scale)")  # fmt: skip
    axes.text(0.5, 60, "thin lines: T/2 + RTT/2", color=GREY, fontsize=9.5)
    return Chart(drawn, says)


@in_style
def compare(
    rows, *, title: str, says: str, caption: str, xlabel: str, ylabel: str, logy: bool = True, ticks=None
) -> Chart:
    """Points over model lines, for several things at once: `rows` are (label, color key, measured, simulated, model) with
    x -> y for the last three, any of which may be empty. The x axis is logarithmic.
    """
    drawn, axes = figure(title, caption)
    for _, key, measured, simulated, line in rows:
        color = COLORS.get(key, INK)
        axes.plot(list(line), list(line.values()), color=color, lw=1.2, zorder=3)
        axes.plot(list(simulated), list(simulated.values()), "o", mfc="white", mec=color, ms=8, zorder=4)
        axes.plot(list(measured), list(measured.values()), "o", color=color, ms=8, zorder=5)
    axes.set_xscale("log")
    plain(axes.xaxis, ticks=ticks)
    if logy:
        axes.set_yscale("log")
        plain(axes.yaxis)
    else:
        axes.set_ylim(bottom=0)
    low, high = axes.get_xlim()
    axes.set(xlim=(low, high * (high / low) ** 0.28), ylim=axes.get_ylim(), xlabel=xlabel, ylabel=ylabel)
    end_labels(axes, [(row[0], COLORS.get(row[1], INK), *max((row[4] or row[2] or row[3]).items())) for row in rows])
    return Chart(drawn, says)


@in_style
def codec(found: Mapping, *, title: str, says: str, caption: str) -> Chart:
    """What a message costs a codec by its size: medians, with bars from the 5th to the 95th percentile; log-log, microseconds.

    `found` is what `measure.codec` returns.
    """
    drawn, axes = figure(title, caption)
    colors = {"labs.frames": COLORS["raw_websocket"], "websockets": COLORS["websocket"]}
    for place, (name, by_size) in enumerate(found.items()):
        color, sizes = colors.get(name, INK), [size * 1.15 ** (place - 1) for size in by_size]  # side by side
        low, half, high = ([ms.percentile(p) * 1000 for ms in by_size.values()] for p in (5, 50, 95))
        axes.vlines(sizes, low, high, color=color, lw=5, alpha=0.35)
        axes.plot(sizes, half, "o-", color=color, ms=7, lw=1.1)
    axes.set_xscale("log", base=2), axes.set_yscale("log")
    sizes = sorted({size for by_size in found.values() for size in by_size})
    axes.set_xticks(sizes, [_bytes(size) for size in sizes])
    axes.minorticks_off()
    plain(axes.yaxis)
    low, high = axes.get_xlim()
    axes.set(xlim=(low, high * (high / low) ** 0.22), ylim=axes.get_ylim())
    axes.set(xlabel="payload of a message (log scale)", ylabel="microseconds for each message (log scale)")
    ends = []
    for name, by_size in found.items():
        size, half = max(by_size), by_size[max(by_size)].percentile(50) * 1000
        ends.append((f"{name}  {number(half)} µs", colors.get(name, INK), size * 1.25, half))
    end_labels(axes, ends)
    return Chart(drawn, says)


def _bytes(size: int) -> str:
    for power, unit in ((20, "MiB"), (10, "KiB")):
        if size >= 2**power:
            return f"{size / 2**power:g} {unit}"
    return f"{size} B"


@in_style
def strip(
    rows: Mapping[str, Iterable[int]],
    *,
    published: Iterable[int],
    title: str,
    says: str,
    caption: str,
    marks: Mapping = {},
):
    """One row of squares per reader: filled where the event arrived, empty where it never did."""
    published = list(published)
    drawn, axes = figure(title, caption, height=1.35 + 0.6 * (len(rows) + 1))
    for place, got in enumerate((published, *rows.values())):
        got = list(got)
        for x in published:
            has = x in got
            fill = (INK if place == 0 else COLORS["http_polling"]) if has else "white"
            axes.plot([x], [place], "s", color=fill, mec=SOFT if not has else fill, ms=13)
            if not has:
                axes.text(x, place, "×", ha="center", va="center", color=COLORS["you"], fontweight="bold", fontsize=12)
    for x, text in marks.items():
        axes.axvline(x, color=COLORS["you"], lw=1.4)
        axes.text(x + 0.12, -0.62, text, color=COLORS["you"], fontsize=9.5, va="center")
    axes.set_yticks(range(len(rows) + 1), ["published", *rows])
    axes.set(ylim=(len(rows) + 0.5, -0.6), xlabel="events, in the order they were published")
    axes.set_xticks(published)
    axes.grid(False)
    axes.spines[["left", "bottom"]].set_visible(False)
    axes.tick_params(length=0)
    return Chart(drawn, says)
