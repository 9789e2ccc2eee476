"""What people have as images: splits by folder names, what is left out, arrays of any kind, statistics, homes."""

from __future__ import annotations

import io
import math
import os
import struct
import zipfile
import zlib
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, UnidentifiedImageError
from PIL.PngImagePlugin import PngInfo
from support.commands import gan_bench

import gan_bench as gb
from gan_bench.config.image_folder import ImageFolder, Transform, data_root
from gan_bench.config.suite import named_files
from gan_bench.core.errors import DataError, UserError
from gan_bench.core.text import at_home, from_root
from gan_bench.data.arrays import as_uint8
from gan_bench.data.datasets import DATASETS, read_split
from gan_bench.data.image_files import decode, more_frames
from gan_bench.data.image_folders import prepare_images
from gan_bench.data.image_source import open_source
from gan_bench.data.own_images import prepare_folder, register_folder
from gan_bench.metrics.evaluator import to_uint8
from gan_bench.metrics.reference import import_moments
from gan_bench.scoring import prepare

# ------------------------------------------------------------------------------------------------ splits


def names(*folders, each=4):
    return [f"{folder}/{i}.png" for folder in folders for i in range(each)]


def test_what_may_be_held_out_is_said_with_the_images(tmp_path):
    folder = pictures(tmp_path / "a", *(f"{name}/{i}.png" for name in ("cat", "dog", "test") for i in range(2)))
    assert (
        dataset_of(folder, "doubtful").contents[1].startswith("train: held-out images may be among them: those in test")
    )


# ------------------------------------------------------------------------------------------- what there is


def picture(path, seed=0, size=32):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (size, size, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path, "PNG")


@pytest.fixture
def pets(tmp_path):
    """Two splits of two classes, with what systems and people leave beside them."""
    top = tmp_path / "pets"
    for i, name in enumerate([*["train/cat"] * 5, *["train/dog"] * 6, *["val/cat"] * 4, *["val/dog"] * 4]):
        picture(top / name / f"{i}.png", i)
    picture(top / "train" / "cat" / "more.JFIF", 90)
    for i, junk in enumerate(
        ("@eaDir", "#recycle", ".hidden", "$RECYCLE.BIN", "__MACOSX", "System Volume Information")
    ):
        picture(top / "train" / "cat" / junk / "thumb.png", 100 + i)
    (top / "train" / "notes.txt").write_text("x")
    (top / "train" / "raw.heic").write_text("x")
    return top


def registered(path, name, **changes):
    return register_folder(ImageFolder(name=name, path=path, transform=Transform(size=16, channels=3, **changes)))


def test_what_a_folder_holds_is_said_by_split_and_class(pets):
    found = registered(pets, "pets-folder")
    assert found.counts == {"train": 12, "test": 8}
    assert set(found.contents) == {
        "train: 12 images of 12 different files: cat 6, dog 6",
        "train: 1 left out: files of other kinds (.heic)",
        "train: 1 left out: files of other kinds (.txt)",
        "train: 6 left out: hidden folders, and links to folders that are there already",
        "test: 8 images of 8 different files: cat 4, dog 4",
    }


def test_a_zip_file_with_backslashes_is_read_as_a_folder_is(pets, tmp_path):
    for separator in ("/", "\\"):
        path = tmp_path / f"pets-{ord(separator)}.zip"
        with zipfile.ZipFile(path, "w") as archive:
            for file in sorted(p for p in pets.rglob("*") if p.is_file()):
                archive.writestr(str(file.relative_to(pets)).replace("/", separator), file.read_bytes())
        found = registered(path, f"pets-{ord(separator)}")
        assert found.counts == {"train": 12, "test": 8}
        assert found.contents[0].endswith(": cat 6, dog 6")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_members_of_one_name_in_a_zip_file_are_one_image_and_counted(pets, tmp_path):
    path = tmp_path / "twice.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted((pets / "train" / "cat").glob("*.png")):
            for name in (file.name, file.name, f"./{file.name}"):
                archive.writestr(name, file.read_bytes())
    found = registered(path, "twice")
    assert sum(found.counts.values()) == 5
    assert "train: 10 left out: members of a name that another has" in found.contents


def test_of_members_of_one_name_the_last_is_read(pets, tmp_path):
    """Who unpacks the file has it; the one that it replaced was read."""
    path = tmp_path / "again.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted((pets / "train" / "cat").glob("*.png")):
            archive.writestr(f"./{file.name}", b"\x89PNG broken")
        for file in sorted((pets / "train" / "cat").glob("*.png")):
            archive.writestr(file.name, file.read_bytes())
    assert sum(registered(path, "again").counts.values()) == 5


def test_one_file_that_cannot_be_read_names_the_way_out_and_is_counted(pets):
    (pets / "train" / "cat" / "0.png").write_bytes(b"\x89PNG broken")
    with pytest.raises(DataError, match=r"0\.png cannot be decoded .*; or write unreadable: skip where a suite names"):
        registered(pets, "pets-broken")
    found = registered(pets, "pets-skipped", unreadable="skip")
    assert "train: 1 left out: images that cannot be read or decoded" in found.contents


def test_show_and_a_dry_run_say_what_there_is(pets, tmp_path):
    (tmp_path / "pets.yaml").write_text(
        "suite: pets\nversion: 1\ndatasets: {mypets: {path: pets, size: 64}}\ntrials:\n"
        "  - recipe: cats-dcgan\n    set: {dataset: mypets, dataset_repeats: 1, epochs: 1}\n"
    )
    for words in (("show", "pets.yaml"), ("run", "pets.yaml", "--dry-run")):
        done = gan_bench(*words, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert "train: 12 images of 12 different files: cat 6, dog 6" in done.stdout
        assert "train: 1 left out: files of other kinds (.heic)" in done.stdout


def test_a_suite_says_the_range_of_wide_greys(tmp_path):
    """What the error about images without one advises was refused as well: YAML has lists and no tuples."""
    (tmp_path / "wide").mkdir()
    for i in range(10):
        values = np.random.default_rng(i).integers(0, 4096, (28, 28)).astype(np.float32)
        Image.fromarray(values).save(tmp_path / "wide" / f"{i}.tiff")
    text = (
        "suite: wide\nversion: 1\ndatasets: {wide: {path: wide, size: 28, channels: 1RANGE}}\n"
        "trials: [{recipe: mnist-mlp-z100, set: {dataset: wide}}]\n"
    )
    for ranged, code, said in (
        ("", 0, "write range: [LOW, HIGH] where a suite names the images"),
        (", range: [0, 4095]", 0, "10 images of 10 different files"),
        (", range: [5, 1]", 2, "a range is two numbers, the lower first"),
        (", range: [-.inf, 1]", 2, "a range is two numbers, the lower first"),
        (", range: [.nan, 1]", 2, "a range is two numbers, the lower first"),
        (", range: [a, 1]", 2, "must be a number"),
    ):
        (tmp_path / "wide.yaml").write_text(text.replace("RANGE", ranged))
        done = gan_bench("show", "wide.yaml", cwd=tmp_path)
        assert done.returncode == code, done.stderr
        assert said in " ".join((done.stdout + done.stderr).split())


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"size": 0}, "size must be a whole number of pixels from 1 on, got 0"),
        ({"size": -1}, "size must be a whole number of pixels from 1 on, got -1"),
        ({"size": 32.0}, "size must be a whole number of pixels from 1 on, got 32.0"),
        ({"size": True}, "size must be a whole number of pixels from 1 on, got True"),
        ({"size": "32"}, "size must be a whole number of pixels from 1 on, got '32'"),
        ({"size": 100_000}, "size must be at most 4,096 pixels, got 100,000"),
        ({"channels": 2}, "channels must be 1 for grey or 3 for colour, got 2"),
        ({"channels": 4}, "channels must be 1 for grey or 3 for colour, got 4"),
        ({"channels": 3.0}, "channels must be 1 for grey or 3 for colour, got 3.0"),
        ({"crop": "centre"}, "crop must be 'center' or 'none', got 'centre'"),
        ({"crop": None}, "crop must be 'center' or 'none', got None"),
        ({"unreadable": "Skip"}, "unreadable must be 'stop' or 'skip', got 'Skip'"),
        ({"range": (255, 0)}, "range must be two numbers, the lower first, got (255, 0)"),
        ({"range": (0, math.nan)}, "range must be two numbers, the lower first, got (0, nan)"),
        ({"range": (-math.inf, 1)}, "range must be two numbers, the lower first, got (-inf, 1)"),
        ({"range": (0,)}, "range must be two numbers, the lower first, got (0,)"),
        ({"range": 255}, "range must be two numbers, the lower first, got 255"),
        ({"range": (0, 10**400)}, f"range must be two numbers, the lower first, got (0, 1{'0' * 54}…"),
        (
            {"crop": np.array(["center", "none"])},
            "crop must be 'center' or 'none', got array(['center', 'none'], dtype='<U6')",
        ),
        ({"range": "01"}, "range must be two numbers, the lower first, got '01'"),
        ({"path": None}, "path must name a folder or zip file of images, got None"),
        ({"path": ""}, "path must name a folder or zip file of images, got ''"),
        ({"name": ""}, "name must be text, got ''"),
    ],
)
def test_what_no_suite_could_name_is_one_sentence(pets, changes, said):
    """Some were a raw error, some filled the disk, and others passed for the default."""
    of_folder = {"name": "odd", "path": pets, **{key: changes[key] for key in changes.keys() & {"name", "path"}}}
    of_transform = {"size": 32, "channels": 3, **{key: changes[key] for key in changes.keys() - {"name", "path"}}}
    with pytest.raises(UserError) as caught:
        register_folder(ImageFolder(**of_folder, transform=Transform(**of_transform)))
    assert str(caught.value) == said


def test_numbers_of_numpy_and_paths_as_text_are_those_of_python(pets):
    plain = Transform(size=16, channels=3, range=(0, 255))
    given_ = Transform(size=np.int64(16), channels=np.uint8(3), range=[np.float32(0), np.int16(255)])
    assert given_ == plain
    assert {type(each) for each in (given_.size, given_.channels)} == {int}
    transform = Transform(size=np.int64(16), channels=3)
    texts = [str(pets), os.fsencode(pets), pets]
    (folder,) = {ImageFolder(name="np", path=path, transform=transform) for path in texts}
    assert register_folder(folder).counts == {"train": 12, "test": 8}


# ------------------------------------------------------------------------------------------------- arrays


PIXELS = np.random.default_rng(0).integers(0, 256, (6, 3, 8, 8), dtype=np.uint8)
KINDS = {
    "uint8": (PIXELS, PIXELS),
    "a flipped view": (PIXELS[..., ::-1], PIXELS[..., ::-1]),
    "channels turned": (PIXELS[:, ::-1], PIXELS[:, ::-1]),
    "another order in memory": (np.asfortranarray(PIXELS), PIXELS),
    "int64": (PIXELS.astype(np.int64), PIXELS),
    "big-endian int": (PIXELS.astype(">i4"), PIXELS),
    "bool": (PIXELS > 127, (PIXELS > 127) * np.uint8(255)),
    "torch bool": (torch.from_numpy(PIXELS > 127), (PIXELS > 127) * np.uint8(255)),
    "big-endian float": ((PIXELS / 127.5 - 1).astype(">f4"), PIXELS),
    "float64": (PIXELS / 127.5 - 1, PIXELS),
    "with a gradient": (torch.from_numpy(PIXELS / 127.5 - 1).float().requires_grad_(), PIXELS),
    "list of arrays": (list(PIXELS), PIXELS),
    "tuple of tensors": (tuple(torch.from_numpy(PIXELS)), PIXELS),
    "PIL images": ([Image.fromarray(p.transpose(1, 2, 0)) for p in PIXELS], PIXELS),
    "grey PIL images": ([Image.fromarray(p[0]) for p in PIXELS], PIXELS[:, :1]),
}


@pytest.mark.parametrize("kind", KINDS)
def test_what_has_one_meaning_is_converted(kind):
    given_, expected = KINDS[kind]
    found = as_uint8(given_)
    assert found.dtype == torch.uint8
    assert np.array_equal(found.numpy(), expected)


def test_floats_are_rounded_as_generators_images_are():
    images = torch.rand(5, 1, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
    assert torch.equal(as_uint8(images), to_uint8(images))


@pytest.mark.parametrize("limits", [(0, 1), (0, 255), (-1, 1)])
def test_truth_values_are_black_and_white_in_any_range(limits):
    assert np.array_equal(as_uint8(PIXELS > 127, limits).numpy(), (PIXELS > 127) * np.uint8(255))


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.uint16, np.int32])
def test_a_range_that_is_named_is_taken(dtype):
    top = 1 if np.dtype(dtype).kind == "f" else 4095
    wide = (PIXELS.astype(np.float64) / 255 * top).astype(dtype)
    found = as_uint8(wide, (0, top)).numpy().astype(int)
    assert np.abs(found - PIXELS).max() <= 1


def test_floats_none_of_which_is_below_zero_are_asked_about():
    with pytest.warns(UserWarning, match=r"if they are in \[0, 1\], pass value_range=\(0, 1\)"):
        as_uint8((PIXELS / 255).astype(np.float32))


NAN = np.full((4, 1, 8, 8), np.nan, np.float32)
PICTURES = [Image.fromarray(image.transpose(1, 2, 0)) for image in PIXELS]
ALONE = "; pass images alone: one array or tensor, or a list of those"
NONE = {
    f"got NoneType{ALONE}": None,
    "got bytes": b"x",
    "got int": 3,
    "name the images to score": "",
    "got none": [],
    f"got a list of int{ALONE}": [1, 2],
    "got a list of NoneType, ndarray": [PIXELS[0], None],
    r"one shape, got \(3, 8, 8\) and \(3, 4, 4\); bring all to one size": [PIXELS[0], PIXELS[1][:, :4, :4]],
    r"one shape, got \(3, 8, 8\) and \(1, 8, 8\)": [PIXELS[0], PIXELS[1][:1]],
    r"got \(6, 3, 8, 8\) and \(6,\); .* leave out what is no image": (PIXELS, np.zeros(6)),
    r"got \(6, 8, 8, 3\); channels come before height and width": PIXELS.transpose(0, 2, 3, 1),
    r"got \(3, 8, 8\); x\[None\] makes a set of one image": PIXELS[0],
    r"there are no images; give at least two": PIXELS[:0],
    "got uint16 from 0 to 255; name what is black and white with value_range": PIXELS.astype(np.uint16),
    "got int32 from 0 to 25500; .*value_range": PIXELS.astype(np.int32) * 100,
    "got int64 from 0 to 1;": PIXELS.astype(np.int64) // 255,
    "got float32 from 0 to 255": PIXELS.astype(np.float32),
    "got complex64": PIXELS.astype(np.complex64),
    f"got object{ALONE}": PIXELS.astype(object),
    "4 of 4 images hold NaN": NAN,
    "1 of 4 images hold NaN": np.concatenate([NAN[:1], np.zeros((3, 1, 8, 8), np.float32)]),
    r"got .6, 4, 8, 8.; lay what is transparent over white, or leave it out: \[each\[:3\] for each in x\]": PIXELS[
        :, [0, 1, 2, 0]
    ],
    r"got .6, 8, 8.; of grey images x\[:, None\] adds the channel": PIXELS[:, 0],
    r"got a list of .8, 8.; of grey ones \[each\[None\] for each in images\]": list(PIXELS[:3, 0]),
    "got .6, 3, 8, 5.; crop them to squares, or save them as files, which size= scales": PIXELS[..., :5],
    "got .2, 3, 8, 5.; crop them to squares, or": [Image.new("RGB", (5, 8))] * 2,
    "got .40, 3, 0, 0.": np.zeros((40, 3, 0, 0), np.uint8),
    f"got a list of tuple{ALONE}": [(image, 0) for image in PIXELS],
    f"got a list of list{ALONE}": [PICTURES[:2], PICTURES[:1]],
    f"got dict{ALONE}": {"label": [1, 1], "image": PICTURES[:2]},
    f"got a list of dict{ALONE}": [{"label": 3, "image": image} for image in PIXELS],
    f"got a list of PosixPath{ALONE}": [Path("a.png"), Path("b.png")],
    f"got memoryview{ALONE}": memoryview(PIXELS),
    "got truth values and others in one list; bring all to uint8": [PIXELS[0], PIXELS[1] > 9],
    "got a tensor that NumPy cannot hold .*; make it a dense one": torch.zeros(4, 1, 8, 8).to_sparse(),
    "got a tensor that NumPy cannot hold .*meta": torch.zeros(4, 1, 8, 8, device="meta"),
    "got a tensor that NumPy cannot hold .*Bits8": torch.empty(4, 1, 8, 8, dtype=torch.bits8),
    "a module of your own does not say": torch.nn.Linear(2, 2),
}


@pytest.mark.parametrize("message", NONE)
def test_what_is_no_images_is_one_sentence(message):
    with pytest.raises(UserError, match=message):
        gb.score(NONE[message], "digits")


def saved(picture, path):
    picture.save(path)
    with Image.open(path) as again:
        again.load()
        return again


@pytest.mark.filterwarnings("ignore:1 image is white all over")
def test_pil_images_of_every_mode_are_read_as_files_of_them_are(tmp_path):
    """Wide greys were clipped to white before their range was looked at, and what is transparent was black."""
    ramp = np.linspace(0, 65_535, 64).reshape(8, 8)
    modes = {
        "I;16.png": Image.fromarray(ramp.astype(np.uint16)),
        "L.png": Image.fromarray((ramp / 65_535 * 255).round().astype(np.uint8)),
        "F.tiff": Image.fromarray((ramp / 65_535).astype(np.float32)),
        "LA.png": Image.merge("LA", [Image.new("L", (8, 8), 40), Image.new("L", (8, 8), 0)]),
        "RGBA.png": Image.new("RGBA", (8, 8), (10, 20, 30, 0)),
        "P.png": Image.new("RGB", (8, 8), (9, 99, 200)).convert("P"),
    }
    for name, picture in modes.items():
        opened = saved(picture, tmp_path / name)
        found = as_uint8([opened])
        channels = 1 if name[0] in "IFL" else 3
        expected = decode((tmp_path / name).read_bytes(), name, channels)
        assert np.array_equal(found[0].permute(1, 2, 0).numpy(), np.asarray(expected).reshape(8, 8, channels)), name
    half = as_uint8([Image.fromarray(ramp.astype(np.uint16))], value_range=(0, 131_070))
    assert half.max() in (127, 128)
    with pytest.raises(UserError, match=r"name what is black and white with value_range=\(LOW, HIGH\)"):
        as_uint8([Image.fromarray((ramp - 9).astype(np.float32))])


def deep_png(depth, kind, row, key):
    """A PNG of one row, of few or many bits, with a transparent colour."""

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, depth, kind, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(b"\0" + row))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"tRNS", key) + pixels + chunk(b"IEND", b"")


@pytest.mark.filterwarnings("ignore:1 image is white all over")
@pytest.mark.parametrize("loaded", [False, True])
@pytest.mark.parametrize(
    ("name", "data", "wanted"),
    [
        ("a.tga", (0, 0xFF), [200, 100, 50]),
        ("a.tga", (128, 0xF0), [200, 100, 50]),  # its header says that it has no alpha
        ("a.png", deep_png(2, 0, b"\x40", b"\0\1"), [255]),
        ("a.png", deep_png(16, 2, struct.pack(">3H", 256, 512, 768), struct.pack(">3H", 256, 512, 768)), [255] * 3),
        ("a.png", deep_png(16, 2, b"\x64\0\xc8\0\x32\1", b"\x64\0\xc8\0\x32\0"), [100, 200, 50]),
    ],
    ids=["alpha 0", "no alpha", "2 bits", "16 bits", "16 bits that differ in the last"],
)
def test_transparency_of_pil_images_is_that_of_their_files(tmp_path, name, data, wanted, loaded):
    """A TGA whose alpha is 0 was white as a PIL image, and its picture in a folder."""
    path = tmp_path / name
    if isinstance(data, tuple):
        alpha, kept = data
        Image.new("RGBA", (1, 1), (200, 100, 50, alpha)).save(path)
        content = bytearray(path.read_bytes())
        content[17] &= kept
        data = bytes(content)
    path.write_bytes(data)
    with path.open("rb") as file, Image.open(file if not loaded else path) as opened:
        if loaded:
            opened.load()
        assert as_uint8([opened])[0, :, 0, 0].tolist() == wanted
    with Image.open(path) as opened:
        assert [as_uint8([opened])[0, :, 0, 0].tolist() for _ in range(2)] == [wanted] * 2, "it stays as it is"
    assert np.asarray(decode(data, name, len(wanted))).reshape(-1).tolist() == wanted


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.bmp"])
def test_pil_images_whose_files_were_closed_are_said_with_what_to_do(tmp_path, name):
    """It was "(AssertionError); leave it out"."""
    Image.fromarray(PIXELS[0, 0]).save(tmp_path / name)
    with Image.open(tmp_path / name) as opened, (tmp_path / name).open("rb") as file:
        of_a_file = Image.open(file)
    for closed in (opened, of_a_file):
        with pytest.raises(UserError, match=r"number 0 was closed before .*; open it without `with`, or call load\(\)"):
            as_uint8([closed])


def test_a_pil_image_that_is_cut_is_not_said_to_be_closed(tmp_path):
    for form in ("PNG", "BMP", "JPEG"):
        data = io.BytesIO()
        Image.fromarray(np.resize(PIXELS, (64, 64))).save(data, form)
        (tmp_path / "cut").write_bytes(data.getvalue()[:-400])
        for source in (tmp_path / "cut", io.BytesIO(data.getvalue()[:-400])):
            with (
                Image.open(source) as cut,
                pytest.raises(UserError, match=r"0 cannot be read \(OSError.*; leave it out"),
            ):
                as_uint8([cut])


def test_no_reference_is_not_the_current_folder():
    with pytest.raises(UserError, match="name what the images are compared with"):
        gb.score(PIXELS, " ")


# ------------------------------------------------------------------------------------------------ statistics


@pytest.mark.parametrize(
    ("mu", "sigma", "dim", "said"),
    [
        (192, (192, 192), 2048, "of 192 features, and the extractor gives 2,048; name other moments or the extractor"),
        ((1, 128), (128, 128), 192, "holds moments of 128 features"),
        (
            (2, 128),
            (128, 128),
            128,
            r"holds mu \(2, 128\) and sigma \(128, 128\), not \(D,\) and \(D, D\); make it again",
        ),
        ((), (), 128, r"holds mu \(\) and sigma \(\), not"),
        (128, (128,), 128, r"holds mu \(128,\) and sigma \(128,\), not"),
    ],
)
def test_statistics_of_another_extractor_are_said_with_theirs(tmp_path, mu, sigma, dim, said):
    """It was of "moments of (2048,) features, the extractor has 192; name another"."""
    np.savez(tmp_path / "s.npz", mu=np.zeros(mu), sigma=np.zeros(sigma))
    with pytest.raises(DataError, match=said):
        import_moments(tmp_path / "s.npz", dim)


def test_statistics_that_are_no_covariance_are_refused(tmp_path):
    rng = np.random.default_rng(0)
    features = rng.normal(size=(50, 8))
    mean, sigma = features.mean(0), np.cov(features.T)
    path = tmp_path / "s.npz"

    def read(mu, s, **more):
        np.savez(path, mu=mu, sigma=s, **more)
        return import_moments(path, 8)

    for dtype in (np.float64, np.float32):
        found = read(mean.astype(dtype), sigma.astype(dtype)).covariance
        assert torch.equal(found, torch.from_numpy(sigma.astype(dtype)).double())
    assert torch.equal(read(mean[None], sigma).mean, torch.from_numpy(mean)), "some programs keep a row"
    few = rng.normal(size=(3, 8))
    read(few.mean(0), np.cov(few.T))  # of low rank, and a covariance
    for broken, message in [
        (np.triu(sigma), "not symmetric"),
        (2 * np.tril(sigma), "not symmetric"),
        (-sigma, "least eigenvalue is -"),
        (sigma - 2 * np.diag(np.diag(sigma)), "least eigenvalue is -"),
        (np.where(np.eye(8) > 0, np.nan, sigma), "NaN, infinite, or above"),
        (np.where(np.eye(8) > 0, 1e200, sigma), "NaN, infinite, or above"),
        (sigma * (1 + 1j), "complex128"),
        (sigma.astype(str), "not the real numbers"),
        (sigma[:4, :4], r"sigma \(4, 4\), not"),
    ]:
        with pytest.raises(DataError, match=message):
            read(mean, broken)
    with pytest.raises(DataError, match=r"\(8 features of 50 images\)"):
        read(mean, -sigma, count=50)
    for count, believed in ((50, 50), (1, 0), (-3, 0), (10**18, 0), (np.nan, 0)):
        assert read(mean, sigma, count=count).count == believed


def test_images_of_a_pixel_are_refused(tmp_path):
    """They ended in a traceback of torch's resize."""
    dots = torch.randint(0, 256, (40, 3, 1, 1), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    with pytest.raises(UserError, match="the array of images holds images of 1x1, and scores need 8x8 at least"):
        gb.score(dots, "digits")


def test_an_array_given_for_statistics_is_named(tmp_path):
    for name in ("s.npy", "S.NPY"):
        np.save(tmp_path / "s.npy", np.zeros(3))
        (tmp_path / "s.npy").rename(tmp_path / name)
        with pytest.raises(UserError, match=r"statistics are an \.npz with the arrays mu and sigma"):
            gb.score(PIXELS[:, :1].repeat(4, 2).repeat(4, 3), str(tmp_path / name))


# -------------------------------------------------------------------------------------------- sizes, homes


def test_sizes_that_differ_are_said_and_scaled_where_asked(tmp_path):
    for i in range(30):
        picture(tmp_path / "large" / f"{i}.png", i, 48)
        picture(tmp_path / "small" / f"{i}.png", i, 24)
        picture(tmp_path / "mixed" / f"{i}.png", i, 40 + i % 2)

    def score(*words):
        return gan_bench("score", *words, cwd=tmp_path)

    differ = score("small", "large")
    assert "small is 24x24 and large 48x48" in differ.stderr
    assert "24x24" not in score("small", "small").stderr
    mixed = score("mixed", "large")
    assert (mixed.returncode, "--size 40 scales and crops them" in mixed.stderr) == (2, True)
    assert score("mixed", "large", "--size", "40").returncode == 0
    with pytest.raises(UserError, match="--size 40"):
        gb.score(str(tmp_path / "mixed"), str(tmp_path / "large"))
    assert len(gb.score(str(tmp_path / "mixed"), str(tmp_path / "large"), size=32))


def test_a_tilde_that_no_shell_expanded_is_the_home_folder(tmp_path, monkeypatch):
    home, here = tmp_path / "home", tmp_path / "here"
    home.mkdir()
    here.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("GAN_BENCH_CACHE", "~/cache")
    monkeypatch.chdir(here)
    words = (
        "--only mlp --seeds 0 --epochs 1 --samples 64 --train-limit 300 --executor inline --no-tracking --results=~/res"
    )
    assert gan_bench("run", "digits", *words.split()).returncode == 0
    few = {"only": "mlp", "seeds": [0], "epochs": 1, "samples": 64, "train_limit": 300}
    gb.run("digits", results="~/res2", executor="inline", tracking=False, **few)
    assert (home / "res" / "digits").is_dir()
    assert list((home / "res2").glob("digits*"))
    assert (home / "cache").is_dir()
    assert list(here.iterdir()) == []
    assert len(gb.load("~/res").trials) == 1
    monkeypatch.setenv("GAN_BENCH_DATA", "~/nowhere")
    with pytest.raises(UserError, match=str(home / "nowhere")):
        gb.run("mnist", results="~/res3", executor="inline")


@pytest.mark.parametrize("text", ["a~", "~user/x", "--x=a~/b", "x/~/y", "", "--", "a=~/b"])
def test_other_tildes_stay(text):
    assert at_home(text) == text


@pytest.mark.slow
def test_a_longer_training_says_that_a_shorter_one_is_not_continued(tmp_path, capsys):
    def run(epochs, seeds=(0, 1)):
        gb.run("digits", results=tmp_path / "r", only="mlp", seeds=list(seeds), epochs=epochs, samples=64,
               executor="inline", tracking=False, profile="full", quiet=False)  # fmt: skip
        return capsys.readouterr().out

    assert "from the start" not in run(1)
    said = run(2)
    assert "seed=0 trains from the start, though a training of 1 epoch is finished beside it" in said
    assert "the same holds for 1 more trial" in said
    assert "from the start" not in run(2), "nothing is left to train"
    assert "from the start" not in run(1, (0, 1, 2)), "a shorter one is no continuation"


@pytest.mark.draws_pages
def test_a_run_says_what_own_images_are_scored_with_and_so_do_its_tables(tmp_path):
    """The extractor was chosen without a word, and a caption that says FID is read as Inception's."""
    for name in ("a", "b"):
        for i in range(24):
            path = tmp_path / "tiles" / name / f"{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.random.default_rng(i + 100 * (name == "b")).integers(0, 255, (28, 28), "uint8")).save(
                path
            )
    suite = tmp_path / "s.yaml"
    suite.write_text(
        "suite: own\nversion: 1\ndatasets: {tiles: {path: ./tiles, size: 28, channels: 1}}\n"
        "trials: [{recipe: mnist-mlp-z100, set: {dataset: tiles}}]\nevaluate: {samples: 16}\n"
    )
    words = ("run", suite, "--epochs", "1", "--seeds", "0,1", "--results", tmp_path / "r", "--no-tracking")
    done = gan_bench(*words, "--executor", "inline")
    assert done.returncode == 0, done.stderr
    said = " ".join(done.stdout.split())
    assert said.count("tiles is scored with lenet-mnist-v1, a small classifier of MNIST digits") == 1
    assert "is not that of papers" in said
    (caption,) = [
        line
        for path in (tmp_path / "r" / "report" / "tables").glob("*settings*.tex")
        for line in path.read_text().splitlines()
        if line.startswith("\\caption")
    ]
    assert "papers report those of Inception{-}v3" in caption
    assert "papers report those of Inception-v3" in (tmp_path / "r" / "report" / "report.html").read_text()


def test_values_outside_of_the_range_that_was_named_are_not_clipped():
    """Images of 0 to 255 in a range of 0 to 1 were white, and scored without a word."""
    images = np.random.default_rng(0).integers(0, 256, (4, 1, 8, 8))
    for outside in (images, images / 127.5 - 1):
        with pytest.raises(UserError, match=r"outside of value_range=\(0, 1\)"):
            as_uint8(outside, value_range=(0, 1))
    rounded = as_uint8(images / 255 * 1.001, value_range=(0, 1))
    assert int((rounded.int() - torch.from_numpy(images)).abs().max()) <= 1


def test_an_array_that_may_not_be_written_is_read_in_silence():
    images = np.full((2, 1, 4, 4), 99, np.uint8)
    images.setflags(write=False)
    assert torch.equal(as_uint8(images), torch.full((2, 1, 4, 4), 99, dtype=torch.uint8))


def test_folders_of_labels_beside_images_are_no_missing_classes(tmp_path):
    """YOLO and VOC: "fill or remove it" was said of the annotations, and ``try`` proposed what the run refused."""
    voc = tmp_path / "voc"
    for i in range(8):
        picture(voc / "JPEGImages" / f"{i}.png", i)
        (voc / "Annotations").mkdir(exist_ok=True)
        (voc / "Annotations" / f"{i}.xml").write_text("<a/>")
    with zipfile.ZipFile(tmp_path / "voc.zip", "w") as archive:
        for path in sorted(voc.rglob("*")):
            archive.write(path, path.relative_to(tmp_path))
    for source in (voc, tmp_path / "voc.zip"):
        assert listed(source).left_out == {"files of other kinds (.xml)": 8}
        assert registered(source, f"d{source.suffix[1:]}").counts == {"train": 8}
    (voc / "empty").mkdir()
    (voc / "empty" / ".DS_Store").write_text("")
    for look in (listed, lambda source: registered(source, "again")):
        with pytest.raises(DataError, match="voc/empty holds no images that are read here, though its neighbours do"):
            look(voc)


def test_links_in_an_archive_are_left_out(tmp_path):
    picture(tmp_path / "a.png")
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        for i in range(5):
            picture(tmp_path / "a.png", i)
            archive.write(tmp_path / "a.png", f"{i}.png")
        link = zipfile.ZipInfo("link.png")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "0.png")
    assert listed(tmp_path / "x.zip").left_out == {"links, pipes and devices": 1}


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("a.npy", "is neither a folder nor an intact zip file .*; arrays go to gb.score in Python"),
        ("a.PNG", "is neither a folder nor an intact zip file .*; name a folder or zip of images"),
    ],
)
def test_what_is_no_zip_is_said_with_what_to_do(tmp_path, name, said):
    (tmp_path / name).write_bytes(b"something else")
    with pytest.raises(DataError, match=said):
        listed(tmp_path / name)


def test_a_wide_tiff_whose_white_is_zero_is_no_negative(tmp_path):
    grey = np.arange(64 * 64, dtype=np.uint16).reshape(64, 64) * 16
    kinds = {}
    for white_is_zero in (False, True):
        Image.fromarray(grey).save(tmp_path / "a.tif", tiffinfo={262: 0 if white_is_zero else 1})
        kinds[white_is_zero] = np.array(decode((tmp_path / "a.tif").read_bytes(), "a.tif", 1)).astype(int)
    with Image.open(tmp_path / "a.tif") as stored:
        assert stored.tag_v2[262] == 0, "Pillow keeps the tag"
    assert np.abs(kinds[True] - (255 - kinds[False])).max() <= 1


def test_arrays_of_zeros_and_ones_are_warned_of(tmp_path):
    """A mask as uint8 was scored as black without a word."""
    ones = np.random.default_rng(0).integers(0, 2, (4, 1, 28, 28)).astype(np.uint8)
    with pytest.warns(UserWarning, match=r"no value of the images is above 1, .* value_range=\(0, 1\)"):
        as_uint8(ones)
    assert as_uint8(ones, (0, 1)).max() == 255
    with pytest.warns(UserWarning, match="no value of the images is above 0 of 255, so they are black; if"):
        assert as_uint8(np.zeros((4, 1, 28, 28), np.uint8)).max() == 0, "black ones are black"
    with pytest.raises(UserError, match="there are no images; give at least two"):
        as_uint8(ones[:0])


@pytest.mark.parametrize(
    ("images", "value_range", "said"),
    [
        (PIXELS // 16, None, "no value of the images is above 15 of 255, so they are nearly black; if they use a part"),
        (PIXELS.astype(np.int64) // 16, None, "above 15 of 255, so they are nearly black"),
        (
            PIXELS.astype(np.uint16) * 16,
            (0, 65_535),
            r"16 of 255 in value_range=\(0, 65535\), so they are nearly black",
        ),
        (PIXELS / 2550 - 1, None, "above 13 of 255, so they are nearly black"),
        ([Image.fromarray(each[0] // 16) for each in PIXELS], None, "above 15 of 255, so they are nearly black"),
        (
            [Image.fromarray(each[0].astype(np.uint16) * 16) for each in PIXELS],
            (0, 65_535),
            r"above 16 of 255 in value_range=\(0, 65535\)",
        ),
    ],
)
def test_dark_arrays_are_said_as_dark_folders_are(images, value_range, said):
    """Of 12 bits in 16 they were scored without a word."""
    with pytest.warns(UserWarning, match=said) as caught:
        as_uint8(images, value_range)
    assert len(caught) == 1


def test_white_pil_images_are_said_as_those_of_folders_are():
    clear = [Image.new("RGBA", (8, 8), (9, 9, i, 255 * (i > 1))) for i in range(4)]
    with pytest.warns(UserWarning, match="^2 images are white all over; what is transparent is laid over white$"):
        as_uint8(clear)


def pictures(folder, *names, seed=0):
    draw = np.random.default_rng(seed)
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(draw.integers(0, 255, (32, 32, 3), dtype=np.uint8)).save(folder / name)
    return folder


SIX = [f"{i}.png" for i in range(6)]


@pytest.mark.parametrize(
    "mask", ["0_mask.png", "0_mask_1.jpg", "0-seg.png", "0 Mask.PNG", "0_GT.png", "0mask.png", "0.gt.png", "0_gts.png"]
)
def test_masks_beside_their_images_are_no_images(tmp_path, mask):
    """They were trained on."""
    folder = pictures(tmp_path / "a", *SIX, mask, "mask.png", "unmasked_1.png")
    found = listed(folder)
    assert (len(found.names), found.left_out) == (8, {"masks beside their images": 1})
    register_folder(ImageFolder(name="masked", path=folder, transform=Transform(size=32, channels=3)))
    assert gb.score(pictures(tmp_path / "b", *SIX), "masked", extractors=["cifar-v1"])["real"].max() == 8


def test_masks_alone_are_images(tmp_path):
    assert len(listed(pictures(tmp_path / "a", *(f"{i}_mask.png" for i in range(6)))).names) == 6


def test_frames_after_the_first_are_counted(tmp_path):
    folder = pictures(tmp_path / "a", *SIX)
    frames = [Image.fromarray(np.full((32, 32), 40 * i, np.uint8)) for i in range(4)]
    for name in ("film.gif", "stack.tif", "film.webp", "film.png"):
        frames[0].save(folder / name, save_all=True, append_images=frames[1:])
    dataset = register_folder(ImageFolder(name="films", path=folder, transform=Transform(size=8, channels=3)))
    assert dataset.contents == (
        "train: 10 images of 10 different files",
        "train: 12 left out: frames after the first of an image",
    )


@pytest.mark.parametrize("kinds", [[1, 0], [1, 1, 0, 1], [0, 1], [1, 1]])
def test_a_thumbnail_before_the_image_of_a_tiff_is_not_taken(tmp_path, kinds):
    pages = [Image.new("RGB", (8 if kind else 32, 8 if kind else 32), (kind, 9, 9)) for kind in kinds]
    for page, kind in zip(pages, kinds, strict=True):
        page.encoderinfo = {"tiffinfo": {254: kind}}
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:], tiffinfo={254: kinds[0]})
    data = (tmp_path / "a.tif").read_bytes()
    assert decode(data, "a.tif", 3).size == ((32, 32) if 0 in kinds else (8, 8))
    assert more_frames(data) == max(1, kinds.count(0)) - 1, "no thumbnail is a frame that was left out"


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("next_page", [2, 9, 10**6])
def test_a_damaged_pointer_behind_a_thumbnail_loses_no_tiff(tmp_path, order, next_page):
    """It ended in "TypeError: Missing dimensions"."""
    pixels = np.arange(192, dtype=np.uint8).reshape(8, 8, 3)
    tags = [(254, 4, 1), (256, 3, 8), (257, 3, 8), (258, 3, 8), (259, 3, 1), (262, 3, 2), (273, 4, 8)]
    tags += [(277, 3, 3), (278, 3, 8), (279, 4, 192)]
    data = struct.pack(f"{order}2sHI", b"II" if order == "<" else b"MM", 42, 200) + pixels.tobytes()
    data += struct.pack(f"{order}H", len(tags))
    for tag, kind, value in tags:
        data += (
            struct.pack(f"{order}HHI", tag, kind, 1)
            + struct.pack(f"{order}{'HH' if kind == 3 else 'IH'}", value, 0)[:4]
        )
    for pointer in (0, next_page):
        assert (np.asarray(decode(data + struct.pack(f"{order}I", pointer), "a.tif", 3)) == pixels).all()


def test_score_says_what_it_leaves_out_and_names_no_remedy_of_suites(tmp_path):
    folder, other = pictures(tmp_path / "a", *SIX), pictures(tmp_path / "b", *SIX, seed=1)
    (folder / "labels.csv").write_text("")
    with pytest.warns(UserWarning, match=r"a: 1 left out: files of other kinds \(\.csv\)"):
        gb.score(folder, str(other), extractors=["cifar-v1"])
    (other / "6.png").write_bytes((other / "5.png").read_bytes()[:-200])
    with pytest.raises(DataError, match="6.png cannot be decoded") as failure:
        gb.score(other, str(folder), extractors=["cifar-v1"])
    assert "suite" not in str(failure.value)


def test_tensors_of_numbers_that_numpy_has_not_are_converted():
    turned = torch.complex(torch.zeros(4, 3, 8, 8), torch.ones(4, 3, 8, 8)).conj().imag  # a view that negates
    for black in (turned, torch.full((4, 3, 8, 8), -1.0).to(torch.float8_e5m2)):
        with pytest.warns(UserWarning, match="so they are black"):
            assert as_uint8(black).unique().tolist() == [0]


def test_files_that_differ_in_nothing_but_their_pixels_are_prepared_apart(tmp_path, monkeypatch):
    """Unpacked archives have whole seconds, and uncompressed images one size: the second folder got the first's FID."""
    monkeypatch.setenv("GAN_BENCH_CACHE", str(tmp_path / "cache"))
    digests = set()
    for seed, folder in enumerate(("a", "b")):
        for name in SIX:
            path = pictures(tmp_path / folder, name.replace("png", "bmp"), seed=seed + 10 * int(name[0])) / name
            os.utime(path.with_suffix(".bmp"), (1e9, 1e9))
        digests.add(prepare_images(tmp_path / folder, None, Transform(size=32, channels=3)).sha256)
    path = tmp_path / "b" / "0.bmp"
    path.write_bytes(bytes(reversed(path.read_bytes()[54:])).join([path.read_bytes()[:54], b""]))
    os.utime(path, (1e9, 1e9))
    digests.add(prepare_images(tmp_path / "b", None, Transform(size=32, channels=3)).sha256)
    assert len(digests) == 3


def test_a_folder_of_notes_or_programs_beside_classes_is_no_class(tmp_path):
    folder = pictures(tmp_path / "a", *(f"{which}/{name}" for which in ("cats", "dogs") for name in SIX))
    beside = (
        "docs/paper.docx",
        "devkit/eval.m",
        "models/best.pt",
        "readme/README",
        "meta/VERSION_2",
        "tests/test_a.py",
    )
    for name in (*beside, "notes/Annotation/cats/n02085620_10074"):
        (folder / name).parent.mkdir(parents=True)
        (folder / name).write_bytes(b"<annotation>")
    assert len(listed(folder).names) == 12


def zip_of(path, names):
    """A zip whose names are these bytes, without a word of how to read them."""

    class Member(zipfile.ZipInfo):
        def _encodeFilenameFlags(self):  # noqa: N802 - zipfile's
            return self.raw, 0

    draw = np.random.default_rng(0)
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            buffer = io.BytesIO()
            Image.fromarray(draw.integers(0, 255, (32, 32, 3), dtype=np.uint8)).save(buffer, "PNG")
            member = Member(name.hex())
            member.raw = name
            archive.writestr(member, buffer.getvalue())
    return path


HYOU = "\u8868"
"""A letter whose second byte is that of a backslash in code page 932."""


def test_a_reference_of_one_image_is_a_sentence(tmp_path):
    with pytest.raises(DataError, match="one has 1 image, and scores compare with at least two"):
        gb.score(pictures(tmp_path / "a", *SIX), str(pictures(tmp_path / "one", "0.png")), extractors=["cifar-v1"])


def test_a_folder_of_the_name_of_a_dataset_is_said(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pictures(tmp_path / "digits", *SIX)

    def remarks(against):
        return prepare("./digits", against, [], data_root(None), torch.device("cpu")).remarks

    assert "digits is the dataset of that name; digits in this folder is ./digits" in remarks("digits")
    assert not any("of that name" in each for each in remarks("./digits"))


def test_images_of_zeros_and_ones_are_warned_of_as_arrays_are(tmp_path):
    folder = pictures(tmp_path / "a", *SIX)
    for path in folder.iterdir():
        Image.fromarray(np.asarray(Image.open(path)) // 128).save(path)
    assert prepare_images(folder, None, Transform(size=32, channels=3)).brightest == 1
    with pytest.warns(UserWarning, match="a: no value is above 1 of 255, so the images are black"):
        gb.score(folder, str(pictures(tmp_path / "b", *SIX)), extractors=["cifar-v1"])


def test_a_range_is_not_taken_for_files(tmp_path):
    with pytest.raises(UserError, match="value_range is of arrays and PIL images; leave it out for files"):
        gb.score(pictures(tmp_path / "a", *SIX), "digits", value_range=(0, 1))


def test_masked_arrays_are_refused():
    with pytest.raises(UserError, match=r"a masked array; call filled\(VALUE\) on it"):
        as_uint8(np.ma.masked_array(np.zeros((4, 3, 8, 8), np.uint8), mask=True))


@pytest.mark.parametrize("note", ["large", "large behind", "damaged"])
def test_a_png_with_notes_that_pillow_refuses_is_an_image(note):
    pixels = np.random.default_rng(0).integers(0, 255, (8, 8, 3), dtype=np.uint8)
    buffer, info = io.BytesIO(), PngInfo()
    info.add_text("workflow", "x" * (10 if note == "damaged" else 2**21), zip=True)
    Image.fromarray(pixels).save(buffer, "PNG", pnginfo=info)
    data = bytearray(buffer.getvalue())
    if note == "large behind":
        start = data.index(b"zTXt") - 4
        end = start + 12 + int.from_bytes(data[start : start + 4], "big")
        data[start:] = data[end:-12] + data[start:end] + data[-12:]
    if note == "damaged":
        data[data.index(b"zTXt") + 5] ^= 1
    with pytest.raises((ValueError, UnidentifiedImageError)), Image.open(io.BytesIO(bytes(data))) as image:
        image.load()
    assert np.array_equal(np.asarray(decode(bytes(data), "a.png", 3)), pixels)


def listed(source):
    """List a folder or zip file, and refuse what is refused before an image is read."""
    with open_source(source) as opened:
        opened.require_images(source)
    return opened


def dataset_of(folder, name, **transform):
    return register_folder(ImageFolder(name=name, path=folder, transform=Transform(size=8, channels=3, **transform)))


@pytest.mark.parametrize("below", ["results", "work/deep/results", ""])
def test_results_among_images_are_not_trained_on(tmp_path, monkeypatch, below):
    """A second run trained on the sample grids and plots of the first."""
    folder = pictures(tmp_path / "a", "cat/0.png", "cat/1.png", "cat/2.png", "dog/3.png", "dog/4.png", "dog/5.png")
    before = dataset_of(folder, f"before{len(below)}")
    results = folder / below
    pictures(results, "mine/trial/samples/1.png", "report/plots/a.png", "mlartifacts/1/b.png")
    for name in ("plan.json", "suite.yaml"):
        (results / "mine" / name).write_text("{}")
    after = dataset_of(folder, f"after{len(below)}")
    assert after.counts == before.counts == {"train": 6}
    assert "train: 3 left out: images among results of gan_bench" in after.contents
    (results / "mine" / "plan.json").unlink()
    assert len(listed(folder).names) == 9, "a folder of another's report"


OF_GAN_BENCH = {
    "sample": [*(f"cat/image-{i:05d}.png" for i in range(3)), "cat/grid.png", "cat/epochs.gif"],
    "card": ["card/README.md", "card/samples.png", "card/trial.json", "card/environment.json"],
    "record": ["deep/a/trial.json", "deep/a/environment.json", "deep/a/samples/1.png", "deep/a/samples/2.png"],
    "report --out": [
        "deep/report of mine/answer.md",
        "deep/report of mine/files.txt",
        "deep/report of mine/plots/a.gif",
    ],
    "suite": ["results/a/suite.yaml", "results/a/plan.json", "results/a/b/samples/1.png", "results/report/plots/a.gif"],
}


@pytest.mark.parametrize("packed", [False, True, "with its folders"])
@pytest.mark.parametrize("files", OF_GAN_BENCH.values(), ids=OF_GAN_BENCH)
def test_what_gan_bench_wrote_among_images_is_no_class(tmp_path, files, packed):
    folder = pictures(tmp_path / "a", *(f"{kind}/{i}.png" for kind in ("cat", "dog") for i in range(3)))
    pictures(folder, *(name for name in files if name.endswith((".png", ".gif"))))
    for name in files:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        if not (folder / name).exists():
            (folder / name).write_text("{}")
    if packed:
        with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
            for path in sorted(folder.rglob("*")):
                if path.is_file() or packed is not True:
                    archive.write(path, path.relative_to(folder))
    found = listed(tmp_path / "a.zip" if packed else folder)
    classes = Counter(name.rpartition("/")[0] for name in found.names)
    assert classes == {"cat": 3 + sum("image-" in name for name in files), "dog": 3}
    assert sum(count for reason, count in found.left_out.items() if "gan_bench" in reason or "gan-bench" in reason) > 0


def test_pictures_that_may_be_somebody_s_own_are_read(tmp_path):
    """Folders of one ``grid.png`` or ``samples.png`` were left out, with their classes."""
    files = ["cat/0.png", "cat/grid.png", "film/epochs.gif", "g1/grid.png", "ways/interpolation.png"]
    with open_source(pictures(tmp_path / "a", *files)) as source:
        assert source.names == files


def test_an_archive_of_a_record_holds_no_images(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name in ("trial.json", "environment.json", "samples/epoch-0001.png", "samples/epoch-0002.png"):
            archive.writestr(name, "{}")
    with pytest.raises(
        DataError,
        match=r"holds no images, only files of other kinds \(.json\) \(2\), images among results of gan_bench \(2\)",
    ):
        listed(tmp_path / "a.zip")


@pytest.mark.parametrize("name", ["c", "test"])
def test_a_folder_that_leads_nowhere_is_no_note(tmp_path, name):
    folder = pictures(tmp_path / "a", *(f"train/{each}" for each in SIX), "note.png")
    (folder / "note.png").unlink()
    (folder / name).symlink_to("gone")
    (folder / "notes.txt").symlink_to("gone")
    with pytest.raises(DataError, match=rf"a/{name} is a link to what is not there; bring that back"):
        listed(folder)
    (folder / name).unlink()
    assert listed(folder).left_out == {"files of other kinds (.txt)": 1}


def linked_zip(path, images, *links, target="cat"):
    """A zip file of images in the folder cat, and of links."""
    with zipfile.ZipFile(path, "w") as archive:
        for image in images:
            archive.write(image, f"cat/{image.name}")
        for name in links:
            link = zipfile.ZipInfo(name)
            link.external_attr = 0o120777 << 16
            archive.writestr(link, target)
    return path


@pytest.mark.parametrize("name", ["test", "katze", "cats.v1", "data/test"])
def test_a_link_in_an_archive_that_may_be_a_class_or_a_split_is_refused(tmp_path, name):
    pictures(tmp_path, "0.png")
    with pytest.raises(DataError, match=rf"a.zip holds {name}, a link, which is not followed; pack what it leads to"):
        listed(linked_zip(tmp_path / "a.zip", [tmp_path / "0.png"], name))


@pytest.mark.parametrize(("name", "target"), [("LICENSE-2", "../LICENSE"), ("cat/up", ".."), ("cat/me", ".")])
def test_links_in_an_archive_to_files_and_to_folders_above_are_left_out(tmp_path, name, target):
    """Any without an ending was refused, such as that of a licence."""
    pictures(tmp_path, "0.png")
    found = listed(linked_zip(tmp_path / "a.zip", [tmp_path / "0.png"], name, target=target))
    assert found.left_out == {"links, pipes and devices": 1}


@pytest.mark.parametrize(
    ("files", "missing"),
    [
        (["train/0.png", "test/0.heic"], "test"),
        (["train/0.png", "test/about.txt"], "test"),
        (["data/train/0.png", "data/val/a/0.svg"], "data/val"),
        (["cat/0.png", "dog/0.HEIC", "dog/1.heic"], "dog"),
        (["cat/0.png", "dog/0"], "dog"),
        (["cat/0.png", "dog/0.heic", "dog/labels.txt"], "dog"),
        (["cat/0.png", "dog/IMG_0.HEIC", "dog/IMG_0.AAE"], "dog"),
        (["cat/0.png", "dog/.DS_Store"], "dog"),
    ],
)
def test_a_class_or_split_of_what_is_not_read_is_missed(tmp_path, files, missing):
    """Only the number of files was said: a split was gone, and scores were of the training images."""
    folder = pictures(tmp_path / "a", *(name for name in files if name.endswith(".png")))
    for name in files:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
        if name == "dog/0":
            (folder / name).write_bytes((folder / "cat/0.png").read_bytes())
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name in files:
            archive.write(folder / name, name)
    for source in (folder, tmp_path / "a.zip"):
        with pytest.raises(DataError, match=rf"{source}/{missing} holds no images that are read here, though its"):
            listed(source)


class Named(zipfile.ZipInfo):
    """A member of a zip file with a name of any bytes, without the flag of UTF-8."""

    raw = b""

    def _encodeFilenameFlags(self):  # noqa: N802 - zipfile's
        return self.raw, self.flag_bits & ~0x800


CHEESE = "k\u00e4se"


@pytest.mark.parametrize(
    ("names", "encoding", "wanted"),
    [
        ([f"{HYOU}/2.png", f"\u5199\u771f/{HYOU}.png"], "cp932", [f"\u5199\u771f/{HYOU}.png", f"{HYOU}/2.png"]),
        ([f"{HYOU}.png", "a.png"], "cp932", ["a.png", f"{HYOU}.png"]),
        (["b\u00fcro\\0.png", "caf\u00e9\\1.png"], "cp437", ["b\u00fcro/0.png", "caf\u00e9/1.png"]),
        (["\u043a\u043e\u0442/0.png", "b/1.png"], "utf-8", ["b/1.png", "\u043a\u043e\u0442/0.png"]),
        (["a\\0.png", "b\\1.png"], "ascii", ["a/0.png", "b/1.png"]),
    ],
    ids=["folders", "flat", "dos", "utf-8", "windows"],
)
def test_names_in_archives_are_read_in_the_code_page_they_are_written_in(tmp_path, names, encoding, wanted):
    """Of a Japanese archive, images whose names end in some letters were taken for hidden files."""
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for number, name in enumerate(names):
            member = Named(f"{number}")
            member.raw = name.encode(encoding)
            archive.writestr(member, b"")
    assert listed(tmp_path / "a.zip").names == wanted


def test_names_that_python_reads_from_further_fields_of_a_zip_file_stay(tmp_path, monkeypatch):
    """Python 3.13 takes them from the field for Unicode paths: all became one member without a name."""
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for i in range(4):
            archive.writestr(f"{i}.png", b"")
    plain = zipfile.ZipFile.infolist

    def infolist(self):
        for i, member in enumerate(plain(self)):
            member.filename = f"{(CHEESE, HYOU)[i % 2]}/{i}.png"
        return plain(self)

    monkeypatch.setattr(zipfile.ZipFile, "infolist", infolist)
    assert listed(tmp_path / "a.zip").names == [
        *(f"{CHEESE}/{i}.png" for i in (0, 2)),
        *(f"{HYOU}/{i}.png" for i in (1, 3)),
    ]


LINKS = {
    "above": ({"a/0.png": "", "up": ".."}, {"a": 1}),
    "to the folder": ({"a/0.png": "", "a/all": ".."}, {"a": 1}),
    "round": (
        {"a/0.png": "", "b/1.png": "", "a/to": "../b", "b/to": "../a"},
        {"a": 1, "a/to": 1, "b": 1, "b/to": 1},
    ),
    "a class of two names": ({"b/0.png": "", "a": "b", "c": "b"}, {"a": 1, "b": 1, "c": 1}),
    "both splits": (
        {"pool/0.png": "", "d/train/a/1.png": "", "d/test/c/2.png": ""}
        | {f"d/{split}/b": "../../pool" for split in ("train", "test")},
        {"pool": 1, "d/train/a": 1, "d/train/b": 1, "d/test/b": 1, "d/test/c": 1},
    ),
}


@pytest.mark.parametrize("kind", LINKS)
def test_links_to_folders_are_followed_whatever_their_names(tmp_path, kind):
    """The order of names decided which was followed, and a link to a folder above led out of the source."""
    files, wanted = LINKS[kind]
    pictures(tmp_path, "beside.png")
    for name, target in files.items():
        (tmp_path / "a" / name).parent.mkdir(parents=True, exist_ok=True)
        if target:
            (tmp_path / "a" / name).symlink_to(target)
        else:
            pictures(tmp_path / "a", name)
    assert Counter(name.rpartition("/")[0] for name in listed(tmp_path / "a").names) == wanted


def test_folders_nested_deeply_and_pipes_behind_links_are_listed(tmp_path):
    """The first ended in a RecursionError, and the second waited for ever."""
    folder = pictures(tmp_path / "a", *SIX)
    os.mkfifo(tmp_path / "pipe")
    (folder / "pipe.png").symlink_to(tmp_path / "pipe")
    folders = [Path(f"{folder}{'/d' * depth}") for depth in range(1, 1200)]
    for each in folders:
        each.mkdir()
    (folders[-1] / "0.png").touch()
    found = listed(folder)
    (folders[-1] / "0.png").unlink()
    for each in reversed(folders):  # as pytest could not: it recurses, too
        each.rmdir()
    assert len(found.names) == 7
    assert found.left_out == {"links, pipes and devices": 1}


def test_what_is_left_out_is_told_as_it_is_now(tmp_path):
    """Prepared images remembered what else the folder once held."""
    folder = pictures(tmp_path / "a", *SIX)
    assert prepare_images(folder, None, Transform(size=8, channels=3)).left_out == {}
    (folder / "x.heic").write_bytes(b"")
    assert prepare_images(folder, None, Transform(size=8, channels=3)).left_out == {"files of other kinds (.heic)": 1}
    (folder / "x.heic").unlink()
    assert prepare_images(folder, None, Transform(size=8, channels=3)).left_out == {}


@pytest.mark.parametrize(
    ("values", "limits", "wanted"),
    [
        ([0, 1, 1], (0, 1), [0, 255, 255]),
        ([0, 5, 10], (0, 10), [0, 128, 255]),
        ([0, 50, 255], (0, 65_535), [0, 50, 255]),  # of eight bits, it cannot be meant
        ([0, 255, 9], (0, 65_535), [0, 255, 9]),
    ],
)
@pytest.mark.parametrize("mode", ["L", "RGB", "LA", "P"])
def test_a_range_is_of_greys_of_eight_bits_too(values, limits, wanted, mode):
    """It was ignored: masks of 0 and 1 stayed black, with the advice to do what was done."""
    data = io.BytesIO()
    Image.fromarray(np.tile(np.array(values, np.uint8), (3, 1))).convert(mode).save(data, "PNG")
    assert np.asarray(decode(data.getvalue(), "a.png", 1, limits))[0].tolist() == wanted


@pytest.mark.parametrize(
    ("picture", "said"),
    [
        (Image.new("RGB", (4, 4), (9, 0, 0)), "has colours or transparency, and range: is of greys; make it grey, or"),
        (Image.new("LA", (4, 4), (1, 90)), "has colours or transparency, and range: is of greys"),
        (Image.new("L", (4, 4), 200), r"holds values up to 200, above those of range: \[0, 1\]; keep images of one"),
    ],
)
def test_a_range_that_is_not_of_an_image_is_refused(picture, said):
    """Photos of 8 bits beside floats in [0, 1] would be white."""
    data = io.BytesIO()
    picture.save(data, "PNG")
    with pytest.raises(DataError, match=said):
        decode(data.getvalue(), "a.png", 1, (0, 1))
    with pytest.raises(UserError, match=said.replace("range: ", "value_range ").replace("range:", "value_range")):
        as_uint8([picture, Image.fromarray(np.zeros((4, 4), np.float32))], (0, 1))


def test_a_class_has_one_name_in_all_splits(tmp_path):
    """Of the held-out split a class was called otherwise, and had another number."""
    places = ("apartment/outdoor", "building/outdoor", "kitchen")
    names_ = [f"{split}/{place}/{i}.png" for split in ("train", "test") for place in places for i in range(4)]
    folder = pictures(tmp_path / "a", *(name for name in names_ if not name.startswith("test/building")))
    assert dataset_of(folder, "places").contents[1].endswith("8 different files: apartment/outdoor 4, kitchen 4")


def test_a_split_that_was_never_there_is_not_asked_back(tmp_path):
    pictures(tmp_path / "cifar10", *(f"{which}/{name}" for which in "abcdefghij" for name in SIX))
    with pytest.raises(DataError, match=r"cifar10 has no folder test with images; put training images into a folder"):
        read_split(DATASETS["cifar10"], tmp_path, "test")
    assert len(read_split(DATASETS["cifar10"], tmp_path, "train")[0]) == 60


@pytest.mark.parametrize("name", ["Annotations/cat/1.mat", "features/1.npy", "videos/1.mp4", "notes/about.txt"])
def test_what_people_keep_beside_images_is_no_missing_class(tmp_path, name):
    folder = pictures(tmp_path / "a", *(f"photos/{each}" for each in SIX))
    (folder / name).parent.mkdir(parents=True)
    (folder / name).write_bytes(b"BMW and Audi cars")
    assert len(listed(folder).names) == 6
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for path in folder.rglob("*.*"):
            archive.write(path, path.relative_to(folder))
    assert len(listed(tmp_path / "a.zip").names) == 6


def test_things_called_after_masks_are_images(tmp_path):
    names = ["face.png", "facemask.png", "gas.png", "gasmask.png", "golf.png", "golf gt.png"]
    assert len(listed(pictures(tmp_path / "a", *names)).names) == 6


def test_nearly_black_images_are_said_with_the_remedy(tmp_path):
    """Of 12 bits in files of 16, no value was above 16 of 255."""
    folder, draw = tmp_path / "a", np.random.default_rng(0)
    folder.mkdir()
    for name in SIX:
        Image.fromarray(draw.integers(0, 4096, (8, 8)).astype(np.uint16)).save(folder / name)
    dataset = dataset_of(folder, "dark")
    assert dataset.contents[1].startswith("train: no value is above 16 of 255, so the images are nearly black;")
    assert dataset.contents[1].endswith("or write range: [0, 4095] where a suite names them")
    assert len(dataset_of(folder, "bright", range=(0, 4095)).contents) == 1
    for name in SIX:
        Image.fromarray(draw.integers(0, 128, (8, 8)).astype(np.uint16)).save(folder / name)
    with pytest.raises(DataError, match="only 1 distinct train image in .*; scores need 4"):
        dataset_of(folder, "darker")


def test_wholly_transparent_images_are_said(tmp_path):
    folder = pictures(tmp_path / "a", *SIX)
    for i in range(2):
        Image.new("RGBA", (8, 8), (i, 9, 9, 0)).save(folder / f"clear{i}.png")
    said = "train: 2 images are white all over; what is transparent is laid over white"
    assert said in dataset_of(folder, "clear").contents
    for name in SIX:
        Image.new("RGBA", (8, 8), (9, 9, int(name[0]), 0)).save(folder / name)
    with pytest.raises(DataError, match="only 1 distinct train image in .*; scores need 4"):
        dataset_of(folder, "clearer")


def test_held_out_images_that_are_trained_on_are_said(tmp_path):
    top = tmp_path / "top"
    pictures(top / "train", *SIX)
    (top / "test").symlink_to("train")
    assert "test: 6 of 6 are training images, too; scores against them say little" in "".join(
        dataset_of(top, "linked").contents
    )
    (top / "test").unlink()
    pictures(top / "test", *SIX, seed=9)
    assert not any("training images" in line for line in dataset_of(top, "apart").contents)
    (top / "test" / "0.png").write_bytes((top / "train" / "1.png").read_bytes())
    (said,) = (line for line in dataset_of(top, "shared").contents if "training images" in line)
    assert said.startswith("test: 1 of 6 are training images, too")


def test_held_out_images_that_are_training_images_saved_again_are_said(tmp_path):
    """Their files have other bytes: of another format, or compressed otherwise."""
    top = tmp_path / "top"
    pictures(top / "train", *SIX)
    pictures(top / "test", *SIX, seed=9)
    Image.open(top / "train" / "1.png").save(top / "test" / "1.bmp")
    for again in ("2.png", "3.png"):
        Image.open(top / "train" / "2.png").save(top / "test" / again, compress_level=0)
    (said,) = (line for line in dataset_of(top, "saved again").contents if "training images" in line)
    assert said.startswith("test: 3 of 7 are training images, too")


def test_names_of_folders_expand_the_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    pictures(tmp_path / "pics", *SIX)
    for number, path in enumerate(("~/pics", Path("~/pics"), os.fsencode(tmp_path / "pics"))):
        assert dataset_of(path, f"home{number}").counts == {"train": 6}


def test_a_path_from_the_root_keeps_links_and_has_no_steps_back(tmp_path, monkeypatch):
    """Nodes need not have the folder that a driver works in, and may have links of the same names to other places."""
    for name in ("shared/here", "home/me", "elsewhere"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "link").symlink_to("shared")
    (tmp_path / "deep").symlink_to("home/me")
    monkeypatch.chdir(tmp_path / "home")
    assert from_root(Path("../link/here")) == tmp_path / "link" / "here"
    assert from_root(Path("../link/new")) == tmp_path / "link" / "new"
    for name in ("", "new", "me/new"):  # also where nothing stands beside the link, and where nothing is yet
        assert from_root(Path("../deep/..", name)) == tmp_path / "home" / name, "and not where the link stands"
    assert from_root(Path("/../a")) == Path("/a")


def test_a_folder_called_as_the_home_is_one_where_it_is_named_so(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)
    pictures(tmp_path / "pics", *SIX)
    pictures(tmp_path / "~" / "pics", *SIX, "6.png", "7.png")
    pictures(tmp_path / "~nobody", *SIX, "6.png")
    for number, path in enumerate(("./~/pics", ".//~/pics", tmp_path / "~" / "pics")):
        assert dataset_of(path, f"here{number}").counts == {"train": 8}
    for name, count in (("./~/pics", 8), ("~/pics", 6), ("./~nobody", 7)):
        entry = f"datasets: {{own: {{path: {name}, size: 32, channels: 3}}}}"
        Path("s.yaml").write_text(f"suite: s\nversion: 1\n{entry}\ntrials: [{{recipe: digits-mlp}}]\n")
        (folder,) = named_files(Path("s.yaml"))[1]
        assert prepare_folder(folder)["train"].images.shape[0] == count
    said = gan_bench("try", "./~/pics", "--look", "--out", "./~/s.yaml")
    assert "training: 8 images" in said.stdout, said.stdout + said.stderr
    assert (tmp_path / "~" / "s.yaml").is_file()
    again = gan_bench("try", "./~/pics", "--look", "--out", "./~/s.yaml")
    assert "is used as it is" in again.stdout, again.stdout + again.stderr


def test_an_encrypted_archive_is_not_skipped_image_by_image(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_BZIP2) as archive:
        for name in SIX:
            archive.writestr(name, b"x" * 100)
    with pytest.raises(DataError, match="in an unusual way; compress it again with deflate$"):
        dataset_of(tmp_path / "a.zip", "odd", unreadable="skip")


def test_what_lies_outside_by_rounding_is_scaled():
    """ "got float32 from -1 to 1" was said of images in [-1, 1]."""
    assert as_uint8(np.array([[[[-1.0, 1.0000001], [0.0, 1.0005]]]] * 2, np.float32))[0, 0, 1].tolist() == [128, 255]
    with pytest.raises(UserError, match="from -1 to 1.01; name what is black and white"):
        as_uint8(np.array([[[[-1.0, 1.01]] * 2]] * 2, np.float32))


def test_floats_are_scaled_in_pieces_as_they_are_at_once():
    images = np.random.default_rng(0).uniform(-1, 1, (600, 1, 4, 4))
    expected = ((images + 1) / 2 * 255).round().clip(0, 255).astype(np.uint8)
    assert (as_uint8(images).numpy() == expected).all()


def test_a_dataset_without_an_end_is_read_to_its_length():
    """Its items go on after it: the call filled memory."""

    class Endless:
        def __len__(self):
            return 6

        def __getitem__(self, i):
            return PIXELS[i % 4]

    assert as_uint8(Endless()).shape == (6, *PIXELS.shape[1:])


def test_batches_are_joined():
    """The last is often shorter: "images must have one size" was said of it."""
    assert (as_uint8([PIXELS[:3], torch.from_numpy(PIXELS[3:])]).numpy() == PIXELS).all()


def test_wide_greys_made_in_memory_ask_for_their_range_as_arrays_do():
    """Of 0 to 239 in 16 bits they were black."""
    pictures_ = [Image.fromarray(image[0].astype(np.uint16)) for image in PIXELS]
    with pytest.raises(UserError, match="whole numbers of no known range; name what is black and white"):
        as_uint8(pictures_)
    assert (as_uint8(pictures_, (0, 255)).numpy() == PIXELS[:, :1]).all()


def test_an_infinite_range_is_refused():
    with pytest.raises(UserError, match="value_range is two numbers"):
        as_uint8(PIXELS, (-1, float("inf")))


def test_the_remedies_for_lists_of_images_can_be_followed():
    """The first image of each batch alone was kept, and an index of arrays does not fit a list."""
    batches = [PICTURES[:4], PICTURES[4:]]
    wanted = torch.from_numpy(PIXELS)
    assert torch.equal(as_uint8([image for batch in batches for image in batch]), wanted)
    mixed = [PIXELS[0], PIXELS[1][:1], torch.from_numpy(PIXELS[2])]
    found = as_uint8([torch.as_tensor(each[[0, 0, 0]]) if len(each) == 1 else each for each in mixed])
    assert torch.equal(found, torch.stack([wanted[0], wanted[1][[0, 0, 0]], wanted[2]]))
    assert torch.equal(as_uint8([each[None] for each in list(PIXELS[:, 0])]), wanted[:, :1])
