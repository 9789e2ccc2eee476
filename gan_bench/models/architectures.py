"""Generator and discriminator pairs by name, and their initial weights from an explicit generator."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.nn.utils.parametrizations import spectral_norm

from gan_bench.config.trial import Init
from gan_bench.core.errors import UserError, is_stop
from gan_bench.core.registry import Registry
from gan_bench.core.text import printable
from gan_bench.core.torch_settings import torch_settings_kept
from gan_bench.models import dcgan, mlp


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """A pair of networks.

    Attributes:
        description: One line for people.
        image_shape: (channels, height, width) that G makes and D takes.
        generator: Makes G for a latent dimension. G maps (N, latent_dim) to images in [-1, 1].
        discriminator: Makes D. D maps images to logits (N,).
    """

    description: str
    image_shape: tuple[int, int, int]
    generator: Callable[[int], nn.Module]
    discriminator: Callable[[], nn.Module]


def without_memory(architecture: Architecture, latent_dim: int) -> tuple[nn.Module, nn.Module]:
    """Make both networks without memory for their weights, if their code allows that.

    Raises:
        UserError: They have lazy layers.
    """
    make = partial(architecture.generator, latent_dim), architecture.discriminator
    with torch_settings_kept():
        try:
            with torch.device("meta"):
                generator, discriminator = construct(make[0]), construct(make[1])
        except BaseException as error:  # a user's own initialisation may want real memory
            if is_stop(error):
                raise
            generator, discriminator = construct(make[0]), construct(make[1])
    if any(is_lazy(each) for net in (generator, discriminator) for each in (*net.parameters(), *net.buffers())):
        told = "lazy layers have no shapes before they run; give all layers their sizes, such as nn.Linear(784, 256)"
        raise UserError(f'the architecture "{printable(architecture.description)}" cannot be: {told}')
    return generator, discriminator


def construct(make: Callable[[], nn.Module]) -> nn.Module:
    """Make a network; restore torch's settings and random state afterwards."""
    with torch_settings_kept():
        return make()


def are_floats(value: object, shape: tuple[int, ...]) -> bool:
    """True if a network or loss gave a tensor of floats of that shape."""
    return isinstance(value, Tensor) and value.is_floating_point() and tuple(value.shape) == shape


def described(value: object) -> str:
    """Describe a value returned by a user's code: ``torch.float32 of (2, 1)``, ``a tuple``."""
    return f"{value.dtype} of {tuple(value.shape)}" if isinstance(value, Tensor) else f"a {type(value).__name__}"


def fault_of_state(role: Literal["G", "D"], make: Callable[[], nn.Module], shape: Sequence[int]) -> str:
    """Return why another network that loads the state of one would not continue as this one does.

    A trial that is resumed makes both networks again under its own seed; a generator is also read from its file,
    under any.

    Args:
        role: G takes noise, and D images.
        make: Makes both.
        shape: Of a batch.

    Returns:
        What is wrong with it, and the remedy; empty where nothing is.
    """
    with torch_settings_kept():
        torch.manual_seed(0)
        network = construct(make)
        torch.manual_seed(int(role == "G"))
        again = construct(make)
    trained = ({id(each) for each in net.parameters() if each.requires_grad} for net in (network, again))
    if not set.isdisjoint(*trained):
        return "is made once and given to every trial; let the function make a new one at each call"
    floats = ((key, each.dtype) for key, each in network.named_parameters() if not _is_whole(each))
    if other := [key for key, dtype in floats if dtype != torch.float32]:
        return f"has parameters that are not float32 ({other[0]}), as all are trained; leave their dtype to gan_bench"
    lacking = [key for key, each in network.state_dict().items() if not isinstance(each, Tensor)]
    if lacking:
        return f"keeps what is no tensor ({lacking[0]}); register it as a buffer"
    draws = torch.Generator().manual_seed(0)
    given = torch.randn(*shape, generator=draws) if role == "G" else torch.rand(*shape, generator=draws) * 2 - 1

    def made_by(each: nn.Module) -> list[Tensor]:
        torch.manual_seed(0)  # it may draw
        return [each.eval()(given.clone()).detach(), each.train()(given.clone()).detach()]

    with torch_settings_kept():
        for _ in range(2):
            network.train()(given.clone())
        again.load_state_dict(network.state_dict())
        both = zip(made_by(network), made_by(again), strict=True)
        if all(torch.allclose(a, b, rtol=0, atol=0, equal_nan=True) for a, b in both):
            return ""
    return (
        "keeps something that is not in its state_dict, so a resumed trial would go on with another one; keep what "
        "changes in training in parameters and persistent buffers, and draw from torch's own generator"
    )


def _is_whole(tensor: Tensor) -> bool:
    return not tensor.is_floating_point() and not tensor.is_complex()


def require_images(made: object, architecture: Architecture, count: int) -> None:
    """Refuse outputs of a generator that are not so many images.

    Raises:
        TypeError: It is something else.
    """
    if not are_floats(made, wanted := (count, *architecture.image_shape)):
        raise TypeError(f"G gives {described(made)} in eval mode, and must give floats of {wanted}")


def fingerprint(architecture: Architecture, latent_dim: int) -> str:
    """Digest the kinds, settings and shapes of the layers of a pair of networks, by name.

    What stands in code alone, such as the order of calls in a ``forward``, is not seen. Another version of torch may
    describe the same layers in other words.
    """
    digest = hashlib.sha256()
    for network in without_memory(architecture, latent_dim):
        for name, module in network.named_modules():
            settings = re.sub(r" at 0x[0-9a-fA-F]+", "", module.extra_repr())  # where a function lies in memory
            digest.update(f"{name}\0{type(module).__qualname__}\0{settings}\n".encode())
        for name, tensor in network.state_dict().items():
            digest.update(f"{name}\0{tuple(tensor.shape)}\n".encode())
    return digest.hexdigest()


_ARCHITECTURES = {
    "mlp": Architecture(
        description="three linear layers of width 256 in each net (A2, A4)",
        image_shape=(1, 28, 28),
        generator=mlp.Generator,
        discriminator=mlp.Discriminator,
    ),
    "dcgan28": Architecture(
        description="four convolutions in each net, 28x28 grey (A1)",
        image_shape=(1, 28, 28),
        generator=dcgan.Generator28,
        discriminator=dcgan.Discriminator28,
    ),
    "dcgan64": Architecture(
        description="five convolutions in each net, 64x64 colour, first D block without batch-norm (A3)",
        image_shape=(3, 64, 64),
        generator=dcgan.Generator64,
        discriminator=partial(dcgan.Discriminator64, first_norm=False),
    ),
    "dcgan64-bn": Architecture(
        description="five convolutions in each net, 64x64 colour, first D block with batch-norm (A0)",
        image_shape=(3, 64, 64),
        generator=dcgan.Generator64,
        discriminator=partial(dcgan.Discriminator64, first_norm=True),
    ),
}
ARCHITECTURES: Registry[Architecture] = Registry("architecture", "architectures", Architecture, _ARCHITECTURES)


_CONVOLUTIONS = (nn.Conv2d, nn.ConvTranspose2d)


def build(make: Callable[[], nn.Module], init: Init, generator: torch.Generator) -> nn.Module:
    """Make a network on the CPU and draw its weights.

    The network's own constructors run under a seed of the same generator, so every buffer and every layer of any
    kind is what its author meant, and the same in every run. Linear layers and convolutions are then drawn again from
    ``generator`` itself.

    Args:
        make: Makes the network.
        init: ``default`` draws what PyTorch's constructors draw, in the same order; ``dcgan`` replaces
            convolutions by N(0, 0.02) and batch-norm weights by N(1, 0.02) (Radford et al. 2016).
        generator: CPU generator; the global one is left as it was.
    """
    with torch_settings_kept():
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
