"""Networks of layers that gan_bench itself uses nowhere."""

import torch
from torch import nn

from gan_bench.models.architectures import Architecture
from my_parts.layers import block


class Generator(nn.Module):
    def __init__(self, latent):
        super().__init__()
        self.start = nn.Sequential(nn.Linear(latent, 64), nn.LayerNorm(64), nn.PReLU())
        self.end = nn.Sequential(nn.Linear(64, 784), nn.Unflatten(1, (1, 28, 28)))
        self.contrast = nn.Parameter(torch.tensor(1.0))

    def forward(self, z):
        return torch.tanh(self.contrast * self.end(self.start(z)))


class Discriminator(nn.Module):
    def __init__(self):
        super().__init__()
        self.blocks = nn.Sequential(block(1, 8), block(8, 8))
        self.norm = nn.LayerNorm([8, 7, 7])
        self.head = nn.Linear(8 * 49, 1)

    def forward(self, images):
        return self.head(self.norm(self.blocks(images)).flatten(1)).squeeze(1)


NORMS = Architecture(
    description="layer norms and group norms, 28x28 grey",
    image_shape=(1, 28, 28),
    generator=Generator,
    discriminator=Discriminator,
)
