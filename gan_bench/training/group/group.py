"""Groups: trials that take their steps together, stacked if several, recorded as a CUDA graph on a GPU.

The nets of the articles are so small that launching their kernels one by one costs more than computing. A recorded
iteration, D step and G step, is launched at once, and stacked trials share its kernels. Everything an iteration reads
lies in buffers that stay where they are: the epoch's orders and noise, a counter on the device that picks the step's
share of them, weights, moments and statistics. The last, smaller batch of an epoch runs as it is. A graph that cannot
be recorded, or whose first replay is not what the same step computes without it, is given up, and the steps are
launched one by one.
"""

from __future__ import annotations

import contextlib
import gc
import math
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from gan_bench.config.trial import Precision, TrialConfig
from gan_bench.core.errors import brief, is_out_of_memory
from gan_bench.models.losses import LOSSES
from gan_bench.records.schema import STATISTICS
from gan_bench.training.draws import EpochDraws
from gan_bench.training.engine import normalise
from gan_bench.training.fast.engine import Body, Capture, FastEngine
from gan_bench.training.group.stacked import biases_before_norm, can_stack
from gan_bench.training.group.ways import GAIN, GAIN_ALONE, RECORDING, Step, forget_streams, make_step, stream_of, ways
from gan_bench.training.precision import tf32_flags
from gan_bench.training.state import TrainState
from gan_bench.training.step import Batch

WARM_UP = 3
TOLERANCE = 1e-2
"""Mean difference of weights after one step, in learning rates, that rounding may explain: Adam's first step moves
every weight by one learning rate, and one with a gradient of almost zero either way."""
AGREEMENT: Mapping[Precision, float] = {"default": 5e-2, "tf32": 5e-2, "bf16": 2e-1}
"""The same between two ways to compute a step. Where products round their factors (TF32), gradients differ by a
thousandth of their size, and more of them than in a replay lie so close to zero that Adam moves them the other way; a
step that is wrong is off by about 1. With factors rounded on a CPU as TF32 does it, first steps, which differ most,
were up to 0.03 off those in float32, and 0.19 in one tensor; rounded to bfloat16 up to 0.07 and 0.21 (MLPs and both
DCGANs, up to 64 trials, batches of 4 to 128).

Both hold for batch-norm's statistics too, in units of what a step changes them by: they are off by about 1 where a way
does not follow them, and steps in bfloat16 are 0.001 off at first and 0.01 after 30 steps, when they change less."""
WRONG = 0.5
"""The same for one tensor of one trial: it is off by about 1 where it is not trained and by 2 where it steps uphill. A
mean over many trials and tensors does not show that."""
FEW = 48
"""Weights that a tensor counts as having at least: some whose gradient is almost zero may go either way. Steps in
bfloat16 moved up to 6 of the 32 weights of a batch-norm the other way (28x28 DCGAN, 32 trials)."""
STRIDE = 16
"""Steps between two checks for a stop request on a GPU, where launches run ahead of execution."""

_CHOSEN: dict[tuple[object, ...], dict[int, str]] = {}
"""The way chosen by a rehearsal, by device, shape of trials and group size."""


def cuda_capture(body: Body) -> Body:
    """Record an iteration as a CUDA graph, after warm-up iterations."""
    gc.collect()  # an unused graph must not be freed while another is recorded
    own, current = stream_of(torch.cuda.current_device(), RECORDING), torch.cuda.current_stream()
    own.wait_stream(current)
    with torch.cuda.stream(own):
        for _ in range(WARM_UP):
            body()
    current.wait_stream(own)
    graph, pool = torch.cuda.CUDAGraph(), torch.cuda.graph_pool_handle()
    try:
        # torch's own stream for recording is made once, on the first card that a process uses
        with torch.cuda.graph(graph, pool=pool, stream=own, capture_error_mode="thread_local"):
            body()
    except BaseException:
        torch.cuda.set_stream(current)
        _end_recording(pool)
        forget_streams()
        raise
    replay: Body = graph.replay
    return replay


def _end_recording(pool: tuple[int, int]) -> None:
    """Let the allocator leave a recording that failed.

    Up to torch 2.11 it takes itself to be recording for good (pytorch#180395): no later graph could be recorded, and no
    cached memory be freed. Where recording has ended, torch says so, and the graph gives its memory back itself.
    """
    with contextlib.suppress(Exception):
        torch._C._cuda_endAllocateToPool(torch.cuda.current_device(), pool)
        torch._C._cuda_releasePool(torch.cuda.current_device(), pool)


class Group:
    """Trials of equal networks, images and batches at the same step.

    Args:
        members: Their engines; several must be of networks that ``can_stack``. Their tensors are moved into one
            memory, and each remains an engine of its own trial: what it holds is always up to date.
        capture: What records an iteration, or None to launch its operations one by one.
        way: How they take a step (``ways``); None to rehearse the ways of the device and take the best one.

    Attributes:
        way: How they take a step, once they are prepared.
    """

    def __init__(self, members: Sequence[FastEngine], capture: Capture | None = None, way: str | None = None) -> None:
        self.members = tuple(sorted(members, key=_setting))  # equal settings side by side share a call of Adam
        self._states = [member.state for member in self.members]
        self._images, self._dtype = members[0].images, next(self._states[0].generator.parameters()).dtype
        if len(members) > 1:
            for member in members:
                member.moved()  # drop what they built to step alone
        self._capture = capture
        self.way = way
        self._step: Step | None = None
        self._repeat: Body | None = None
        self._loaded = 0
        self._tails: list[Batch] = []
        config, device, k = members[0].config, self._images.device, len(members)
        size = config.batch_size
        self._whole = len(self._images) * config.dataset_repeats // size
        self._at = torch.zeros(1, dtype=torch.int64, device=device)
        self._orders = torch.zeros(self._whole, k, size, dtype=torch.int64, device=device)
        noise = (self._whole, k, size, config.latent_dim)
        self._z_d = torch.zeros(noise, dtype=self._dtype, device=device)
        self._z_g = torch.zeros_like(self._z_d) if config.step_fakes == "fresh" else None
        self._step_stats = self._states[0].step_stats.new_zeros(members[0].steps, k, len(STATISTICS))
        self._rows = torch.arange(len(self._step_stats), device=device)[:, None, None]
        for index, state in enumerate(self._states):
            self._step_stats[: state.batch, index] = state.step_stats[: state.batch]
            state.step_stats = self._step_stats[:, index]

    @property
    def captured(self) -> bool:
        """True if steps are replayed from a CUDA graph."""
        return self._repeat not in (None, self._iteration)

    def advance(self, most: int, stop: Callable[[], bool]) -> None:
        """Do at most this many steps of every member, ending early at an epoch's end or when ``stop`` says so."""
        self.prepare()
        first, device = self._states[0], self._images.device
        stride = STRIDE if device.type == "cuda" else 1
        for index in range(min(most, self.members[0].steps - first.batch)):
            if index % stride == 0:
                wait(device)
                if stop():
                    return
            self._take(self._repeat if self._repeat and first.batch < self._whole else self._tail)
            for state in self._states:
                state.batch += 1
                state.step += 1

    def _take(self, body: Body) -> None:
        """Do one step of every member."""
        body()
        for state in self._states:
            state.follow()  # not recorded, as its first call differs from the others

    def prepare(self) -> None:
        """Draw the epoch's random numbers and, the first time, record the iteration; the state is not changed.

        Raises:
            RuntimeError: Memory ran out.
        """
        self._load_draws()
        if not self._whole:
            return
        self._at.fill_(self._states[0].batch % self._whole)
        if self._repeat is None:
            self._repeat = self._best() if self.way is None else self._kept(self.way)

    def seconds_per_step(self, steps: int = 20) -> float:
        """Measure a step of all members, on their own images; their state is not changed."""
        self.prepare()
        body, before = self._repeat or self._tail, self._snapshot()
        self._take(body)
        wait(self._images.device)
        started = time.perf_counter()
        for _ in range(steps):
            self._take(body)
        wait(self._images.device)
        seconds = (time.perf_counter() - started) / steps
        self._restore(before)
        return seconds

    def _make_step(self) -> Step:
        """Return the update; made at its first use, as checkpoints may be loaded until then."""
        if self._step is None:
            if self.way is None:
                self.way = ways(self.members, self._images.device)[0]
            self._step = make_step(self.way, self.members)
        return self._step

    def _update(self, batch: Batch) -> Tensor:
        with tf32_flags(self.members[0].config.precision):
            return self._make_step()(batch)

    def _ready(self, way: str) -> Body:
        """Use a way, and record it if possible."""
        self.way, self._step = way, make_step(way, self.members)
        return self._record(self._capture) if self._capture else self._iteration

    def _kept(self, way: str) -> Body:
        """Use a way chosen earlier, elsewhere or for other sizes, or the best one if it fails here.

        A compiler may be missing that was there, or an algorithm on another card.
        """
        try:
            return self._ready(way)
        except Exception as error:  # compilers, drivers and cards raise many kinds
            if is_out_of_memory(error):
                raise
            warnings.warn(f"the way {way!r} of training is not used ({brief(error)})", RuntimeWarning, stacklevel=2)
            self.way = self._step = None
            return self._best(anew=True)

    def _best(self, *, anew: bool = False) -> Body:
        """Rehearse the ways of this device, once per process and kind of trials, and use the best one."""
        device = self._images.device
        possible, config = ways(self.members, device), self.members[0].config
        networks = config.architecture, config.latent_dim, *self._images.shape[1:], self._dtype
        steps = config.batch_size, config.loss, config.step_fakes, config.precision
        known = _CHOSEN.setdefault((str(device), *networks, *steps), {})
        k = len(self.members)
        near = [size for size in known if (size == 1) == (k == 1) and max(size, k) <= 2 * min(size, k)]
        size = k if anew else min(near, key=lambda size: abs(size - k), default=k)
        if len(possible) == 1:
            return self._ready(possible[0])
        if size in known and not anew:
            return self._kept(known[size])
        known[size] = self._rehearse(possible)
        return self._ready(known[size])

    def _rehearse(self, possible: Sequence[str]) -> str:
        """Try ways from the present state of the trials, which is not changed.

        Returns:
            The fastest of those whose step is the first one's, within rounding.
        """
        seconds: dict[str, float] = {}
        wanted = None
        for way in possible:
            before = None
            try:
                self._repeat = self._ready(way)
                before, start = self._snapshot(), self._numbers()
                self._repeat()
                made = self._numbers()
                self._restore(before)
                wanted = made if wanted is None else wanted
                self._check("its step", made, wanted, start, AGREEMENT[self.members[0].config.precision])
                seconds[way] = self.seconds_per_step()
            except Exception as error:  # compilers, drivers and cards raise many kinds
                if before is not None:
                    self._restore(before)
                if way == possible[0]:
                    raise
                if not is_out_of_memory(error, len(self.members)):
                    text = f"the way {way!r} of training is not used ({brief(error)})"
                    warnings.warn(text, RuntimeWarning, stacklevel=2)
            finally:
                self._repeat = None
        best = min(seconds, key=lambda way: seconds[way])
        gain = GAIN_ALONE if len(self.members) == 1 else GAIN
        return best if seconds[best] * gain < seconds[possible[0]] else possible[0]

    def _check(
        self, what: str, made: list[Tensor], wanted: list[Tensor], start: list[Tensor], tolerance: float
    ) -> None:
        """Raise a RuntimeError unless rounding explains the difference of a step from the expected one.

        Weights are compared in learning rates of their own network, every buffer in what the step changed it by; on
        average, and each tensor of each trial by itself. Those of a diverged trial are no numbers in both.
        """
        off = torch.stack([_difference(a, b) for a, b in zip(made, wanted, strict=True)]).tolist()
        changed = torch.stack([(b - c).abs().nansum() for b, c in zip(wanted, start, strict=True)]).tolist()
        weights, buffers, worst, count = 0.0, [0.0], 0.0, 0
        for (tensor, lr, is_noise), apart, change in zip(self._floats(), off, changed, strict=True):
            if lr is None:
                buffers.append(apart and (apart / change if 0 < change < math.inf else math.inf))
                worst = max(worst, buffers[-1])
                continue
            weights += apart / lr
            count += tensor.numel()
            if not is_noise:
                worst = max(worst, apart / lr / max(tensor.numel(), FEW))
        mean = max(weights / count, sum(buffers) / len(buffers))
        if mean > tolerance or worst > WRONG:
            raise RuntimeError(f"{what} is off by {mean:.3g} of what it changes, and by {worst:.3g} in one tensor")

    def _load_draws(self) -> None:
        """Copy the epoch's orders and noise to the buffers that iterations read."""
        epoch = self._states[0].epoch + 1
        if self._loaded == epoch:
            return
        tails = []
        config = self.members[0].config
        for index, member in enumerate(self.members):
            draws = EpochDraws.draw(member.config, len(self._images), epoch, self._images.device)
            self._orders[:, index] = draws.order[: self._orders[:, index].numel()].view(self._whole, config.batch_size)
            self._z_d[:, index] = draws.z_d[: self._whole]
            if self._z_g is not None and draws.z_g is not None:
                self._z_g[:, index] = draws.z_g[: self._whole]
            if self._whole < member.steps:
                tails.append(member.batch_of(draws, self._whole))
        self._tails, self._loaded = tails, epoch

    def _iteration(self) -> None:
        """Do the step of the counter and increment it; after the epoch's last whole batch it restarts."""
        order = self._orders.index_select(0, self._at)[0]
        real = normalise(self._images.index_select(0, order.flatten()), self._dtype)
        z_g = None if self._z_g is None else self._z_g.index_select(0, self._at)[0]
        z_d = self._z_d.index_select(0, self._at)[0]
        statistics = self._update(Batch(real.view(*order.shape, *real.shape[1:]), z_d, z_g))
        # like index_copy_, which waits for the device if it must be deterministic
        self._step_stats.copy_(torch.where(self._rows == self._at, statistics, self._step_stats))
        self._at.add_(1).remainder_(self._whole)

    def _tail(self) -> None:
        """Do the epoch's last, smaller batch."""
        fresh = [batch.z_g for batch in self._tails if batch.z_g is not None]
        real, z_d = (torch.stack(parts) for parts in zip(*((b.real, b.z_d) for b in self._tails), strict=True))
        self._step_stats[self._whole] = self._update(Batch(real, z_d, torch.stack(fresh) if fresh else None))

    def _record(self, capture: Capture) -> Body:
        """Record and rehearse the iteration; return its replay, or itself if that fails."""
        before, start, places = self._snapshot(), self._numbers(), self._places()
        try:
            self._iteration()  # once without recording, as the expected result of a replay
        except BaseException:  # a failing step cannot be recorded
            self._restore(before)
            raise
        try:
            wanted = self._numbers()
            replay = capture(self._iteration)
            if self._places() != places:
                raise RuntimeError("a step makes new tensors of the state, where a replay changes the old ones")
            self._restore(before)
            replay()
            self._check("its first replay", self._numbers(), wanted, start, TOLERANCE)
            if self._tails:
                self._tail()  # check now that it fits in memory beside the graph
        except Exception as error:  # CUDA raises many kinds
            self._restore(before)
            if is_out_of_memory(error, len(self.members)):
                raise
            text = f"the CUDA graph is not used ({brief(error)})"
            warnings.warn(text, RuntimeWarning, stacklevel=2)
            return self._iteration
        self._restore(before)
        return replay

    def _tensors(self) -> list[Tensor]:
        """Everything a step changes."""
        found = [self._step_stats, self._at]
        for state in self._states:
            found += [*state.generator.state_dict().values(), *state.discriminator.state_dict().values()]
            for optimizer in (state.optimizer_g, state.optimizer_d):
                found += [tensor for each in optimizer.state.values() for tensor in each.values()]
            found += [] if state.average is None else state.average.state_dict().values()
        return found

    def _places(self) -> list[int]:
        return [tensor.data_ptr() for tensor in self._tensors()]

    def _floats(self) -> Iterator[tuple[Tensor, float | None, bool]]:
        """Yield weights, with the learning rate of their network, and buffers of floats.

        The last value is True of biases that batch-norm subtracts again: their gradient is rounding and nothing else.
        """
        for member in self.members:
            state, config = member.state, member.config
            for network, lr in ((state.generator, config.lr_g), (state.discriminator, config.lr_d)):
                subtracted = biases_before_norm(network)
                yield from ((p.detach(), lr, p in subtracted) for p in network.parameters())
                yield from ((b, None, False) for b in network.buffers() if b.is_floating_point())

    def _numbers(self) -> list[Tensor]:
        """Return copies of all weights and every buffer of floats, as they are now."""
        return [tensor.clone() for tensor, _, _ in self._floats()]

    def _snapshot(self) -> list[Tensor]:
        self._make_step()
        return [tensor.clone() for tensor in self._tensors()]

    def _restore(self, before: list[Tensor]) -> None:
        """Restore everything in place, where a graph reads it, after a failed step has ended on the device."""
        wait(self._images.device)
        with torch.no_grad():
            for tensor, value in zip(self._tensors(), before, strict=True):
                tensor.copy_(value)


class CapturedEngine(FastEngine):
    """A lone trial on a GPU: a recorded group of one.

    Args:
        config: The trial.
        images: (N, C, H, W) uint8 training images on the device that computes.
        state: Where the trial stands; changed in place.
        capture: What records an iteration.

    Attributes:
        way: How it takes its steps (``ways``): found at the first one, unless it is set before.
    """

    def __init__(self, config: TrialConfig, images: Tensor, state: TrainState, capture: Capture = cuda_capture) -> None:
        super().__init__(config, images, state)
        self.capture = capture
        self._group: Group | None = None

    @property
    def captured(self) -> bool:
        """True if steps are replayed from a CUDA graph."""
        return self._group is not None and self._group.captured

    def advance(self, most: int, stop: Callable[[], bool]) -> None:
        """Do at most this many steps, ending early at an epoch's end or when ``stop`` says so."""
        group = self.make_ready()
        group.advance(most, stop)
        self.way = group.way

    def make_ready(self) -> Group:
        """Rehearse and record the iteration if needed; the state is not changed."""
        if self._group is None:
            self._group = Group([self], self.capture, kept_way([self]))
            self._group.prepare()
        return self._group

    def moved(self) -> None:
        """Drop views of the state's tensors, whose memory has moved."""
        super().moved()
        self._group = None


def _setting(member: FastEngine) -> tuple[object, ...]:
    config = member.config
    return config.lr_g, config.betas_g, config.lr_d, config.betas_d


def can_group(engines: Sequence[object]) -> bool:
    """True if engines can step together: they repeat the same step, and their networks differ in weights alone."""
    fast = [engine for engine in engines if isinstance(engine, FastEngine)]
    layers = {_stackable_layers(engine) for engine in fast}
    return (
        len(fast) == len(engines)
        and len(layers) == 1
        and None not in layers
        and all(e.repeats and not e.draws_itself and LOSSES[e.config.loss].is_of_each_trial for e in fast)
    )


_stackable = WeakKeyDictionary[FastEngine, str | None]()


def _stackable_layers(engine: FastEngine) -> str | None:
    """Return a description of the layers of an engine's networks, or None if they cannot be stacked.

    It is asked before every few steps. Layers may differ between trials of one architecture, which may draw a slope.
    """
    if engine not in _stackable:
        networks = (engine.state.generator, engine.state.discriminator)
        _stackable[engine] = repr(networks) if can_stack(engine.state) else None
    return _stackable[engine]


def can_record(engine: FastEngine) -> bool:
    """True if a trial's steps can be recorded: forwards, layers and a loss that are known to do the same every time.

    A replay runs no Python, so a user's own code that counts its calls, or keeps a tensor that it made, would go wrong.
    """
    return can_group([engine]) and LOSSES.is_shipped(engine.config.loss)


def kept_way(members: Sequence[FastEngine]) -> str | None:
    """Return the common earlier way of trials if it is still possible, else None.

    A trial that was in a group, and trains alone now, has other ways.
    """
    (way, *others) = {member.way for member in members}
    return way if not others and way in ways(members, members[0].images.device) else None


def _difference(a: Tensor, b: Tensor) -> Tensor:
    """Sum the differences of two tensors; infinite if only one of a pair is finite."""
    return torch.where(a.isnan() == b.isnan(), (a - b).abs(), math.inf).nansum()


def wait(device: torch.device) -> None:
    """Wait until a device has finished its work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
