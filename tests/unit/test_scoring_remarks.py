"""What ``score`` says of extractors that were made for other images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

import gan_bench as gb
from gan_bench.scoring import scoring_remarks


def folder(path, pixels):
    path.mkdir()
    for i in range(4):
        Image.fromarray(np.roll(pixels, i, 0)).save(path / f"{i}.png")
    return str(path)


@pytest.fixture
def colours(tmp_path):
    draw = np.random.default_rng(0)
    return folder(tmp_path / "tiles", draw.integers(0, 255, (32, 32, 3), dtype=np.uint8))


@pytest.fixture
def grey(tmp_path):
    """Saved as RGB, as most programs do."""
    draw = np.random.default_rng(0)
    return folder(tmp_path / "grey", np.repeat(draw.integers(0, 255, (32, 32, 1), dtype=np.uint8), 3, axis=2))


def test_colours_under_an_extractor_of_grey_images_are_said(colours, grey):
    """FID 3.18 of colour tiles under the classifier of digits looked like a result."""
    (said,) = scoring_remarks(colours, colours, ["lenet-mnist-v1"])
    assert said.startswith("lenet-mnist-v1 is made for images of 1 channel, and tiles has 3: these scores say little")
    assert len(list(scoring_remarks(colours, grey, ["lenet-mnist-v1"]))) == 1
    assert not list(scoring_remarks(grey, grey, ["lenet-mnist-v1"]))
    assert not list(scoring_remarks(colours, colours, ["cifar-v1", "inception"]))


def test_a_dataset_and_a_folder_are_both_looked_at(colours, grey):
    said = list(scoring_remarks(colours, "digits", ["lenet-mnist-v1", "cifar-v1"]))
    assert [line.partition(":")[0] for line in said] == [
        "tiles is 32x32, so digits is brought to that size from 28x28",
        "lenet-mnist-v1 is made for images of 1 channel, and tiles has 3",
        "cifar-v1 is made for images of 3 channels, and digits has 1",
    ]
    (said,) = scoring_remarks(grey, "digits:test", ["lenet-mnist-v1"])
    assert "32x32" in said, "nothing is wrong with its colours"


def test_an_array_of_images_is_looked_at_as_files_are():
    """``gb.score`` took another extractor for images of other colours, and said nothing."""
    said = list(scoring_remarks(torch.zeros(4, 3, 32, 32), "digits", ["cifar-v1"]))
    assert said[0] == "the array of images is 32x32, so digits is brought to that size from 28x28"
    assert said[1].startswith("cifar-v1 is made for images of 3 channels, and digits has 1")
    assert not list(scoring_remarks(torch.zeros(4, 1, 28, 28), "digits", ["lenet-mnist-v1"]))
    colours = torch.arange(4 * 3 * 32 * 32).remainder(251).to(torch.uint8).reshape(4, 3, 32, 32)
    with pytest.warns(UserWarning, match="so digits is brought to that size|these scores say little"):
        gb.score(colours, "digits")


def test_images_that_were_brought_to_one_size_have_no_remark_about_it(colours):
    assert "tiles is 32x32, so digits is brought to that size from 28x28" in list(
        scoring_remarks(colours, "digits", ["cifar-v1"])
    )
    assert "size" not in "".join(scoring_remarks(colours, "digits", ["lenet-mnist-v1"], resized=True))


def test_images_are_scored_alike_as_files_and_as_an_array(grey):
    """The reference of a folder had a size of its own, and grey arrays in RGB another extractor."""
    pixels = np.stack([np.asarray(Image.open(path)) for path in sorted(Path(grey).iterdir())]).transpose(0, 3, 1, 2)
    with pytest.warns(UserWarning, match="so digits is brought to that size from 28x28"):
        found = [gb.score(each, "digits") for each in (grey, pixels)]
    assert set(found[0]["extractor"]) == {"lenet-mnist-v1"}
    pd.testing.assert_frame_equal(*found)
