"""Grant runs their training steps: one run after the other, or those that stand at the same step together."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Hashable, Iterable, Sequence
from functools import partial
from typing import TypeVar

from gan_bench.errors import brief, is_out_of_memory
from gan_bench.runner import Grant, Run, Wish
from gan_bench.training.engine import Engine
from gan_bench.training.fast import FastEngine
from gan_bench.training.group import Group, can_group, kind, wait
from gan_bench.trial import Trial, TrialConfig

T = TypeVar("T")


def batches(trials: Iterable[Trial], sizes: Callable[[TrialConfig], int]) -> list[list[Trial]]:
    """Cut trials into those that train together, in the order of each first one.

    Args:
        trials: The trials.
        sizes: Says how many trials like this one train together at most.
    """
    kinds: dict[Hashable, list[Trial]] = {}
    for trial in trials:
        kinds.setdefault(kind(trial.config), []).append(trial)
    cut = []
    for alike in kinds.values():
        size = sizes(alike[0].config)
        cut += [alike[start : start + size] for start in range(0, len(alike), size)]
    return cut


def drive(runs: Iterable[Run[T]]) -> list[T]:
    """Carry runs to their ends, all at once.

    The run that is furthest behind takes its steps first; those that stand at the same step take them together where
    their engines can, and otherwise in turn. Runs may end, fail and be interrupted at different times.

    Args:
        runs: What to carry; several must be of trials of one ``kind``.

    Returns:
        What the runs returned, in their order.
    """
    going = list(runs)
    wishes: dict[int, Wish] = {}
    ends: dict[int, T] = {}
    together = _Together()

    def go_on(index: int, resume: Callable[[], Wish]) -> None:
        wishes.pop(index, None)
        try:
            wishes[index] = resume()
        except StopIteration as end:
            ends[index] = end.value

    for index, run in enumerate(going):
        go_on(index, run.__next__)
    while wishes:
        least = min(wish.engine.state.step for wish in wishes.values())
        level = [index for index, wish in wishes.items() if wish.engine.state.step == least]
        most = together.most if can_group([wishes[index].engine for index in level]) else 1
        chosen = level[:most]
        try:
            grant = together.advance([wishes[index] for index in chosen])
        except Exception as error:
            for index in chosen:
                go_on(index, partial(going[index].throw, error))
        else:
            for index in chosen:
                go_on(index, partial(going[index].send, grant))
    return [ends[index] for index in range(len(going))]


class _Together:
    """Lets engines step together, and keeps their group as long as it stays the same."""

    def __init__(self) -> None:
        self.most: int | None = None
        self._group: Group | None = None

    def advance(self, wishes: Sequence[Wish]) -> Grant:
        """Grant what all wishes have in common."""
        engines = [wish.engine for wish in wishes]
        most, started, size = min(wish.most for wish in wishes), time.perf_counter(), len(engines)

        def stop() -> bool:
            return any(wish.stop() for wish in wishes)

        if size == 1:
            self._group = None
            engines[0].advance(most, stop)
        elif group := self._group_of(engines):
            group.advance(most, stop)
        else:
            size = 1
        wait(engines[0].state.trace.device)  # the run looks at the statistics next; here the wait counts as training
        return Grant((time.perf_counter() - started) / len(engines), size)

    def _group_of(self, engines: Sequence[Engine]) -> Group | None:
        """Return the group of engines, or None when it cannot be formed; then fewer take part from now on."""
        members = [engine for engine in engines if isinstance(engine, FastEngine)]
        if self._group is not None and set(self._group.members) == set(members):
            return self._group
        self._group = None  # its memory, before another is taken
        try:
            group = Group(members, members[0].capture)
            group.prepare()
        except Exception as error:  # CUDA raises many kinds
            self.most = len(members) // 2 if is_out_of_memory(error) else 1
            text = f"{len(members)} trials do not train together ({brief(error)})"
            warnings.warn(text, RuntimeWarning, stacklevel=2)
            return None
        self._group = group
        return group
