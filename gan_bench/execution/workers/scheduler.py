"""How runs get their training steps: what a run asks for, what it is given, and who decides.

A run is a coroutine. Everything of a trial but its steps is the run's own affair; for steps it asks with a
``StepRequest`` and is answered with a ``StepResult``. So one trial can be trained by itself, and several that stand at
the same step can take it together, without the run knowing:

    >>> from typing import Any
    >>> class Counting:
    ...     def advance(self, most: int, stop: Any) -> None:
    ...         self.steps = most
    >>> def run(engine: Any) -> Any:
    ...     answer = yield StepRequest(engine, most=3, stop=lambda: False)
    ...     return engine.steps, answer.group
    >>> coroutine = run(Counting())
    >>> request = next(coroutine)
    >>> request.engine.advance(request.most, request.stop)
    >>> try:
    ...     coroutine.send(StepResult(seconds=0.1))
    ... except StopIteration as end:
    ...     end.value
    (3, 1)

``run_alone`` and ``schedule`` do the middle part.
"""

from __future__ import annotations

import gc
import time
import warnings
from collections.abc import Callable, Hashable, Iterable, Sequence
from functools import partial
from itertools import pairwise
from typing import Generic, TypeVar

from gan_bench.config.trial import LATER_DEFAULTS, Trial, TrialConfig
from gan_bench.core.errors import brief, is_out_of_memory, is_stop
from gan_bench.execution.trial.events import Run, StepRequest, StepResult
from gan_bench.training.engine import Engine, Snapshot
from gan_bench.training.fast.engine import FastEngine
from gan_bench.training.group.group import CapturedEngine, Group, can_group, kept_way, wait

T = TypeVar("T")


def run_alone(run: Run[T]) -> T:
    """Carry one run to its end.

    Returns:
        What the run returned.

    Raises:
        Exception: What the run raised.
    """
    return schedule([run])[0]


def steps_until(engine: Engine, step: int) -> Run[Snapshot]:
    """Train up to a step, and nothing else.

    Args:
        engine: The trial's engine.
        step: Update steps done in the end.

    Returns:
        The statistics there.
    """
    while engine.state.step < step:
        if engine.state.batch == engine.steps:
            engine.finish_epoch()
        yield StepRequest(engine, step - engine.state.step, lambda: False)
    return engine.snapshot()


def schedule(runs: Iterable[Run[T]]) -> list[T]:
    """Carry runs to their ends, all at once.

    The run that is furthest behind takes its steps first; those that stand at the same step take them together where
    their engines can, and otherwise in turn. Runs may end, fail and be interrupted at different times. When all do not
    fit, the first ones go to their ends before the others.

    Args:
        runs: What to carry; several must be of trials that can train together.

    Returns:
        What the runs returned, in their order.

    Raises:
        Exception: What a run raised; the others have ended by then.
        KeyboardInterrupt: As it comes, between two runs or in the middle of a step; all runs are closed first, since a
            notebook keeps the traceback, and with it the locks they hold.
    """
    active, stepper = _ActiveRuns(runs), _Stepper()
    try:
        active.start()
        while active.requests:
            chosen = active.next(stepper.most)
            try:
                result = stepper.advance([active.requests[index] for index in chosen])
            except BaseException as error:
                if is_stop(error):
                    raise
                raised = error if isinstance(error, Exception | SystemExit) else RuntimeError(brief(error))
                for index in chosen:
                    active.resume(index, partial(active.runs[index].throw, raised))
            else:
                for index in chosen:
                    active.resume(index, partial(active.runs[index].send, result))
    finally:
        active.close()
        stepper.leave()
    if active.raised:
        raise active.raised[0]
    return [active.ends[index] for index in range(len(active.runs))]


class _ActiveRuns(Generic[T]):
    """Runs under way: what each asks for next, or how it ended."""

    def __init__(self, runs: Iterable[Run[T]]) -> None:
        self.runs = list(runs)
        self.requests: dict[int, StepRequest] = {}
        self.ends: dict[int, T] = {}
        self.raised: list[Exception] = []

    def start(self) -> None:
        """Let every run come to its first request."""
        for index, run in enumerate(self.runs):
            self.resume(index, run.__next__)

    def close(self) -> None:
        """End the runs that have not come to their ends."""
        for run in self.runs:
            run.close()

    def resume(self, index: int, how: Callable[[], StepRequest]) -> None:
        """Let a run continue until its next request."""
        self.requests.pop(index, None)
        try:
            self.requests[index] = how()
        except StopIteration as end:
            self.ends[index] = end.value
        except Exception as error:
            self.raised.append(error)

    def next(self, most: int | None) -> list[int]:
        """Choose whose turn it is, among the first so many."""
        active = sorted(self.requests)[:most]
        least = min(self.requests[index].engine.state.step for index in active)
        level = [index for index in active if self.requests[index].engine.state.step == least]
        return level if can_group([self.requests[index].engine for index in level]) else level[:1]


class _Stepper:
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

    def advance(self, requests: Sequence[StepRequest]) -> StepResult:
        """Take the steps that all requests have in common."""
        engines = [request.engine for request in requests]
        most, started, size = min(request.most for request in requests), time.perf_counter(), len(engines)

        def stop() -> bool:
            return any(request.stop() for request in requests)

        took: Engine | Group | None = None
        if size == 1:
            self._group, took = None, engines[0]
        elif group := self._group_of(engines):
            took = group
        else:
            size = 1
        if took:
            took.advance(most, stop)
        device = engines[0].state.step_stats.device
        self._cuda = device.type == "cuda"
        wait(device)  # the run reads the statistics next; here the wait counts as training
        seconds = (time.perf_counter() - started) / len(engines)
        if took is None:
            return StepResult(seconds)
        return StepResult(seconds, size, took.captured, took.way if isinstance(took, Group | CapturedEngine) else None)

    def _group_of(self, engines: Sequence[Engine]) -> Group | None:
        """Return the group of engines, or None when it cannot be formed; then fewer take part from now on."""
        members = [engine for engine in engines if isinstance(engine, FastEngine)]
        if self._group is not None and set(self._group.members) == set(members):
            return self._group
        self.leave()  # before more memory is taken
        try:
            group = Group(members, members[0].capture, kept_way(members))
            group.prepare()
            for member in members:
                member.way = group.way  # which a smaller group keeps, here and in a process that resumes it
        except Exception as error:  # CUDA raises many kinds
            self.most = len(members) // 2 if is_out_of_memory(error) else 1
            text = f"{len(members)} trials do not train together ({brief(error)})"
            warnings.warn(text, RuntimeWarning, stacklevel=2)
            return None
        self._group = group
        return group


def shape_key(config: TrialConfig) -> Hashable:
    """Return what trials must share to train together: images, networks and the shapes of their steps."""
    return (
        *(config.dataset, config.image_size, config.train_limit, config.dataset_repeats),
        *(config.architecture, config.latent_dim),
        *(config.batch_size, config.last_batch, config.fake_batch, config.step_fakes),
        *(getattr(config, name) for name in LATER_DEFAULTS),  # the objective
    )


def group_trials(trials: Iterable[Trial], sizes: Callable[[TrialConfig], int]) -> list[list[Trial]]:
    """Cut trials into those that train together, evenly, in the order of each first one.

    Args:
        trials: The trials.
        sizes: Says how many trials like this one train together at most.
    """
    kinds: dict[Hashable, list[Trial]] = {}
    for trial in trials:
        kinds.setdefault(shape_key(trial.config), []).append(trial)
    cut = []
    for alike in kinds.values():
        count = -(-len(alike) // sizes(alike[0].config))
        bounds = [len(alike) * part // count for part in range(count + 1)]
        cut += [alike[start:stop] for start, stop in pairwise(bounds)]
    return cut
