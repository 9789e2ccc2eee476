"""How fast the training loops are, as ratios to an article-style loop measured in the same run.

    python benchmarks/speed/training.py [--device auto] [--seconds 6] [--rounds 3] [--out results/published/speed]

For each of the three networks, in turn and several times: (a) a loop as the articles write it, with a DataLoader that
transforms every image and an ``.item()`` for every printed number, (b) the reference engine, (c) the fast engine, on a
GPU also (d) recorded as a CUDA graph, (e) trials that train together, and on a CPU (f) as many worker processes of the
fast engine as there are cores, with one thread each. Images are random: speed does not depend on what they show. On a
CPU a small suite then goes through both executors, start-up and scoring included. What different ways to take a step
and other precisions gain on a GPU is measured by ``ways.py``.

No step can take less time than its arithmetic at the rate of a large matrix product, nor than the launches of its
kernels. The share of the greater of both limits says what is left to gain.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torch.utils.flop_counter import FlopCounterMode

from gan_bench.config.image_folder import DataRoot
from gan_bench.config.recipes import RECIPES
from gan_bench.config.trial import EvaluationConfig, Precision, Trial, TrialConfig
from gan_bench.core.errors import is_out_of_memory
from gan_bench.execution.trial.context import RunContext
from gan_bench.execution.trial.environment import choose_device, cores, describe_environment, fix_bits
from gan_bench.execution.workers.inline import Work, run_inline
from gan_bench.execution.workers.job import Site
from gan_bench.execution.workers.pool import run_processes
from gan_bench.records.record import Status
from gan_bench.training.engine import ReferenceEngine
from gan_bench.training.fast.engine import Capture, FastEngine
from gan_bench.training.fast.matmul import product
from gan_bench.training.group.group import CapturedEngine, Group, cuda_capture, wait
from gan_bench.training.precision import why_not
from gan_bench.training.state import TrainState

CASES = {"MLP (A4)": "mnist-mlp-z100", "DCGAN 28x28 (A1)": "mnist-dcgan", "DCGAN 64x64 (A3)": "cifar10-dcgan"}
CPU = torch.device("cpu")
PICTURES = {"mnist-mlp-z100": 20_000, "mnist-dcgan": 20_000, "cifar10-dcgan": 4_000}
GROUPS = {"cpu": (4,), "cuda": (4, 16, 64)}
CAPTURES: dict[str, Capture] = {"cpu": partial, "cuda": cuda_capture}
"""What records an iteration; on a CPU, where the measurement is only rehearsed, the iteration itself is repeated."""
STRIDE = {"cpu": 1, "cuda": 50}
"""Steps between two looks at the clock."""


def config_of(recipe: str, seed: int = 0) -> TrialConfig:
    evaluation = EvaluationConfig(epochs=(0,), samples=2)
    values = {**RECIPES[recipe].values(), "evaluation": evaluation, "dataset_repeats": 1}
    return TrialConfig(suite="speed", suite_version=1, recipe=recipe, seed=seed, profile="full", **values)


def images_of(recipe: str, size: int, channels: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (PICTURES[recipe], channels, size, size), generator=generator, dtype=torch.uint8)


class ArticleImages(Dataset[Tensor]):
    """Images as torchvision's datasets give them: a PIL image through a chain of transforms, one by one."""

    def __init__(self, recipe: str) -> None:
        from torchvision import transforms

        colour = recipe.startswith("cifar10")
        self.images = images_of(recipe, 32 if colour else 28, 3 if colour else 1).permute(0, 2, 3, 1).numpy()
        chain = [transforms.Resize(64)] if colour else []
        self.transform = transforms.Compose([*chain, transforms.ToTensor(), transforms.Normalize(0.5, 0.5)])

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Tensor:
        from PIL import Image

        image = self.images[index]
        return self.transform(Image.fromarray(image if image.shape[2] == 3 else image[:, :, 0]))


def article_loop(recipe: str, device: torch.device) -> Iterator[int]:
    """Train as the articles do; yield the images of each step."""
    config = config_of(recipe)
    state = TrainState.start(config, device)
    criterion = nn.BCELoss()
    loader = DataLoader(ArticleImages(recipe), batch_size=config.batch_size, shuffle=True)
    while True:
        for images in loader:
            n, real = len(images), images.to(device)
            ones, zeros = torch.ones(n, device=device), torch.zeros(n, device=device)
            d_real = torch.sigmoid(state.discriminator(real))
            fake = state.generator(torch.randn(n, config.latent_dim, device=device))
            d_fake = torch.sigmoid(state.discriminator(fake.detach()))
            loss_d = criterion(d_real, ones) + criterion(d_fake, zeros)
            state.optimizer_d.zero_grad()
            loss_d.backward()
            state.optimizer_d.step()
            if config.step_fakes == "fresh":
                fake = state.generator(torch.randn(n, config.latent_dim, device=device))
            loss_g = criterion(torch.sigmoid(state.discriminator(fake)), ones)
            state.optimizer_g.zero_grad()
            loss_g.backward()
            state.optimizer_g.step()
            _ = loss_d.item(), loss_g.item(), d_real.mean().item(), d_fake.mean().item()
            yield n


def engines(
    recipe: str,
    kind: Callable[..., ReferenceEngine],
    device: torch.device,
    count: int,
    precision: Precision = "default",
) -> list:
    """Make engines of ours, each with a seed of its own."""
    configs = [replace(config_of(recipe, seed), precision=precision) for seed in range(count)]
    size, channels = configs[0].image_size, 3 if recipe.startswith("cifar10") else 1
    images = images_of(recipe, size, channels).to(device)
    return [kind(config, images, TrainState.start(config, device)) for config in configs]


def engine_loop(
    recipe: str,
    kind: Callable[..., ReferenceEngine],
    device: torch.device = CPU,
    together: int = 1,
    capture: Capture | None = None,
) -> Iterator[int]:
    """Train with an engine of ours, or several together; yield the images shown between two looks at the clock."""
    members = engines(recipe, kind, device, together)
    return steps_of(members[0] if together == 1 else Group(members, capture), members)


def steps_of(runner: ReferenceEngine | Group, members: list) -> Iterator[int]:
    """Train with what advances the members; yield the images shown between two looks at the clock."""
    first = members[0]
    while True:
        before = first.state.step
        runner.advance(STRIDE[first.images.device.type], lambda: False)
        yield (first.state.step - before) * first.config.batch_size * len(members)
        if first.state.batch == first.steps:
            for member in members:
                member.finish_epoch()


def rate(loop: Iterator[int], seconds: float, device: torch.device = CPU) -> float:
    """Images per second of a loop that is warm, of all its trials together."""
    wait(device)
    started, count = time.perf_counter(), 0
    while time.perf_counter() - started < seconds or not count:
        count += next(loop)
        wait(device)
    return count / (time.perf_counter() - started)


def worker(recipe: str, seconds: float) -> None:
    """Measure the fast engine in this process, with one thread, once a line comes in."""
    torch.set_num_threads(1)
    fix_bits(CPU)
    loop = engine_loop(recipe, FastEngine)
    rate(loop, seconds / 3)
    print("ready", flush=True)
    sys.stdin.readline()
    print(rate(loop, seconds))


def pool_rate(recipe: str, seconds: float, workers: int) -> float:
    """Images per second of several processes together."""
    command = [sys.executable, __file__, "--worker", recipe, "--seconds", str(seconds)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    processes = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
        for _ in range(workers)
    ]
    for process in processes:
        process.stdout.readline()
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    return sum(float(process.communicate()[0]) for process in processes)


def suite_seconds(workers: int) -> dict[str, float]:
    """Seconds of eight short trials on the digits in this process, and in worker processes."""
    values = {"dataset": "digits", "epochs": 12, "dataset_repeats": 2, "train_limit": None}
    evaluation = EvaluationConfig(epochs=(12,), samples=1000, extractors=("lenet-mnist-v1",))
    trials = [
        Trial(setting=recipe, config=replace(config_of(recipe, seed), **values, evaluation=evaluation))
        for recipe in ("mnist-mlp-z100", "mnist-dcgan")
        for seed in range(4)
    ]
    place = RunContext(DataRoot(Path(), given=True), CPU, lambda: False)
    sites = [Site.of(place, "cpu", 1)] * workers
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        place.evaluator(trials[0].config)  # reference statistics are cached for both
        for name, run in (
            ("inline", lambda results: run_inline(Work(trials=trials, results=results), place)),
            ("processes", lambda results: run_processes(Work(trials=trials, results=results), sites)),
        ):
            started = time.perf_counter()
            done = run(Path(folder) / name).records.values()
            found[name] = time.perf_counter() - started
            assert [record.status for record in done] == [Status.DONE] * len(trials)
    return found


def flops_per_image(recipe: str) -> float:
    """Multiplications and additions of one update, counted, per real image."""
    loop = engine_loop(recipe, ReferenceEngine)
    with FlopCounterMode(display=False) as counter:
        count = next(loop)
    return counter.get_total_flops() / count


def best_of(action: Callable[[], object], device: torch.device, times: int = 5) -> float:
    """The least seconds of several times, after a first one that does not count."""
    seconds = []
    for _ in range(1 + times):
        started = time.perf_counter()
        action()
        wait(device)
        seconds.append(time.perf_counter() - started)
    return min(seconds[1:])


def numbers_copied(device: torch.device) -> int:
    """Return how many numbers a large copy has: both sides take half of a GPU's free memory at most."""
    return 64_000_000 if device.type == "cpu" else min(1_000_000_000, torch.cuda.mem_get_info(device)[0] // 16)


def peaks(device: torch.device) -> dict[str, float]:
    """Measure the machine: a large matrix product, as exact as training's, and a large copy."""
    n = 2048 if device.type == "cpu" else 8192
    a, b = torch.randn(n, n, device=device), torch.randn(n, n, device=device)
    big = torch.empty(numbers_copied(device), device=device)
    other = torch.empty_like(big)

    def gflops() -> float:
        return 2 * n**3 / best_of(lambda: product(a, b), device) / 1e9

    rates = {"matmul_gflops": gflops()}
    if not why_not("tf32", device):  # what convolutions compute in
        torch.backends.cuda.matmul.allow_tf32 = True
        rates["tf32_gflops"] = gflops()
        torch.backends.cuda.matmul.allow_tf32 = False
    if not why_not("bf16", device):
        a, b = a.bfloat16(), b.bfloat16()
        rates["bf16_gflops"] = gflops()
    return {**rates, "copy_gbytes": 2 * big.numel() * 4 / best_of(lambda: other.copy_(big), device) / 1e9}


def launch_seconds(device: torch.device, count: int = 1000) -> dict[str, float]:
    """Seconds that a kernel takes that does next to nothing: launched by itself, and recorded with others."""
    tiny = torch.zeros(8, device=device)

    def body() -> None:
        for _ in range(count):
            tiny.add_(1)

    recorded = CAPTURES[device.type](body)
    return {name: best_of(each, device) / count for name, each in (("alone", body), ("recorded", recorded))}


def kernels_per_step(loop: Iterator[int], images: int, device: torch.device) -> float:
    """Kernels, copies and fills on the GPU for each step, of so many images, of a warm loop; on a CPU operations."""
    from torch.autograd import DeviceType
    from torch.profiler import ProfilerActivity, profile

    activity, kind = (
        (ProfilerActivity.CUDA, DeviceType.CUDA) if device.type == "cuda" else (ProfilerActivity.CPU, DeviceType.CPU)
    )
    with profile(activities=[activity]) as found:
        steps = next(loop) / images  # fewer than a stride at an epoch's end
        wait(device)
    return max(1, sum(event.device_type == kind for event in found.events())) / steps


def limits(
    name: str, loop: Iterator[int], batch: int, flops: float, machine: dict, device: torch.device
) -> dict[str, float]:
    """Images per second that a loop cannot exceed: for its arithmetic, and for the launches of its kernels."""
    found = {"arithmetic": machine["gflops"] * 1e9 / flops}
    if name == "article" or "launch_seconds" not in machine:
        return found
    together = int(name.rsplit(maxsplit=1)[-1]) if name.startswith("group") else 1
    kernels = kernels_per_step(loop, batch * together, device)
    launch = machine["launch_seconds"]["alone" if name in ("reference", "fast") else "recorded"]
    return {**found, "launches": batch * together / (kernels * launch), "kernels_per_step": kernels}


def loops_of(recipe: str, device: torch.device, *, gpu: bool) -> dict[str, Callable[[], Iterator[int]]]:
    """Return what makes the loops that are compared."""
    capture = CAPTURES[device.type] if gpu else None
    recorded = partial(CapturedEngine, capture=capture)
    return {
        "article": partial(article_loop, recipe, device),
        "reference": partial(engine_loop, recipe, ReferenceEngine, device),
        "fast": partial(engine_loop, recipe, FastEngine, device),
        **({"captured": partial(engine_loop, recipe, recorded, device)} if gpu else {}),
        **{f"group of {k}": partial(engine_loop, recipe, FastEngine, device, k, capture) for k in GROUPS[device.type]},
    }


def measure(device: torch.device, seconds: float, rounds: int, workers: int, *, gpu: bool) -> Iterator[dict]:
    """Measure all loops of all networks, and yield what is there after each network.

    Args:
        device: Where they run.
        seconds: Of every measurement.
        rounds: How often each loop is measured, in turn.
        workers: Processes that train at a time, on a CPU.
        gpu: Whether what is for GPUs is measured: recorded steps, limits of launches.
    """
    machine: dict = peaks(device)
    if gpu:
        machine["launch_seconds"] = launch_seconds(device)
    about = describe_environment(device, "fast")
    about = {name: about[name] for name in ("libraries", "device_name", "threads", "python")}
    cases: dict = {}
    found = {"machine": {**about, **machine, "cores": workers, "system": platform.system()}, "cases": cases}
    for title, recipe in CASES.items():
        loops = {}
        for name, make in loops_of(recipe, device, gpu=gpu).items():
            try:
                loop = make()
                rate(loop, seconds / 3, device)
                loops[name] = loop
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
                print(f"{title}, {name}: out of memory, left out", flush=True)
        rates: dict[str, list[float]] = {name: [] for name in loops}
        for _ in range(rounds):
            for name, loop in loops.items():
                rates[name].append(rate(loop, seconds, device))
            if not gpu:
                rates.setdefault("processes", []).append(pool_rate(recipe, seconds, workers))
        flops = flops_per_image(recipe)
        ratios = {
            name: [mine / article for mine, article in zip(values, rates["article"], strict=True)]
            for name, values in rates.items()
        }
        median = {name: statistics.median(values) for name, values in rates.items()}
        batch = config_of(recipe).batch_size
        gflops = machine["matmul_gflops"] if "mlp" in recipe else machine.get("tf32_gflops", machine["matmul_gflops"])
        here = {**machine, "gflops": gflops}
        most = {name: limits(name, loop, batch, flops, here, device) for name, loop in loops.items()}
        cases[title] = {
            "images_per_second": median,
            "ratio": {name: statistics.median(values) for name, values in ratios.items()},
            "ratio_range": {name: [min(values), max(values)] for name, values in ratios.items()},
            "mflop_per_image": flops / 1e6,
            "share_of_peak": {name: value * flops / 1e9 / gflops for name, value in median.items()},
            "limits": most,
            "share_of_limit": {
                name: median[name] / min(limit for what, limit in each.items() if what != "kernels_per_step")
                for name, each in most.items()
            },
        }
        print(title, json.dumps(cases[title]["ratio"]), flush=True)
        yield found
    if not gpu:
        yield {**found, "suite_seconds": suite_seconds(workers)}


def markdown(found: dict) -> str:
    """Write what was measured as tables."""
    machine = found["machine"]
    columns = list(dict.fromkeys(n for case in found["cases"].values() for n in case["ratio"] if n != "article"))
    titles = [{"processes": f"{machine['cores']} processes x 1 thread"}.get(name, name) for name in columns]
    lines = [
        f"| | article loop, images/s | {' | '.join(titles)} | MFLOP/image | fast, share of peak |",
        "|:--" + "|--:" * (len(columns) + 3) + "|",
    ]
    for title, case in found["cases"].items():

        def cell(name: str, case: dict = case) -> str:
            if name not in case["ratio"]:
                return "out of memory"
            low, high = case["ratio_range"][name]
            return f"{case['ratio'][name]:.2f}x ({low:.2f} to {high:.2f})"

        lines.append(
            f"| {title} | {case['images_per_second']['article']:,.0f} | {' | '.join(cell(name) for name in columns)} "
            f"| {case['mflop_per_image']:.2f} | {case['share_of_peak']['fast']:.0%} |"
        )
    lines += [
        "",
        f"{machine['device_name']}, {machine['cores']} cores, {machine['threads']} threads, torch "
        f"{machine['libraries']['torch']}; {machine['matmul_gflops']:,.0f} GFLOP/s in a large matrix product, "
        f"{machine['copy_gbytes']:,.1f} GB/s in a copy. Ratios of images per second, of all trials together, to the "
        "article loop of the same round: median (range).",
    ]
    if "launch_seconds" in machine:
        lines += ["", *_limits_table(found)]
    if "suite_seconds" in found:
        seconds = found["suite_seconds"]
        lines += [
            "",
            f"A suite of eight short trials, start-up and scoring included: {seconds['inline']:.0f} s in one process, "
            f"{seconds['processes']:.0f} s in {machine['cores']} worker processes.",
        ]
    return "\n".join(lines) + "\n"


def _limits_table(found: dict) -> Iterator[str]:
    yield "| | loop | images/s | limit: arithmetic | limit: launches | kernels a step | share of the lower limit |"
    yield "|:--|:--|--:|--:|--:|--:|--:|"
    for title, case in found["cases"].items():
        for name, most in case["limits"].items():
            launches = f"{most['launches']:,.0f} | {most['kernels_per_step']:.0f}" if "launches" in most else " | "
            yield (
                f"| {title} | {name} | {case['images_per_second'][name]:,.0f} | {most['arithmetic']:,.0f} | {launches} "
                f"| {case['share_of_limit'][name]:.0%} |"
            )
    alone, recorded = (found["machine"]["launch_seconds"][name] * 1e6 for name in ("alone", "recorded"))
    yield ""
    yield f"A kernel takes at least {alone:.2f} us launched by itself and {recorded:.2f} us in a recorded step."


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--seconds", type=float, default=6.0, help="of every measurement")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=lambda text: Path(text).expanduser(), default=Path("results/speed"))
    parser.add_argument("--rehearse", action="store_true", help="measure on a CPU what is for GPUs, unrecorded")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        worker(options.worker, options.seconds)
        return
    device = choose_device(options.device)
    fix_bits(device)
    gpu = device.type == "cuda" or options.rehearse
    options.out.mkdir(parents=True, exist_ok=True)
    text = ""
    for found in measure(device, options.seconds, options.rounds, cores(), gpu=gpu):
        text = markdown(found)
        (options.out / "training.json").write_text(json.dumps(found, indent=2) + "\n")
        (options.out / "training.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
