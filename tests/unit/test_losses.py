"""Losses on logits against the articles' sigmoid and BCELoss."""

from __future__ import annotations

import pytest
import torch
from torch.nn import BCELoss

from gan_bench.models.losses import discriminator_loss, generator_loss, mean_probability


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
