"""What ``score`` says of extractors that were made for other images."""

from __future__ import annotations

import json
import os
import re
import shutil
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from support.commands import gan_bench
from torch.utils._python_dispatch import TorchDispatchMode

import gan_bench as gb
from gan_bench.cli.try_folder import try_folder
from gan_bench.config.image_folder import Transform, data_root
from gan_bench.core.errors import UserError
from gan_bench.data.datasets import load
from gan_bench.data.image_folders import prepare_images
from gan_bench.data.image_source import open_source
from gan_bench.metrics.extractors import load_extractor
from gan_bench.metrics.reference import compute, import_moments
from gan_bench.scoring import prepare
from gan_bench.terminal.console import PlainConsole

DIM = 192
"""Features of cifar-v1."""


def folder(path, pixels):
    path.mkdir()
    for i in range(4):
        Image.fromarray(np.roll(pixels, i, 0)).save(path / f"{i}.png")
    return str(path)


def remarks(generated, against, extractors, size=None):
    return list(prepare(generated, against, extractors, data_root(None), torch.device("cpu"), size=size).remarks)


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
    same, said = remarks(colours, colours, ["lenet-mnist-v1"])
    assert same.endswith("too: copies score as real images do")
    assert re.search("lenet-mnist-v1 is made for images of 1 channel, and .*/tiles and .*/tiles have 3: these", said)
    (said,) = remarks(colours, grey, ["lenet-mnist-v1"])
    assert "1 channel, and tiles has 3: these scores say little" in said
    assert remarks(grey, grey, ["lenet-mnist-v1"]) == [same.replace(colours, grey)]
    assert remarks(colours, colours, ["cifar-v1", "efficientnet-lite0"]) == [same]


def test_a_dataset_and_a_folder_are_both_looked_at(colours, grey):
    said = remarks(colours, "digits", ["lenet-mnist-v1", "cifar-v1"])
    assert [line.partition(":")[0] for line in said] == [
        "tiles is 32x32, so digits is brought to that size from 28x28",
        "lenet-mnist-v1 is made for images of 1 channel, and tiles has 3",
        "cifar-v1 is made for images of 3 channels, and digits has 1",
    ]
    (said,) = remarks(grey, "digits:test", ["lenet-mnist-v1"])
    assert "32x32" in said, "nothing is wrong with its colours"


def test_a_size_that_was_asked_for_is_no_size_of_the_files(tmp_path):
    """Files of 28x28 were said to be 32x32."""
    small = folder(tmp_path / "small", np.arange(28 * 28, dtype=np.uint8).reshape(28, 28))
    assert remarks(small, "digits", ["lenet-mnist-v1"], size=32) == [
        "digits is brought from 28x28 to 32x32, the size that was asked for"
    ]
    assert not remarks(small, "digits", ["lenet-mnist-v1"], size=28)


def test_a_reference_is_printed_as_text_and_with_its_split(tmp_path, grey):
    """A name could command the terminal, and no title said against which split."""
    (tmp_path / "a").mkdir()
    odd = folder(tmp_path / "a" / "odd\x1b[31m\nname", np.zeros((32, 32, 3), np.uint8))
    shown = gan_bench("score", grey, odd).stdout
    assert "\x1b" not in shown
    assert "odd\\x1b[31m name by lenet-mnist-v1" in " ".join(shown.split())
    for named in ("digits", "digits:train", "digits:test"):
        whole = named if ":" in named else f"{named}:train"
        assert f" of {whole} by lenet-mnist-v1" in " ".join(gan_bench("score", grey, named).stdout.split())


@pytest.mark.parametrize("width", [40, 60])
def test_a_score_that_is_none_has_its_reason_at_any_width(grey, width):
    """The remarks were left out first."""
    shown = gan_bench("score", grey, "digits", env={**os.environ, "COLUMNS": str(width)}).stdout
    (row, *further) = shown.partition("FID∞ ↓")[2].splitlines()[:4]
    texts = [line.rstrip("│ ").rpartition("│")[2].strip() for line in (row, *further)]
    assert " ".join(texts).startswith("needs 256 generated images"), shown


def test_an_array_of_images_is_looked_at_as_files_are():
    """``gb.score`` took another extractor for images of other colours, and said nothing."""
    said = remarks(torch.zeros(4, 3, 32, 32, dtype=torch.uint8), "digits", ["cifar-v1"])
    assert said[0] == "the array of images is 32x32, so digits is brought to that size from 28x28"
    assert said[1].startswith("cifar-v1 is made for images of 3 channels, and digits has 1")
    assert not remarks(torch.zeros(4, 1, 28, 28, dtype=torch.uint8), "digits", ["lenet-mnist-v1"])
    colours = torch.arange(4 * 3 * 32 * 32).remainder(251).to(torch.uint8).reshape(4, 3, 32, 32)
    with pytest.warns(UserWarning, match="so digits is brought to that size|these scores say little"):
        gb.score(colours, "digits")


def test_images_that_were_brought_to_one_size_differ_in_none(colours, tmp_path):
    half = folder(tmp_path / "half", np.full((16, 16, 3), 90, np.uint8))
    said = remarks(half, colours, ["cifar-v1"])
    assert any(each.startswith("half is 16x16 and tiles 32x32: a difference in size counts") for each in said)
    assert "a difference in size" not in "".join(remarks(half, colours, ["cifar-v1"], size=24))


def test_images_are_scored_alike_as_files_and_as_an_array(grey):
    """The reference of a folder had a size of its own, and grey arrays in RGB another extractor."""
    pixels = np.stack([np.asarray(Image.open(path)) for path in sorted(Path(grey).iterdir())]).transpose(0, 3, 1, 2)
    with pytest.warns(UserWarning, match="so digits is brought to that size from 28x28"):
        found = [gb.score(each, "digits") for each in (grey, pixels)]
    assert set(found[0]["extractor"]) == {"lenet-mnist-v1"}
    pd.testing.assert_frame_equal(*found)


def images(path):
    return np.stack([np.asarray(Image.open(each)).transpose(2, 0, 1) for each in sorted(Path(path).iterdir())])


def scores(*arguments, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        found = gb.score(*arguments, **options).dropna(subset="value")
    return dict(zip(found["metric"] + found["extractor"], found["value"], strict=True))


@pytest.mark.parametrize("extractor", ["cifar-v1", "lenet-mnist-v1", "efficientnet-lite0"])
def test_grey_images_score_alike_however_they_are_passed(colours, grey, extractor):
    """An array of one channel made the reference grey: FID 3.7 in place of 239."""
    array, pictures = images(grey), [Image.open(each).convert("L") for each in sorted(Path(grey).iterdir())]
    given = (grey, array[:, :1]) if extractor == "efficientnet-lite0" else (grey, array, array[:, :1], pictures)
    ways = [scores(each, colours, extractors=[extractor]) for each in given]  # its 1,280 features take a second a way
    assert all(way == pytest.approx(ways[0], rel=1e-4, abs=1e-6) for way in ways)


def test_the_order_of_extractors_changes_no_score(colours, grey):
    """The channels of the first decided how files were read for all."""
    first, second = (["cifar-v1", "lenet-mnist-v1"][::step] for step in (1, -1))
    assert scores(colours, grey, extractors=first) == scores(colours, grey, extractors=second)


def test_a_size_of_an_array_is_its_own(tmp_path, colours):
    """It scaled the reference alone: FID 11 of equal images, and no word."""
    array, half = images(colours), folder(tmp_path / "half", np.full((16, 16, 3), 90, np.uint8))
    with pytest.raises(UserError, match="the array holds images of 32x32, and size=16 scales files alone; size=32"):
        gb.score(array, half, size=16)
    said = remarks(torch.from_numpy(array), half, ["cifar-v1"])
    assert said[1].endswith("bring both to one size, for example with --size 32 (size=32 from Python)")
    assert scores(array, half, size=32) == scores(array, half, size=32, extractors=["cifar-v1"])


def test_held_out_images_are_compared_at_the_size_that_was_scored(tmp_path):
    """Of the held-out digits themselves at 8x8, FID 0.34 stood beside 2.75 for real images."""
    held_out = load("digits", data_root(None), "test", 8).images
    (tmp_path / "held").mkdir()
    for i, image in enumerate(held_out[:, 0].numpy()):
        Image.fromarray(image).save(tmp_path / "held" / f"{i:04}.png")
    done = gan_bench("score", tmp_path / "held", "digits")
    (row,) = [each for each in done.stdout.splitlines() if "FID ↓" in each]
    score, real = [float(each) for each in re.findall(r"│ +([\d.]+) (?=│)", row)]
    assert score == pytest.approx(real, rel=1e-3), row


def test_two_folders_of_one_name_have_sizes_of_their_own(tmp_path):
    for place, side in (("a", 16), ("b", 32)):
        (tmp_path / place).mkdir()
        folder(tmp_path / place / "images", np.full((side, side, 3), 90, np.uint8))
    said = "\n".join(remarks(str(tmp_path / "a/images"), str(tmp_path / "b/images"), ["cifar-v1"]))
    assert re.search(r"a/images is 16x16 and .*b/images 32x32: a difference in size counts", said)


def test_a_folder_called_as_a_dataset_has_its_own_size(tmp_path, monkeypatch, colours):
    monkeypatch.chdir(tmp_path)
    folder(tmp_path / "cats", np.zeros((32, 32, 3), np.uint8))
    assert not any("a difference in size" in said for said in remarks("cats", colours, ["cifar-v1"]))


def test_remarks_of_json_go_to_standard_error(tmp_path, colours):
    half = folder(tmp_path / "half", np.arange(16 * 16 * 3, dtype=np.uint8).reshape(16, 16, 3))
    done = gan_bench("score", half, colours, "--json")
    assert "half is 16x16 and tiles 32x32" in done.stderr
    assert all(json.loads(line) for line in done.stdout.splitlines())


def test_statistics_that_do_not_say_their_count_are_not_called_few(tmp_path, colours):
    """Those of every other program were, with real = 0."""
    moments = {"mu": np.zeros(DIM), "sigma": np.eye(DIM)}
    np.savez(tmp_path / "none.npz", **moments)
    np.savez(tmp_path / "one.npz", count=np.array([997]), **moments)
    np.savez(tmp_path / "odd.npz", count=-5, **moments)
    for name, count in (("none", 0), ("one", 997), ("odd", 0)):
        assert import_moments(tmp_path / f"{name}.npz", DIM).count == count
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        (note,) = gb.score(colours, str(tmp_path / "none.npz"), extractors=["cifar-v1"])["note"].iloc[:1]
    assert note == "fewer images than feature dimensions"


@pytest.fixture(scope="module")
def grey_generator(tmp_path_factory):
    suite = {
        "suite": "grey", "version": 1, "seeds": [0],
        "trials": [{"recipe": "mnist-mlp-z64", "set": {"dataset": "digits", "epochs": 1}}],
    }  # fmt: skip
    there = tmp_path_factory.mktemp("grey")
    done = gb.run(suite, results=there, tracking=False, profile="full", samples=64, train_limit=256)
    (trial,) = [path.parent for path in done.folder.glob("*/generator.safetensors")]
    return trial


def test_a_generator_against_a_folder_is_warned_of_as_its_images_are(grey_generator, colours):
    for given, name in ((gb.generator(grey_generator), "generator"), (str(grey_generator), "generator")):
        with pytest.warns(UserWarning, match="the generator") as said:
            gb.score(given, colours, samples=16, extractors=["cifar-v1"])
        texts = [str(each.message) for each in said]
        assert any(f"the {name} is 28x28 and tiles 32x32" in text for text in texts), texts
        assert any(
            f"cifar-v1 is made for images of 3 channels, and the {name} and tiles have 1" in text for text in texts
        )
    with pytest.raises(UserError, match="the generator makes images of 28x28, and size=32 scales files alone"):
        gb.score(str(grey_generator), colours, samples=16, size=32)


def test_files_have_the_channels_of_the_generator_that_they_are_compared_with(grey_generator, colours, tmp_path):
    """A run brings them to these: its FID could not be had again, and no extractor was said to fit."""
    (said,) = (line for line in remarks(str(grey_generator), colours, []) if "28x28" not in line)
    assert said == "tiles has colours, and is brought to grey, as the generator's images are"
    root, cpu = data_root(None), torch.device("cpu")
    scoring = prepare(str(grey_generator), colours, [], root, cpu)
    (extractor,) = scoring.extractors
    transform = Transform(size=32, channels=1)
    images = torch.from_numpy(prepare_images(Path(colours), None, transform).images)
    assert torch.equal(
        scoring.against.reference(extractor).moments.mean, compute(images, None, "x", extractor).moments.mean
    )


def test_grey_files_are_no_other_images_than_those_of_a_generator_of_colours(grey_generator, grey):
    found = gb.generator(grey_generator)
    found.image_shape = (3, 32, 32)
    assert not remarks(found, grey, [])


def test_a_number_of_images_is_picked_of_files_and_arrays(colours, grey, tmp_path):
    """``--samples`` was for generators alone, and passed over in silence for everything else."""
    array = images(colours)
    for given in (colours, array):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            assert set(gb.score(given, grey, extractors=["cifar-v1"], samples=3)["generated"]) == {3}
        with pytest.raises(UserError, match=r"holds 4 images, fewer than --samples 5"):
            gb.score(given, grey, extractors=["cifar-v1"], samples=5)
    done = gan_bench("score", colours, grey, "--samples", 3)
    assert "tiles: 3 images of 32x32, compared with 4 of" in done.stdout


def test_remarks_come_before_minutes_of_scoring(colours, monkeypatch):
    monkeypatch.setattr("gan_bench.scoring.Scoring.scores", lambda self: pytest.fail("it scores"))
    with pytest.warns(UserWarning, match="these scores say little|copies score"), pytest.raises(pytest.fail.Exception):
        gb.score(colours, colours, extractors=["lenet-mnist-v1"])


def test_what_only_a_suite_can_do_is_no_remedy_of_score(tmp_path, colours):
    draw = np.random.default_rng(0)
    dark = folder(tmp_path / "dark", draw.integers(0, 16, (32, 32, 3), dtype=np.uint8))
    (said,) = remarks(dark, colours, ["cifar-v1"])
    assert said.endswith("such as 12 in 16, scale them up")
    assert "suite" not in said


@pytest.mark.parametrize("here", [".", "deep/.."])
def test_the_current_folder_is_called_by_its_name(tmp_path, monkeypatch, here):
    draw = np.random.default_rng(0)
    place = Path(folder(tmp_path / "tiles", draw.integers(0, 255, (32, 32, 3), dtype=np.uint8)))
    (place / "x.csv").write_text("1")
    (place / "deep").mkdir()
    (place / "deep" / "notes.txt").write_text("1")
    monkeypatch.chdir(place)
    found = prepare(here, here, ["lenet-mnist-v1"], data_root(None), torch.device("cpu"))
    assert all(said.startswith("tiles: 1 left out: files of") for said in found.remarks[:-2]), found.remarks
    assert found.against.reference(found.extractors[0]).split == "tiles"


def test_files_without_images_are_told_by_what_they_hold(tmp_path, colours):
    with zipfile.ZipFile(tmp_path / "nested.zip", "w") as archive:
        archive.writestr("A.zip", b"PK")
    np.savez(tmp_path / "arrays.npz", np.zeros((4, 8, 8, 3), np.uint8))
    np.savez(tmp_path / "moments.npz", mu=np.zeros(3), sigma=np.eye(3))
    for name, said in (
        ("nested.zip", r"holds no images, only files of other kinds \(.zip\) \(1\); name a folder of images"),
        ("arrays.npz", "holds no images; pass its array to gb.score in Python"),
        ("moments.npz", "holds no images; pass its array to gb.score in Python"),
    ):
        with pytest.raises(UserError, match=said):
            remarks(str(tmp_path / name), colours, ["cifar-v1"])


class Largest(TorchDispatchMode):
    """Keeps the bytes of the largest tensor that is made, views of given ones aside."""

    bytes = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        made = function(*args, **kwargs or {})
        given = {each.untyped_storage().data_ptr() for each in args if isinstance(each, torch.Tensor)}
        if isinstance(made, torch.Tensor) and made.untyped_storage().data_ptr() not in given:
            self.bytes = max(self.bytes, made.untyped_storage().nbytes())
        return made


def test_scoring_makes_no_second_copy_of_the_images(monkeypatch, colours):
    """It compared all channels at once, copied all images in random order, and made floats of whole chunks."""
    monkeypatch.setattr("gan_bench.metrics.reference.CHUNK", 60)
    array = np.random.default_rng(0).integers(0, 255, (400, 3, 128, 128), dtype=np.uint8)
    with Largest() as found:
        scores(array, colours)
    assert 0 < found.bytes < 0.55 * array.nbytes


@pytest.mark.parametrize("name", ["cifar-v1", "lenet-mnist-v1"])
@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 28, 28), (3, 40, 40), (3, 30, 61), (1, 8, 8)])
def test_images_that_are_resized_in_parts_keep_every_bit(monkeypatch, name, shape):
    extractor = load_extractor(name, torch.device("cpu"))
    draw = np.random.default_rng(0).integers(0, 255, (20, *shape), dtype=np.uint8)
    found = []
    for part in (7, 20):
        monkeypatch.setattr("gan_bench.metrics.extractors.PART", part)
        found.append(extractor(torch.from_numpy(draw)))
    assert torch.equal(found[0].features, found[1].features)
    assert torch.equal(found[0].logits, found[1].logits)


@pytest.mark.parametrize(
    ("folders", "said"),
    [
        ("train2017 val2017", "all images are counted together, and set holds train2017 and val2017: these may be"),
        ("trainA testA trainB testB", "all images are counted together, and set holds trainA and testA: these may be"),
        ("train test cat", "all images are counted together, and set holds train and test: these may be"),
        ("train test", "all splits are counted together; name the folder of one"),
        ("cat dog test", "held-out images may be among them: those in test are counted, too; name the folder of the"),
        ("cat dog", ""),
    ],
)
def test_splits_that_are_counted_together_are_said(tmp_path, folders, said):
    """They were not where folders may be splits or classes."""
    draw = np.random.default_rng(0)
    (tmp_path / "set").mkdir()
    for each in folders.split():
        folder(tmp_path / "set" / each, draw.integers(0, 255, (32, 32, 3), dtype=np.uint8))
    found = [each for each in remarks(str(tmp_path / "set"), str(tmp_path / "set"), ["cifar-v1"]) if "set: " in each]
    assert len(found) == 2 * bool(said), "of each side"
    assert all(re.match(f"set: {said}", each) for each in found), found


def test_a_folder_of_one_image_is_named(tmp_path, colours):
    """Scores needed at least 2 images, of one side or the other."""
    place = Path(folder(tmp_path / "one", np.full((32, 32, 3), 90, np.uint8)))
    for i in range(1, 4):
        (place / f"{i}.png").unlink()
    with pytest.raises(UserError, match="^one holds 1 image, and scores need at least 2; give more of them"):
        gb.score(place, colours)
    with pytest.raises(UserError, match="the array of images holds 1 image, and scores need at least 2"):
        gb.score(images(place), colours)


@pytest.fixture
def results(tmp_path):
    """A suite's folder with a record whose sample grids lie beside images that were drawn from it."""
    suite, trial = tmp_path / "results" / "digits", tmp_path / "results" / "digits" / "a--0123abcd"
    trial.mkdir(parents=True)
    folder(trial / "samples", np.full((242, 242, 3), 9, np.uint8))
    for file in (suite / "plan.json", suite / "suite.yaml", trial / "trial.json", trial / "environment.json"):
        file.write_text("{}")
    (trial / "generator.safetensors").write_bytes(b"x")
    return suite


def test_results_are_no_images_to_score(results, colours, tmp_path, monkeypatch):
    """The sample grids of a record were scored as images, and so was a record that images were compared with."""
    trial = next(results.glob("*--*"))
    copy = shutil.copytree(trial, tmp_path / "copy of a record")
    monkeypatch.chdir(results)
    with pytest.raises(UserError, match="results of gan_bench"):
        remarks(colours, str(trial), ["cifar-v1"])
    for named in (results, trial / "samples", copy / "samples"):
        for given in ((str(named), colours), (colours, str(named))):
            with pytest.raises(UserError, match="results of gan_bench"):
                remarks(*given, ["cifar-v1"])
        with pytest.raises(UserError, match="results of gan_bench"):
            try_folder(named, None, PlainConsole())
    pixels = np.random.default_rng(1).integers(0, 255, (32, 32, 3), dtype=np.uint8)
    drawn = Path(folder(results / "drawn", pixels))
    for i, file in enumerate(sorted(drawn.iterdir())):
        file.rename(drawn / f"image-{i:05d}.png")
    assert not remarks("drawn", colours, ["efficientnet-lite0"])


def test_results_are_found_where_links_lead(results, tmp_path, monkeypatch):
    trial, photos = next(results.glob("*--*")), tmp_path / "photos"
    (photos / "cats").mkdir(parents=True)
    (trial / "link").symlink_to(photos / "cats")
    (photos / "record").symlink_to(trial)
    (photos / "grids").symlink_to(trial / "samples")
    monkeypatch.chdir(photos)
    for named in ("record", "record/..", "record/samples", "grids", "grids/..", "../photos/record/../" + trial.name):
        with pytest.raises(UserError, match="results of gan_bench"), open_source(Path(named)):
            pass
    (photos / "cats" / "0.png").touch()
    with open_source(trial / "link") as opened:
        assert opened.names == ["0.png"]


def several(path, count, width, height=None):
    path.mkdir()
    draw = np.random.default_rng(width)
    for i in range(count):
        pixels = draw.integers(0, 255, (height or width, width, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path / f"{i}-{width}.png")
    return str(path)


def refusal(*given, **options):
    with pytest.raises(UserError) as caught:
        remarks(*given, ["cifar-v1"], **options)
    return str(caught.value)


def test_sizes_that_are_proposed_can_be_asked_for(tmp_path, colours):
    """A size of 1500 is above the limit, and of images that are compared with an array its own alone can work."""
    large, oblong = several(tmp_path / "large", 3, 1200, 1100), several(tmp_path / "oblong", 3, 60, 48)
    array = torch.zeros(4, 3, 28, 28, dtype=torch.uint8)
    for given, size in (
        ((large, large), 1024),
        ((oblong, large), 48),
        ((oblong, "digits"), 28),
        ((oblong, "cifar10:test"), 32),
        ((array, oblong), 28),
        ((colours, oblong), 32),
        ((several(tmp_path / "tiny", 3, 6, 5), large), 8),
    ):
        assert f"; --size {size} scales and crops them to squares (size=N from Python)" in refusal(*given)
    assert any("example with --size 28 (size=28 from" in said for said in remarks(array, colours, ["cifar-v1"]))
    assert not remarks(array, oblong, ["cifar-v1"], size=28)


@pytest.mark.parametrize("odd", ["0.png", "loss.png"])
def test_one_odd_file_is_named(tmp_path, colours, odd):
    """All images were to be scaled for a plot among them."""
    several(tmp_path / "plots", 20, 32)
    Image.new("RGB", (64, 48)).save(tmp_path / "plots" / odd)
    remedy = "remove it, or --size 32 scales and crops all of them (size=N from Python)"
    said = f"the image {tmp_path}/plots/{odd} has 64x48 pixels, not 32x32; {remedy}"
    assert refusal(str(tmp_path / "plots"), colours) == refusal(colours, str(tmp_path / "plots")) == said
    (tmp_path / "plots" / "1-32.png").write_bytes(b"x")
    more = "1-32.png" if odd == "0.png" else odd
    assert refusal(colours, str(tmp_path / "plots")).endswith(f"; 1 more cannot be used: {more}")


def test_broken_images_are_counted_and_named(tmp_path, colours):
    """Each attempt named the next one."""
    several(tmp_path / "broken", 24, 32)
    for i in (0, 1, 11, 12, 13, 14):
        (tmp_path / "broken" / f"{i}-32.png").write_bytes(b"x")
    said = f"the image {tmp_path}/broken/0-32.png cannot be decoded (of no known format); repair or remove it"
    more = "; 5 more cannot be used: 1-32.png, 11-32.png, 12-32.png and 2 more"
    assert refusal(str(tmp_path / "broken"), colours) == said + more
    for path in (tmp_path / "broken").iterdir():
        path.write_bytes(b"x")
    assert "; 23 more cannot be used: " in refusal(colours, str(tmp_path / "broken"))


def test_images_that_repeat_are_said(tmp_path, colours):
    """400 files of four pictures, and a set compared with itself, were scored without a word."""
    few = several(tmp_path / "few", 2, 32)
    for i in range(8):
        shutil.copy(tmp_path / "few" / "0-32.png", tmp_path / "few" / f"copy-{i}.png")
    repeat = "few: 10 images of 2 different files"
    assert remarks(few, colours, ["cifar-v1"]) == remarks(colours, few, ["cifar-v1"]) == [repeat]
    assert repeat in remarks(few, few, ["cifar-v1"])
    copy = shutil.copytree(colours, tmp_path / "copy")
    (copy / "0.png").write_bytes((tmp_path / "few" / "1-32.png").read_bytes())
    (said,) = remarks(str(copy), colours, ["cifar-v1"])
    assert said == "3 of 4 different files of copy are in tiles, too: copies score as real images do"
    assert remarks(str(copy), few, ["cifar-v1"])[1].startswith("1 of 4 different files of copy is in few, too")


def test_names_that_nearly_fit_are_said(tmp_path, colours, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for named, meant in (
        ("MNIST", "mnist"),
        ("cifar-10", "cifar10"),
        ("CIFAR10:test", "cifar10:test"),
        ("mnist/test", "mnist:test"),
    ):
        assert refusal(colours, named).endswith(f'nor a folder, zip or .npz file; did you mean "{meant}"?')
    assert refusal(colours, "holidays/2019").endswith("nor a folder, zip or .npz file")
    for named, said in (
        ("https://example.org/cats.zip", "; download what is there, and name that"),
        ("$HOME/images", "; no shell has put in what its variable stands for"),
        ("images\\cats", "; folders have / between them"),
        ("images/*.png", "; name one folder, and no pattern of files"),
    ):
        assert refusal(colours, named).endswith(said)
        assert refusal(named, colours).endswith(said)
    with pytest.raises(UserError, match="does not exist; no shell has put in"):
        data_root(Path("$HOME/data"))
    with pytest.raises(UserError, match='"cifar-v1,inception" is no extractor; name each with an --extractor of its'):
        remarks(colours, colours, ["cifar-v1,inception"])


def test_what_sample_wrote_beside_its_images_is_none(tmp_path, colours):
    """An interpolation and a film among them ended it: they are of other sizes."""
    drawn = Path(several(tmp_path / "drawn", 4, 32))
    for i, file in enumerate(sorted(drawn.iterdir())):
        file.rename(drawn / f"image-{i:05d}.png")
    for name in ("grid.png", "interpolation.png", "epochs.gif"):
        Image.new("RGB", (64, 48)).save(drawn / name)
    said = ["drawn: 3 left out: grids and animations of `gan-bench sample`"]
    assert remarks(str(drawn), colours, ["cifar-v1"]) == said
    (drawn / "image-00000.png").rename(drawn / "cat.png")
    assert remarks(str(drawn), colours, ["cifar-v1"]) == said, "others are images of it"
    for file in drawn.glob("image-*"):
        file.unlink()
    assert "are 32x32, 64x48; " in refusal(str(drawn), colours), "of somebody's own"
