"""What travels to a worker and back: where trials run, jobs, claims and events as JSON, for every transport."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter

from gan_bench.config.image_folder import DataRoot, ImageFolder
from gan_bench.config.plugins import PluginCode, run_plugin
from gan_bench.config.trial import LATER_DEFAULTS, Trial, TrialConfig
from gan_bench.core.sources import Source
from gan_bench.core.text import from_root
from gan_bench.data.own_images import register_folder
from gan_bench.execution.trial.claim import Claim
from gan_bench.execution.trial.context import RunContext
from gan_bench.execution.trial.decision import Policy
from gan_bench.execution.trial.environment import choose_device, fix_bits
from gan_bench.execution.trial.events import Event, Finished, Listener, Progress, Scored, Started
from gan_bench.records.lock import PATIENCE_SECONDS, Owner
from gan_bench.records.record import TrialRecord


@dataclass(frozen=True, kw_only=True)
class Site:
    """What a worker must know to prepare the place where trials run.

    Attributes:
        data: The data folder, absolute.
        device: Where to run.
        engine: Training engine.
        threads: CPU threads of one operation, or None for torch's own choice.
        folders: The user's own folders of images.
        plugins: The user's own files of parts, which may run, as the plan has them.
    """

    data: DataRoot
    device: str
    engine: str
    threads: int | None
    folders: tuple[ImageFolder, ...] = ()
    plugins: tuple[PluginCode, ...] = ()

    @classmethod
    def of(cls, context: RunContext, device: str, threads: int | None) -> Site:
        """Describe a place like that of a run context, for a process that may start in any folder."""
        data = replace(context.data, path=from_root(context.data.path))
        return cls(data=data, device=device, engine=context.engine_choice, threads=threads)

    def knowing(self, folders: Iterable[ImageFolder], plugins: tuple[Source, ...]) -> Site:
        """Return the place with the folders of images and the plug-ins of a plan."""
        absolute = tuple(replace(folder, path=from_root(folder.path)) for folder in folders)
        return replace(self, folders=absolute, plugins=tuple(map(PluginCode.of, plugins)))


class Contexts:
    """Run contexts by what they depend on.

    Args:
        stop: Says whether to stop at the next step.
    """

    def __init__(self, stop: Callable[[], bool]) -> None:
        self._stop = stop
        self._made: dict[tuple[object, ...], RunContext] = {}

    def of(self, site: Site) -> RunContext:
        """Return the context of a site, whose own parts are registered by then.

        Raises:
            UserError: The device does not exist, or a plug-in fails.
        """
        key = (site.data, site.device, site.engine, site.threads)
        if key not in self._made:
            if site.threads:
                torch.set_num_threads(site.threads)
            device = choose_device(site.device)
            fix_bits(device)
            self._made[key] = RunContext(site.data, device, self._stop, site.engine)
        for folder in site.folders:
            register_folder(folder)
        for plugin in site.plugins:
            run_plugin(plugin.path, plugin.code)
        return self._made[key]


@dataclass(frozen=True, kw_only=True)
class Job:
    """Trials for a worker, and all it needs to know.

    Attributes:
        trials: What to run; several train together.
        results: The results folder, absolute.
        site: Where they run.
        policy: What becomes of trials that ended before or end badly.
        patience: Seconds to wait for another owner of a trial.
    """

    trials: tuple[Trial, ...]
    results: Path
    site: Site
    policy: Policy
    patience: float = PATIENCE_SECONDS

    def to_json(self) -> str:
        """Return the job as one line of JSON; Python's own escapes names of files that are not UTF-8."""
        return json.dumps(_JOB.dump_python(self, mode="json"))

    @classmethod
    def from_json(cls, text: str) -> Job:
        """Build the job that ``to_json`` described."""
        return _JOB.validate_python(json.loads(text))


_JOB = TypeAdapter(Job)


def claim_to_json(claim: Claim) -> dict[str, object]:
    """Return what came of a claim as a JSON-able dict."""
    if isinstance(claim, TrialRecord):
        return {"record": claim.to_json()}
    return {"owner": asdict(claim)} if claim else {}


def claim_from_json(plain: Mapping[str, Any]) -> Claim:
    """Build what ``claim_to_json`` described."""
    if "record" in plain:
        return TrialRecord.from_json(plain["record"])
    return Owner(**plain["owner"]) if "owner" in plain else None


_EVENTS = {kind.__name__.lower(): kind for kind in (Started, Progress, Scored)}
"""Events that travel, by the name they have there; of ends, claims bring news once locks are released."""


def event_to_json(event: Event) -> dict[str, object]:
    """Return an event as a JSON-able dict, which ``EventInbox`` takes."""
    return {"event": type(event).__name__.lower(), **vars(event), "trial": event.trial.id}


class EventInbox:
    """Takes what the workers say that trials were sent to.

    Args:
        trials: What was sent.
        listener: Receives the trials' progress events.

    Attributes:
        claims: What came of the claims that are known so far, by trial id.
        started: Ids of trials that a worker began, with any outcome.
    """

    def __init__(self, trials: Iterable[Trial], listener: Listener) -> None:
        self.claims: dict[str, Claim] = {}
        self.started: set[str] = set()
        self._listener = listener
        self._trials = {trial.id: trial for trial in trials}

    def take(self, said: Mapping[str, Any]) -> None:
        """Take in one event, as ``run_job`` sends it."""
        content = dict(said)
        event = content.pop("event")
        if event == "warning":
            warnings.warn(content["text"], RuntimeWarning, stacklevel=2)
            return
        if event == "prepares":  # images and statistics, once per process
            return
        trial = self._trials[content.pop("trial")]
        if event == "claimed":
            self.note(trial, claim_from_json(content["claim"]))
            return
        self.started.add(trial.id)
        self._listener(_EVENTS[event](trial=trial, **content))

    def note(self, trial: Trial, claim: Claim) -> None:
        """Take in what came of a claim."""
        self.claims[trial.id] = claim
        if isinstance(claim, TrialRecord):
            self._listener(Finished(trial, claim))


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
