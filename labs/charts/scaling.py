"""More servers: what a message costs the servers, in a small room and in a large one, and what it costs Redis."""

from collections.abc import Iterable

from labs.charts.look import COLORS, INK, Chart, figure, in_style, number

SHADES = (COLORS["websocket"], COLORS["raw_websocket"])  # servers take turns in them
REDIS = COLORS["http_polling"]
WIDTH = 0.62


@in_style
def scaling(points: Iterable, *, title: str, says: str, models) -> Chart:
    """CPU time for each message against the number of servers, from `labs.scaling.Point` of two sizes of room.

    A block of a bar is one server. Thin lines: one alone, and for each further server the price that the small room shows; in
    the large room that is a prediction. Redis is drawn for the small room, with a line through its first and last point.
    """
    points = sorted(points, key=lambda point: point.servers)
    sizes = sorted({point.members for point in points})
    drawn, axes = figure(title, _caption(points), width=11.5, height=4.4, columns=3)
    small, large = ([point for point in points if point.members == size] for size in (sizes[0], sizes[-1]))
    more = small[-1].servers - small[0].servers
    price = (small[-1].servers_us - small[0].servers_us) / more
    for place, room, name in ((axes[0], small, "small"), (axes[1], large, "large")):
        _servers(place, room, price, models)
        place.set_title(f"Servers, a {name} room: {room[0].members} members", fontsize=10.5)
    axes[0].set_ylabel("CPU time of a message, microseconds")
    axes[2].plot(
        [point.servers for point in small], [point.redis_us for point in small], "o", color=REDIS, ms=9, zorder=4
    )
    _line(axes[2], small, small[0].redis_us, (small[-1].redis_us - small[0].redis_us) / more, models)
    for point in small:
        _value(axes[2], point.servers, point.redis_us, 10)
    axes[2].set_title(f"Redis: {small[0].members} members", fontsize=10.5)
    for place in axes:
        place.set_xticks([point.servers for point in small])
        place.set(ylim=(0, place.get_ylim()[1] * 1.12), xlabel="servers")
        place.grid(axis="x", visible=False)
    return Chart(drawn, says)


def _servers(axes, room, price, models) -> None:
    for point in room:
        base = 0.0
        for number_of, cpu_us in enumerate(point.server_us):
            axes.bar(point.servers, cpu_us, WIDTH, bottom=base, color=SHADES[number_of % 2], zorder=2)
            base += cpu_us
        _value(axes, point.servers, base, 4)
    _line(axes, room, room[0].servers_us, price, models)


def _line(axes, room, alone, price, models) -> None:
    ends = [room[0].servers - WIDTH / 2, room[-1].servers + WIDTH / 2]
    axes.plot(ends, [models.with_servers_us(alone, price, end) for end in ends], color=INK, lw=1.2, zorder=3)


def _value(axes, x, y, above) -> None:
    box = {"fc": "white", "ec": "none", "pad": 0.8, "alpha": 0.8}
    axes.annotate(number(round(y) if y > 100 else y), (x, y), (0, above), textcoords="offset points", ha="center",
                  va="bottom", color=INK, fontweight="bold", fontsize=9.5, bbox=box, zorder=5)  # fmt: skip


def _caption(points) -> str:
    some = points[0]
    return (
        f"One Redis; members dealt out in turn, and all of them speak; the cheapest of {some.rounds} rounds. Servers, Redis and "
        f"members share the cores of one machine, so only CPU time is compared; each block is one server; {some.machine}"
    )
