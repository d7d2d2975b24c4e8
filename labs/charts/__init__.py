"""Records and models in, figures out. Starts nothing, measures nothing.

Every chart has its finding as title, what was run as caption, labels on the lines instead of a legend, one color per
transport (Okabe and Ito's palette, told apart by readers with any color vision), points for what was measured, a thin line for
the model, and one sentence that says the same to those who cannot see it.
"""

from labs.charts.comparisons import codec, compare, cost, strip
from labs.charts.delays import distances, distributions, latency, spreads, stall
from labs.charts.duplex import duplex_ladder
from labs.charts.fanout import fanout_cpu, fanout_latency, fanout_stall
from labs.charts.frame_view import frames
from labs.charts.grand import grand
from labs.charts.lanes import ladder, stream_ladder
from labs.charts.look import COLORS, NAMES, Chart, number
from labs.charts.scaling import scaling
from labs.charts.sizes import bars, bytes_per_event, ledger
from labs.charts.versions import versions

__all__ = [
    "COLORS", "NAMES", "Chart", "bars", "bytes_per_event", "codec", "compare", "cost", "distances", "distributions",
    "duplex_ladder", "fanout_cpu", "fanout_latency", "fanout_stall", "frames", "grand", "ladder", "latency", "ledger", "number",
    "scaling", "spreads", "stall", "stream_ladder", "strip", "versions",
]  # fmt: skip
