"""Which trials can train together."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from itertools import pairwise

from gan_bench.config.trial import LATER_DEFAULTS, Trial, TrialConfig


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
