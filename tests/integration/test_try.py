"""``try`` on six folders: what it finds, the suite it proposes, and a first answer."""

from __future__ import annotations

import io
import re
import zipfile

import numpy as np
import pytest
from PIL import Image
from support.commands import gan_bench
from support.needs import slow

from gan_bench.cli.try_folder import name_for
from gan_bench.config.cuts import PlanOptions
from gan_bench.config.image_folder import ImageFolder, Transform
from gan_bench.config.suite import make_plan
from gan_bench.data import own_images
from gan_bench.data.own_images import count_near, prepare_folder, register_folder


def photo(seed, side=48, *, grey=False):
    """A smooth picture of its own with some noise, as photographs have it."""
    source = np.random.default_rng(seed)
    y, x = np.mgrid[0:side, 0:side] / side
    waves = [
        127 + 90 * np.sin(source.uniform(2, 9) * x + source.uniform(2, 9) * y + source.uniform(0, 6)) for _ in "rgb"
    ]
    values = (np.stack(waves, -1) + source.normal(0, 6, (side, side, 3))).clip(0, 255).astype(np.uint8)
    return Image.fromarray(values[..., 0] if grey else values)


def photos(top):
    """Two classes in two splits; five held-out images are training images at another size and quality."""
    for split, seeds in (("train", range(40)), ("Validation", [*range(5), *range(100, 107)])):
        for i in seeds:
            path = top / split / "ab"[i % 2] / f"{i}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            made = photo(i) if split == "train" else photo(i).resize((64, 64))
            made.save(path, quality=90 if split == "train" else 55)


def scans(top):
    top.mkdir()
    for i in range(20):
        photo(i, 40, grey=True).save(top / f"{i}.png")
    (top / "broken.png").write_bytes(b"nothing")
    (top / "half.png").write_bytes((top / "1.png").read_bytes()[:200])
    (top / "notes.txt").write_text("a text")


def tiles(top):
    with zipfile.ZipFile(top.with_suffix(".zip"), "w") as archive:
        for i in range(12):
            data = io.BytesIO()
            photo(i, 32).save(data, "PNG")
            archive.writestr(f"c{i % 3}\\{i}.png", data.getvalue())


def mixed(top):
    top.mkdir()
    for i in range(30):
        photo(i % 25, 40 + i % 25).save(top / f"{i}.webp", lossless=True)


def wide(top):
    top.mkdir()
    for i in range(16):
        values = np.random.default_rng(i).random((30, 30)) * 60_000
        Image.fromarray(values.astype(np.uint16)).save(top / f"{i}.png")


def one_of_few_in_colour(top):
    top.mkdir()
    for i in range(60):
        photo(i, 30, grey=i > 0).convert("RGB").save(top / f"{i}.jpg", quality=40)


FOLDERS = {
    "photos": (photos, "cats-dcgan", 40, "held out: 12 images of 12 different files: a 7, b 5"),
    "scans": (scans, "mnist-dcgan", 20, "training: 2 left out: images that cannot be read or decoded"),
    "tiles.zip": (tiles, "cats-dcgan", 12, "training: 12 images of 12 different files: c0 4, c1 4, c2 4"),
    "mixed": (mixed, "cats-dcgan", 30, "copies: 5 have the very pixels of another"),
    "cats": (wide, "mnist-dcgan", 16, "1, as 0 of 16 have colour"),
    "mostly-grey": (one_of_few_in_colour, "mnist-dcgan", 60, "1, as 1 of 60 have colour"),
}


@pytest.mark.parametrize("name", [*slow("photos", "tiles.zip"), *list(FOLDERS)[3:], "scans"])
def test_a_folder_is_looked_at_and_a_suite_proposed_that_trains(name, tmp_path, monkeypatch):
    make, recipe, count, said = FOLDERS[name]
    make(tmp_path / name.partition(".")[0])
    before = sorted(path for path in tmp_path.rglob("*"))
    done = gan_bench("try", tmp_path / name, "--look", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert said in done.stdout
    (suite,) = tmp_path.glob("*.yaml")
    assert sorted(path for path in tmp_path.rglob("*") if path != suite) == before, "nothing else is written"
    plan = make_plan(suite, PlanOptions(profile="quick"))
    assert {trial.config.recipe for trial in plan.trials} == {recipe}
    assert len(plan.trials) == 2
    (folder,) = plan.folders
    assert register_folder(folder, anew=True).counts["train"] == count
    words = ("--profile", "quick", "--epochs", "1", "--samples", "8", "--train-limit", "8", "--executor", "inline")
    ran = gan_bench("run", suite, *words, "--results", tmp_path / "r", "--no-tracking")
    assert ran.returncode == 0, ran.stderr + ran.stdout


def test_held_out_images_that_are_trained_on_are_counted_at_another_size_and_quality(tmp_path):
    photos(tmp_path / "photos")
    transform = Transform(size=64, channels=3)
    found = prepare_folder(ImageFolder(name="photos", path=tmp_path / "photos", transform=transform))
    assert count_near(found["test"].images, found["train"].images) == (5, 12)


def test_different_images_of_one_kind_are_no_copies(real_data):
    """Handwritten ones are as near as different pictures come."""
    from gan_bench.data.datasets import DATASETS, read_split

    def ones(split, count):
        images, labels = read_split(DATASETS["mnist"], real_data.path, split)
        return images[labels == 1][:count].expand(-1, 3, -1, -1).numpy()

    training = ones("train", 2000)
    assert count_near(ones("test", 200), training)[0] <= 6
    assert count_near(training[:50], training) == (50, 50), "those that are there are found"


def test_near_images_are_looked_for_among_all(monkeypatch):
    """Of more than 5,000 the others were compared with none, and nothing was said."""
    draw = np.random.default_rng(0)
    training = draw.integers(0, 256, (7_000, 3, 8, 8), dtype=np.uint8)
    held_out = draw.integers(0, 256, (6_000, 3, 8, 8), dtype=np.uint8)
    held_out[-20:] = training[-20:]
    held_out[0] = training[3] = 7
    assert count_near(held_out, training) == (21, 6_000)
    monkeypatch.setattr(own_images, "PAIRS", 2_000 * 7_000)
    assert count_near(held_out, training) == (1, 2_000)


def test_a_first_answer_and_an_edited_suite_is_kept(tmp_path):
    scans(tmp_path / "scans")
    suite = tmp_path / "scans.yaml"
    gan_bench("try", tmp_path / "scans", "--look", cwd=tmp_path)
    suite.write_text(
        suite.read_text()
        .replace("seeds: [0]", "seeds: [3]")
        .replace("epochs: 400, train_limit", "epochs: 1, train_limit")
    )
    done = gan_bench("try", tmp_path / "scans", "--no-tracking", "--no-open", "--results", tmp_path / "r", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "is used as it is" in done.stdout
    assert "would be proposed" not in done.stdout
    own = {*gan_bench("try", "--help").stdout.replace(",", " ").split()}
    for option in re.findall("--[a-z-]+", re.sub("`.*?`", "", done.stdout)):
        assert option in own or f"a run with {option}" in done.stdout, "what is no option of this command"
    assert "scans train: " not in done.stdout, "what the look says, the run does not say again"
    assert done.stdout.count("files of other kinds") == 1
    assert "Best score: " in done.stdout
    assert done.stdout.count("`gan-bench run ") == 1, "one next step"
    assert re.search(rf"`gan-bench report {tmp_path / 'r'} --tables all` adds up to \d+ columns\.", done.stdout)
    assert (tmp_path / "r" / "report" / "report.html").is_file()
    assert {path.name.partition("seed=")[2][:1] for path in (tmp_path / "r" / "scans").glob("mnist-dcgan*")} == {"3"}


def results(suite, images=None):
    """Images of a suite's trials, of which there are enough to train on."""
    for i in range(9):
        path = (images or suite / "trial" / "samples") / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        photo(i).save(path)
    (suite / "plan.json").write_text("{}")
    (suite / "suite.yaml").write_text("{}")


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda top: None, "does not exist"),
        (lambda top: top.mkdir(), "holds no images"),
        (lambda top: (top.mkdir(), [photo(0).save(top / f"{i}.png") for i in range(9)]), "1 distinct train image"),
        (lambda top: (top.mkdir(), (top / "a.png").write_bytes(b"x")), "none of the 1 images of"),
        (results, "results of gan_bench, whose images are sample grids; name a folder of"),
        (lambda top: results(top.parent, top / "samples"), "results of gan_bench"),
    ],
)
def test_folders_that_cannot_be_trained_on(make, said, tmp_path):
    make(tmp_path / "images")
    done = gan_bench("try", tmp_path / "images", cwd=tmp_path)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "images.yaml").exists()


def several(top, *files, seed=0):
    """Pictures of their own, from those of one seed on."""
    for i, file in enumerate(files):
        (top / file).parent.mkdir(parents=True, exist_ok=True)
        photo(seed + i).save(top / file)


def numbered(pattern, count=8):
    return [pattern.format(i) for i in range(count)]


def nested_copies(top):
    several(top, *numbered("cats/{}.png"), *numbered("dogs/{}.png"))
    several(top, *numbered("cats/cats/{}.png"))


def a_class_without_images(top):
    several(top, *numbered("a/{}.png"))
    (top / "b").mkdir()
    (top / "b" / "1.png").write_bytes(b"\x89PNG broken")


def a_long_line(top):
    several(top, *numbered("{}.png"))
    Image.new("RGB", (20_000, 1), (9, 9, 9)).save(top / "line.png")


def clear(top):
    several(top, *numbered("{}.png"))
    for i in range(4):
        Image.new("RGBA", (48, 48), (i, 9, 9, 0)).save(top / f"clear{i}.png")


def partly_clear(top):
    """Of three kinds; and two with an alpha channel in which all is opaque, and with none."""
    several(top, *numbered("{}.jpg", 4))
    for i, (mode, alpha) in enumerate((("RGBA", 90), ("LA", 90), ("P", 0), ("RGBA", 255), ("L", 255))):
        image = photo(50 + i).convert("RGBA")
        image.putalpha(
            Image.fromarray(np.where(np.arange(48 * 48).reshape(48, 48) < 99, np.uint8(alpha), np.uint8(255)))
        )
        named = {"transparency": 0} if mode == "P" else {}
        image.convert(mode).save(top / f"clear{i}.png", **named)


def copies_held_out(top):
    several(top, *numbered("train/{}.png", 5))
    several(top, *numbered("test/{}.png", 4), seed=20)
    several(top, *numbered("test/again{}.png", 3), seed=20)


AS_IN_A_RUN = {
    nested_copies: (
        "training: 16 images of 16 different files: cats 8, dogs 8",
        "training: 8 left out: nested copies",
    ),
    a_long_line: ("training: 8 images", "1 left out: images that cannot be read or decoded"),
    clear: ("training: 4 images are white all over",),
    partly_clear: ("held out: none, so that",),
    copies_held_out: ("held out: 7 images", "copies: 3 have the very pixels of another"),
}


@pytest.mark.parametrize("make", AS_IN_A_RUN)
def test_what_is_said_of_a_folder_is_what_a_run_finds(make, tmp_path):
    make(tmp_path / "mine")
    done = gan_bench("try", tmp_path / "mine", "--look", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    said = " ".join(done.stdout.split())
    assert all(line in said for line in AS_IN_A_RUN[make]), said
    (folder,) = make_plan(tmp_path / "mine.yaml", PlanOptions()).folders
    dataset = register_folder(folder, anew=True)
    for count in dataset.counts.values():
        assert f": {count} images" in said


@pytest.mark.parametrize(
    ("make", "refused"),
    [
        (a_class_without_images, r"none of the images of b in \S+mine can be decoded; get them again"),
        (
            lambda top: several(top, *numbered("train/{}.png"), "test/1.png", "test/2.png", seed=5),
            r"mine has only 2 distinct test images in \S+mine; scores need 4, so add more",
        ),
    ],
)
def test_a_suite_that_every_run_refuses_is_not_written(make, refused, tmp_path):
    make(tmp_path / "mine")
    done = gan_bench("try", tmp_path / "mine", "--look", cwd=tmp_path)
    assert done.returncode == 2, done.stdout
    assert re.search(refused, " ".join(done.stderr.split())), done.stderr
    assert "suite names" not in done.stderr
    assert not (tmp_path / "mine.yaml").exists()


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("Tiles \u00e4.zip", "tiles"),
        ("cats", "my-cats"),
        ("report", "my-report"),
        ("2024 pictures", "2024-pictures"),
        ("losses", "my-losses"),
        ("\u732b", "images"),
    ],
)
def test_names_of_suites_come_from_folders(name, wanted, tmp_path):
    assert name_for(tmp_path / name) == wanted


@pytest.mark.parametrize("name", ["true", "null", "0123", "1e5", "a: b # c", 'it\'s "x"', "on", "long " * 30])
def test_any_name_of_a_folder_makes_a_suite(name, tmp_path):
    top = tmp_path / name
    top.mkdir()
    for i in range(5):
        photo(i, 28, grey=True).save(top / f"{i}.png")
    done = gan_bench("try", top, "--look", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (suite,) = tmp_path.glob("*.yaml")
    (folder,) = make_plan(suite, PlanOptions()).folders
    assert folder.path.resolve() == top.resolve()


@pytest.mark.parametrize(("kind", "ending"), [(np.uint16, "png"), (np.int32, "tif")])
def test_the_range_that_a_suite_names_is_that_of_a_look(kind, ending, tmp_path):
    """Of 12 bits in files of 16 or 32 it said what to write into a suite, and then looked at them without it."""
    source = np.random.default_rng(0)
    (tmp_path / "mine").mkdir()
    for i in range(8):
        Image.fromarray(source.integers(0, 4096, (28, 28)).astype(kind)).save(tmp_path / "mine" / f"{i}.{ending}")
    first = gan_bench("try", tmp_path / "mine", "--look", cwd=tmp_path)
    assert "write range: [" in " ".join((first.stdout + first.stderr).split())
    suite = tmp_path / "mine.yaml"
    suite.write_text("""
suite: mine
version: 1
datasets: {mine: {path: mine, size: 28, channels: 1, range: [0, 4095]}}
trials: [{recipe: mnist-dcgan, set: {dataset: mine}}]
""")
    again = gan_bench("try", tmp_path / "mine", "--look", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert "is used as it is" in again.stdout
    assert "range" not in again.stdout
    assert "cannot be used" not in again.stdout


def test_a_suite_of_other_images_is_not_trained(tmp_path):
    for parent, grey in (("a", True), ("b", False)):
        for i in range(5):
            path = tmp_path / parent / "pics" / f"{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            photo(i, 28, grey=grey).save(path)
    assert gan_bench("try", tmp_path / "a" / "pics", "--look", cwd=tmp_path).returncode == 0
    done = gan_bench("try", tmp_path / "b" / "pics", "--look", cwd=tmp_path)
    assert done.returncode == 2
    assert "is a suite of " in done.stderr
    assert "not of " in done.stderr
    named = gan_bench("try", tmp_path / "b" / "pics", "--look", "--out", tmp_path / "new" / "b pics.yaml", cwd=tmp_path)
    assert named.returncode == 0, named.stderr
    assert "b pics.yaml'`" in named.stdout
    assert make_plan(tmp_path / "new" / "b pics.yaml", PlanOptions()).suite == "b-pics"
    odd = gan_bench("try", tmp_path / "b" / "pics", "--look", "--out", "digits", cwd=tmp_path)
    assert odd.returncode == 2
    assert "end it in .yaml" in odd.stderr
