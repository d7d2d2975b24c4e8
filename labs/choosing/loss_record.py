"""What the experiment of `labs.choosing.loss` leaves behind: the delay of every message, and where it was measured."""

import json
from dataclasses import asdict, dataclass, replace
from itertools import chain
from pathlib import Path

RECORD = Path(__file__).parent / "recorded" / "loss.json"


@dataclass(frozen=True)
class Cell:
    """One way to send, over one wire; the delay of each message in milliseconds, None where it never came."""

    transport: str
    loss: float  # share of the packets
    rtt_ms: float
    per_second: float
    seeds: tuple[int, ...]  # of each run; their messages follow each other
    congestion: str  # TCP's algorithm; the data channels have their own
    ms: tuple[float | None, ...]

    @property
    def n(self) -> int:
        """How many messages were sent."""
        return len(self.ms)

    @property
    def arrived(self) -> tuple[float, ...]:
        """The delays of those that arrived."""
        return tuple(ms for ms in self.ms if ms is not None)

    @property
    def lost(self) -> float:
        """The share that never came."""
        return 1 - len(self.arrived) / self.n

    @property
    def late(self) -> float:
        """The share that came, but took longer than a round trip."""
        return sum(ms > self.rtt_ms for ms in self.arrived) / self.n

    def runs(self) -> list["Cell"]:
        """The runs that this was put together from, each alone."""
        size = self.n // len(self.seeds)
        parts = ((seed, self.ms[place * size : (place + 1) * size]) for place, seed in enumerate(self.seeds))
        return [replace(self, seeds=(seed,), ms=ms) for seed, ms in parts]


@dataclass(frozen=True)
class Experiment:
    """All cells, what they were measured on, and why they are recorded ones, if they are."""

    cells: tuple[Cell, ...]
    about: str
    recorded_because: str | None = None

    def cell(self, transport: str, loss: float, congestion: str | None = None) -> Cell:
        """One of them; where TCP's algorithm is left open, the first. Raises `StopIteration`."""
        wanted = (transport, loss)
        return next(c for c in self.cells if (c.transport, c.loss) == wanted and congestion in (None, c.congestion))

    @property
    def says(self) -> str:
        """One sentence: whether this was measured now."""
        if self.recorded_because is None:
            return f"Measured now, on this machine ({self.about})."
        return f"Recorded earlier, on another machine ({self.about}), because: {self.recorded_because}"


def recorded(because: str = "it was asked for") -> Experiment:
    """What the repository carries."""
    kept = json.loads(RECORD.read_text("utf-8"))
    cells = (Cell(**{**cell, "seeds": tuple(cell["seeds"]), "ms": tuple(cell["ms"])}) for cell in kept["cells"])
    return Experiment(tuple(cells), kept["about"], because)


def record(experiment: Experiment) -> None:
    """Put an experiment into the repository, a cell on each line."""
    lines = ",\n".join(json.dumps(asdict(cell)) for cell in experiment.cells)
    RECORD.parent.mkdir(exist_ok=True)
    RECORD.write_text(f'{{"about": {json.dumps(experiment.about)}, "cells": [\n{lines}\n]}}\n', "utf-8")


def together(runs: list[Cell]) -> Cell:
    """Runs of the same cell as one."""
    seeds, ms = (tuple(chain.from_iterable(getattr(run, name) for run in runs)) for name in ("seeds", "ms"))
    return replace(runs[0], seeds=seeds, ms=ms)
