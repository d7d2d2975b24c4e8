"""The framework of the checks: whatever an answer does, `check` returns soon, says something useful, and leaves nothing behind."""

import asyncio
import functools
import gc
import os
import signal
import sys
import threading
import time
import warnings

import pytest

from labs import checks
from labs.checks import attempt, check, claim, fail, judge
from labs.checks.attempt import readable

over = threading.Event()  # lets the answers that nobody can stop end with the test


@pytest.fixture(autouse=True)
def short_limits(monkeypatch):
    """Answers that spin are given up sooner, and end after the test."""
    monkeypatch.setattr(attempt, "WALL_LIMIT_S", 0.3)
    over.clear()
    yield
    over.set()


def shown(number, answer):
    """The diagnosis and the printed lines of a check that fails, within its time limit."""
    started = time.monotonic()
    lines, verdict = judge(number, answer, real=False)
    assert time.monotonic() - started < 10 and not verdict.passed
    return verdict.diagnosis, "\n".join(lines)


async def open_loop(send, due, sleep, now):
    """A right answer to 0.4."""

    async def request(at):
        await sleep(at - now())
        await send()
        return now() - at

    return await asyncio.gather(*map(request, due))


def percentile(values, p):
    """A right answer to 0.2."""
    return sorted(values)[-(-len(values) * p // 100) - 1]


# Answers that do not come back.


async def hangs(send, due, sleep, now):
    await asyncio.Event().wait()


async def spins(send, due, sleep, now):
    while True:
        pass


async def spins_politely(send, due, sleep, now):
    while True:
        await sleep(0)


async def sleeps(send, due, sleep, now):
    time.sleep(60)  # noqa: ASYNC251


async def blocks_in_another_way(send, due, sleep, now):
    over.wait(60)


async def catches_everything(send, due, sleep, now):
    while True:
        try:
            while not over.is_set():
                pass
            return
        except BaseException:
            pass


async def swallows_the_cancellation(send, due, sleep, now):
    while True:
        try:  # noqa: SIM105
            await asyncio.sleep(1)
        except BaseException:
            pass


async def spins_politely_and_catches_everything(send, due, sleep, now):
    while True:
        try:  # noqa: SIM105
            await asyncio.sleep(0 if asyncio.current_task() else 1)
        except BaseException:
            pass


@pytest.mark.parametrize(
    ("answer", "diagnosis", "says"),
    [
        (hangs, "waits-forever", "your code waits for something that will never happen"),
        (spins, "spins", "your code runs on and on without ever waiting"),
        (spins_politely, "spins", "your code runs on and on without ever waiting"),
        (spins_politely_and_catches_everything, "spins", "your code runs on and on without ever waiting"),
        (sleeps, "blocks", "time.sleep(60) was called: nothing else can run until it returns"),
        (blocks_in_another_way, "blocks", "in blocks_in_another_way, line 2:  over.wait(60)"),
        (catches_everything, "cannot-be-stopped", "it catches even what should end it"),
    ],
)
def test_answer_that_does_not_come_back_is_told_so(answer, diagnosis, says):
    got, lines = shown("0.4", answer)
    assert got == diagnosis and says in lines


def test_answer_that_hangs_is_told_at_once_and_one_that_sleeps_too():
    started = time.monotonic()
    for answer in (hangs, sleeps):
        shown("0.4", answer)
    assert time.monotonic() - started < attempt.WALL_LIMIT_S


@pytest.mark.parametrize("answer", [lambda values, p: over.wait(60), lambda values, p: [0 for _ in iter(int, 1)]])
def test_plain_answer_that_does_not_come_back_is_given_up(answer):
    diagnosis, _ = shown("0.2", answer)
    assert diagnosis in ("blocks", "spins")


async def test_polling_loop_that_cannot_be_cancelled_is_told_so():
    async def poll(fetch, handle, every, sleep, now):
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                await fetch()

    diagnosis, lines = await asyncio.to_thread(shown, "1.3", poll)
    assert diagnosis == "cannot-be-stopped" and "name the failures you mean" in lines


def test_task_that_refuses_to_end_keeps_nobody_waiting(capfd):
    async def answer(*arguments):
        asyncio.create_task(swallows_the_cancellation(*arguments))
        await asyncio.sleep(1)

    started = time.monotonic()
    shown("0.4", answer)
    assert time.monotonic() - started < attempt.WALL_LIMIT_S
    assert capfd.readouterr() == ("", "")


def test_answer_that_hangs_in_real_time_is_given_up(monkeypatch):
    monkeypatch.setattr(attempt, "REAL_LIMIT_S", 0.2)
    tried = attempt.Attempt(lambda answer: answer(), asyncio.Event().wait, real=True)
    assert tried.failure.diagnosis == "waits-forever"


# Answers that raise.


def test_exception_is_shown_with_the_learners_own_line():
    def percentile(values, p):
        ordered = sorted(values)
        return ordered[p]

    diagnosis, lines = shown("0.2", percentile)
    assert diagnosis == "raises-IndexError"
    assert "        in percentile, line 3:  return ordered[p]\n        IndexError: list index out of range\n" in lines


def test_exception_in_a_helper_is_shown_where_it_happened():
    def helper(values):
        raise LookupError("nobody home")

    diagnosis, lines = shown("0.2", lambda values, p: helper(values))
    assert diagnosis == "raises-LookupError"
    assert '        in helper, line 2:  raise LookupError("nobody home")\n        LookupError: nobody home\n' in lines


async def in_a_group(send, due, sleep, now):
    async with asyncio.TaskGroup() as group:
        group.create_task(asyncio.sleep(1))
        group.create_task(asyncio.sleep(1, 1 / 0))


class Mute(Exception):
    def __str__(self):
        raise RuntimeError("never")


def raiser(error):
    """An answer that raises."""

    async def answer(send, due, sleep, now):
        raise error

    return answer


@pytest.mark.parametrize(
    ("answer", "diagnosis", "says"),
    [
        (in_a_group, "raises-ZeroDivisionError", "division by zero"),
        (raiser(SystemExit("bye")), "raises-SystemExit", "SystemExit: bye"),
        (raiser(Mute()), "raises-Mute", "        Mute\n"),
        (raiser(asyncio.CancelledError()), "raises-CancelledError", "        CancelledError\n"),
        (raiser(GeneratorExit()), "raises-GeneratorExit", "        GeneratorExit\n"),
        (raiser(ValueError("one\ntwo")), "raises-ValueError", "        ValueError: one\n"),
        (raiser(ValueError("x" * 500)), "raises-ValueError", "xxx…\n"),
        (raiser(NotImplementedError()), "not-written", "nothing here yet"),
    ],
)
def test_whatever_is_raised_becomes_a_verdict(answer, diagnosis, says):
    got, lines = shown("0.4", answer)
    assert got == diagnosis and says in lines


def test_exit_in_a_task_becomes_a_verdict():
    async def answer(send, due, sleep, now):
        await asyncio.gather(*(asyncio.create_task(send()) for _ in due), asyncio.to_thread(sys.exit, 3))

    diagnosis, _ = shown("0.4", answer)
    assert diagnosis.startswith("raises-")


def test_failure_of_a_case_counts_even_if_the_answer_swallows_it():
    async def poll(fetch, handle, every, sleep, now):
        while True:
            try:  # noqa: SIM105
                await asyncio.gather(fetch(), fetch())
            except:  # noqa: E722
                pass
            await sleep(every)

    assert shown("1.3", poll)[0] == "overlaps"


def test_failure_of_a_case_is_found_in_a_task_group():
    async def poll(fetch, handle, every, sleep, now):
        async with asyncio.TaskGroup() as group:
            group.create_task(fetch())
            group.create_task(fetch())

    assert shown("1.3", poll)[0] == "overlaps"


def test_keyboard_interrupt_passes_through_and_leaves_everything_as_it_was():
    async def answer(send, due, sleep, now):
        while not over.is_set():
            pass

    before = sys.stdout, time.sleep, time.monotonic
    threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        check("0.4", answer)
    assert (sys.stdout, time.sleep, time.monotonic) == before


# Answers that are not what the check calls.


@pytest.mark.parametrize("answer", [None, 7, "poll", sys, [open_loop], object()])
def test_what_cannot_be_called_is_no_function(answer):
    diagnosis, lines = shown("0.4", answer)
    assert diagnosis == "not-a-function" and "hand over the function itself: open_loop, without parentheses" in lines


def test_coroutine_in_place_of_the_function_is_no_function():
    async def sleep(seconds): ...

    diagnosis, lines = shown("0.4", open_loop(None, [], sleep, None))
    assert diagnosis == "not-a-function" and "this is of type coroutine" in lines


def test_ellipsis_is_not_written():
    assert shown("0.2", ...)[0] == "not-written"


@pytest.mark.parametrize(
    ("number", "answer", "says"),
    [
        ("0.2", lambda: 1, "too many positional arguments"),
        ("0.2", lambda values, p, more: 1, "missing a required argument: 'more'"),
        ("0.2", lambda values, *, p: 1, "too many positional arguments"),
        ("1.3", asyncio.sleep, "too many positional arguments"),
    ],
)
def test_wrong_parameters_are_told_with_the_right_ones(number, answer, says):
    diagnosis, lines = shown(number, answer)
    right = "its first line is: " + ("async def poll(fetch, h" if number == "1.3" else "def percentile(values, p):")
    assert diagnosis == "wrong-parameters" and says in lines and right in lines


@pytest.mark.parametrize(
    "answer",
    [
        lambda values, p: percentile(values, p),
        lambda *arguments: percentile(*arguments),
        lambda values, p, precise=True: percentile(values, p),
        functools.partial(percentile),
        type("Percentile", (), {"__call__": lambda self, values, p: percentile(values, p)})(),
    ],
)
def test_answer_need_not_be_a_plain_function(answer):
    assert judge("0.2", answer)[1].passed


class OpenLoop:
    async def __call__(self, send, due, sleep, now):
        return await open_loop(send, due, sleep, now)


@pytest.mark.parametrize("answer", [lambda *arguments: open_loop(*arguments), functools.partial(open_loop), OpenLoop()])
def test_asynchronous_answer_need_not_be_declared_so(answer):
    assert judge("0.4", answer, real=False)[1].passed


def test_asynchronous_answer_where_a_plain_one_is_wanted_is_told_so():
    async def percentile(values, p):
        return 1

    diagnosis, lines = shown("0.2", percentile)
    assert diagnosis == "is-async" and "there is nothing to wait for in it: def percentile(values, p)" in lines


def plain(send, due, sleep, now):
    return [1.0 for _ in due]


def plain_and_endless(send, due, sleep, now):
    while True:
        sleep(1)


def plain_with_a_loop_of_its_own(send, due, sleep, now):
    return asyncio.run(open_loop(send, due, sleep, now))


async def generator(send, due, sleep, now):
    yield 1.0


@pytest.mark.parametrize("answer", [plain, plain_and_endless, plain_with_a_loop_of_its_own, generator])
def test_plain_answer_where_an_asynchronous_one_is_wanted_is_told_so(answer):
    diagnosis, lines = shown("0.4", answer)
    assert diagnosis == "not-async"
    assert "it is called as await open_loop(send, due, sleep, now)" in lines
    assert "its first line is: async def open_loop(send, due, sleep, now):" in lines


def test_event_loop_inside_the_event_loop_is_told_so():
    async def answer(send, due, sleep, now):
        return asyncio.run(open_loop(send, due, sleep, now))

    diagnosis, lines = shown("0.4", answer)
    assert diagnosis == "starts-its-own-loop" and "an event loop runs already" in lines


def test_forgotten_await_is_named():
    async def answer(send, due, sleep, now):
        for _ in due:
            send()

    diagnosis, lines = shown("0.4", answer)
    assert diagnosis == "forgets-await" and "send(…) was called and never awaited, so nothing of it happened" in lines


def test_coroutine_that_a_plain_function_hands_on_is_asynchronous_enough():
    async def broken(*arguments):
        return 1 + "1"

    assert shown("0.4", lambda send, due, sleep, now: broken(send))[0] == "raises-TypeError"


def test_coroutines_that_nobody_awaited_are_not_complained_about_later():
    async def answer(send, due, sleep, now):
        return asyncio.run(open_loop(send, due, sleep, now))

    with warnings.catch_warnings(record=True) as noted:
        warnings.simplefilter("always")
        judge("0.4", answer, real=False)
        gc.collect()
    assert not noted


def test_no_garbage_is_collected_while_an_answer_runs_for_it_may_hold_forgotten_coroutines():
    seen = []
    judge("0.2", lambda values, p: seen.append(gc.isenabled()))
    assert seen == [False] and gc.isenabled()


# Answers that give back garbage.


def garbage():
    """Things that no exercise asks for."""
    return [
        None,
        object(),
        "text",
        b"",
        float("nan"),
        {},
        (n for n in range(3)),
        [None, None, None],
        [[]],
        range(9),
        ...,
    ]


@pytest.mark.parametrize("number", ["0.1", "0.2", "0.3", "1.1", "1.2"])
@pytest.mark.parametrize("place", range(len(garbage())))
def test_garbage_from_a_plain_answer_is_shown_without_addresses(number, place):
    diagnosis, lines = shown(number, lambda *arguments: garbage()[place])
    assert diagnosis and "0x7" not in lines and "labs" not in lines
    assert not diagnosis.startswith("raises-"), lines


@pytest.mark.parametrize("number", ["0.4", "1.3", "1.4", "1.5"])
@pytest.mark.parametrize("place", range(len(garbage())))
def test_garbage_from_an_asynchronous_answer_is_shown_without_addresses(number, place):
    async def answer(*arguments):
        return garbage()[place]

    diagnosis, lines = shown(number, answer)
    assert diagnosis and "0x7" not in lines and "labs" not in lines
    assert not diagnosis.startswith("raises-"), lines


# Answers that do more than they should.


def test_what_a_right_answer_prints_is_not_in_the_output(capsys):
    def answer(values, p):
        print("computing", values, id(values))
        return percentile(values, p)

    assert check("0.2", answer).passed
    assert "computing" not in capsys.readouterr().out


def test_what_a_wrong_answer_prints_stands_under_the_hint_and_is_short(capsys):
    def answer(values, p):
        for number in range(100):
            print("number", number)
        return 0

    check("0.2", answer)
    lines = capsys.readouterr().out.splitlines()
    place = lines.index("    Your code printed:")
    assert lines[0] == "0.2 percentile" and lines[place - 1].startswith("    Hint:")
    assert lines[place + 1 :] == [f"        number {number}" for number in range(5)]


def test_endless_printing_is_cut_off(capsys):
    def answer(values, p):
        while True:
            print("once more")

    check("0.2", answer)
    assert capsys.readouterr().out.count("once more") == 5


def test_no_more_is_kept_of_what_is_printed_than_is_shown():
    printed = attempt.FirstWords()
    for _ in range(1000):
        assert printed.write("x" * 100) == 100
    assert len(printed.getvalue()) <= 4100


def test_tasks_that_are_left_behind_end_in_silence(capfd, caplog):
    async def fails():
        raise ValueError("nobody reads this")

    async def answer(send, due, sleep, now):
        asyncio.create_task(hangs(send, due, sleep, now))
        asyncio.create_task(fails())
        asyncio.get_running_loop().call_later(0.1, lambda: 1 / 0)
        return await open_loop(send, due, sleep, now)

    threads = threading.active_count()
    assert judge("0.4", answer, real=False)[1].passed
    assert threading.active_count() == threads
    assert capfd.readouterr() == ("", "") and not caplog.records


def test_check_survives_an_answer_that_replaces_what_it_relies_on(monkeypatch):
    for module, name in ((asyncio, "sleep"), (time, "time"), (sys, "stdout")):
        monkeypatch.setattr(module, name, getattr(module, name))  # put back in the end

    async def answer(send, due, sleep, now):
        asyncio.sleep = time.time = lambda *arguments: 0
        sys.stdout = None
        return [now() for _ in due]

    assert not judge("0.4", answer, real=False)[1].passed


def test_clocks_tell_virtual_time_in_answers_and_real_time_elsewhere():
    clocks = time.sleep, time.time, time.monotonic, time.perf_counter
    seen = []

    async def answer(send, due, sleep, now):
        await sleep(5)
        seen.extend([now(), time.time(), time.monotonic(), time.perf_counter()])
        return await open_loop(send, due, sleep, now)

    judge("0.4", answer, real=False)
    assert seen[:4] == [5, 5, 5, 5]
    assert (time.sleep, time.time, time.monotonic, time.perf_counter) == clocks


def test_threads_of_an_answer_may_sleep():
    async def answer(send, due, sleep, now):
        await asyncio.to_thread(time.sleep, 0.01)
        return await open_loop(send, due, sleep, now)

    assert judge("0.4", answer, real=False)[1].passed


# What is printed.


def exercise(monkeypatch, case):
    """An exercise with this one case, in place of 9.9."""
    one = checks.Exercise("9.9", "answer", "value")
    one.case("it holds")(case)
    monkeypatch.setattr(checks, "find", lambda number: one)


def test_passing_check_prints_its_sentences_and_returns_a_verdict_that_displays_nothing(monkeypatch, capsys):
    exercise(monkeypatch, lambda answer: answer(1))
    verdict = check("9.9", lambda value: 1)
    assert (verdict.passed, verdict.diagnosis) == (True, None)
    assert verdict._ipython_display_() is None
    assert capsys.readouterr().out == "9.9 answer\n  ✓ it holds\n"


def test_failing_check_prints_what_shows_it_and_a_hint(monkeypatch, capsys):
    exercise(monkeypatch, lambda answer: fail("is-odd", "value = 1", hint="two"))
    verdict = check("9.9", lambda value: 1)
    assert (verdict.passed, verdict.diagnosis) == (False, "is-odd")
    assert capsys.readouterr().out == "9.9 answer\n  ✗ it holds\n        value = 1\n    Hint: two\n"


def test_long_timeline_is_shortened_in_the_middle(monkeypatch):
    exercise(monkeypatch, lambda answer: fail("long", *(f"line {number}" for number in range(40))))
    lines, _ = judge("9.9", lambda value: 1)
    assert [line.strip() for line in lines[2:]] == [
        *(f"line {number}" for number in range(11)),
        "… 26 more …",
        *(f"line {number}" for number in range(37, 40)),
    ]


def test_timeline_of_fifteen_lines_is_shown_whole(monkeypatch):
    exercise(monkeypatch, lambda answer: fail("long", *(f"line {number}" for number in range(15))))
    assert [line.strip() for line in judge("9.9", lambda value: 1)[0][2:]] == [f"line {number}" for number in range(15)]


@pytest.mark.parametrize("number", ["9.9", "0.99", "abc", "", None])
def test_unknown_exercise_is_said(number, capsys):
    assert check(number, percentile).diagnosis == "no-such-exercise"
    assert capsys.readouterr().out == f"There is no exercise {number}.\n"


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("<object object at 0x7f00deadbeef>", "<object object at 0x…>"),
        ("Cannot connect to host 127.0.0.1:40123", "Cannot connect to host 127.0.0.1:…"),
        ("Connect call failed ('127.0.0.1', 40123)", "Connect call failed ('127.0.0.1', …)"),
        ("No such file: '/home/ada/course/notes.txt'", "No such file: '…/notes.txt'"),
        ("fetch(after=7)   asked at 1.0 s, answered: 2 events", "fetch(after=7)   asked at 1.0 s, answered: 2 events"),
        ("GET /events?after=5eed0001-7", "GET /events?after=5eed0001-7"),
        ("3 requests/s of 4/s", "3 requests/s of 4/s"),
    ],
)
def test_what_varies_or_names_the_machine_is_left_out(text, clean):
    assert readable(text) == clean


def test_claim_prints_its_sentence_when_it_holds(capsys):
    claim("1.c1", "a message waits half an interval on average", True)
    assert capsys.readouterr().out == "✓ A message waits half an interval on average.\n"


def test_claim_that_does_not_hold_says_so_and_what_to_do(capsys):
    claim("1.c1", "a message waits half an interval on average", False)
    out = capsys.readouterr().out
    assert out.startswith("✗ On this run it did not show: “A message waits half an interval on average.”")
    assert "✓" not in out and "Run the measuring cell again" in out
