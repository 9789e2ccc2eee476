"""The convolutional pairs: 28x28 grey (A1) and 64x64 colour (A0, A3). No convolution has a bias."""

from __future__ import annotations

from torch import Tensor, nn


def _down(inputs: int, outputs: int, kernel: int, *, norm: bool) -> list[nn.Module]:
    """Halve the image: strided convolution, batch-norm if asked, LeakyReLU(0.2)."""
    conv = nn.Conv2d(inputs, outputs, kernel, stride=2, padding=1, bias=False)
    return [conv, *([nn.BatchNorm2d(outputs)] if norm else []), nn.LeakyReLU(0.2)]


def _up(inputs: int, outputs: int, kernel: int, stride: int, padding: int, activation: nn.Module) -> list[nn.Module]:
    """Enlarge the image: transposed convolution, batch-norm, activation."""
    conv = nn.ConvTranspose2d(inputs, outputs, kernel, stride=stride, padding=padding, bias=False)
    return [conv, nn.BatchNorm2d(outputs), activation]


class SequentialGenerator(nn.Module):
    """A generator that applies its layers in sequence to noise as 1x1 images; the fast engine knows this form."""

    layers: nn.Sequential

    def forward(self, z: Tensor) -> Tensor:
        """Map noise (N, latent_dim) to images (N, C, H, W) in [-1, 1]."""
        images: Tensor = self.layers(z[:, :, None, None])
        return images


class SequentialDiscriminator(nn.Module):
    """A discriminator that applies its layers in sequence; the fast engine knows this form."""

    layers: nn.Sequential

    def forward(self, images: Tensor) -> Tensor:
        """Map images (N, C, H, W) to logits (N,)."""
        logits: Tensor = self.layers(images)
        return logits.flatten()


class Generator28(SequentialGenerator):
    """A1's generator, 4 -> 7 -> 14 -> 28 pixels, n = 32 channels.

    Args:
        latent_dim: Length of the noise vector (A1: 100).
    """

    def __init__(self, latent_dim: int) -> None:
        super().__init__()
        n = 32
        self.layers = nn.Sequential(
            *_up(latent_dim, 4 * n, 4, 1, 0, nn.LeakyReLU(0.2)),
            *_up(4 * n, 2 * n, 3, 2, 1, nn.LeakyReLU(0.2)),
            *_up(2 * n, n, 4, 2, 1, nn.LeakyReLU(0.2)),
            nn.ConvTranspose2d(n, 1, 4, stride=2, padding=1, bias=False),
            nn.Tanh(),
        )


class Discriminator28(SequentialDiscriminator):
    """A1's discriminator, 28 -> 14 -> 7 -> 4 -> 1 pixels, n = 32 channels."""

    def __init__(self) -> None:
        super().__init__()
        n = 32
        self.layers = nn.Sequential(
            *_down(1, n, 4, norm=False),
            *_down(n, 2 * n, 4, norm=True),
            *_down(2 * n, 4 * n, 3, norm=True),
            nn.Conv2d(4 * n, 1, 4, bias=False),
        )


class Generator64(SequentialGenerator):
    """The generator of A0 and A3, 4 -> 8 -> 16 -> 32 -> 64 pixels (Radford et al. 2016).

    Args:
        latent_dim: Length of the noise vector (A0: 128, A3: 100).
    """

    def __init__(self, latent_dim: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *_up(latent_dim, 512, 4, 1, 0, nn.ReLU()),
            *_up(512, 256, 4, 2, 1, nn.ReLU()),
            *_up(256, 128, 4, 2, 1, nn.ReLU()),
            *_up(128, 64, 4, 2, 1, nn.ReLU()),
            nn.ConvTranspose2d(64, 3, 4, stride=2, padding=1, bias=False),
            nn.Tanh(),
        )


class Discriminator64(SequentialDiscriminator):
    """The discriminator of A0 and A3, 64 -> 32 -> 16 -> 8 -> 4 -> 1 pixels.

    Args:
        first_norm: Batch-norm in the first block: A0 has it, A3 and Radford et al. 2016 do not.
    """

    def __init__(self, *, first_norm: bool) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *_down(3, 64, 4, norm=first_norm),
            *_down(64, 128, 4, norm=True),
            *_down(128, 256, 4, norm=True),
            *_down(256, 512, 4, norm=True),
            nn.Conv2d(512, 1, 4, bias=False),
        )
