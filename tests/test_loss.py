"""The lossy wire, what TCP and data channels make of it, and the model. What needs namespaces is skipped where there are none."""

import asyncio
import os
import random
import shlex
import subprocess
import sys
from itertools import pairwise

import pytest

from labs.charts.loss import loss as loss_chart
from labs.choosing import loss, lossy_wire
from labs.choosing.loss_record import Cell, recorded, together
from labs.choosing.lossy_wire import FAR, NEAR, ROOT, command
from labs.choosing.relay import Direction
from labs.models.loss import RACK, THREE, blocked, late_in_any_order, late_in_order, lost, repaired_ms, simulate

IPV4, IPV6 = b"\x45", b"\x60"
LOSSES = (0.01, 0.05)
SENDING_AGAIN = {"websocket": RACK, "reliable": THREE}


@pytest.fixture
def wire():
    """This machine can have a lossy wire, or the test is skipped for the reason why not."""
    if reason := lossy_wire.impossible():
        pytest.skip(reason)


def losses_of(seed, packets=2000, share=0.05) -> list[int]:
    """Which packets a direction loses."""
    direction = Direction(share, 0.0, random.Random(seed))
    for number in range(packets):
        direction.enter(IPV4 + number.to_bytes(4), now=number)
    arrived = {int.from_bytes(packet[1:]) for packet in direction.leave(packets)}
    return [number for number in range(packets) if number not in arrived]


def test_same_seed_loses_the_same_packets_and_another_seed_others():
    assert losses_of(1) == losses_of(1) != losses_of(2)
    assert 60 < len(losses_of(1)) < 140  # 100 expected; four standard deviations are 39


def test_packets_of_a_direction_arrive_in_order_half_a_round_trip_later():
    direction = Direction(0.0, 0.025, random.Random(1))
    direction.enter(IPV4 + b"first", now=1.0)
    direction.enter(IPV4 + b"second", now=1.01)
    assert direction.leave(1.0249) == [] and direction.next() == 1.025
    assert direction.leave(1.025) == [IPV4 + b"first"]
    assert direction.leave(2.0) == [IPV4 + b"second"] and direction.next() == float("inf")


def test_ipv6_uses_up_no_toss_of_the_coin():
    alone, between = (Direction(0.5, 0.0, random.Random(3)) for _ in range(2))
    for number in range(50):
        alone.enter(IPV4 + bytes([number]), now=0)
        between.enter(IPV6, now=0)
        between.enter(IPV4 + bytes([number]), now=0)
    assert alone.leave(0) == between.leave(0)


def test_one_hole_at_fifty_a_second_delays_three_messages_with_rack_and_five_with_three_strikes():
    # RTT 50 ms, a message every 20 ms, number 0 lost. RACK: number 1 is sent at 20, known at 70, the repair there at 95.
    # The delays are then 95, 75, 55, 35: three above 50. Three strikes: known at 110, there at 135: 135, 115, 95, 75, 55, 35.
    assert (repaired_ms(50, 50, RACK), repaired_ms(50, 50, THREE)) == (95, 135)
    assert (blocked(50, 50, RACK), blocked(50, 50, THREE)) == (3, 5)


def test_simulated_hole_makes_the_triangle_of_delays_that_the_model_says():
    delays = simulate(0.0005, 50, 50, RACK, 4000)
    hole = next(place for place, ms in enumerate(delays) if ms > 50)
    assert delays[hole - 1 : hole + 5] == pytest.approx([25, 95, 75, 55, 35, 25])


@pytest.mark.parametrize("later", [RACK, THREE])
@pytest.mark.parametrize("share", LOSSES)
def test_simulation_is_a_little_worse_than_the_formula_because_repairs_are_lost_too(share, later):
    delays = simulate(share, 50, 50, later, 100_000)
    late = sum(ms > 50 for ms in delays) / len(delays)
    assert 0.9 < late / late_in_order(share, 50, 50, later) < 1.2


def test_without_order_only_what_was_lost_is_late_and_without_repair_it_is_lost():
    delays = simulate(0.05, 50, 50, THREE, 50_000, in_order=False)
    assert sum(ms > 50 for ms in delays) / len(delays) == pytest.approx(late_in_any_order(0.05), rel=0.1)
    assert (lost(0.05, again=True), lost(0.05, again=False)) == (0, 0.05)


def test_recorded_cells_are_complete():
    experiment = recorded()
    wanted = {(name, share) for name in loss.TRANSPORTS for share in (0, *LOSSES)}
    assert {(cell.transport, cell.loss) for cell in experiment.cells} == wanted
    assert all(cell.n >= 3000 and cell.rtt_ms == 50 and len(cell.runs()) == 10 for cell in experiment.cells)
    assert all(min(cell.arrived) >= 25 for cell in experiment.cells), "faster than the wire"
    assert "kernel" in experiment.about and "/" not in experiment.about


def test_recorded_streams_are_late_where_they_repair_and_lose_where_they_do_not():
    experiment = recorded()
    for name, later in SENDING_AGAIN.items():
        shares = [experiment.cell(name, share).late for share in (0, *LOSSES)]
        assert all(less < more for less, more in pairwise(shares))
        assert all(experiment.cell(name, share).lost == 0 for share in (0, *LOSSES))
        for share, late in zip(LOSSES, shares[1:], strict=True):
            assert 0.7 < late / late_in_order(share, 50, 50, later) < 1.8  # … and what the congestion window adds
    for share in LOSSES:
        loose = experiment.cell("unreliable", share)
        assert loose.late < 0.01
        assert loose.lost == pytest.approx(share, abs=4 * (share * (1 - share) / loose.n) ** 0.5)


def test_recorded_tcp_that_does_not_slow_down_is_late_less_often():
    experiment = recorded()
    assert experiment.cell("websocket", 0.05, "bbr").late < experiment.cell("websocket", 0.05, "cubic").late


def test_runs_put_together_come_apart_again():
    runs = [Cell("websocket", 0.05, 50, 50, (seed,), "cubic", (25.1, None, 90.0 + seed)) for seed in (1, 2)]
    both = together(runs)
    assert both.runs() == runs
    assert (both.n, both.lost, both.late) == (6, pytest.approx(1 / 3), pytest.approx(1 / 3))


async def test_machine_without_namespaces_gets_the_recorded_data_and_the_reason(monkeypatch):
    monkeypatch.setattr(loss, "impossible", lambda: "This is another system.")
    experiment = await loss.measured_or_recorded()
    assert experiment.cells == recorded().cells
    assert experiment.says.startswith("Recorded earlier") and experiment.says.endswith("This is another system.")


def test_chart_of_the_record_shows_three_ways_and_every_rate():
    chart = loss_chart(recorded(), title="t", says="s")
    assert len(chart.figure.axes) == 6
    assert [text.get_text() for text in chart.figure.axes[1].get_yticklabels()] == ["0 % lost", "1 % lost", "5 % lost"]
    assert chart.png().startswith(b"\x89PNG")


ECHO = f"""
import socket
ear = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
ear.bind(("{NEAR}", 7))
while True:
    ear.sendto(*ear.recvfrom(99))
"""
ASK = f"""
import socket, time
ear = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
ear.bind(("{FAR}", 0))
ear.settimeout(0.1)
def ask():
    start = time.monotonic()
    ear.sendto(b"x", ("{NEAR}", 7))
    try:
        ear.recv(9)
    except OSError:
        return None
    return 1000 * (time.monotonic() - start)
while ask() is None:  # until the other end listens
    time.sleep(0.05)
print(*[ask() for _ in range(10)])
"""


def python(code: str) -> str:
    """A command line that runs this code."""
    return shlex.join([sys.executable, "-I", "-S", "-c", code])


def test_wire_without_loss_carries_everything_a_round_trip_later(wire):
    done = subprocess.run(
        command(rtt=20, limit=20, near=python(ECHO), far=python(ASK)),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=30,
    )
    answers = done.stdout.split()
    assert done.returncode == 0 and len(answers) == 10, done.stderr
    assert all(answer != "None" and float(answer) >= 20 for answer in answers)


def test_wire_ends_with_its_time_and_takes_both_ends_along(wire, tmp_path):
    ends = [
        python(f"import os, time; open({str(tmp_path / end)!r}, 'w').write(str(os.getpid())); time.sleep(60)")
        for end in "nf"
    ]
    done = subprocess.run(command(limit=0.5, near=ends[0], far=ends[1]), cwd=ROOT, timeout=30)
    assert done.returncode == 124
    for end in "nf":
        with pytest.raises(ProcessLookupError):
            os.kill(int((tmp_path / end).read_text()), 0)


def test_wire_ends_when_nobody_waits_for_it_any_more(wire):
    sleep = python("import time; time.sleep(60)")
    with subprocess.Popen(command("--exit-on-eof", near=sleep, far=sleep), cwd=ROOT, stdin=subprocess.PIPE) as process:
        process.stdin.close()
        assert process.wait(10) == 124


async def test_far_end_that_fails_is_told_with_what_it_said(wire):
    with pytest.raises(RuntimeError, match="no such luck"):
        await lossy_wire.across(python("pass"), python("raise SystemExit('no such luck')"), limit=10)


async def test_feed_over_the_wire_arrives_three_ways(wire):
    pytest.importorskip("aiortc")
    async with asyncio.timeout(60):
        experiment = await loss.measure((0,), seconds=0.2)
    assert [(cell.transport, cell.n, cell.lost) for cell in experiment.cells] == [
        (name, 10, 0) for name in loss.TRANSPORTS
    ]
    assert all(min(cell.arrived) >= 25 for cell in experiment.cells)
    assert experiment.says.startswith("Measured now")
