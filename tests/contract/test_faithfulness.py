"""The runner against a second, plain transcription of every article: autograd, BCELoss on sigmoid, Adam.

The transcriptions share nothing with gan_bench but the initial weights, the images and the noise. They follow the
articles' texts: layers in ``nn.Sequential`` with the sigmoid inside, a DataLoader's batches, losses as the articles
write them. Twenty steps in float64 must give the same losses, D outputs and weights.
"""

from __future__ import annotations

import pytest
import torch
from support.trials import config_of
from torch import nn

from gan_bench.training.draws import EpochDraws
from gan_bench.training.engine import ReferenceEngine
from gan_bench.training.state import TrainState

CPU = torch.device("cpu")
STEPS = 20
TOLERANCE = 1e-10


def cats_networks():
    def up(i, o, k=4, s=2, p=1):
        return [nn.ConvTranspose2d(i, o, k, s, p, bias=False), nn.BatchNorm2d(o), nn.ReLU(True)]

    def down(i, o):
        return [nn.Conv2d(i, o, 4, 2, 1, bias=False), nn.BatchNorm2d(o), nn.LeakyReLU(0.2, inplace=True)]

    generator = nn.Sequential(
        *up(128, 512, 4, 1, 0), *up(512, 256), *up(256, 128), *up(128, 64),
        nn.ConvTranspose2d(64, 3, 4, 2, 1, bias=False), nn.Tanh(),
    )  # fmt: skip
    discriminator = nn.Sequential(
        *down(3, 64), *down(64, 128), *down(128, 256), *down(256, 512),
        nn.Conv2d(512, 1, 4, 1, 0, bias=False), nn.Flatten(), nn.Sigmoid(),
    )  # fmt: skip
    return generator, discriminator


def cifar_networks():
    generator = nn.Sequential(
        nn.ConvTranspose2d(100, 512, 4, 1, 0, bias=False), nn.BatchNorm2d(512), nn.ReLU(True),
        nn.ConvTranspose2d(512, 256, 4, 2, 1, bias=False), nn.BatchNorm2d(256), nn.ReLU(True),
        nn.ConvTranspose2d(256, 128, 4, 2, 1, bias=False), nn.BatchNorm2d(128), nn.ReLU(True),
        nn.ConvTranspose2d(128, 64, 4, 2, 1, bias=False), nn.BatchNorm2d(64), nn.ReLU(True),
        nn.ConvTranspose2d(64, 3, 4, 2, 1, bias=False), nn.Tanh(),
    )  # fmt: skip
    discriminator = nn.Sequential(
        nn.Conv2d(3, 64, 4, 2, 1, bias=False), nn.LeakyReLU(0.2, inplace=True),
        nn.Conv2d(64, 128, 4, 2, 1, bias=False), nn.BatchNorm2d(128), nn.LeakyReLU(0.2, inplace=True),
        nn.Conv2d(128, 256, 4, 2, 1, bias=False), nn.BatchNorm2d(256), nn.LeakyReLU(0.2, inplace=True),
        nn.Conv2d(256, 512, 4, 2, 1, bias=False), nn.BatchNorm2d(512), nn.LeakyReLU(0.2, inplace=True),
        nn.Conv2d(512, 1, 4, 1, 0, bias=False), nn.Sigmoid(), nn.Flatten(),
    )  # fmt: skip
    return generator, discriminator


def mnist_conv_networks():
    n = 32
    generator = nn.Sequential(
        nn.ConvTranspose2d(100, n * 4, 4, 1, 0, bias=False), nn.BatchNorm2d(n * 4), nn.LeakyReLU(0.2),
        nn.ConvTranspose2d(n * 4, n * 2, 3, 2, 1, bias=False), nn.BatchNorm2d(n * 2), nn.LeakyReLU(0.2),
        nn.ConvTranspose2d(n * 2, n, 4, 2, 1, bias=False), nn.BatchNorm2d(n), nn.LeakyReLU(0.2),
        nn.ConvTranspose2d(n, 1, 4, 2, 1, bias=False), nn.Tanh(),
    )  # fmt: skip
    discriminator = nn.Sequential(
        nn.Conv2d(1, n, 4, 2, 1, bias=False), nn.LeakyReLU(0.2),
        nn.Conv2d(n, n * 2, 4, 2, 1, bias=False), nn.BatchNorm2d(n * 2), nn.LeakyReLU(0.2),
        nn.Conv2d(n * 2, n * 4, 3, 2, 1, bias=False), nn.BatchNorm2d(n * 4), nn.LeakyReLU(0.2),
        nn.Conv2d(n * 4, 1, 4, 1, 0, bias=False), nn.Sigmoid(),
    )  # fmt: skip
    return generator, discriminator


def linear_networks(latent):
    generator = nn.Sequential(
        nn.Linear(latent, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 784), nn.Tanh()
    )
    discriminator = nn.Sequential(
        nn.Linear(784, 256), nn.LeakyReLU(0.2), nn.Linear(256, 256), nn.LeakyReLU(0.2), nn.Linear(256, 1), nn.Sigmoid()
    )
    return generator, discriminator


def batches(images, order, size, drop_last):
    """What a DataLoader over this order gives: ToTensor, then Normalize(0.5, 0.5)."""
    for start in range(0, len(order), size):
        indices = order[start : start + size]
        if drop_last and len(indices) < size:
            return
        yield (images[indices].double() / 255 - 0.5) / 0.5


class Transcription:
    """Common to all: BCELoss and two Adam optimisers."""

    drop_last = False

    def __init__(self, networks, lr_g, lr_d, betas):
        self.generator, self.discriminator = (net.double() for net in networks)
        self.bce = nn.BCELoss()
        self.opt_g = torch.optim.Adam(self.generator.parameters(), lr=lr_g, betas=betas)
        self.opt_d = torch.optim.Adam(self.discriminator.parameters(), lr=lr_d, betas=betas)

    def ones(self, out):
        return torch.ones_like(out)

    def zeros(self, out):
        return torch.zeros_like(out)


class Cats(Transcription):
    """A0: train_discriminator, then train_generator, both with 128 fakes whatever the real batch."""

    def __init__(self):
        super().__init__(cats_networks(), 0.0002, 0.0002, (0.5, 0.999))

    def step(self, real, latent_d, latent_g):
        self.opt_d.zero_grad()
        real_preds = self.discriminator(real)
        real_loss = self.bce(real_preds, self.ones(real_preds))
        real_score = torch.mean(real_preds).item()
        fake_images = self.generator(latent_d[:, :, None, None])
        fake_preds = self.discriminator(fake_images)
        fake_loss = self.bce(fake_preds, self.zeros(fake_preds))
        fake_score = torch.mean(fake_preds).item()
        loss = real_loss + fake_loss
        loss.backward()
        self.opt_d.step()

        self.opt_g.zero_grad()
        preds = self.discriminator(self.generator(latent_g[:, :, None, None]))
        loss_g = self.bce(preds, self.ones(preds))
        loss_g.backward()
        self.opt_g.step()
        return loss.item(), loss_g.item(), real_score, fake_score


class MnistConv(Transcription):
    """A1: d_train and g_train of the textbook it follows; the last partial batch is dropped."""

    drop_last = True

    def __init__(self):
        super().__init__(mnist_conv_networks(), 0.0003, 0.0002, (0.9, 0.999))

    def step(self, real, z_d, z_g):
        self.discriminator.zero_grad()
        proba_real = self.discriminator(real).view(-1)
        loss_real = self.bce(proba_real, self.ones(proba_real))
        proba_fake = self.discriminator(self.generator(z_d.view(len(z_d), -1, 1, 1))).view(-1)
        loss_fake = self.bce(proba_fake, self.zeros(proba_fake))
        d_loss = loss_real + loss_fake
        d_loss.backward()
        self.opt_d.step()

        self.generator.zero_grad()
        proba = self.discriminator(self.generator(z_g.view(len(z_g), -1, 1, 1))).view(-1)
        g_loss = self.bce(proba, self.ones(proba))
        g_loss.backward()
        self.opt_g.step()
        return d_loss.item(), g_loss.item(), proba_real.mean().item(), proba_fake.mean().item()


class Linear(Transcription):
    """A2 and A4: images as vectors, fresh noise in each step, both gradients reset before each backward pass."""

    def __init__(self, latent, lr):
        super().__init__(linear_networks(latent), lr, lr, (0.9, 0.999))

    def reset_grad(self):
        self.opt_d.zero_grad()
        self.opt_g.zero_grad()

    def step(self, real, z_d, z_g):
        images = real.reshape(len(real), -1)
        outputs = self.discriminator(images)
        d_loss_real, real_score = self.bce(outputs, self.ones(outputs)), outputs
        outputs = self.discriminator(self.generator(z_d))
        d_loss_fake, fake_score = self.bce(outputs, self.zeros(outputs)), outputs
        d_loss = d_loss_real + d_loss_fake
        self.reset_grad()
        d_loss.backward()
        self.opt_d.step()

        outputs = self.discriminator(self.generator(z_g))
        g_loss = self.bce(outputs, self.ones(outputs))
        self.reset_grad()
        g_loss.backward()
        self.opt_g.step()
        return d_loss.item(), g_loss.item(), real_score.mean().item(), fake_score.mean().item()


class Cifar(Transcription):
    """A3: the PyTorch DCGAN tutorial's loop: two backward passes into D, then the same fakes through the new D."""

    def __init__(self):
        super().__init__(cifar_networks(), 0.0002, 0.0002, (0.5, 0.999))

    def step(self, real, noise, _):
        self.discriminator.zero_grad()
        output = self.discriminator(real).view(-1)
        err_real = self.bce(output, self.ones(output))
        err_real.backward()
        d_x = output.mean().item()
        fake = self.generator(noise[:, :, None, None])
        output = self.discriminator(fake.detach()).view(-1)
        err_fake = self.bce(output, self.zeros(output))
        err_fake.backward()
        d_g_z1 = output.mean().item()
        self.opt_d.step()

        self.generator.zero_grad()
        output = self.discriminator(fake).view(-1)
        err_g = self.bce(output, self.ones(output))
        err_g.backward()
        self.opt_g.step()
        return (err_real + err_fake).item(), err_g.item(), d_x, d_g_z1


ARTICLES = {
    "cats-dcgan": (Cats, (3, 64, 64)),
    "mnist-dcgan": (MnistConv, (1, 28, 28)),
    "mnist-mlp-z64": (lambda: Linear(64, 0.0002), (1, 28, 28)),
    "cifar10-dcgan": (Cifar, (3, 64, 64)),
    "mnist-mlp-z100": (lambda: Linear(100, 0.0003), (1, 28, 28)),
}


def copy_weights(source, target):
    """Hand the same numbers over, layer by layer, whatever the layers are called."""
    theirs = [p for name, p in target.state_dict().items() if not name.endswith("num_batches_tracked")]
    ours = [p for name, p in source.state_dict().items() if not name.endswith("num_batches_tracked")]
    assert [p.shape for p in theirs] == [p.shape for p in ours]
    for mine, other in zip(ours, theirs, strict=True):
        other.copy_(mine)


def largest_difference(source, target):
    pairs = zip(source.state_dict().items(), target.state_dict().values(), strict=True)
    return max(
        (mine - other).abs().max().item() for (name, mine), other in pairs if not name.endswith("num_batches_tracked")
    )


@pytest.mark.parametrize("recipe", ARTICLES)
def test_steps_are_the_article_s(recipe):
    """Twenty steps, or an epoch of the large networks, with smaller last batches."""
    make, shape = ARTICLES[recipe]
    size, steps, count = (2, 2, 3) if shape[1] == 64 else (8, STEPS, 29)
    config = config_of(recipe, batch_size=size)
    images = torch.randint(0, 256, (count, *shape), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)
    state = TrainState.start(config, CPU, torch.float64)
    article = make()
    with torch.no_grad():
        copy_weights(state.generator, article.generator)
        copy_weights(state.discriminator, article.discriminator)
    engine = ReferenceEngine(config, images, state)

    done = 0
    while done < steps:
        draws = EpochDraws.draw(config, len(images), state.epoch + 1, CPU)
        for index, real in enumerate(batches(images, draws.order, size, article.drop_last)):
            fakes = size if recipe == "cats-dcgan" else len(real)
            z_g = None if draws.z_g is None else draws.z_g[index, :fakes].double()
            expected = article.step(real, draws.z_d[index, :fakes].double(), z_g)
            engine.advance(1, lambda: False)
            assert list(engine.snapshot().last.values()) == pytest.approx(expected, abs=TOLERANCE, rel=TOLERANCE)
            done += 1
        assert state.batch == engine.steps, "the article's epoch has another number of steps"
        engine.finish_epoch()
    assert largest_difference(state.generator, article.generator) < TOLERANCE
    assert largest_difference(state.discriminator, article.discriminator) < TOLERANCE
