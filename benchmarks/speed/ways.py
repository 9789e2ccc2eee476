"""What every way to take a step gains on a GPU, in every precision: whatever does not pay on a card shows it.

    python benchmarks/speed/ways.py [--seconds 0.5] [--rounds 2] [--way kernels] [--out results/speed]

For each of the three networks, a trial alone and the largest group are measured in every way that this card has and in
every precision, one after the other; a loop as the articles write it takes turns with each. Our own kernels are among
the ways when ``GAN_BENCH_KERNELS=1`` is set. A fault in a kernel may spoil what comes after it in the same process, so
what was measured is written at once.

No step can take less time than its arithmetic at the rate of a large matrix product as exact as its own.
"""

from __future__ import annotations

import argparse
import gc
import json
import statistics
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import torch
from training import (
    CAPTURES,
    CASES,
    GROUPS,
    article_loop,
    engines,
    flops_per_image,
    peaks,
    rate,
    steps_of,
)

from gan_bench.config.trial import Precision
from gan_bench.core.errors import brief, is_out_of_memory
from gan_bench.execution.trial.environment import choose_device, describe_environment, fix_bits
from gan_bench.training.fast.engine import FastEngine
from gan_bench.training.group.group import Group
from gan_bench.training.group.ways import ways
from gan_bench.training.precision import why_not


def measure(recipe: str, device: torch.device, seconds: float, rounds: int, only: str | None) -> Iterator[dict]:
    """Measure every way of one pair of networks.

    Args:
        recipe: The networks.
        device: Where they run.
        seconds: Of every measurement.
        rounds: How often each is measured.
        only: The way that is measured beside each size's first one; None measures all.

    Yields:
        What was measured; ``why_not`` in place of numbers where a way cannot be.
    """
    article, capture = article_loop(recipe, device), CAPTURES[device.type]
    rate(article, seconds / 3, device)
    for precision in precisions_on(device):
        for size in (1, max(GROUPS[device.type])):
            first, *others = ways(engines(recipe, FastEngine, device, min(size, 2), precision), device)
            for way in [first, *(other for other in others if only in (None, other))]:
                about = {"trials": size, "way": way, "precision": precision}
                gc.collect()  # a group before this one holds its memory until then
                torch.cuda.empty_cache()
                try:
                    members = engines(recipe, FastEngine, device, size, precision)
                    loop = prepared(Group(members, capture, way), members)
                    rate(loop, seconds / 3, device)
                    rates = [(rate(loop, seconds, device), rate(article, seconds, device)) for _ in range(rounds)]
                except Exception as error:  # compilers, drivers and cards raise many kinds
                    yield {**about, "why_not": "out of memory" if is_out_of_memory(error) else brief(error)}
                    continue
                finally:
                    members = loop = None
                mine, ratio = statistics.median(r for r, _ in rates), statistics.median(r / a for r, a in rates)
                yield {**about, "images_per_second": mine, "ratio": ratio}


def precisions_on(device: torch.device) -> list[Precision]:
    """Return the precisions that a device has; on a CPU all are rehearsed."""
    return [each for each in get_args(Precision) if device.type != "cuda" or not why_not(each, device)]


def prepared(group: Group, members: list) -> Iterator[int]:
    """Return the loop of a group that takes its steps in the way asked for, recorded.

    Raises:
        RuntimeError: It would take another way or launch its steps one by one, which its warnings say.
    """
    way = group.way
    with warnings.catch_warnings():
        warnings.filterwarnings("error", category=RuntimeWarning)
        group.prepare()
    if group.way != way or not group.captured:
        raise RuntimeError(f"its steps are taken in the way {group.way!r}, {'' if group.captured else 'not '}recorded")
    return steps_of(group, members)


def gflops(recipe: str, precision: str, machine: dict) -> float:
    """Return the GFLOP/s of a large product as exact as such a training's; a CPU has but one rate."""
    kind = {"bf16": "bf16", "tf32": "tf32", "default": "matmul" if "mlp" in recipe else "tf32"}[precision]
    return machine.get(f"{kind}_gflops", machine["matmul_gflops"])


def markdown(found: dict) -> str:
    """Write what was measured as a table."""
    machine = found["machine"]
    lines = [
        "| | trials | precision | way | images/s | x article loop | share of the arithmetic limit |",
        "|:--|--:|:--|:--|--:|--:|--:|",
    ]
    for each in found["ways"]:
        about = f"| {each['title']} | {each['trials']} | {each['precision']} | {each['way']}"
        if "why_not" in each:
            lines.append(f"{about} | {each['why_not']} | | |")
        else:
            share = each["images_per_second"] * each["mflop_per_image"] / 1e3 / each["gflops"]
            lines.append(f"{about} | {each['images_per_second']:,.0f} | {each['ratio']:.1f} | {share:.0%} |")
    about = f"{machine['device_name']}, torch {machine['libraries']['torch']}"
    return "\n".join([*lines, "", f"{about}; images per second of all trials together, medians."]) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--seconds", type=float, default=0.5, help="of every measurement")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--way", help="measure this one beside the first")
    parser.add_argument("--network", action="append", choices=list(CASES.values()), help="may be repeated")
    parser.add_argument("--out", type=lambda text: Path(text).expanduser(), default=Path("results/speed"))
    parser.add_argument("--rehearse", action="store_true", help="measure on a CPU, unrecorded")
    options = parser.parse_args()
    device = choose_device(options.device)
    if device.type != "cuda" and not options.rehearse:
        print("Ways and precisions are a GPU's: on a CPU there is one of each.")
        return
    fix_bits(device)
    about = describe_environment(device, "fast")
    machine = {**{name: about[name] for name in ("libraries", "device_name")}, **peaks(device)}
    found: dict = {"machine": machine, "ways": []}
    options.out.mkdir(parents=True, exist_ok=True)
    for title, recipe in CASES.items():
        if options.network and recipe not in options.network:
            continue
        flops = flops_per_image(recipe)
        for each in measure(recipe, device, options.seconds, options.rounds, options.way):
            each |= {"title": title, "mflop_per_image": flops / 1e6}
            found["ways"].append({**each, "gflops": gflops(recipe, each["precision"], machine)})
            print(json.dumps(each), flush=True)
            (options.out / "ways.json").write_text(json.dumps(found, indent=2) + "\n")
            (options.out / "ways.md").write_text(markdown(found))
    print(markdown(found))


if __name__ == "__main__":
    main()
