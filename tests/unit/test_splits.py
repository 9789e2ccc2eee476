"""How folders are read as splits and classes, and what is doubted of them, by names alone."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gan_bench.core.errors import DataError
from gan_bench.data.splits import layout_of


def names(*folders, each=4):
    """Return images in folders; a dot are images beside all folders."""
    return [f"{folder}/{i}.png".removeprefix("./") for folder in folders for i in range(each)]


def cross(tops, folders):
    return ", ".join(f"{top}/{folder}" for top in tops.split(", ") for folder in folders.split(", "))


VOC = (
    "aeroplane, bicycle, bird, boat, bottle, bus, car, cat, chair, cow, "
    "diningtable, dog, horse, motorbike, person, pottedplant, sheep, sofa, train, tvmonitor"
)
DOUBT = "held-out images may be among them: those in "
LAYOUTS = {
    # splits: a folder for training, and all others held out
    "train, test": "split: train | test",
    "train, TESTING": "split: train | TESTING",
    "train, Test-Set": "split: train | Test-Set",
    "train, tst": "split: train | tst",
    "train, val": "split: train | val",
    "train, valid": "split: train | valid",
    "train, Validation": "split: train | Validation",
    "train, devset": "split: train | devset",
    "train, eval_set": "split: train | eval_set",
    "train, Evaluate": "split: train | Evaluate",
    "train, hold-out": "split: train | hold-out",
    "train, Held-Out-Set": "split: train | Held-Out-Set",
    "train, development": "split: train | development",
    "train, query": "split: train | query",
    "train, gallery": "split: train | gallery",
    "train, unseen": "split: train | unseen",
    "TRAIN, test": "split: TRAIN | test",
    "Training Set, test": "split: Training Set | test",
    "trainval, test": "split: trainval | test",
    "tr, te": "split: tr | te",
    "imagesTr, imagesTs": "split: imagesTr | imagesTs",
    "train, val, test": "split: train | test",
    "data/train, data/test": "split: data/train | data/test",
    "a/b/train/cat, a/b/train/dog, a/b/test/cat": "split: a/b/train | a/b/test",
    "leftImg8bit/train/x, leftImg8bit/val/y, leftImg8bit/test/z": "split: leftImg8bit/train | leftImg8bit/test",
    cross("chest_xray/train, chest_xray/val", "NORMAL, PNEUMONIA"): "split: chest_xray/train | chest_xray/val",
    cross("train, val", "bus, car, train"): "split: train | val",
    "train/blood, train/blood_test, test/blood, test/blood_test": "split: train | test",
    "train/blood, train/blood_test, test/blood": "split: train | test; say: train/blood_test",
    cross("train, test", "train, test_tube, bus"): "split: train | test",
    "train/cats, train/test, test": "split: train | test; say: train/test",
    "train, train/val, test": "split: train | test; say: train/val",
    # names that speak of both are asked for
    "train, test, cat": "ask: holds train and test",
    "train, val, .": "ask: holds train and val",
    "train, Training, test": "ask: holds Training and test",
    "train, test_faces": "ask: holds train and test_faces",
    "train, test-clean, test-other": "ask: holds train and test-clean",
    "train, trainannot, val, valannot": "ask: holds train and val",
    "train_cats, test_dogs": "ask: holds train_cats and test_dogs",
    "bullet train, test tube, cat": "ask: holds bullet train and test tube",
    "train2017, val2017, test2017": "ask: holds train2017 and test2017",
    "train (1), test (1), cat": "ask: holds train (1) and test (1)",
    "traindata, testdata, cat": "ask: holds traindata and testdata",
    "TRAINA, TESTA, cat": "ask: holds TRAINA and TESTA",
    "trainA, trainB, testA, testB": "ask: holds trainA and testA",
    "trainHR, trainLR, testHR, testLR": "ask: holds trainHR and testHR",
    "train_cats, hold_out, cat": "ask: holds train_cats and hold_out",
    "imagesTr, imagesTs, labelsTr": "ask: holds imagesTr and imagesTs",
    "bounding_box_train, query": "ask: holds bounding_box_train and query",
    "FER2013Train, FER2013Valid, FER2013Test": "ask: holds FER2013Train and FER2013Test",
    "DIV2K_train_HR, DIV2K_valid_HR": "ask: holds DIV2K_train_HR and DIV2K_valid_HR",
    "GTSRB/Final_Training/Images, GTSRB/Final_Test/Images": "ask: GTSRB holds Final_Training and Final_Test",
    "cat/train, cat/test, dog/train, dog/test": "ask: cat holds train and test",
    "data/train, data/test, extra": "ask: data holds train and test",
    "images/train, images/val, masks/train, masks/val": "ask: images holds train and val",
    "train/imagesTr, train/imagesTs, test": "ask: train holds imagesTr and imagesTs",
    "train/a, train/train, train/val, test/a": "ask: train holds train and val",
    "hi, tr, te": "ask: holds tr and te",
    "train/images/train, train/images/val": "ask: train/images holds train and val",
    # so are several that are held out
    "train, val, dev": "ask: holds dev and val",
    "train, query, gallery": "ask: holds gallery and query",
    # and train beside one folder, where it is hardly a class
    "train/cat, train/dog, prueba/cat, prueba/dog": "ask: holds train and prueba",
    "train/cat, train/dog, 测试集/cat, 测试集/dog": "ask: holds train and 测试集",
    "data/train, data/extra": "ask: data holds train and extra",
    "., train": "ask: holds train and images",
    # a name that speaks of held-out images is said
    "cat, dog, test": "say: test",
    "test/cat, test/dog": "say: test",
    "images, test": "say: test",
    "., test": "say: test",
    "A/x, A/y, test/x, test/y": "say: test",
    "faces, faces_test": "say: faces_test",
    "data/faces, data/faces_test": "say: data/faces_test",
    "our485/low, our485/high, eval15/low, eval15/high": "say: eval15",
    "cat, dog, cat_test, dog_test": "say: cat_test, dog_test",
    "a_val, b_val, c_val, d_val, e": "say: a_val, b_val, c_val and 1 more",
    "photos, gallery": "say: gallery",
    "train/a, train/b, train/test": "say: train/test",
    # classes
    ".": "classes",
    "cat": "classes",
    "boat, bus, car, train": "classes",
    VOC: "classes",
    cross(VOC, "front, rear"): "classes",
    f"., {VOC}": "classes",
    "x/train, y/train": "classes",
    "vehicle/bus, vehicle/train, animal/cat, animal/dog": "classes",
    "outstanding, nightstand": "classes",
    "strain, detest": "classes",
    "trainer, contest, pencil, latest, devil": "classes",
    "bullet_train, pencil": "classes",
    "art_gallery, train_interior, railroad_track": "classes",
    "trainA, trainB": "classes",
    "train2014, train2017": "classes",
    "train2017, unlabeled2017": "classes",
    cross("train_1, train_2", "cat, dog"): "classes",
    cross("images, masks", "a, b"): "classes",
    "2019/cat, 2019/dog, 2020/cat, 2020/dog": "classes",
}


def outcome_of(found):
    """Return how images are split, what is asked, or of which folders something is said."""
    try:
        layout = layout_of(found, "source")
    except DataError as error:
        return f"ask: {re.split(': these may|, and it cannot', str(error))[0].removeprefix('source').lstrip('/ ')}"
    split = " | ".join(each.removesuffix("/") for each in layout.folders.values()) if "test" in layout.folders else ""
    said = [each.removeprefix(DOUBT).partition(" are trained on")[0] for each in layout.doubts]
    return "; ".join([f"split: {split}"] * bool(split) + [f"say: {each}" for each in said]) or "classes"


@pytest.mark.parametrize("folders", LAYOUTS)
def test_what_is_split_asked_and_said(folders):
    assert outcome_of(names(*folders.split(", "))) == LAYOUTS[folders]


@pytest.mark.parametrize(
    ("folders", "sentence"),
    [
        (
            ["a/faces_train", "a/faces_test"],
            "source/a holds faces_train and faces_test: these may be splits or classes; put splits alone into one "
            "folder as train and test, with their classes below, or rename both",
        ),
        (
            ["train", "val", "dev"],
            "source holds dev and val, and it cannot be told which is held out; keep one of them",
        ),
    ],
)
def test_a_question_names_the_folders_and_the_remedy(folders, sentence):
    with pytest.raises(DataError, match=f"^{re.escape(sentence)}$"):
        layout_of(names(*folders), "source")


def test_a_doubt_names_the_folders_and_the_remedy():
    assert layout_of(names("cat", "dog", "test"), "source").doubts == (
        "held-out images may be among them: those in test are trained on; put splits alone into one folder as train "
        "and test, if they are held out",
    )


def test_a_second_held_out_folder_is_said_to_be_left_out():
    listed = names("train", "test", "val", "val/a", "val/a/b")
    layout = layout_of(listed, "source")
    assert (layout.names(listed, "train"), layout.names(listed, "test")) == (listed[:4], listed[4:8])
    assert layout.left_out == {"images of val, as test is held out": 12}


@given(st.lists(st.lists(st.sampled_from(["train", "test", "val", "cat", "dog", "x"]), max_size=3), max_size=12))
def test_no_image_is_in_two_splits_and_each_is_somewhere_or_said(paths):
    listed = [f"{'/'.join([*path, str(i)])}.png" for i, path in enumerate(paths)]
    try:
        layout = layout_of(listed, "source")
    except DataError:
        return
    split = [layout.names(listed, each) for each in ("train", "test")]
    assert not set(split[0]) & set(split[1])
    assert len(split[0]) + len(split[1]) + sum(layout.left_out.values()) == len(listed)
    for name in (*split[0], *split[1]):
        assert layout.class_of(name) in name


@pytest.mark.parametrize(
    ("folders", "classes"),
    [
        ("a, b", ["a", "b"]),
        ("data/a, data/b", ["a", "b"]),
        ("p/a, q/a", ["p/a", "q/a"]),
        (".", [""]),
        ("images", [""]),
        ("., a", ["", "a"]),
        ("train/a, train/b", ["a", "b"]),
        ("train/a, test/a", ["a", "a"]),
        ("data/train/a/x, data/train/b, data/test/b", ["a/x", "b", "b"]),
    ],
)
def test_classes_are_the_folders_that_images_lie_in(folders, classes):
    listed = names(*folders.split(", "), each=1)
    assert list(map(layout_of(listed, "source").class_of, listed)) == classes
