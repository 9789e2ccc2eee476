"""The executor ``inline``: trials run in this process, where runs get their training steps.

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

import contextlib
import gc
import time
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

import torch

from gan_bench.core.errors import brief, is_out_of_memory, is_stop
from gan_bench.core.torch_settings import torch_settings_kept
from gan_bench.execution.trial.claim import Claim, claim_and_run
from gan_bench.execution.trial.context import RunContext
from gan_bench.execution.trial.environment import choose_device
from gan_bench.execution.trial.events import Event, Listener, Run, StepRequest, StepResult
from gan_bench.execution.workers.work import Results, Work
from gan_bench.records.record import Failure, TrialRecord
from gan_bench.training.engine import Engine, Snapshot
from gan_bench.training.fast.engine import FastEngine
from gan_bench.training.group.group import CapturedEngine, Group, can_group, kept_way, wait
from gan_bench.training.group.stacked import unstack

T = TypeVar("T")


def run_inline(work: Work, context: RunContext) -> Results:
    """Run trials in this process; a failed one does not stop the rest, a request to stop does.

    The shortest group goes first, so that at any moment as many trials as possible have ended.

    Args:
        work: What to run.
        context: Where and how.

    Raises:
        DeviceError: A GPU computes no more, of which every further trial would fail.
    """
    heard, into = _Heard(work.listener), Results(work)
    context = replace(context, stop=lambda: heard.fault is not None or work.stop())
    for groups in into.rounds(context.stop):
        if any(len(group) > 1 for group in groups):
            groups.sort(key=lambda group: sum(map(work.seconds, group)))
        for group in into.left_of(groups):
            if context.stop() or into.enough():
                break
            claims = schedule(claim_and_run(trial, work.results, context, heard, work.policy) for trial in group)
            for trial, claim in zip(group, claims, strict=True):
                into.note(trial, claim)
            _check_device(context.device, claims)
    if heard.fault is not None:
        raise heard.fault
    return into


def _check_device(device: torch.device, claims: Iterable[Claim]) -> None:
    """Try a GPU on which a trial crashed: most errors of CUDA stay with the process."""
    crashed = any(isinstance(claim, TrialRecord) and claim.failure is Failure.CRASH for claim in claims)
    if crashed and device.type != "cpu":
        choose_device(str(device))


class _Heard:
    """A listener whose errors, such as those of a closed pipe, stop the run: no trial may fail of them.

    Attributes:
        fault: What it raised; nothing more is said to it.
    """

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self.fault: BaseException | None = None

    def __call__(self, event: Event) -> None:
        try:
            if self.fault is None:
                self._listener(event)
        except BaseException as error:
            if is_stop(error) and not isinstance(error, BrokenPipeError):
                raise
            self.fault = error


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


@torch_settings_kept(random=False)  # a loss or a measure that changes them does so for its own trials
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
    coroutines, stepper = list(runs), _Stepper()
    requests: dict[int, StepRequest] = {}
    ends: dict[int, T] = {}
    raised: list[Exception] = []

    def resume(index: int, how: Callable[[Run[T]], StepRequest]) -> None:
        """Let a run continue until its next request."""
        requests.pop(index, None)
        try:
            requests[index] = how(coroutines[index])
        except StopIteration as end:
            ends[index] = end.value
        except Exception as error:
            raised.append(error)

    try:
        for index in range(len(coroutines)):
            resume(index, next)
        while requests:
            chosen = _next(requests, stepper.most)
            answer = stepper.answer([requests[index] for index in chosen])
            for index in chosen:
                resume(index, answer)
    finally:
        for run in coroutines:
            run.close()
        stepper.leave()
    if raised:
        raise raised[0]
    return [ends[index] for index in range(len(coroutines))]


def _next(requests: Mapping[int, StepRequest], most: int | None) -> list[int]:
    """Choose whose turn it is, among the first so many."""
    active = sorted(requests)[:most]
    least = min(requests[index].engine.state.step for index in active)
    level = [index for index in active if requests[index].engine.state.step == least]
    return level if can_group([requests[index].engine for index in level]) else level[:1]


class _Stepper:
    """Lets engines step together, and keeps their group as long as it stays the same."""

    def __init__(self) -> None:
        self.most: int | None = None
        self._group: Group | None = None
        self._cuda = False

    def leave(self) -> None:
        """Give memory back: engines and graphs hold each other, and what they hold calls no collector.

        Without a GPU what was made lately is looked through, which costs milliseconds.
        """
        self._group = None
        gc.collect(2 if self._cuda else 1)

    def answer(self, requests: Sequence[StepRequest]) -> Callable[[Run[T]], StepRequest]:
        """Take the steps that all requests have in common; return what tells a run the result, or raises in it."""
        try:
            result = self._advance(requests)
        except BaseException as error:
            if is_stop(error):
                raise
            raised = error if isinstance(error, Exception | SystemExit) else RuntimeError(brief(error))
            return lambda run: run.throw(raised)
        return lambda run: run.send(result)

    def _advance(self, requests: Sequence[StepRequest]) -> StepResult:
        engines = [request.engine for request in requests]
        most, device = min(request.most for request in requests), engines[0].state.step_stats.device

        def stop() -> bool:
            return any(request.stop() for request in requests)

        took: Engine | Group | None
        started, standing = time.perf_counter(), self._group
        if len(engines) == 1:
            self._group, took = None, engines[0]
        else:
            took = self._group_of(engines)
        if isinstance(took, CapturedEngine):
            took.make_ready()
        self._cuda = device.type == "cuda"
        if took is None or took is not standing:  # forming groups, rehearsing, compiling and recording are no training
            wait(device)
            started = time.perf_counter()
        if took is not None:
            took.advance(most, stop)
        wait(device)  # the run reads the statistics next; here the wait counts as training
        seconds = (time.perf_counter() - started) / len(engines)
        if took is None:
            return StepResult(seconds)
        way = took.way if isinstance(took, Group | CapturedEngine) else None
        return StepResult(seconds, len(engines), took.captured, way)

    def _group_of(self, engines: Sequence[Engine]) -> Group | None:
        """Return the group of engines, or None when it cannot be formed; then fewer take part from now on."""
        members = [engine for engine in engines if isinstance(engine, FastEngine)]
        if self._group is None or set(self._group.members) != set(members):
            self.leave()  # before more memory is taken
        try:
            if self._group is None:
                self._group = Group(members, members[0].capture, kept_way(members))
            self._group.prepare()  # takes memory at the beginning of an epoch, too
            for member in members:
                member.way = self._group.way  # kept by smaller groups, here and in a process that resumes it
        except Exception as error:  # CUDA raises many kinds
            self.most = len(members) // 2 if is_out_of_memory(error, len(members)) else 1
            text = f"{len(members)} trials do not train together ({brief(error)})"
            warnings.warn(text, RuntimeWarning, stacklevel=2)
        else:
            return self._group
        self.leave()
        for member in members:
            member.moved()
        with contextlib.suppress(RuntimeError):  # memory may be too full to unstack, and still hold smaller groups
            unstack([member.state for member in members])
        return None
