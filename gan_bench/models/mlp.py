"""The fully connected pair of A2 and A4, on 28x28 grey images as vectors of 784."""

from __future__ import annotations

from torch import Tensor, nn

WIDTH = 256


class Generator(nn.Module):
    """Linear z->256 ReLU, 256->256 ReLU, 256->784 Tanh.

    Args:
        latent_dim: Length of the noise vector (A2: 64, A4: 100).
    """

    def __init__(self, latent_dim: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(latent_dim, WIDTH),
            nn.ReLU(),
            nn.Linear(WIDTH, WIDTH),
            nn.ReLU(),
            nn.Linear(WIDTH, 784),
            nn.Tanh(),
        )

    def forward(self, z: Tensor) -> Tensor:
        """Map noise (N, latent_dim) to images (N, 1, 28, 28) in [-1, 1]."""
        images: Tensor = self.layers(z)
        return images.reshape(-1, 1, 28, 28)


class Discriminator(nn.Module):
    """Linear 784->256 LReLU(0.2), 256->256 LReLU(0.2), 256->1; the sigmoid is part of the loss."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(784, WIDTH),
            nn.LeakyReLU(0.2),
            nn.Linear(WIDTH, WIDTH),
            nn.LeakyReLU(0.2),
            nn.Linear(WIDTH, 1),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Map images (N, 1, 28, 28) to logits (N,)."""
        logits: Tensor = self.layers(images.flatten(1))
        return logits.squeeze(1)
