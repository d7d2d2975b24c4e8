"""Run a workload against a server and return records: plain data that charts, claims and tables are computed from.

Every function here that is asynchronous takes a running server, real or simulated, and starts none.
"""

from labs.measure.codec_cost import codec
from labs.measure.deflating import Compressed, compression, readings
from labs.measure.delivery import Reader, deliver, long_poller, poller, polling, polling_sweep, socket_reader, streamer
from labs.measure.holding import Idle, idle_memory
from labs.measure.instrument import floor
from labs.measure.pacing import poisson, progress, schedule, sleep_until, until
from labs.measure.records import Latencies, Run, Sample, machine
from labs.measure.requests import closed_loop, cpu_per_request, open_loop, pause, tasks_held, watch
from labs.measure.sockets import connect_times, echo_times
from labs.measure.upward import Upstream, upstream

__all__ = [
    "Compressed", "Idle", "Latencies", "Reader", "Run", "Sample", "Upstream", "closed_loop", "codec", "compression",
    "connect_times", "cpu_per_request", "deliver", "echo_times", "floor", "idle_memory", "long_poller", "machine", "open_loop",
    "pause", "poisson", "poller", "polling", "polling_sweep", "progress", "readings", "schedule", "sleep_until",
    "socket_reader", "streamer", "tasks_held", "until", "upstream", "watch",
]  # fmt: skip
