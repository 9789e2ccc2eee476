"""Initial weights from an explicit generator, the same on every device."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

from gan_bench.config.trial import Init

_CONVOLUTIONS = (nn.Conv2d, nn.ConvTranspose2d)


def build(make: Callable[[], nn.Module], init: Init, generator: torch.Generator) -> nn.Module:
    """Make a network on the CPU and draw its weights.

    The network's own constructors run under a seed of the same generator, so every buffer and every layer of whatever
    kind is what its author meant, and the same in every run. Linear layers and convolutions are then drawn again from
    ``generator`` itself.

    Args:
        make: Makes the network.
        init: ``default`` draws what PyTorch's constructors draw, in the same order; ``dcgan`` replaces
            convolutions by N(0, 0.02) and batch-norm weights by N(1, 0.02) (Radford et al. 2016).
        generator: CPU generator; the global one is left as it was.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(generator.initial_seed())
        network = make()
    for module in network.modules():
        match module:
            case nn.Linear() | nn.Conv2d() | nn.ConvTranspose2d() if type(module) in (nn.Linear, *_CONVOLUTIONS):
                _fill_default(module, generator)
                if init == "dcgan" and isinstance(module, _CONVOLUTIONS):
                    nn.init.normal_(module.weight, 0.0, 0.02, generator=generator)
            case nn.BatchNorm2d() if init == "dcgan" and module.affine:
                nn.init.normal_(module.weight, 1.0, 0.02, generator=generator)
    return network


def _fill_default(module: nn.Linear | nn.Conv2d | nn.ConvTranspose2d, generator: torch.Generator) -> None:
    """Draw what ``reset_parameters`` of torch's linear and convolution layers draws."""
    nn.init.kaiming_uniform_(module.weight, a=math.sqrt(5), generator=generator)
    if module.bias is not None:
        fan_in = module.weight[0].numel()
        bound = 1 / math.sqrt(fan_in)
        nn.init.uniform_(module.bias, -bound, bound, generator=generator)


def normalise_spectrum(network: nn.Module, generator: torch.Generator) -> None:
    """Divide the weights of linear layers and convolutions by their spectral norms (Miyato et al. 2018).

    Args:
        network: Changed in place; its parameters get other names.
        generator: CPU generator of the power iteration's first vectors; the global one is left as it was.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(generator.initial_seed())
        for module in list(network.modules()):
            if isinstance(module, (nn.Linear, *_CONVOLUTIONS)):
                spectral_norm(module)
