"""Losses on logits against the articles' sigmoid and BCELoss."""

from __future__ import annotations

import pytest
import torch
from torch.nn import BCELoss
from torch.nn import functional as F

from gan_bench.models.losses import LOSSES, Loss, discriminator_loss, generator_loss, mean_probability


@pytest.fixture
def logits():
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(n, generator=generator, dtype=torch.float64).mul(3).requires_grad_() for n in (17, 9)]


def _naive(real, fake):
    bce = BCELoss()
    return bce(torch.sigmoid(real), torch.ones_like(real)) + bce(torch.sigmoid(fake), torch.zeros_like(fake))


def test_discriminator_loss_and_gradient_equal_the_naive_form(logits):
    ours, theirs = discriminator_loss(*logits), _naive(*logits)
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-14)
    for a, b in zip(torch.autograd.grad(ours, logits), torch.autograd.grad(theirs, logits), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-14)


def test_generator_loss_and_gradient_equal_the_naive_form(logits):
    fake = logits[1]
    ours, theirs = generator_loss(fake), BCELoss()(torch.sigmoid(fake), torch.ones_like(fake))
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-14)
    (a,), (b,) = torch.autograd.grad(ours, fake), torch.autograd.grad(theirs, fake)
    torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-14)


def test_gradient_survives_where_the_sigmoid_saturates():
    hopeless = torch.full((1,), -200.0, requires_grad=True)
    (gradient,) = torch.autograd.grad(generator_loss(hopeless), hopeless)
    assert gradient.item() == pytest.approx(-1.0)


def test_an_undecided_discriminator_costs_two_log_two():
    zero = torch.zeros(8, dtype=torch.float64)
    assert discriminator_loss(zero, zero).item() == pytest.approx(2 * torch.log(torch.tensor(2.0)).item())
    assert mean_probability(zero).item() == 0.5


def test_a_loss_with_one_mean_over_all_trials_is_known_to_be_one():
    """Trials with it trained alone, and failed in a group: "stack expects each tensor to be equal size"."""

    def plain(real, fake):
        return F.softplus(-real).mean() + F.softplus(fake).mean()

    def kept(real, fake):
        return F.softplus(-real).mean(-1) + F.softplus(fake).mean(-1)

    def generator(fake):
        return F.softplus(-fake).mean(-1)

    def noisy(real, fake):
        return kept(real + torch.rand(()), fake)

    def of_pairs(real, fake):
        return F.softplus(fake - real).mean(-1)

    losses = (plain, kept, of_pairs)
    made = [Loss(description="", source="", discriminator=each, generator=generator) for each in losses]
    assert [loss.is_of_each_trial for loss in made] == [False, True, True]
    assert all(LOSSES[name].is_of_each_trial for name in LOSSES)
    before = torch.random.get_rng_state()
    assert not Loss(description="", source="", discriminator=noisy, generator=generator).is_of_each_trial
    assert torch.equal(torch.random.get_rng_state(), before)


def test_a_loss_of_probabilities_is_tried_with_probabilities():
    """A network that ends in a sigmoid and its loss trained until losses were asked whether they remember."""
    loss = Loss(
        description="",
        source="",
        discriminator=lambda real, fake: (
            F.binary_cross_entropy(real, torch.ones_like(real)) + F.binary_cross_entropy(fake, torch.zeros_like(fake))
        ),
        generator=lambda fake: F.binary_cross_entropy(fake, torch.ones_like(fake)),
        output="score",
    )
    assert not loss.has_state()
