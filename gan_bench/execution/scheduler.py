"""StepResult runs their training steps: one run after the other, or those that stand at the same step together."""

from __future__ import annotations

import gc
import time
import warnings
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Generic, TypeVar

from gan_bench.core.errors import brief, is_out_of_memory
from gan_bench.execution.trial_run import Run, StepRequest, StepResult
from gan_bench.training.engine import Engine
from gan_bench.training.fast.engine import FastEngine
from gan_bench.training.group.group import Group, can_group, wait

T = TypeVar("T")


def drive(runs: Iterable[Run[T]]) -> list[T]:
    """Carry runs to their ends, all at once.

    The run that is furthest behind takes its steps first; those that stand at the same step take them together where
    their engines can, and otherwise in turn. Runs may end, fail and be interrupted at different times. When all do not
    fit, the first ones go to their ends before the others.

    Args:
        runs: What to carry; several must be of trials of one ``kind``.

    Returns:
        What the runs returned, in their order.

    Raises:
        Exception: What a run raised; the others have ended by then.
    """
    going, together = _Going(runs), _Together()
    while going.wishes:
        chosen = going.next(together.most)
        try:
            grant = together.advance([going.wishes[index] for index in chosen])
        except Exception as error:
            for index in chosen:
                going.resume(index, partial(going.runs[index].throw, error))
        else:
            for index in chosen:
                going.resume(index, partial(going.runs[index].send, grant))
    together.leave()
    if going.raised:
        raise going.raised[0]
    return [going.ends[index] for index in range(len(going.runs))]


class _Going(Generic[T]):
    """Runs under way: what each wishes next, or how it ended."""

    def __init__(self, runs: Iterable[Run[T]]) -> None:
        self.runs = list(runs)
        self.wishes: dict[int, StepRequest] = {}
        self.ends: dict[int, T] = {}
        self.raised: list[Exception] = []
        for index, run in enumerate(self.runs):
            self.resume(index, run.__next__)

    def resume(self, index: int, how: Callable[[], StepRequest]) -> None:
        """Let a run go on until its next wish."""
        self.wishes.pop(index, None)
        try:
            self.wishes[index] = how()
        except StopIteration as end:
            self.ends[index] = end.value
        except Exception as error:
            self.raised.append(error)

    def next(self, most: int | None) -> list[int]:
        """Choose whose turn it is, among the first so many."""
        active = sorted(self.wishes)[:most]
        least = min(self.wishes[index].engine.state.step for index in active)
        level = [index for index in active if self.wishes[index].engine.state.step == least]
        return level if can_group([self.wishes[index].engine for index in level]) else level[:1]


class _Together:
    """Lets engines step together, and keeps their group as long as it stays the same."""

    def __init__(self) -> None:
        self.most: int | None = None
        self._group: Group | None = None
        self._cuda = False

    def leave(self) -> None:
        """Give the device's memory back: engines and graphs hold each other, and a GPU's memory calls no collector."""
        self._group = None
        if self._cuda:
            gc.collect()

    def advance(self, wishes: Sequence[StepRequest]) -> StepResult:
        """StepResult what all wishes have in common."""
        engines = [wish.engine for wish in wishes]
        most, started, size = min(wish.most for wish in wishes), time.perf_counter(), len(engines)

        def stop() -> bool:
            return any(wish.stop() for wish in wishes)

        captured = False
        if size == 1:
            self._group = None
            engines[0].advance(most, stop)
            captured = engines[0].captured
        elif group := self._group_of(engines):
            group.advance(most, stop)
            captured = group.captured
        else:
            size = 1
        self._cuda = engines[0].state.step_stats.device.type == "cuda"
        wait(
            engines[0].state.step_stats.device
        )  # the run looks at the statistics next; here the wait counts as training
        return StepResult((time.perf_counter() - started) / len(engines), size, captured)

    def _group_of(self, engines: Sequence[Engine]) -> Group | None:
        """Return the group of engines, or None when it cannot be formed; then fewer take part from now on."""
        members = [engine for engine in engines if isinstance(engine, FastEngine)]
        if self._group is not None and set(self._group.members) == set(members):
            return self._group
        self.leave()  # before more memory is taken
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
