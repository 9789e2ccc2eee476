"""What the networks are built of: a change here is one of theirs."""

from torch import nn

SLOPE = 0.2


def block(inputs, outputs):
    return nn.Sequential(nn.Conv2d(inputs, outputs, 4, 2, 1), nn.GroupNorm(2, outputs), nn.LeakyReLU(SLOPE))
