"""Folders and zips of images: every colour mode right, every mistake named, prepared once."""

from __future__ import annotations

import errno
import gzip
import hashlib
import io
import json
import os
import re
import shlex
import shutil
import subprocess
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import transforms

from gan_bench.cli.describe import present
from gan_bench.cli.doctor import examine
from gan_bench.config.image_folder import DataRoot, ImageFolder, Transform, data_root
from gan_bench.core.errors import DataError, UserError
from gan_bench.data import image_folders as prepare_module
from gan_bench.data.arrays import as_uint8
from gan_bench.data.datasets import DATASETS, fetch, load, resize
from gan_bench.data.image_files import decode, fit
from gan_bench.data.image_folders import NESTED, UNDECODED, prepare_images
from gan_bench.data.image_source import open_source
from gan_bench.data.own_images import register_folder
from gan_bench.data.readers import cats_source, cifar10_source, read_mnist

COLOUR = Transform(size=8, channels=3)


def noise(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def encode(image, form="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, format=form, **options)
    return buffer.getvalue()


def zipped(path, files):
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GAN_BENCH_CACHE", str(tmp_path / "cache"))


def test_grey_palette_alpha_cmyk_and_16_bits():
    grey = Image.fromarray(noise(6, 6))
    colour = Image.fromarray(noise(6, 6, 3))
    assert np.array_equal(np.asarray(decode(encode(grey), "x", 3))[..., 0], np.asarray(grey))
    palette = colour.quantize(16)
    assert np.array_equal(np.asarray(decode(encode(palette), "x", 3)), np.asarray(palette.convert("RGB")))
    see_through = colour.convert("RGBA")
    see_through.putalpha(0)
    assert (np.asarray(decode(encode(see_through), "x", 3)) == 255).all(), "nothing over white is white"
    cmyk = colour.convert("CMYK")
    assert decode(encode(cmyk, "TIFF"), "x", 3).mode == "RGB"
    wide = Image.fromarray(np.arange(36, dtype=np.uint16).reshape(6, 6) * 1872)
    assert np.asarray(decode(encode(wide), "x", 1)).max() == round(65520 / 65535 * 255)
    progressive = encode(Image.new("RGB", (6, 6), (200, 10, 10)), "JPEG", progressive=True)
    assert decode(progressive, "x", 3).getpixel((3, 3))[0] > 180


@pytest.mark.parametrize("form", ["PNG", "TIFF", "PPM"])
def test_every_grey_of_16_bits_becomes_the_nearest_of_8(form):
    """They were rounded down in files and to the nearest in arrays, half a grey level apart on average."""
    values = np.arange(65_536)
    wide = values.astype(np.uint16).reshape(256, 256)
    found = np.asarray(decode(encode(Image.fromarray(wide), form), "x", 1)).astype(int).ravel()
    nearest = [(2 * value * 255 + 65_535) // (2 * 65_535) for value in range(65_536)]  # in whole numbers: no ties
    assert found.tolist() == nearest
    assert found[::257].tolist() == list(range(256)), "those of 8 bits stay what they are"
    assert np.array_equal(found, as_uint8(wide[None, None], (0, 65_535)).numpy().ravel())


def test_exif_rotation_is_applied():
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned a quarter clockwise
    data = encode(Image.new("RGB", (4, 2)), "JPEG", exif=exif)
    assert decode(data, "x", 3).size == (2, 4)


@pytest.mark.parametrize("shape", [(9, 17), (31, 8), (64, 64), (5, 5)])
def test_fit_is_torchvision_s_resize_and_crop(shape):
    image = Image.fromarray(noise(*shape, 3))
    theirs = transforms.Compose([transforms.Resize(8), transforms.CenterCrop(8)])(image)
    assert np.array_equal(np.asarray(fit(image, 8)), np.asarray(theirs))


def test_enlarging_is_pil_s_bilinear_bit_for_bit():
    images = torch.from_numpy(noise(3, 3, 32, 32))
    ours = resize(images, 64)
    for mine, image in zip(ours, images, strict=True):
        theirs = Image.fromarray(image.permute(1, 2, 0).numpy()).resize((64, 64), Image.Resampling.BILINEAR)
        assert np.array_equal(mine.permute(1, 2, 0).numpy(), np.asarray(theirs))


def test_zip_and_folder_give_the_same_array_and_are_decoded_once(tmp_path, monkeypatch):
    files = {
        f"top/{label}/{i}.png": encode(Image.fromarray(noise(8, 8, 3, seed=i))) for label in "ab" for i in range(3)
    }
    source = zipped(tmp_path / "p.zip", files)
    with zipfile.ZipFile(source) as archive:
        archive.extractall(tmp_path / "folder")
    first, other = prepare_images(source, None, COLOUR), prepare_images(tmp_path / "folder", None, COLOUR)
    assert first.sha256 == other.sha256
    assert first.images.shape == (6, 3, 8, 8)
    assert first.classes == {"top/a": 3, "top/b": 3}
    assert (len(first.images), first.distinct) == (6, 3)
    monkeypatch.setattr(prepare_module, "_prepare", lambda *_: pytest.fail("decoded again"))
    again = prepare_images(source, None, COLOUR)
    assert again.sha256 == first.sha256
    assert np.array_equal(again.images, first.images)


def test_a_changed_folder_is_prepared_anew(tmp_path):
    folder = tmp_path / "f"
    folder.mkdir()
    (folder / "a.png").write_bytes(encode(Image.fromarray(noise(8, 8, 3))))
    assert len(prepare_images(folder, None, COLOUR).images) == 1
    (folder / "b.png").write_bytes(encode(Image.fromarray(noise(8, 8, 3, seed=1))))
    assert len(prepare_images(folder, None, COLOUR).images) == 2


def test_nested_copies_are_neither_lost_nor_doubled(tmp_path):
    """The Kaggle archive of the cats holds cats/1.jpg and the same again as cats/cats/1.jpg."""
    images = {f"{i}.png": encode(Image.fromarray(noise(8, 8, 3, seed=i))) for i in range(4)}
    other = encode(Image.fromarray(noise(8, 8, 3, seed=99)))
    files = {f"cats/{n}": d for n, d in images.items()} | {f"cats/cats/{n}": d for n, d in images.items()}
    files["cats/cats/3.png"] = other  # same name, other image: not a copy
    found = prepare_images(zipped(tmp_path / "cats.zip", files), None, COLOUR)
    assert (found.left_out[NESTED], len(found.images), found.distinct) == (3, 5, 5)


def test_an_archive_unpacked_in_place_is_not_doubled(tmp_path):
    """`unzip -d data` gives data/cats/1.png and data/cats/cats/1.png; the source is data/cats."""
    for folder in (tmp_path / "cats", tmp_path / "cats" / "cats"):
        folder.mkdir()
        for i in range(4):
            (folder / f"{i}.png").write_bytes(encode(Image.fromarray(noise(8, 8, 3, seed=i))))
    found = prepare_images(tmp_path / "cats", None, COLOUR)
    assert (found.left_out[NESTED], len(found.images)) == (4, 4)


def test_an_unreadable_image_is_named_or_skipped_and_counted(tmp_path):
    files = {"a.png": encode(Image.fromarray(noise(8, 8, 3))), "b.png": b"\x89PNG broken"}
    source = zipped(tmp_path / "p.zip", files)
    with pytest.raises(DataError, match=r"p\.zip/b\.png cannot be decoded"):
        prepare_images(source, None, COLOUR)
    skipping = Transform(size=8, channels=3, unreadable="skip")
    found = prepare_images(source, None, skipping)
    assert (len(found.images), found.left_out[UNDECODED]) == (1, 1)
    assert (found.images[0].transpose(1, 2, 0) == noise(8, 8, 3)).all()
    assert len(prepare_images(source, None, skipping).images) == 1
    with pytest.raises(DataError, match="none of the 1 images"):
        prepare_images(zipped(tmp_path / "q.zip", {"b.png": b"no"}), None, skipping)


def test_a_class_is_never_skipped_as_a_whole(tmp_path):
    """Its folder would be refused where it is empty."""
    image = encode(Image.fromarray(noise(8, 8, 3)))
    files = {"a/1.png": image, "b/1.png": image, "eels/1.png": b"no", "eels/2.png": b"no", "1.png": b"no"}
    skipping = Transform(size=8, channels=3, unreadable="skip")
    with pytest.raises(DataError, match=r"none of the images of eels in .*p\.zip can be decoded; get them again"):
        prepare_images(zipped(tmp_path / "p.zip", files), None, skipping)
    with pytest.raises(DataError, match="none of the images of eels"):
        prepare_images(
            zipped(tmp_path / "q.zip", {f"train/{name}": data for name, data in files.items()}), "train", skipping
        )
    assert not [path for path in (tmp_path / "cache" / "prepared").iterdir() if path.suffix != ".json"]
    found = prepare_images(zipped(tmp_path / "r.zip", {**files, "eels/3.png": image}), None, skipping)
    assert (found.classes, found.left_out[UNDECODED]) == ({"a": 1, "b": 1, "eels": 1}, 3)


def test_what_stands_before_a_skipped_image_is_kept(tmp_path):
    """Several memory pages of it: the file that holds them is written anew."""
    images = [noise(32, 32, 3, seed=i) for i in range(40)]
    files = {f"{i:02}.png": encode(Image.fromarray(image)) for i, image in enumerate(images)}
    source = zipped(tmp_path / "p.zip", {**files, "zz.png": b"\x89PNG broken"})
    found = prepare_images(source, None, Transform(size=32, channels=3, unreadable="skip"))
    assert (found.images.transpose(0, 2, 3, 1) == np.stack(images)).all()
    assert found.sha256 == hashlib.sha256(found.images.tobytes()).hexdigest()


@pytest.mark.parametrize("name", ["../evil.png", "/../evil.png", "a/../../evil.png", "..\\evil.png"])
def test_a_zip_that_leaves_its_folder_is_refused(tmp_path, name):
    source = zipped(tmp_path / "p.zip", {name: encode(Image.fromarray(noise(8, 8, 3)))})
    with pytest.raises(DataError, match="leaves its folder"):
        prepare_images(source, None, COLOUR)


def test_bad_sources_are_one_sentence_each(tmp_path):
    (tmp_path / "not.zip").write_bytes(b"not a zip")
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "readme.txt").touch()
    good = zipped(
        tmp_path / "good.zip", {f"{i}.png": encode(Image.fromarray(noise(64, 64, 3, seed=i))) for i in range(9)}
    )
    half = tmp_path / "half.zip"
    half.write_bytes(good.read_bytes()[: good.stat().st_size // 2])
    for path, message in [
        (tmp_path / "not.zip", "neither a folder nor an intact zip"),
        (half, "neither a folder nor an intact zip"),
        (tmp_path / "empty", "holds no images"),
        (tmp_path / "none.zip", "does not exist"),
    ]:
        with pytest.raises(DataError, match=message) as caught:
            prepare_images(path, None, COLOUR)
        assert "\n" not in str(caught.value)
    flipped = bytearray(good.read_bytes())
    flipped[200] ^= 0xFF
    (tmp_path / "flip.zip").write_bytes(flipped)
    with pytest.raises(DataError, match=r"damaged at|cannot be decoded"):
        prepare_images(tmp_path / "flip.zip", None, COLOUR)


def test_a_class_without_images_is_named(tmp_path):
    class_folders(tmp_path, "mine")
    (tmp_path / "mine" / "train" / "eel").mkdir()
    with pytest.raises(DataError, match="mine/train/eel holds no images that are read here"):
        prepare_images(tmp_path / "mine", "train", Transform(size=32, channels=3))


def test_mixed_sizes_without_a_crop_are_refused(tmp_path):
    files = {"a.png": encode(Image.fromarray(noise(8, 8, 3))), "b.png": encode(Image.fromarray(noise(9, 8, 3)))}
    source = zipped(tmp_path / "p.zip", files)
    with pytest.raises(DataError, match=r"b\.png has 8x9 pixels, not 8x8; bring all .* write crop: center"):
        prepare_images(source, None, Transform(size=8, channels=3, crop="none"))
    assert prepare_images(source, None, COLOUR).images.shape == (2, 3, 8, 8)


def test_a_cache_that_cannot_be_written_keeps_images_in_memory(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("GAN_BENCH_CACHE", str(tmp_path / "file"))
    source = zipped(tmp_path / "p.zip", {"a.png": encode(Image.fromarray(noise(8, 8, 3)))})
    assert prepare_images(source, None, COLOUR).images.shape == (1, 3, 8, 8)


def test_members_of_hidden_folders_are_not_images(tmp_path):
    image = encode(Image.fromarray(noise(8, 8, 3)))
    source = zipped(tmp_path / "p.zip", {"__MACOSX/a.png": image, ".x/a.png": image, "a.png": image})
    with open_source(source) as opened:
        assert opened.names == ["a.png"]


# -------------------------------------------------------------------------------------------- datasets


def class_folders(folder, name, channels=3, size=32, train=4, test=2, labels=("cat", "dog")):
    for split, number in (("train", train), ("test", test)):
        for label in labels:
            target = folder / name / split / label
            target.mkdir(parents=True)
            for i in range(number):
                shape = (size, size, 3) if channels == 3 else (size, size)
                (target / f"{i}.png").write_bytes(
                    encode(Image.fromarray(noise(*shape, seed=int.from_bytes(f"{split}{label}{i}".encode()))))
                )


def test_cifar10_from_class_folders(tmp_path):
    class_folders(tmp_path, "cifar10", labels=[str(i) for i in range(10)], train=2, test=1)
    root = DataRoot(tmp_path, given=True)
    train, test = load("cifar10", root, "train", 64), load("cifar10", root, "test", 32)
    assert train.images.shape == (20, 3, 64, 64)
    assert test.images.shape == (10, 3, 32, 32)
    assert train.labels.tolist() == [label for label in range(10) for _ in range(2)]


@pytest.mark.parametrize(("labels", "said"), [((), "1 folder"), (range(100), "100 folders")])
def test_cifar10_has_ten_class_folders(tmp_path, labels, said):
    class_folders(tmp_path, "cifar10", labels=[str(i) for i in labels], train=1, test=1)
    picture = encode(Image.fromarray(noise(32, 32, 3)))
    if not labels:
        zipped(tmp_path / "cifar10.zip", {"train/1.png": picture, "test/1.png": picture})
    with pytest.raises(DataError, match=f"cifar10(.zip)? has {said}.* of test images, and CIFAR-10 one for each of 10"):
        load("cifar10", DataRoot(tmp_path, given=True), "test", 32)


def test_a_dataset_is_looked_for_by_its_whole_name(tmp_path):
    """A data folder also held cifar100.zip and cats-and-dogs.zip, which were taken for the datasets."""
    (tmp_path / "cats").mkdir()
    (tmp_path / "cats" / ".DS_Store").touch()  # in a folder, no images yet
    for name in ("cifar100.zip", "cifar10b.zip", "cats-and-dogs.zip", "cats.zip"):
        (tmp_path / name).touch()
    with pytest.raises(DataError, match=r"cifar10 is not in .* zip file cifar10.zip or cifar10-\*.zip"):
        cifar10_source(tmp_path)
    assert cats_source(tmp_path) == tmp_path / "cats.zip"
    (tmp_path / "cats.zip").unlink()
    (tmp_path / "cifar10-jpeg.zip").touch()
    assert cats_source(tmp_path) == tmp_path / "cats-and-dogs.zip"
    assert cifar10_source(tmp_path) == tmp_path / "cifar10-jpeg.zip"
    (tmp_path / "cats (1).zip").touch()
    with pytest.raises(DataError, match=r"several zip files that may be cats \(cats \(1\).zip, cats-and-dogs.zip\); "):
        cats_source(tmp_path)
    (tmp_path / "cats" / "1.png").touch()
    assert cats_source(tmp_path) == tmp_path / "cats"


def test_a_dataset_that_is_not_there_is_said_with_what_is_read_and_the_remedy(tmp_path):
    (tmp_path / "Cats").mkdir()
    for dataset, said in (
        ("cifar10", r"cifar-10-batches-py or cifar10 with files nor a zip file cifar10.zip .*; get it with `gan-bench"),
        ("cats", f"data fetch cats --to {tmp_path}`, or name the folder that it lies in with --data"),
        ("mnist", f"data fetch mnist --to {tmp_path}`, or name the folder that MNIST/raw lies in with --data"),
    ):
        with pytest.raises(DataError, match=said):
            load(dataset, DataRoot(tmp_path, given=True), "train", DATASETS[dataset].size)


def test_a_download_that_is_still_packed_is_unpacked_and_not_fetched_again(tmp_path):
    """The remedies are run here, and lead on."""
    data = tmp_path / "my data"
    for name in (raw := ["MNIST/raw/t10k-images-idx3-ubyte", "MNIST/raw/t10k-labels-idx1-ubyte"]):
        (data / name).parent.mkdir(parents=True, exist_ok=True)
        (data / f"{name}.gz").write_bytes(gzip.compress(b"half"))
    (tmp_path / "cifar-10-batches-py").mkdir()
    shutil.make_archive(str(data / "cifar-10-python"), "gztar", tmp_path, "cifar-10-batches-py")

    def unpacked(dataset, split):
        with pytest.raises(DataError) as caught:
            load(dataset, DataRoot(data, given=True), split, DATASETS[dataset].size)
        words = shlex.split(str(caught.value).partition("`")[2].rstrip("`"))
        subprocess.run(words, check=True)
        return words

    assert unpacked("mnist", "test") == ["gunzip", "-k", f"{data / raw[0]}.gz"]
    assert (data / raw[0]).read_bytes() == b"half"
    assert unpacked("cifar10", "train")[:3] == ["tar", "-xzf", str(data / "cifar-10-python.tar.gz")]
    assert cifar10_source(data) == data / "cifar-10-batches-py"


@pytest.mark.parametrize(
    ("dataset", "link"),
    [("cats", "cats"), ("cats", "cats.zip"), ("cifar10", "cifar-10-batches-py"), ("cifar10", "cifar10")]
    + [("mnist", name) for name in ("MNIST", "MNIST/raw", "MNIST/raw/train-images-idx3-ubyte")],
)
def test_a_dataset_behind_a_link_that_leads_to_nothing_is_not_fetched_again(tmp_path, dataset, link):
    """As of a user's own folders, the link is named."""
    place = tmp_path / link
    place.parent.mkdir(parents=True, exist_ok=True)
    for target in ("gone", place):
        place.unlink(missing_ok=True)
        place.symlink_to(target)
        with pytest.raises(DataError, match=f"^{place} is a link to what is not there; "):
            load(dataset, DataRoot(tmp_path, given=True), "train", DATASETS[dataset].size)


def test_what_is_damaged_is_got_again_where_it_was_read(monkeypatch, tmp_path):
    """The command filled another folder than the one that was named, so that the same error came again."""
    monkeypatch.chdir(tmp_path)
    for folder, to in ((Path("data"), ""), (Path("my data"), " --to 'my data'")):
        (folder / "MNIST" / "raw").mkdir(parents=True)
        for name in ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"):
            (folder / "MNIST" / "raw" / name).write_bytes(b"half")
        with pytest.raises(DataError, match=f"delete it and get it again with `gan-bench data fetch mnist{to}`$"):
            read_mnist(folder, "train")


def test_a_zip_named_as_the_data_folder_is_sent_to_its_folder(tmp_path):
    (tmp_path / "cats.zip").touch()
    with pytest.raises(UserError, match=f"cats.zip is no folder; name the one that it lies in, {tmp_path}$"):
        data_root(tmp_path / "cats.zip")


def test_the_file_that_is_read_is_named(tmp_path):
    zipped(tmp_path / "cats.zip", {"1.png": encode(Image.fromarray(noise(64, 64, 3)))})
    root = DataRoot(tmp_path, given=True)
    assert next(present("cats", root)) == f"read from {tmp_path / 'cats.zip'}"
    assert next(present("cifar10", root)).startswith("train: not there: cifar10 is not in")


def test_cifar10_from_torchvision_s_own_files_is_checked(tmp_path):
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    (folder / "data_batch_1").write_bytes(b"half")
    with pytest.raises(DataError, match="incomplete or damaged"):
        load("cifar10", DataRoot(tmp_path, given=True), "train", 32)


@pytest.mark.parametrize("name", ["cifar10", "cats"])
def test_missing_data_names_the_remedy(tmp_path, name):
    with pytest.raises(DataError, match=f"gan-bench data fetch {name}"):
        load(name, DataRoot(tmp_path, given=True), "train", 64)


def test_cats_without_kagglehub_says_how(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "kagglehub", None)
    with pytest.raises(DataError, match=r"kagglehub, which is not installed; `pip install kagglehub` here"):
        fetch(DATASETS["cats"], tmp_path)


def test_a_doctor_knows_what_fetching_needs(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "kagglehub", None)
    found = {each.line: each.fatal for each in examine(DataRoot(tmp_path, given=False), tmp_path, "cats")}
    (line,) = [line for line in found if line.startswith("dataset cats")]
    assert line.endswith("which is not installed: pip install kagglehub")
    assert found[line]
    assert not [line for line in found if line.startswith("dataset mnist")], "the suite does not need it"
    whole = {each.line: each.fatal for each in examine(DataRoot(tmp_path, given=False), tmp_path, None)}
    assert not whole["dataset mnist: a run fetches it where it is missing"]


def test_a_doctor_prepares_a_suite_s_own_images(tmp_path, registries):
    """It knew nothing but registered datasets, and called them unknown."""
    suite = tmp_path / "s.yaml"
    suite.write_text(
        "suite: s\nversion: 1\nseeds: [0]\ndatasets: {tiles: {path: tiles, size: 28, channels: 1}}\n"
        "trials: [{recipe: mnist-mlp-z100, set: {dataset: tiles}}]\nevaluate: {samples: 64}\n"
    )

    def findings():
        found = examine(DataRoot(tmp_path, given=False), tmp_path, str(suite))
        return {each.line.replace(str(tmp_path), "."): each.fatal for each in found}

    (line,) = [line for line, fatal in findings().items() if fatal]
    assert line.startswith("dataset tiles: not ready: ./tiles")
    (tmp_path / "tiles").mkdir()
    for index in range(10):
        Image.fromarray(noise(28, 28, seed=index)).save(tmp_path / "tiles" / f"{index}.png")
    found = findings()
    assert [line for line in found if line.startswith(("dataset", "extractor"))] == [
        "dataset tiles: ready",
        "extractor lenet-mnist-v1: ready",
    ]
    assert not any(found.values())


def test_cats_are_fetched_with_kagglehub(tmp_path, monkeypatch):
    downloaded = tmp_path / "hub"
    (downloaded / "cats").mkdir(parents=True)
    (downloaded / "cats" / "1.png").write_bytes(encode(Image.fromarray(noise(64, 64, 3))))
    hub = type("Hub", (), {"dataset_download": staticmethod(lambda handle: str(downloaded))})
    monkeypatch.setitem(__import__("sys").modules, "kagglehub", hub)
    with pytest.raises(DataError, match="has 1 train images, not 15,747"):
        fetch(DATASETS["cats"], tmp_path / "data")
    assert len(load("cats", DataRoot(tmp_path / "data", given=True), "train", 64).images) == 1


def test_a_failed_download_leaves_no_empty_folders(tmp_path, monkeypatch):
    from torchvision.datasets import MNIST

    monkeypatch.setattr(MNIST, "mirrors", ["http://127.0.0.1:9/"])
    with pytest.raises(DataError, match="could not be downloaded") as caught:
        fetch(DATASETS["mnist"], tmp_path / "data")
    assert "\n" not in str(caught.value)
    assert "MNIST/raw/" in str(caught.value)
    assert "digits needs no download" in str(caught.value)
    assert not (tmp_path / "data").exists()


def test_a_user_s_folder_is_a_dataset(tmp_path):
    class_folders(tmp_path, "mine", channels=1, size=20)
    folder = ImageFolder(name="mine-1", path=tmp_path / "mine", transform=Transform(size=28, channels=1))
    dataset = register_folder(folder)
    assert dataset.counts == {"train": 8, "test": 4}
    assert register_folder(folder) is dataset
    assert load("mine-1", DataRoot(tmp_path, given=True), "train", 28).images.shape == (8, 1, 28, 28)
    with pytest.raises(UserError, match='name "mnist" is taken'):
        register_folder(ImageFolder(name="mnist", path=tmp_path / "mine", transform=folder.transform))
    shutil.rmtree(tmp_path / "mine" / "test")
    shutil.rmtree(tmp_path / "mine" / "train" / "dog")


def test_a_folder_that_changed_is_registered_as_it_is_now(tmp_path, monkeypatch):
    """In one session, a second run used the counts, classes and splits that the first had found."""
    top = tmp_path / "live"
    class_folders(tmp_path, "live", size=8)
    folder = ImageFolder(name="live", path=top, transform=COLOUR)
    register_folder(folder)
    (top / "test").rename(tmp_path / "held out")
    (top / "train" / "cow").mkdir()
    for i in range(3):
        (top / "train" / "cow" / f"{i}.png").write_bytes(encode(Image.fromarray(noise(8, 8, 3, seed=1000 + i))))
    assert register_folder(folder).counts == {"train": 8, "test": 4}
    dataset = register_folder(folder, anew=True)
    assert dataset.counts == {"train": 11}
    assert dataset.contents == ("train: 11 images of 11 different files: cat 4, cow 3, dog 4",)
    monkeypatch.setattr(prepare_module, "decode_square", lambda *_: pytest.fail("prepared again"))
    assert register_folder(folder, anew=True).counts == {"train": 11}
    assert len(load("live", DataRoot(tmp_path, given=True), "train", 8).images) == 11


def test_a_cache_without_room_for_the_images_is_an_error(tmp_path, monkeypatch):
    """Room is taken before it is written to: a mapped file on a full disk ended the process by a signal."""

    def refusing(number):
        def fallocate(*_):
            raise OSError(number, os.strerror(number))

        return fallocate

    monkeypatch.setattr(os, "posix_fallocate", refusing(errno.ENOSPC), raising=False)
    source = zipped(tmp_path / "p.zip", {"a.png": encode(Image.fromarray(noise(8, 8, 3)))})
    with pytest.raises(DataError, match=r"cannot be written to .*prepared \(No space left on device\); make room or"):
        prepare_images(source, None, COLOUR)
    assert list((tmp_path / "cache" / "prepared").iterdir()) == []
    monkeypatch.setattr(os, "posix_fallocate", refusing(errno.EOPNOTSUPP), raising=False)
    assert len(prepare_images(source, None, COLOUR).images) == 1, "on a file system that cannot take room at once"


@pytest.mark.parametrize("unreadable", [False, True], ids=["all are read", "one is skipped"])
def test_images_that_were_prepared_are_used_where_the_cache_cannot_keep_them(tmp_path, monkeypatch, unreadable):
    """A cache that was removed meanwhile ended the command once all images were decoded."""
    cache, decode_one = tmp_path / "cache", prepare_module.decode_square

    def removing(*arguments):
        shutil.rmtree(cache, ignore_errors=True)
        return decode_one(*arguments)

    files = {"a.png": encode(Image.fromarray(noise(8, 8, 3)))} | ({"b.png": b"no"} if unreadable else {})
    source, skipping = zipped(tmp_path / "p.zip", files), replace(COLOUR, unreadable="skip")
    monkeypatch.setattr(prepare_module, "decode_square", removing)
    found = prepare_images(source, None, skipping)
    assert (found.images[0].transpose(1, 2, 0) == noise(8, 8, 3)).all()
    (said,) = found.remarks()
    assert re.fullmatch(r"not kept .*cache/prepared\S* cannot be written \(No such file or directory\); set .*", said)
    monkeypatch.undo()
    monkeypatch.setenv("GAN_BENCH_CACHE", str(cache))
    assert not [*prepare_images(source, None, skipping).remarks()]
    (array,) = (cache / "prepared").glob("*.npy")
    array.unlink()
    array.mkdir()
    found = prepare_images(source, None, skipping)
    assert [f"{array} cannot be written (Is a directory)" in said for said in found.remarks()] == [True]
    assert [path.suffix for path in sorted(array.parent.iterdir())] == [".json", ".npy"], "nothing is left aside"


def test_a_cache_that_cannot_be_written_is_said_once(tmp_path, monkeypatch):
    class_folders(tmp_path, "mine", size=8)
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("GAN_BENCH_CACHE", str(tmp_path / "file"))
    contents = register_folder(ImageFolder(name="unkept", path=tmp_path / "mine", transform=COLOUR)).contents
    (said,) = (line for line in contents if "kept" in line)
    assert f"{tmp_path}/file" in said
    assert "cannot be written (Not a directory); set $GAN_BENCH_CACHE" in said


@pytest.mark.parametrize(
    "wrong", [{"labels": [0]}, {"labels": [5] * 8}, {"labels": [-1] * 8}, {"digests": []}, {"classes": ["a"]}], ids=str
)
def test_a_cache_that_does_not_fit_itself_is_made_again(tmp_path, wrong):
    """Labels of fewer images than there are ended in a traceback."""
    class_folders(tmp_path, "mine", size=8)
    top = tmp_path / "mine"
    right = prepare_images(top, "train", COLOUR)
    (facts,) = (tmp_path / "cache" / "prepared").glob("*.json")
    whole = facts.read_text()
    facts.write_text(json.dumps({**json.loads(whole), **wrong}))
    assert [*prepare_images(top, "train", COLOUR).contents()] == [*right.contents()]
    assert facts.read_text() == whole


@pytest.mark.parametrize("name", ["mnist", "digits", "cifar10", "cats"])
def test_the_name_of_a_built_in_dataset_is_refused_before_anything_is_read(tmp_path, name):
    folder = ImageFolder(name=name, path=tmp_path / "is not there", transform=Transform(size=28, channels=1))
    with pytest.raises(UserError, match=f'name "{name}" is taken by a built-in dataset; choose another'):
        register_folder(folder)
    assert DATASETS[name].folder is None


def test_a_name_stands_for_one_folder_and_one_transform(tmp_path):
    class_folders(tmp_path, "mine", channels=1, size=20)
    folder = ImageFolder(name="mine-2", path=tmp_path / "mine", transform=Transform(size=28, channels=1))
    register_folder(folder)
    with pytest.raises(UserError, match=r"datasets.mine-2: the dataset name .* is taken by .*mine; choose another"):
        register_folder(replace(folder, transform=Transform(size=32, channels=1)))


@pytest.mark.slow
def test_the_real_cats(real_data):
    path = real_data.path / "cats.zip"
    if not path.exists():
        pytest.skip(f"{path} is not there")
    found = prepare_images(path, None, Transform(size=64, channels=3))
    assert not {NESTED, UNDECODED} & {*found.left_out}
    assert found.distinct == 9_303
    assert found.images.shape == (15_747, 3, 64, 64)
