"""The ways in which trials can take a step together; the fastest that agrees is used.

Which way is fastest on a card is not known beforehand. Each one is rehearsed there, from the state of the trials:
a way that cannot be compiled or recorded, runs out of memory or computes another step than the first way is left out,
and the first way stays unless another one is clearly faster. What was found holds for the process.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from gan_bench.config.trial import Precision
from gan_bench.training.fast.engine import FastEngine, is_sequential
from gan_bench.training.fast.linear_stack import LinearStack
from gan_bench.training.group.stacked import stacked_step
from gan_bench.training.group.written import LinearStacks, Stack, WrittenStep
from gan_bench.training.precision import tf32_of
from gan_bench.training.step import Batch

if TYPE_CHECKING:
    from gan_bench.training.state import TrainState

Step = Callable[[Batch], Tensor]
"""Trains every trial on its own batch, stacked along a leading axis; returns (K, 4) statistics."""
STACKED, WRITTEN, KERNELS, BRANCHES = "stacked", "written out", "kernels", "branches"
ALONE, LAST = "alone", ", channels last"
GAIN = 1.1
"""How many times faster another way must be than the first one: measurements of equal ways differ by less."""
GAIN_ALONE = 1.3
"""The same for a trial that trains alone, whose bits should be the same the next time: on an H200 channels last is 1.59
times faster on the 64x64 pair and no faster on the 28x28 pair, so this lies far from both."""
ASKED = "GAN_BENCH_KERNELS"
"""If 1, gan_bench's own kernels are rehearsed, too. They have not run on a card yet, where a fault could end the
process rather than the rehearsal."""
STREAMS = 16
"""Most concurrent branches of a graph; on an H200, 32 were slower than 16."""
RECORDING = -1
"""The stream that graphs are recorded on; those of branches are counted from 0."""
_streams: dict[tuple[int, int, int], torch.cuda.Stream] = {}


def stream_of(device: int, number: int) -> torch.cuda.Stream:
    """Return a stream of this thread, the same at each call.

    PyTorch keeps a workspace of cuBLAS, of up to 32 MiB, for every stream that a thread multiplied matrices on, for
    good. It cannot be given back: graphs that were recorded there write to it.

    Args:
        device: Index of the GPU.
        number: Which one.
    """
    key = threading.get_ident(), device, number
    found = _streams.get(key) or torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    _streams[key] = found
    return found


def forget_streams() -> None:
    """Use new streams from now on, as one with a failed recording may be unusable."""
    _streams.clear()


def ways(members: Sequence[FastEngine], device: torch.device) -> list[str]:
    """List the ways for such trials on a device, the reference first.

    A trial that trains alone keeps the way that it began with, in its checkpoint: resumed, it has the same bits.
    """
    state = members[0].state
    cuda, convolutional, precision = device.type == "cuda", is_sequential(state), _precision(members)
    if len(members) == 1:
        return [ALONE, ALONE + LAST] if cuda and convolutional else [ALONE]
    found = [STACKED]
    if not cuda:  # the other ways gain nothing on a CPU
        return found
    if LinearStack.fits(state.generator, state.discriminator) and precision != "bf16":
        found.append(WRITTEN)
    if _kernels_fit(members):
        found.append(KERNELS)
    found.append(BRANCHES)
    return [*found, BRANCHES + LAST] if convolutional else found


def make_step(way: str, members: Sequence[FastEngine]) -> Step:
    """Make the step of a way. It moves the trials' tensors, so that an earlier step is void."""
    states, objective, precision = [member.state for member in members], members[0].objective, _precision(members)
    for member in members:
        if len(members) > 1:
            member.moved()  # drop what they built to step alone
        _lay_out(member.state, last=way.endswith(LAST))
    if way == STACKED:
        return stacked_step(states, objective, precision)
    if way == WRITTEN:
        return WrittenStep(states, LinearStacks, objective)
    if way == KERNELS:
        return WrittenStep(states, partial(_conv_stack, members), objective)
    return _Branches(members)


def _lay_out(state: TrainState, *, last: bool) -> None:
    """Set the memory format of convolutional networks: pixels or channels last."""
    if is_sequential(state) and next(state.generator.parameters()).device.type == "cuda":
        for network in (state.generator, state.discriminator):
            network.to(memory_format=torch.channels_last if last else torch.contiguous_format)


class _Branches:
    """Every trial's own step in a branch of the graph: the operations, and so the bits, of a lone trial.

    Args:
        members: The trials.
    """

    def __init__(self, members: Sequence[FastEngine]) -> None:
        self._steps = [member.step(anew=True) for member in members]
        device = members[0].images.device
        several = device.type == "cuda" and len(members) > 1
        count = min(len(members), STREAMS) if several else 0
        self._streams = [stream_of(device.index, number) for number in range(count)]

    def __call__(self, batch: Batch) -> Tensor:
        """Train every trial on its batch."""
        batches = [
            Batch(batch.real[i], batch.z_d[i], None if batch.z_g is None else batch.z_g[i])
            for i in range(len(self._steps))
        ]
        if not self._streams:
            return torch.stack([step(each) for step, each in zip(self._steps, batches, strict=True)])
        current = torch.cuda.current_stream()
        for stream in self._streams:
            stream.wait_stream(current)
        made = []
        try:
            for index, (step, each) in enumerate(zip(self._steps, batches, strict=True)):
                with torch.cuda.stream(self._streams[index % len(self._streams)]):
                    made.append(step(each))
        finally:  # a recording that ends with branches of its own hides why one failed
            for stream in self._streams:
                current.wait_stream(stream)
        return torch.stack(made)


def _precision(members: Sequence[FastEngine]) -> Precision:
    return members[0].config.precision


def _kernels_fit(members: Sequence[FastEngine]) -> bool:
    """True if the kernels are requested, Triton is installed, and both networks have supported layers."""
    state = members[0].state
    if not (os.environ.get(ASKED) and is_sequential(state)):
        return False
    try:
        from gan_bench.training.kernels.conv_stack import ConvStack
    except ImportError:  # Triton comes with PyTorch on Linux alone
        return False
    networks = (state.generator, (1, 1)), (state.discriminator, _image_size(members[0]))
    return all(ConvStack.fits(network, size) for network, size in networks)


def _image_size(member: FastEngine) -> tuple[int, int]:
    rows, columns = member.images.shape[2:]
    return rows, columns


def _conv_stack(
    members: Sequence[FastEngine],
    networks: Sequence[nn.Module],
    weights: dict[str, Tensor],
    gradients: dict[str, Tensor],
    buffers: dict[str, Tensor],
) -> Stack:
    from gan_bench.training.kernels.conv_stack import ConvStack

    is_generator = networks[0] is members[0].state.generator
    size = (1, 1) if is_generator else _image_size(members[0])
    asked = _precision(members)
    rounded = "tf32" if tf32_of(asked).convolutions else "ieee"  # as PyTorch's own convolutions would
    precision = "bf16" if asked == "bf16" else rounded
    return ConvStack(networks[0], size, weights, gradients, buffers, precision)
