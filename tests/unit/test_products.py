"""Matrix products by either library, against float64, and the passes that are made of them."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gan_bench.models import mlp
from gan_bench.training.fast import matmul
from gan_bench.training.fast.linear_stack import LinearStack

ONEDNN = hasattr(torch.ops.mkldnn, "_linear_pointwise")
both = pytest.mark.parametrize(
    "slow", [False, pytest.param(True, marks=pytest.mark.skipif(not ONEDNN, reason="this PyTorch has no oneDNN"))]
)


@pytest.fixture(autouse=True)
def _take_any_size(monkeypatch):
    monkeypatch.setattr(matmul, "LEAST", 0)


def matrix(rows, columns, turned, seed):
    generator = torch.Generator().manual_seed(seed)
    values = (
        torch.randn(columns, rows, generator=generator).t()
        if turned
        else torch.randn(rows, columns, generator=generator)
    )
    assert values.shape == (rows, columns)
    return values


sizes = st.integers(1, 70)


@both
@settings(max_examples=60, deadline=None)
@given(n=sizes, k=sizes, m=sizes, turned=st.tuples(st.booleans(), st.booleans()), bias=st.booleans())
def test_products_are_those_of_float64(slow, n, k, m, turned, bias):
    a, b = matrix(n, k, turned[0], 1), matrix(k, m, turned[1], 2)
    added = torch.arange(m, dtype=torch.float32) if bias else None
    before, matmul.mkl_is_slow = matmul.mkl_is_slow, lambda: slow
    try:
        found = matmul.product(a, b, added)
    finally:
        matmul.mkl_is_slow = before
    wanted = a.double() @ b.double() + (added.double() if bias else 0)
    assert torch.allclose(found.double(), wanted, rtol=1e-4, atol=1e-4)


@both
def test_gradients_of_a_product(slow, monkeypatch):
    monkeypatch.setattr(matmul, "mkl_is_slow", lambda: slow)
    a, b = matrix(40, 30, turned=True, seed=1).requires_grad_(), matrix(30, 20, turned=False, seed=2).requires_grad_()
    wide = [v.detach().double().requires_grad_() for v in (a, b)]
    matmul.multiply(a, b).square().sum().backward()
    (wide[0] @ wide[1]).square().sum().backward()
    for value, reference in zip((a, b), wide, strict=True):
        assert torch.allclose(value.grad.double(), reference.grad, rtol=1e-4, atol=1e-2)


@both
def test_the_stack_s_passes_are_autograd_s(slow, monkeypatch):
    """In float32, where the other library may compute; float64 is held to the reference engine elsewhere."""
    monkeypatch.setattr(matmul, "mkl_is_slow", lambda: slow)
    network = mlp.Discriminator()
    images = matrix(40, 784, turned=False, seed=3)
    slope = matrix(40, 1, turned=False, seed=4)
    inputs = images.clone().requires_grad_()
    network.layers(inputs).backward(slope)
    wanted = [p.grad.clone() for p in network.parameters()]
    stack = LinearStack(network.layers, 40)
    with torch.no_grad():
        assert torch.allclose(stack.forward(images), network.layers(images), atol=1e-5)
        found = stack.backward(slope.clone(), weights=True, inputs=True)
    assert torch.allclose(found, inputs.grad, atol=1e-4)
    for parameter, gradient in zip(network.parameters(), wanted, strict=True):
        assert torch.allclose(parameter.grad, gradient, rtol=1e-3, atol=1e-4)


def test_float64_and_long_inner_dimensions_keep_to_mkl(monkeypatch):
    def never(*_):
        raise AssertionError("oneDNN was asked")

    monkeypatch.setattr(matmul, "mkl_is_slow", lambda: True)
    monkeypatch.setattr(torch.ops.mkldnn, "_linear_pointwise", never, raising=False)
    a = torch.ones(4, 4, dtype=torch.float64)
    assert matmul.product(a, a).sum() == 64
    assert matmul.product(torch.ones(2, 50), torch.ones(50, 2)).sum() == 200
