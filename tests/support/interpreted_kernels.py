"""The Triton kernels compute what autograd does: run by Triton's interpreter, in float64, on small networks.

The interpreter is chosen when Triton is imported, so ``test_kernels`` runs this file in a process of its own.
"""

from __future__ import annotations

import copy
import os
from functools import partial

import pytest
import torch
from torch import nn

from gan_bench.models import dcgan
from support.needs import slow

DOWN = nn.Sequential(
    *(nn.Conv2d(1, 5, 4, 2, 1, bias=False), nn.LeakyReLU(0.2)),
    *(nn.Conv2d(5, 6, 3, 2, 1, bias=False), nn.BatchNorm2d(6), nn.LeakyReLU(0.2)),
    nn.Conv2d(6, 1, 3, bias=False),
)  # 11 -> 5 -> 3 -> 1 pixels
UP = nn.Sequential(
    *(nn.ConvTranspose2d(3, 18, 3, 1, 0, bias=False), nn.BatchNorm2d(18), nn.ReLU()),
    *(nn.ConvTranspose2d(18, 4, 3, 2, 1, bias=False), nn.BatchNorm2d(4), nn.LeakyReLU(0.2)),
    *(nn.ConvTranspose2d(4, 2, 4, 2, 1, bias=False), nn.Tanh()),
)  # 1 -> 3 -> 5 -> 10 pixels


class Network(nn.Module):
    def __init__(self, layers):
        super().__init__()
        self.layers = layers


@pytest.fixture
def conv_stack():
    """The kernels, where Triton interprets them."""
    assert os.environ["TRITON_INTERPRET"] == "1"
    from gan_bench.training.kernels import conv_stack

    return conv_stack


def networks(layers, k, dtype):
    """K networks of the same layers with weights of their own, none of them at its start."""
    made = []
    for index in range(k):
        generator = torch.Generator().manual_seed(index)
        network = Network(copy.deepcopy(layers)).to(dtype)
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=dtype) * 0.4 + 0.1)
        made.append(network)
    return made


def stack(conv_stack, made, size, precision="ieee"):
    def together(tensors):
        return {name: torch.stack([dict(each)[name].detach() for each in tensors]) for name, _ in tensors[0]}

    weights = together([list(network.named_parameters()) for network in made])
    buffers = together([list(network.named_buffers()) for network in made])
    gradients = {name: torch.full_like(value, torch.nan) for name, value in weights.items()}
    found = conv_stack.ConvStack(made[0], size, weights, gradients, buffers, precision)
    return found, gradients, buffers


def passes(conv_stack, layers, size, k, counts, dtype=torch.float64):
    """Both passes of K networks by the kernels: outputs, gradients of inputs and weights, buffers, and what went in."""
    made = networks(layers, k, dtype)
    found, gradients, buffers = stack(conv_stack, made, size)
    generator = torch.Generator().manual_seed(99)
    channels = layers[0].in_channels
    shape = len(counts), max(counts), *size, channels
    inputs = torch.randn(shape, generator=generator, dtype=dtype).expand(k, *shape).contiguous()
    outputs = found.forward(inputs, torch.tensor(counts, dtype=torch.int32))
    slope = torch.randn(outputs[0].shape, generator=generator, dtype=dtype).expand(outputs.shape).clone()
    for index, count in enumerate(counts):
        slope[:, index, count:] = 0
    outputs = outputs.clone()
    of_inputs = found.backward(slope.clone(), weights=True, inputs=True)
    return made, inputs, slope, outputs, of_inputs, gradients, buffers


def images(tensor):
    return tensor.permute(0, 3, 1, 2)


def assert_autograd(conv_stack, layers, size, k, counts):
    """Compare with autograd, within a trillionth of the largest value of each tensor, or of 1."""
    made, inputs, slope, outputs, of_inputs, gradients, buffers = passes(conv_stack, layers, size, k, counts)

    def near(found, wanted):
        torch.testing.assert_close(found, wanted, rtol=0, atol=1e-12 * max(1.0, float(wanted.detach().abs().max())))

    for trial, network in enumerate(made):
        for index, count in enumerate(counts):  # real images first, as the kernels move running statistics
            given = images(inputs[trial, index, :count]).clone().requires_grad_()
            wanted = network.layers(given)
            wanted.backward(images(slope[trial, index, :count]))
            near(images(outputs[trial, index, :count]), wanted)
            near(images(of_inputs[trial, index, :count]), given.grad)
        for name, parameter in network.named_parameters():
            near(gradients[name][trial], parameter.grad)
        for name, buffer in network.named_buffers():
            near(buffers[name][trial], buffer)


@pytest.mark.parametrize(("layers", "size"), [(DOWN, (11, 11)), (UP, (1, 1))], ids=["down", "up"])
@pytest.mark.parametrize(("k", "counts"), [(2, (2, 1)), *slow((1, (3,)), (3, (3, 2)), (2, (1, 5)))])
def test_kernels_are_autograd(conv_stack, layers, size, k, counts):
    assert_autograd(conv_stack, layers, size, k, counts)


@pytest.mark.skipif("GAN_BENCH_ALL_SHAPES" not in os.environ, reason="takes long; set GAN_BENCH_ALL_SHAPES=1")
@pytest.mark.parametrize(
    ("network", "size", "k", "counts"),
    [
        (dcgan.Discriminator28, (28, 28), 16, (1, 1)),
        (partial(dcgan.Generator28, 100), (1, 1), 16, (1,)),
        (dcgan.Discriminator64, (64, 64), 1, (2, 1)),
        (partial(dcgan.Generator64, 100), (1, 1), 1, (3,)),
    ],
    ids=["D28", "G28", "D64", "G64"],
)
def test_the_articles_networks_are_autograd(conv_stack, network, size, k, counts):
    assert_autograd(conv_stack, network().layers, size, k, counts)


@pytest.mark.parametrize(("layers", "size"), [(DOWN, (11, 11)), (UP, (1, 1))], ids=["down", "up"])
def test_bits_do_not_depend_on_how_many_train_together(conv_stack, layers, size):
    *_, slope, alone, of_inputs, gradients, buffers = passes(conv_stack, layers, size, 1, (3,), torch.float32)
    *_, same, grouped, of_all, together, moved = passes(conv_stack, layers, size, 2, (3,), torch.float32)
    assert not torch.equal(grouped[0], grouped[1]), "other trials have other weights"
    assert torch.equal(slope[0], same[0])
    assert torch.equal(alone[0], grouped[0])
    assert torch.equal(of_inputs[0], of_all[0])
    for one, many in ((gradients, together), (buffers, moved)):
        for name, value in one.items():
            assert torch.equal(value[0], many[name][0]), name


def test_gradients_of_weights_are_added_in_parts(conv_stack, monkeypatch):
    """Cut into many short parts, the sum is the same one within rounding, and repeats to the bit."""
    *_, whole, _ = passes(conv_stack, DOWN, (11, 11), 1, (3,))
    monkeypatch.setattr(conv_stack, "ROWS_PER_PART", 32)
    *_, parts, _ = passes(conv_stack, DOWN, (11, 11), 1, (3,))
    *_, again, _ = passes(conv_stack, DOWN, (11, 11), 1, (3,))
    for name, value in whole.items():
        torch.testing.assert_close(parts[name], value, rtol=0, atol=1e-12)
        assert torch.equal(parts[name], again[name])


class Launched:
    """A kernel that notes whether its launches say how products and sums are rounded."""

    def __init__(self, kernel, seen):
        self.kernel, self.seen = kernel, seen

    def __getitem__(self, grid):
        def launch(*given, **named):
            self.seen[self.kernel.__name__] = named.get("enable_fp_fusion")
            self.kernel[grid](*given, **named)

        return launch


def test_no_launch_leaves_rounding_to_the_version_of_triton(conv_stack, monkeypatch):
    """Triton 3.9 warns of it, which is an error in tests on a card."""
    names, seen = ("convolve", "weight_gradient", "add_parts", "norm_forward", "norm_backward"), {}
    for name in names:
        monkeypatch.setattr(conv_stack.products, name, Launched(getattr(conv_stack.products, name), seen))
    passes(conv_stack, DOWN, (11, 11), 1, (2,))
    assert seen == dict.fromkeys(names, True)


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(1, 4, 4, 2, 1),
        nn.Conv2d(1, 4, 4, 2, 1, dilation=2, bias=False),
        nn.Conv2d(1, 4, (4, 3), bias=False),
        nn.ConvTranspose2d(1, 4, 4, 2, 1, output_padding=1, bias=False),
        nn.Linear(4, 4),
        nn.GELU(),
    ],
    ids=["bias", "dilated", "oblong", "padded", "linear", "gelu"],
)
def test_layers_that_the_kernels_do_not_know_are_refused(conv_stack, layer):
    last = nn.Conv2d(4, 1, 1, bias=False)
    assert not conv_stack.ConvStack.fits(Network(nn.Sequential(layer, last)), (28, 28))
    assert conv_stack.ConvStack.fits(Network(DOWN), (11, 11))
    assert not conv_stack.ConvStack.fits(Network(DOWN[:2]), (11, 11)), "its outputs are activated"
