"""The articles' losses as pure functions on logits.

The articles end D in a sigmoid and apply binary cross-entropy. On logits the same numbers come out in exact
arithmetic, and the gradient survives where sigmoid + log would saturate: -log(sigmoid(s)) = softplus(-s).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def discriminator_loss(logits_real: Tensor, logits_fake: Tensor) -> Tensor:
    """BCE(D(x), 1) + BCE(D(G(z)), 0): a sum of two means, not their mean (Goodfellow et al. 2014; all articles).

    Args:
        logits_real: (..., N) logits of real images; leading axes are trials that train together.
        logits_fake: (..., M) logits of fake images.

    Returns:
        (...), at least 0.
    """
    return F.softplus(-logits_real).mean(-1) + F.softplus(logits_fake).mean(-1)


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
