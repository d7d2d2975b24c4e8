"""The formulas: what each measurement should be, before anything is measured. Times in milliseconds, sizes in bytes."""

from labs.models.delays import (
    Parked,
    Stall,
    Uniform,
    connect_times,
    echo_times,
    gap_share,
    long_polling,
    polling,
    polling_interval,
    polling_requests_per_s,
    pushed,
)  # fmt: skip
from labs.models.fanout import cpu_per_delivery, held_bytes, last_member_ms
from labs.models.scaling import with_servers_us
from labs.models.sizes import (
    CHROMIUM_HEADERS,
    SOME_DATE,
    bytes_per_event,
    chunk,
    frame,
    get,
    head_parts,
    long_poll_request,
    poll_request,
    poll_response,
    publish_request,
    publish_response,
    sse_event,
    sse_request,
    sse_response,
    upgrade_request,
    upgrade_response,
)  # fmt: skip
from labs.models.transports import delay, exchange, overhead, requests_per_event, upward, wrapping

__all__ = [
    "CHROMIUM_HEADERS", "SOME_DATE", "Parked", "Stall", "Uniform", "bytes_per_event", "chunk", "connect_times",
    "cpu_per_delivery", "delay", "echo_times", "exchange", "frame", "gap_share", "get", "head_parts", "held_bytes",
    "last_member_ms", "long_poll_request", "long_polling", "overhead", "poll_request", "poll_response", "polling",
    "polling_interval", "polling_requests_per_s", "publish_request", "publish_response", "pushed", "requests_per_event",
    "sse_event", "sse_request", "sse_response", "upgrade_request", "upgrade_response", "upward", "with_servers_us", "wrapping",
]  # fmt: skip
