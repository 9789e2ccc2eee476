"""Before a suite runs: what would stop it, found out before hours are spent."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

import torch
from torch import Tensor, nn

from gan_bench.config.image_folder import Transform
from gan_bench.config.plugins import read_plugin
from gan_bench.config.suite import Plan
from gan_bench.config.trial import Trial, TrialConfig
from gan_bench.core.errors import DataError, UserError, brief, is_stop
from gan_bench.core.registry import REGISTRIES
from gan_bench.core.sources import calling
from gan_bench.core.text import plural
from gan_bench.core.torch_settings import torch_settings_kept
from gan_bench.data.datasets import DATASETS, remarks_on
from gan_bench.data.own_images import find_layout, registered
from gan_bench.execution.trial.context import RunContext
from gan_bench.metrics.extractors import EXTRACTORS, resolve
from gan_bench.models.architectures import ARCHITECTURES, are_floats, construct, described, fault_of_state
from gan_bench.models.losses import LOSSES
from gan_bench.records.earlier import Identity
from gan_bench.training.draws import steps_per_epoch
from gan_bench.training.fast.engine import unsupported
from gan_bench.training.precision import why_not


def check_names(plan: Plan) -> None:
    """Look every part up that a plan names, but a suite's own images, which are no parts yet.

    Raises:
        UserError: There is none of that name.
    """
    own = {folder.name for folder in plan.folders}
    for config in (trial.config for trial in plan.trials):
        asked = config.evaluation.extractors
        for registry, name in (
            *(() if config.dataset in own else [(DATASETS, config.dataset)]),
            (ARCHITECTURES, config.architecture),
            (LOSSES, config.loss),
            *((EXTRACTORS, each) for each in asked if each != "auto"),
        ):
            registry[name]


def check_fit(trials: tuple[Trial, ...], context: RunContext, own: Mapping[str, Transform] | None = None) -> None:
    """Find out what can be known of a plan without its images: shapes, extractors, objectives, and networks that work.

    Args:
        trials: Its trials.
        context: Where they would run.
        own: How a suite's own images that are no dataset yet will be prepared, by name.

    Raises:
        UserError: Something the plan names does not fit.
    """
    configs = [trial.config for trial in trials]
    for config in configs:
        transform = (own or {}).get(config.dataset)
        given = transform or DATASETS[config.dataset]
        _check_shape(config, given.channels, transform.size if transform else DATASETS[config.dataset].prepared_size)
        resolve(config.evaluation.extractors, given.channels, context.device)
        _check_objective(config, context)
    for config in {(config.architecture, config.latent_dim): config for config in configs}.values():
        _try_networks(config)


def _check_shape(config: TrialConfig, channels: int, prepared: int | None) -> None:
    """Refuse networks that make other images than a dataset is prepared as, or a size other than ``prepared``."""
    made, given = ARCHITECTURES[config.architecture].image_shape, (channels, config.image_size, config.image_size)
    if made != given:
        raise UserError(
            f"{config.recipe}: the architecture {config.architecture} makes images of {made}, but "
            f"{config.dataset} is prepared as {given}; change image_size, dataset or architecture"
        )
    if prepared not in (None, config.image_size):
        raise UserError(
            f"{config.dataset} is prepared at {prepared}x{prepared}, and {config.recipe} takes "
            f"{config.image_size}x{config.image_size}; write size: {config.image_size} where the suite names it"
        )


def check_sources(plan: Plan) -> None:
    """Look at the files that a plan names, but run no plug-in and read no image.

    Raises:
        DataError: Images are not there, or their folders cannot be told apart.
        UserError: A plug-in cannot be read, or images have the name of another dataset.
    """
    for file in plan.files:
        read_plugin(file)
    for folder in plan.folders:
        registered(folder)
        find_layout(folder)


def refuse_to_fetch(plan: Plan) -> None:
    """Keep a look at the plan from fetching weights, which may be a gigabyte.

    Raises:
        DataError: An extractor's weights are not here.
    """
    for name in dict.fromkeys(each for trial in plan.trials for each in trial.config.evaluation.extractors):
        weights = EXTRACTORS[name].weights if name in EXTRACTORS else None
        if weights and not weights.path():
            raise DataError(f"the {weights.megabytes:,} MB of weights of {name} are not here yet; the run fetches them")


def _check_steps(config: TrialConfig, images: int) -> None:
    """Refuse a training in which G takes no step: what is scored would be the untrained generator.

    Raises:
        DataError: A dropped last batch would leave nothing.
        UserError: D takes more steps for each of G than the whole training has.
    """
    steps = config.epochs * steps_per_epoch(config, images)
    if steps < config.d_steps:
        raise UserError(
            f"{config.recipe}: G takes a step after every {config.d_steps:,} of D (d_steps), and the training has "
            f"{plural(steps, 'step')}, so G would stay untrained; lower d_steps, or train longer"
        )


def _check_objective(config: TrialConfig, context: RunContext) -> None:
    """Refuse an objective that cannot be, or that the engine that was asked for does not have."""
    _try_loss(config)
    if config.label_smoothing and LOSSES[config.loss].smoothed is None:
        raise UserError(f"{config.recipe}: the loss {config.loss} has no target to smooth; leave label_smoothing out")
    why = unsupported(config)
    if why and context.engine_choice == "fast":
        raise UserError(f"{config.recipe}: the fast engine has no {why}; use --engine auto")


def _try_loss(config: TrialConfig) -> None:
    """Let a loss work once, on outputs of D for two images; refuse one that gives something else than one number."""
    loss, name = LOSSES[config.loss], config.loss
    if LOSSES.is_shipped(name):
        return
    real, fake = torch.zeros(2, requires_grad=True), torch.zeros(2, requires_grad=True)
    with calling(f'loss "{name}"'):
        for what, value in (("D", loss.discriminator(real, fake)), ("G", loss.of_generator(fake, lambda: real))):
            if not are_floats(value, ()):
                raise TypeError(f"{what}'s loss of two images is {described(value)}, and must be one number")
        if loss.has_state():
            raise UserError(
                f'the loss "{name}" keeps something between calls, which the trials of a process would share, or '
                "draws other than from torch; compute it from the outputs that it is given alone"
            )


def _remarks(configs: list[TrialConfig], context: RunContext) -> Iterator[str]:
    """Yield what scores mean, and which engine trains."""
    for name, size in {config.dataset: config.image_size for config in configs}.items():
        if DATASETS[name].folder is None:  # a user's own folder has these remarks with its contents
            splits = {split: context.images(name, split, size).images for split in DATASETS[name].counts}
            yield from remarks_on(DATASETS[name], context.data.path, splits)
    for name in dict.fromkeys(config.dataset for config in configs if config.evaluation.extractors == ("auto",)):
        chosen = resolve(("auto",), DATASETS[name].channels, context.device)
        if DATASETS[name].folder is not None and "inception" not in chosen:
            yield (
                f"{name} is scored with {chosen[0]}, a {EXTRACTORS[chosen[0]].description}: its FID ranks settings and "
                "is not that of papers (extractors: [inception] in the suite, where its weights are)"
            )
    few = {
        (config.evaluation.samples, each.name, each.feature_dim)
        for config in configs
        for each in context.extractors(config)
    }
    for samples, name, features in sorted(few):
        if samples <= features:
            yield (
                f"{plural(samples, 'generated image')} per evaluation, and {name} has {features} features: the FID of "
                "so few is far above that of many, and says little beyond the order of settings; a run with --samples "
                "takes more"
            )
    if context.engine_choice != "reference":
        for why, count in Counter(filter(None, map(unsupported, configs))).items():
            yield f"{plural(count, 'trial')} by the reference engine: the fast one has no {why}"


def _try_networks(config: TrialConfig) -> None:
    """Let both networks of a trial work once, on two images, and do with G what a run does with it later.

    Raises:
        UserError: One of them fails, or gives something else than the update takes.
    """
    architecture, name = ARCHITECTURES[config.architecture], config.architecture
    noise, shape = torch.zeros(2, config.latent_dim), (2, *architecture.image_shape)
    make_generator = partial(architecture.generator, config.latent_dim)
    generator, images = _tried(name, "G", make_generator, noise, shape)
    _tried(name, "D", architecture.discriminator, images, (2,))
    if not ARCHITECTURES.is_shipped(name):
        roles: tuple[tuple[Literal["G", "D"], Callable[[], nn.Module], torch.Size], ...] = (
            ("G", make_generator, noise.shape),
            ("D", architecture.discriminator, images.shape),
        )
        for what, make, given in roles:
            with _blaming(name, f"{what} does not work again, in eval mode, or with its state loaded"):
                fault = fault_of_state(what, make, given)
            if fault:
                raise UserError(f"the architecture {name}: {what} {fault}")
    try:
        copy.deepcopy(generator)
    except Exception:  # a tensor in it is no leaf, as of torch's older weight_norm
        raise UserError(
            f"the architecture {name}: G cannot be copied, which scores and its file need; where it takes weight_norm "
            "or spectral_norm from torch.nn.utils, take that of torch.nn.utils.parametrizations"
        ) from None


@contextmanager
def _blaming(name: str, what: str) -> Iterator[None]:
    """Turn anything that an architecture raises into a sentence about it.

    Raises:
        UserError: It raised something that does not end this process.
    """
    try:
        yield
    except BaseException as error:  # the user's own code
        if is_stop(error):
            raise
        told = f"{what}: {brief(error)}"
        raise UserError(f"the architecture {name}: {told}; try its networks on their own") from None


def _tried(
    name: str, what: str, make: Callable[[], nn.Module], inputs: Tensor, wanted: tuple[int, ...]
) -> tuple[nn.Module, Tensor]:
    """Make a network, G or D, and let it work once.

    Returns:
        The network, and what it gave, without gradient.

    Raises:
        UserError: It fails, gives something else than floats of the wanted shape, or nothing could train it.
    """
    with _blaming(name, f"{what} does not run on {described(inputs)}"), torch_settings_kept(), torch.enable_grad():
        network = construct(make)
        made = network(inputs)
    if not are_floats(made, wanted):
        raise UserError(
            f"the architecture {name}: {what} gives {described(made)} for a batch of two, and must give floats of "
            f"{wanted}" + ("; flatten its logits to one per image" if what == "D" else "")
        )
    if not any(parameter.requires_grad for parameter in network.parameters()):
        raise UserError(f"the architecture {name}: {what} has no parameters that could be trained; leave some unfrozen")
    if not made.requires_grad:
        raise UserError(
            f"the architecture {name}: no gradient reaches the parameters of {what}; compute without no_grad, and "
            "checkpoint with use_reentrant=False"
        )
    return network, made.detach()


@dataclass(frozen=True)
class Survey:
    """What was found out.

    Attributes:
        identities: What trials are made of there, as ``RunContext.identity`` says it, by the ids of their configs.
        parts: Every part that they use, as plural of its registry and name.
        remarks: Warnings for the person who runs the plan.
    """

    identities: Mapping[str, Identity]
    parts: tuple[tuple[str, str], ...] = ()
    remarks: list[str] = field(default_factory=list)

    def identity(self, config: TrialConfig) -> Identity:
        """Return what a trial is made of."""
        return self.identities[config.id]

    def own_part(self) -> str | None:
        """Name a part that this program registered itself, so that other processes do not know it, or return None."""
        for plural_, name in self.parts:
            registry = REGISTRIES[plural_]
            folder = plural_ == "datasets" and DATASETS[name].folder is not None
            if not folder and registry.is_of_program(name):
                return f'{registry.kind} "{name}"'
        return None

    def require_known(self) -> None:
        """Refuse parts that other processes would not know.

        Raises:
            UserError: This program registered one itself.
        """
        if own := self.own_part():
            raise UserError(
                f"worker processes do not know the {own}, which this program registered itself; put it into a file "
                "that the suite names under plugins:, or use --executor inline"
            )


def survey(trials: tuple[Trial, ...], context: RunContext) -> Survey:
    """Find out before hours are spent what would stop a plan, and what its trials are made of.

    Raises:
        UserError: Something the plan names does not exist or does not fit.
    """
    check_fit(trials, context)
    configs = [trial.config for trial in trials]
    for config in configs:
        if why := why_not(config.precision, context.device):
            raise UserError(f"{config.recipe}: {why}; use --precision default")
        images = len(context.training_images(config))
        if images < 2:
            raise DataError(f"{config.dataset} has one training image; scores need at least 2, so add more")
        _check_steps(config, images)
        context.extractors(config)
    return Survey(
        {config.id: context.identity(config) for config in configs},
        tuple(dict.fromkeys(part for config in configs for part in context.parts(config))),
        list(_remarks(configs, context)),
    )
