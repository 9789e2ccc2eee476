"""The losses by name, as pure functions on D's output.

The articles end D in a sigmoid and apply binary cross-entropy. On logits the same numbers come out in exact
arithmetic, and the gradient survives where sigmoid + log would saturate: -log(sigmoid(s)) = softplus(-s).

Every function takes outputs of D as (..., N), where leading axes are trials that train together, and gives (...).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from gan_bench.core.registry import Registry
from gan_bench.core.torch_settings import torch_settings_kept


@dataclass(frozen=True, kw_only=True)
class Loss:
    """What D and G minimise.

    Attributes:
        description: One line for people.
        source: Who proposed it.
        discriminator: D's loss from its outputs (..., N) for real and (..., M) for fake images.
        generator: G's loss from D's outputs (..., M) for fake images; None where ``generator_of_both`` stands for it.
        generator_of_both: G's loss from D's outputs (..., N) for real and (..., M) for fake images, as relativistic
            losses need it. D looks at the real images once more then, so the reference engine trains it.
        smoothed: The same as ``discriminator`` with a third argument, the target of real images (below 1), or None
            where real images have no target.
        output: What D's output is: the ``logit`` of a probability, or a ``score`` without bounds. The record's
            ``d_real`` and ``d_fake`` are mean probabilities of the one and mean scores of the other.
    """

    description: str
    source: str
    discriminator: Callable[[Tensor, Tensor], Tensor]
    generator: Callable[[Tensor], Tensor] | None = None
    generator_of_both: Callable[[Tensor, Tensor], Tensor] | None = None
    smoothed: Callable[[Tensor, Tensor, float], Tensor] | None = None
    output: Literal["logit", "score"] = "logit"

    def of_generator(self, outputs_fake: Tensor, outputs_real: Callable[[], Tensor]) -> Tensor:
        """Return G's loss.

        Args:
            outputs_fake: (..., M) outputs of D for fake images.
            outputs_real: Gives those for real images, (..., N); asked only by losses of both.
        """
        if self.generator_of_both is not None:
            return self.generator_of_both(outputs_real(), outputs_fake)
        assert self.generator is not None  # noqa: S101 - the registry refuses a loss without
        return self.generator(outputs_fake)

    @cached_property
    def is_of_each_trial(self) -> bool:
        """Whether the loss of stacked outputs is that of each trial, so that trials can train together."""
        generator = torch.Generator().manual_seed(0)
        losses = [self.discriminator, lambda real, fake: self.of_generator(fake, lambda: real)]
        if (smoothed := self.smoothed) is not None:
            losses.append(lambda real, fake: smoothed(real, fake, 0.9))

        def is_equal(loss: Callable[[Tensor, Tensor], Tensor], real_count: int, fake_count: int) -> bool:
            counts = (real_count, fake_count)
            real, fake = (torch.randn(3, count, generator=generator).requires_grad_() for count in counts)
            try:
                alone = torch.stack(list(map(loss, real, fake)))
            except Exception:  # such as a loss of pairs with unequal counts, which no trial has then
                return real_count != fake_count
            together = loss(real, fake)
            return together.shape == alone.shape and torch.allclose(together, alone, equal_nan=True)

        try:
            # torch warns of the spread of one output; a loss may draw, and trials go on with the numbers they had
            with warnings.catch_warnings(action="ignore"), torch_settings_kept():
                return all(is_equal(loss, *counts) for loss in losses for counts in ((4, 4), (2, 5), (1, 1)))
        except Exception:  # a user's own code
            return False

    def has_state(self) -> bool:
        """True if it keeps state: equal outputs give other numbers after other calls."""
        source = torch.Generator().manual_seed(0)
        # D's outputs may be probabilities
        first, other = (torch.rand(2, 4, generator=source).requires_grad_() for _ in range(2))

        def values(outputs: Tensor) -> Tensor:
            torch.manual_seed(0)  # it may draw
            real, fake = outputs
            of_d = self.discriminator(real, fake)
            smooth = of_d if self.smoothed is None else self.smoothed(real, fake, 0.9)
            return torch.stack([of_d, smooth, self.of_generator(fake, lambda: real)]).detach()

        with torch_settings_kept():
            before, _, after = map(values, (first, other, first))
        return not torch.allclose(before, after, rtol=0, atol=0, equal_nan=True)

    def mean_output(self, outputs: Tensor) -> Tensor:
        """Return the displayed mean of D's output, (...) without gradient."""
        return mean_probability(outputs) if self.output == "logit" else outputs.detach().mean(-1)


def _refusal(loss: Loss) -> str | None:
    """Return what is wrong with a user's own loss, or None."""
    if (loss.generator is None) == (loss.generator_of_both is None):
        return "G's loss is either generator, of fake outputs, or generator_of_both, of real and fake ones; give one"
    return None


def discriminator_loss(logits_real: Tensor, logits_fake: Tensor) -> Tensor:
    """BCE(D(x), 1) + BCE(D(G(z)), 0): a sum of two means, not their mean (Goodfellow et al. 2014; all articles).

    Args:
        logits_real: (..., N) logits of real images.
        logits_fake: (..., M) logits of fake images.

    Returns:
        (...), at least 0.
    """
    return F.softplus(-logits_real).mean(-1) + F.softplus(logits_fake).mean(-1)


def smoothed_discriminator_loss(logits_real: Tensor, logits_fake: Tensor, target: float) -> Tensor:
    """BCE(D(x), target) + BCE(D(G(z)), 0): one-sided label smoothing (Salimans et al. 2016, section 3.4)."""
    real = target * F.softplus(-logits_real) + (1 - target) * F.softplus(logits_real)
    return real.mean(-1) + F.softplus(logits_fake).mean(-1)


def generator_loss(logits_fake: Tensor) -> Tensor:
    """BCE(D(G(z)), 1), the non-saturating loss (Goodfellow et al. 2014; all articles).

    Args:
        logits_fake: (..., N) logits of fake images.

    Returns:
        (...), at least 0.
    """
    return F.softplus(-logits_fake).mean(-1)


def mean_probability(logits: Tensor) -> Tensor:
    """Mean of D's output as the articles print it.

    Args:
        logits: (..., N) logits.

    Returns:
        (...) in [0, 1], without gradient.
    """
    return torch.sigmoid(logits.detach()).mean(-1)


def _minimax_generator(logits_fake: Tensor) -> Tensor:
    """log(1 - D(G(z))), at most 0."""
    return -F.softplus(logits_fake).mean(-1)


def _least_squares(scores_real: Tensor, scores_fake: Tensor, target: float = 1.0) -> Tensor:
    return ((scores_real - target).square().mean(-1) + scores_fake.square().mean(-1)) / 2


def _least_squares_generator(scores_fake: Tensor) -> Tensor:
    return (scores_fake - 1).square().mean(-1) / 2


def _hinge(scores_real: Tensor, scores_fake: Tensor) -> Tensor:
    return F.relu(1 - scores_real).mean(-1) + F.relu(1 + scores_fake).mean(-1)


def _wasserstein(scores_real: Tensor, scores_fake: Tensor) -> Tensor:
    """Minus the estimate of the distance."""
    return scores_fake.mean(-1) - scores_real.mean(-1)


def _relativistic(outputs: Tensor, others: Tensor) -> Tensor:
    """How much less real the first look than the others, pair by pair; where one side has fewer, so many pairs."""
    n = min(outputs.shape[-1], others.shape[-1])
    return F.softplus(others[..., :n] - outputs[..., :n]).mean(-1)


def _minus_mean(scores_fake: Tensor) -> Tensor:
    return -scores_fake.mean(-1)


_LOSSES = {
    "non_saturating": Loss(
        description="binary cross-entropy; G maximises log D(G(z)) (all five articles)",
        source="Goodfellow et al. 2014, section 3",
        discriminator=discriminator_loss,
        generator=generator_loss,
        smoothed=smoothed_discriminator_loss,
    ),
    "minimax": Loss(
        description="binary cross-entropy; G minimises log(1 - D(G(z)))",
        source="Goodfellow et al. 2014, equation 1",
        discriminator=discriminator_loss,
        generator=_minimax_generator,
        smoothed=smoothed_discriminator_loss,
    ),
    "least_squares": Loss(
        description="half squared distance of D's output to 1 (real) and 0 (fake)",
        source="Mao et al. 2017, equation 9",
        discriminator=_least_squares,
        generator=_least_squares_generator,
        smoothed=_least_squares,
        output="score",
    ),
    "hinge": Loss(
        description="margins of 1 in D; G maximises D(G(z))",
        source="Lim & Ye 2017; Miyato et al. 2018, equations 16 and 17",
        discriminator=_hinge,
        generator=_minus_mean,
        output="score",
    ),
    "wasserstein": Loss(
        description="difference of D's means; with weight_clip or gradient_penalty, and d_steps above 1",
        source="Arjovsky et al. 2017, algorithm 1",
        discriminator=_wasserstein,
        generator=_minus_mean,
        output="score",
    ),
    "relativistic": Loss(
        description="binary cross-entropy of the difference of D's outputs for a real and a fake image",
        source="Jolicoeur-Martineau 2018, RSGAN, section 4.1; the base of R3GAN, Huang et al. 2024",
        discriminator=_relativistic,
        generator_of_both=lambda real, fake: _relativistic(fake, real),
        output="score",
    ),
}
LOSSES: Registry[Loss] = Registry("loss", "losses", Loss, _LOSSES, refuse=_refusal)
