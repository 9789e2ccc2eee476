"""How folders are read as splits and classes, and what is doubted of them, by names alone."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gan_bench.core.errors import DataError
from gan_bench.data.doubts import doubts
from gan_bench.data.folder_names import classes_of
from gan_bench.data.splits import layout_of


def names(*folders, each=4):
    return [f"{folder}/{i}.png" for folder in folders for i in range(each)]


def listed(*folders):
    return ", ".join(folders)


def cross(tops, folders):
    return ", ".join(f"{top}/{folder}" for top in tops.split(", ") for folder in folders.split(", "))


VOC = (
    "aeroplane, bicycle, bird, boat, bottle, bus, car, cat, chair, cow, "
    "diningtable, dog, horse, motorbike, person, pottedplant, sheep, sofa, train, tvmonitor"
)
DOUBT = "held-out images may be among them: "
LAYOUTS = {
    # splits: a folder for training, and all others held out
    "train, test": "split: train | test",
    "train, Test": "split: train | Test",
    "train, TESTING": "split: train | TESTING",
    "train, tests": "split: train | tests",
    "train, Test-Set": "split: train | Test-Set",
    "train, tst": "split: train | tst",
    "train, val": "split: train | val",
    "train, valid": "split: train | valid",
    "train, Validation": "split: train | Validation",
    "train, validations": "split: train | validations",
    "train, vali": "split: train | vali",
    "train, valset": "split: train | valset",
    "train, dev": "split: train | dev",
    "train, devset": "split: train | devset",
    "train, evaluation": "split: train | evaluation",
    "train, Evaluate": "split: train | Evaluate",
    "train, evaluating": "split: train | evaluating",
    "train, evaluations": "split: train | evaluations",
    "train, eval_set": "split: train | eval_set",
    "train, hold-out": "split: train | hold-out",
    "train, hold_out_set": "split: train | hold_out_set",
    "train, Held-Out-Set": "split: train | Held-Out-Set",
    "train, development": "split: train | development",
    "train, query": "split: train | query",
    "train, gallery": "split: train | gallery",
    "train, unseen": "split: train | unseen",
    "TRAIN, test": "split: TRAIN | test",
    "Training Set, test": "split: Training Set | test",
    "trn, test": "split: trn | test",
    "trainval, test": "split: trainval | test",
    "train_val, test": "split: train_val | test",
    "data/train, data/test": "split: data/train | data/test",
    "a/b/train/cat, a/b/train/dog, a/b/test/cat": "split: a/b/train | a/b/test",
    "train, val, test": "split: train | test",
    "train/blood, train/blood_test, test/blood, test/blood_test": "split: train | test",
    "train/cat/train, train/cat/val, test/cat/train, test/cat/val": "split: train | test",
    "train/2019/a, train/2019/b, train/2020/a, train/2020/b, test/2019/a, test/2020/b": "split: train | test",
    "train/cats, train/test, test": "split: train | test; say: those in train/test",
    "train/a, train/b, train/val, test/a, test/b": "split: train | test; say: those in train/val",
    "train/a, train/a_val, train/b, test/a, test/b": "split: train | test; say: those in train/a_val",
    "train/a, train/b, train/test": "split: train; say: those in train/test",
    "train/tr, train/te, test/tr, test/te": "split: train | test",
    "train/a, train/b, train/val, test/a, test/b, test/val": "split: train | test",
    "train, test, val": "split: train | test",
    cross("celeba_hq/train, celeba_hq/val", "female, male"): "split: celeba_hq/train | celeba_hq/val",
    "leftImg8bit/train/x, leftImg8bit/val/y, leftImg8bit/test/z": "split: leftImg8bit/train | leftImg8bit/test",
    "training/images, training/mask, training/1st_manual, test/images, test/mask": "split: training | test",
    "train/cats, train/dogs, validation/cats, validation/dogs": "split: train | validation",
    cross("train, valid, test", "1, 2, 3"): "split: train | test",
    cross(
        "chest_xray/train, chest_xray/val, chest_xray/test", "NORMAL, PNEUMONIA"
    ): "split: chest_xray/train | chest_xray/test",
    "train/cat, train/dog, train/wild, val/cat, val/dog, val/wild": "split: train | val",
    "train/cat, train/dog, train/wild, test/cat, test/dog, test/wild": "split: train | test",
    "afhq/train/cat, afhq/val/cat": "split: afhq/train | afhq/val",
    "train/n01/images, train/n02/images, val/images, test/images": "split: train | test",
    cross("train, val", "n01440764, n01440795, n01440826"): "split: train | val",
    listed(
        "ILSVRC/Data/CLS-LOC/train/n01440764",
        "ILSVRC/Data/CLS-LOC/train/n01440795",
        "ILSVRC/Data/CLS-LOC/train/n01440826",
        "ILSVRC/Data/CLS-LOC/val",
        "ILSVRC/Data/CLS-LOC/test",
    ): "split: ILSVRC/Data/CLS-LOC/train | ILSVRC/Data/CLS-LOC/test",
    cross(
        "imagenette2/train, imagenette2/val", "n01440764, n01440795, n01440826"
    ): "split: imagenette2/train | imagenette2/val",
    cross("fruits-360/Training, fruits-360/Test", "Apple, Kiwi"): "split: fruits-360/Training | fruits-360/Test",
    cross("training, validation, testing", "images, labels"): "split: training | testing",
    "training/image_2, testing/image_2": "split: training | testing",
    cross("training, testing", "0, 1, 2, 3"): "split: training | testing",
    "train/airplane, train/automobile, test/airplane, test/automobile": "split: train | test",
    cross("cifar10/train, cifar10/test", "airplane, automobile"): "split: cifar10/train | cifar10/test",
    "train/images, train/masks, test/images": "split: train | test",
    listed(
        "Rock-Paper-Scissors/train/paper",
        "Rock-Paper-Scissors/train/rock",
        "Rock-Paper-Scissors/test/paper",
        "Rock-Paper-Scissors/test/rock",
        "Rock-Paper-Scissors/validation",
    ): "split: Rock-Paper-Scissors/train | Rock-Paper-Scissors/test",
    "train/angry, train/happy, test/angry, test/happy": "split: train | test",
    "DATASET/train/1, DATASET/train/2, DATASET/test/1, DATASET/test/2": "split: DATASET/train | DATASET/test",
    "train/images, train/labels, valid/images, test/images": "split: train | test",
    "train, valid, test": "split: train | test",
    "train/a1, train/b1, valid/a1, valid/b1, test/a1, test/b1": "split: train | test",
    "data/train/a1, data/train/b1, data/test/a1, data/test/b1": "split: data/train | data/test",
    "train/1/live, train/1/spoof, test/2/live, test/2/spoof": "split: train | test",
    "train/n000002, train/n000003, test/n000001, test/n000009": "split: train | test",
    "train/Apple, train/Corn, valid/Apple, valid/Corn, test/test": "split: train | test",
    "train, train/train, test": "split: train | test; say: 4 images beside train/train",
    "Training/glioma, Training/pituitary, Testing/glioma, Testing/pituitary": "split: Training | Testing",
    "train, dev, test": "split: train | test",
    "trainset, testset": "split: trainset | testset",
    "train/A, train/B, test/A, test/B": "split: train | test",
    "train/train, train/car, train/test_tube, test": "split: train | test; say: those in train/test_tube",
    # what nearly surely is split in another way is asked for
    "A/x, A/y, A/z, test/x, test/y": "ask: holds A and test",
    "train_cats, val_dogs, masks": "ask: holds train_cats and val_dogs",
    "train_cats, val_dogs, .": "ask: holds train_cats and val_dogs",
    "train/faces, train/faces_test, test": "ask: train holds faces and faces_test",
    "train/train_images, train/val_images, test": "ask: train holds train_images and val_images",
    "train/train2017, train/val2017, test": "ask: train holds train2017 and val2017",
    "train/trainA, train/testA, test": "ask: train holds trainA and testA",
    "train/imagesTr, train/imagesTs, test": "ask: train holds imagesTr and imagesTs",
    "train/images, train/val, test": "ask: train holds images and val",
    "train/a, train/train, train/val, test/a": "ask: train holds train and val",
    "train, train/train, train/val, test": "ask: train holds train and val",
    "train, train/val, test": "ask: train holds 4 images and val",
    "train/faces, train/faces_test": "ask: train holds faces and faces_test",
    "train/train_images, train/val_images": "ask: train holds train_images and val_images",
    "train/train2017, train/val2017": "ask: train holds train2017 and val2017",
    "train/imagesTr, train/imagesTs": "ask: train holds imagesTr and imagesTs",
    "train/images/train, train/images/val, test": "ask: train/images holds train and val",
    "train/images/train, train/images/val": "ask: train/images holds train and val",
    "train/cat/train, train/cat/val, test/cat": "ask: train/cat holds train and val",
    "train/cat/train, train/cat/val, train/dog/train, train/dog/val, test": "ask: train/cat holds train and val",
    "cat, dog, cat_test": "ask: holds cat and cat_test",
    "tube, test tube, cat": "ask: holds tube and test tube",
    "a/cat, a/cat_test, b/dog": "ask: a holds cat and cat_test",
    "a/x, a/y, a_val/x, a_val/y, b/z": "ask: holds a and a_val",
    "train/bus/a, train/bus/b, train/train/a, train/train/b, test/a, test/b": "ask: train holds train and bus",
    "train/cat, train/dog, prueba/cat, prueba/dog": "ask: holds train and prueba",
    "train/cat, train/dog, validación/cat, validación/dog": "ask: holds train and validación",
    "train/cat, train/dog, 测试集/cat, 测试集/dog": "ask: holds train and 测试集",
    "train/cat, train/dog, тест/cat, тест/dog": "ask: holds train and тест",
    "Training/cat, Training/dog, Testdaten/cat, Testdaten/dog": "ask: holds Training and Testdaten",
    "train/cat, train/dog, extra/cat, extra/dog": "ask: holds train and extra",
    "train/images/a, train/images/b, rest/x/a, rest/x/b": "ask: holds train and rest",
    "train/a, train/b, train/c, prueba/a, prueba/b": "ask: holds train and prueba",
    "train_1/a, train_1/b, train_2/c, train_2/d, x/c, x/d": "ask: holds train_1 and x",
    "train/a, train/b, x/a, x/b, y": "ask: holds train and x",
    "images, test": "ask: holds images and test",
    "photos/a, photos/b, holdout": "ask: holds photos and holdout",
    "data/my/imgs_1, data/my/valset": "ask: data/my holds imgs_1 and valset",
    "photos, photos_test": "ask: holds photos and photos_test",
    "images, test_images": "ask: holds images and test_images",
    "images, images-val": "ask: holds images and images-val",
    "data, testA": "ask: holds data and testA",
    "img, img_test": "ask: holds img and img_test",
    "faces, faces_test": "ask: holds faces and faces_test",
    "cells, cells_val": "ask: holds cells and cells_val",
    "bedroom, bedroom-hold_out": "ask: holds bedroom and bedroom-hold_out",
    "rps/paper, rps/rock, rps-test-set/paper, rps-test-set/rock": "ask: holds rps and rps-test-set",
    cross(
        "horse-or-human, validation-horse-or-human", "0, 1"
    ): "ask: holds horse-or-human and validation-horse-or-human",
    "FER/sad, FER/happy, FER_PublicTest/sad, FER_PublicTest/happy": "ask: holds FER and FER_PublicTest",
    "our485/low, our485/high, eval15/low, eval15/high": "ask: holds our485 and eval15",
    "A/x, A/y, test/x, test/y": "ask: holds A and test",
    "celeba/m, celeba/f, celeb_test/m, celeb_test/f": "ask: holds celeba and celeb_test",
    "flowers17/rose, flowers17/tulip, flower_val/rose, flower_val/tulip": "ask: holds flowers17 and flower_val",
    "source/cat, source/dog, target_test/cat, target_test/dog": "ask: holds source and target_test",
    "faces/m, faces/f, people_test/m, people_test/f": "ask: holds faces and people_test",
    "celeba, celeba_validation, celeba_test": "ask: holds celeba and celeba_test",
    "cat, dog, cat_test, dog_test": "ask: holds cat and cat_test",
    "data_large, val_large, test_large": "ask: holds data_large and test_large",
    "faces, faces_test, masks": "ask: holds faces and faces_test",
    "my/faces, my/faces_test": "ask: my holds faces and faces_test",
    "training/train, training/validation, testing": "ask: training holds train and validation",
    "training/train/a, training/validation/a, testing/a": "ask: training holds train and validation",
    "training/train, training/validation": "ask: training holds train and validation",
    "images, masks, test": "ask: holds images and test",
    "images, val, test": "ask: holds images and test",
    "data/images, data/val, masks": "ask: data holds images and val",
    "., test": "ask: holds 4 images and test",
    "data, data/val": "ask: data holds 4 images and val",
    "cat, dog, test/cat, test/dog": "ask: holds cat and test",
    "train, test, cat": "ask: holds train and test",
    "train, val, .": "ask: holds train and val",
    "in/train, in/Training, in/test": "ask: in holds Training and test",
    "train, val, dev": "ask: holds dev and val",
    "train, query, gallery": "ask: holds gallery and query",
    "val, test": "ask: holds test and val",
    "train2017, val2017, cat": "ask: holds train2017 and val2017",
    "train_images, test_images, cat": "ask: holds train_images and test_images",
    "train-64x64, valid-64x64, cat": "ask: holds train-64x64 and valid-64x64",
    "seg_train, seg_test, cat": "ask: holds seg_train and seg_test",
    "train (1), test (1), cat": "ask: holds train (1) and test (1)",
    "traindata, testdata, cat": "ask: holds traindata and testdata",
    "TRAINA, TESTA, cat": "ask: holds TRAINA and TESTA",
    "1_train, 2_test, cat": "ask: holds 1_train and 2_test",
    "train_data, test_images, cat": "ask: holds train_data and test_images",
    "train_images, images_test, cat": "ask: holds train_images and images_test",
    "train_x, val, cat": "ask: holds train_x and val",
    "train_cats, hold_out, cat": "ask: holds train_cats and hold_out",
    "train, test1, cat": "ask: holds train and test1",
    "train, dev_data, cat": "ask: holds train and dev_data",
    "DIV_train_HR, DIV_valid_HR, cat": "ask: holds DIV_train_HR and DIV_valid_HR",
    "train_images, query_images, cat": "ask: holds train_images and query_images",
    "imagesTr, imagesTs, cat": "ask: holds imagesTr and imagesTs",
    "trainA, trainB, testA, testB": "ask: holds trainA and testA",
    "imagesTr, imagesTs, labelsTr": "ask: holds imagesTr and imagesTs",
    "train_hr, valid_lr_bicubic, masks": "ask: holds train_hr and valid_lr_bicubic",
    "tr, te": "ask: holds tr and te",
    "data/train, data/test, .": "ask: data holds train and test",
    "data/train, data/test, extra": "ask: data holds train and test",
    "images/train, images/val, masks/train, masks/val": "ask: images holds train and val",
    cross("images, annotations", "training, validation"): "ask: images holds training and validation",
    "leftImg8bit/train, leftImg8bit/val, gtFine/train, gtFine/val": "ask: leftImg8bit holds train and val",
    cross("leftImg8bit, gtFine", "train/a, val/b, test/c"): "ask: leftImg8bit holds train and test",
    "images/train, images/val, masks/train, masks/val, extra": "ask: images holds train and val",
    "masks/train, masks/val, cat": "ask: masks holds train and val",
    "cat/train, cat/test, dog/train, dog/test": "ask: cat holds train and test",
    "HR/train, HR/test, LR/train, LR/test": "ask: HR holds train and test",
    listed(
        "bullet train",
        "freight train",
        "test tube",
        "steam locomotive",
        "tube",
        "gallery",
        "beaker",
        "photo",
        "label",
        "picture",
    ): "ask: holds bullet train and test tube",
    cross("vehicle/bus, vehicle/train, animal/cat", "front, rear"): "ask: vehicle holds train and bus",
    "imagesTr, labelsTr, imagesTs": "ask: holds imagesTr and imagesTs",
    "imagesTr, labelsTr, imagesTs, labelsTs": "ask: holds imagesTr and imagesTs",
    "Task02/imagesTr, Task02/labelsTr, Task02/imagesTs": "ask: Task02 holds imagesTr and imagesTs",
    listed(
        "horse2zebra/trainA",
        "horse2zebra/trainB",
        "horse2zebra/testA",
        "horse2zebra/testB",
    ): "ask: horse2zebra holds trainA and testA",
    "A/train, A/test, B/train, B/test": "ask: A holds train and test",
    "trainA, testA": "ask: holds trainA and testA",
    listed(
        "bounding_box_train",
        "bounding_box_test",
        "query",
        "gt_bbox",
        "gt_query",
    ): "ask: holds bounding_box_train and bounding_box_test",
    "bounding_box_train, bounding_box_test, query": "ask: holds bounding_box_train and bounding_box_test",
    "bbox_train/0001, bbox_train/0002, bbox_test/0003, bbox_test/0004": "ask: holds bbox_train and bbox_test",
    "bounding_box_train, query": "ask: holds bounding_box_train and query",
    "pytorch/train, pytorch/train_all, pytorch/val, pytorch/gallery, pytorch/query": "ask: pytorch holds train and val",
    cross("leftImg8bit, gtFine", "train/x, val/y, test/z"): "ask: leftImg8bit holds train and test",
    cross("leftImg8bit, gtCoarse", "train/x, train_extra/q, val/y"): "ask: leftImg8bit holds train and val",
    "train2017, val2017, test2017": "ask: holds train2017 and test2017",
    "coco/train2014, coco/val2014, coco/annotations": "ask: coco holds train2014 and val2014",
    "images/train2017, images/val2017, labels/train2017, labels/val2017": "ask: images holds train2017 and val2017",
    "train2017, val2017": "ask: holds train2017 and val2017",
    "train, test1": "ask: holds train and test1",
    "dogs-vs-cats/train/train, dogs-vs-cats/test1/test1": "ask: dogs-vs-cats holds train and test1",
    cross(
        "chest_xray/train, chest_xray/test, chest_xray/chest_xray/train, chest_xray/chest_xray/test",
        "NORMAL, PNEUMONIA",
    ): "ask: chest_xray holds train and test",
    "bedroom_train, bedroom_val": "ask: holds bedroom_train and bedroom_val",
    "bedroom_train, bedroom_val, church_outdoor_train, church_outdoor_val": "ask: holds bedroom_train and bedroom_val",
    "bedroom_train_lmdb, bedroom_val_lmdb": "ask: holds bedroom_train_lmdb and bedroom_val_lmdb",
    listed(
        "seg_train/seg_train/forest",
        "seg_train/seg_train/sea",
        "seg_test/seg_test/forest",
        "seg_test/seg_test/sea",
        "seg_pred/seg_pred",
    ): "ask: holds seg_train and seg_test",
    "seg_train/forest, seg_train/sea, seg_test/forest, seg_test/sea": "ask: holds seg_train and seg_test",
    cross("train.X1, train.X2, val.X", "n01440764, n01440795, n01440826"): "ask: holds train.X1 and val.X",
    "Train/0, Train/1, Test, Meta": "ask: holds Train and Test",
    listed(
        "GTSRB/Final_Training/Images/0",
        "GTSRB/Final_Training/Images/1",
        "GTSRB/Final_Test/Images",
    ): "ask: GTSRB holds Final_Training and Final_Test",
    listed(
        "asl_alphabet_train/asl_alphabet_train/A",
        "asl_alphabet_train/asl_alphabet_train/B",
        "asl_alphabet_test/asl_alphabet_test",
    ): "ask: holds asl_alphabet_train and asl_alphabet_test",
    "Training/Apple, Training/Kiwi, Test/Apple, Test/Kiwi, test-multiple_fruits": "ask: holds Training and Test",
    cross(
        "food11/training, food11/validation, food11/evaluation", "Bread, Egg"
    ): "ask: food11 holds evaluation and validation",
    "DIV2K_train_HR, DIV2K_valid_HR": "ask: holds DIV2K_train_HR and DIV2K_valid_HR",
    listed(
        "DIV2K_train_HR",
        "DIV2K_train_LR_bicubic/X2",
        "DIV2K_valid_HR",
        "DIV2K_valid_LR_bicubic/X2",
    ): "ask: holds DIV2K_train_HR and DIV2K_valid_HR",
    "our485/high, our485/low, eval15/high, eval15/low": "ask: holds our485 and eval15",
    cross("images, ground_truth", "train, test, val"): "ask: images holds train and test",
    "train, trainannot, val, valannot, test, testannot": "ask: holds train and test",
    "train, test, extra": "ask: holds train and test",
    "train_images, test_images, unlabeled_images": "ask: holds train_images and test_images",
    "train_images, test_images": "ask: holds train_images and test_images",
    "train, train_masks, test": "ask: holds train and test",
    "train, train_hq, train_masks, test, test_hq": "ask: holds train and test",
    "stage1_train/ab/images, stage1_train/ab/masks, stage1_test/cd/images": "ask: holds stage1_train and stage1_test",
    listed(
        "ISIC-2017_Training_Data",
        "ISIC-2017_Test_v2_Data",
        "ISIC-2017_Validation_Data",
        "ISIC-2017_Training_Part1_GroundTruth",
    ): "ask: holds ISIC-2017_Training_Data and ISIC-2017_Test_v2_Data",
    cross(
        "horse-or-human, validation-horse-or-human", "horses, humans"
    ): "ask: holds horse-or-human and validation-horse-or-human",
    cross("FER2013Train, FER2013Valid, FER2013Test", "a1, b1"): "ask: holds FER2013Train and FER2013Test",
    "photo/dog, photo/horse, sketch/dog, sketch/horse, test/dog, test/horse": "ask: holds photo and test",
    listed(
        "bottle/train/good",
        "bottle/test/good",
        "bottle/test/broken",
        "bottle/ground_truth/broken",
        "cable/train/good",
        "cable/test/good",
        "cable/ground_truth/bent",
    ): "ask: bottle holds train and test",
    listed(
        "bottle/train/good",
        "bottle/test/good",
        "bottle/test/broken",
        "bottle/ground_truth/broken",
    ): "ask: bottle holds train and test",
    "images/train, images/val, labels/train": "ask: images holds train and val",
    "., train, test": "ask: holds train and test",
    "train, test, samples": "ask: holds train and test",
    "train, test, docs": "ask: holds train and test",
    "data/train, data/test, assets": "ask: data holds train and test",
    listed(
        "vggface2_train/train/n1",
        "vggface2_train/train/n2",
        "vggface2_test/test/n3",
    ): "ask: holds vggface2_train and vggface2_test",
    listed(
        "New Plant Diseases/train/Apple",
        "New Plant Diseases/train/Corn",
        "New Plant Diseases/valid/Apple",
        "New Plant Diseases/valid/Corn",
        "test/test",
    ): "ask: New Plant Diseases holds train and valid",
    "crash_test, bullet_train, airbag": "ask: holds bullet_train and crash_test",
    "train_cats, test_dogs": "ask: holds train_cats and test_dogs",
    "train_cats, train_dogs, test_cats, test_dogs": "ask: holds train_cats and test_cats",
    "cats_train, dogs_train, cats_test, dogs_test": "ask: holds cats_train and cats_test",
    "train, valid, invalid": "ask: holds train and valid",
    "train, Training": "ask: holds Training and train",
    "train, trainval": "ask: holds train and trainval",
    "cat/train, cat/test, dog": "ask: cat holds train and test",
    "cat, dog, val, test": "ask: holds test and val",
    "train/a1, train/b1, prueba/a1, prueba/b1": "ask: holds train and prueba",
    "a/train/x1, a/train/y1, a/extra/x1, a/extra/y1, b": "ask: a holds train and extra",
    "original/a1, original/b1, augmented/a1, augmented/b1, test/a1, test/b1": "ask: holds original and test",
    "images, images_eval": "ask: holds images and images_eval",
    "split1/train, split1/test, split2/train, split2/test": "ask: split1 holds train and test",
    "training_images, testing_images, validation_images": "ask: holds training_images and testing_images",
    "trainHR, trainLR, testHR, testLR": "ask: holds trainHR and testHR",
    "train_old, train_new, test": "ask: holds train_new and test",
    "train_images, train_masks, test_images, test_masks": "ask: holds train_images and test_images",
    "train, train_labels, val, val_labels": "ask: holds train and val",
    "train_img, train_lab, val_img, val_lab": "ask: holds train_img and val_img",
    "DCIM/Camera, DCIM/Camera/test": "ask: DCIM/Camera holds 4 images and test",
    "2019/berlin, 2019/berlin_test, 2020": "ask: 2019 holds berlin and berlin_test",
    "train, test_faces": "ask: holds train and test_faces",
    "trainingSet, trainingSample, testSet": "ask: holds trainingSet and testSet",
    "train_img, train_inst, test_inst": "ask: holds train_inst and test_inst",
    "train_img, train_inst, test_img, test_inst": "ask: holds train_img and test_img",
    "train, val_2, test_1, test": "ask: holds train and test",
    "valid/a, valid/b, invalid/a, invalid/b, other/a, other/b": "ask: holds other and valid",
    # classes one of which may be held out
    "A/x, A/masks, test/x, test/masks, B": "say: those in test",
    "A/images, A/x, test/images, test/x, B": "say: those in test",
    "bullet train, test tube, cat": "say: those in test tube",
    "train_track, dev_board, cat": "say: those in dev_board",
    "valid, invalid": "say: those in valid",
    "a/valid, a/invalid, b/valid, b/not valid": "say: those in a/valid",
    "valid images, invalid images": "say: those in valid images",
    "cat, dog, test": "say: those in test",
    "cat, dog, val": "say: those in val",
    "test/cat, test/dog": "say: those in test",
    "control, test": "say: those in test",
    "dev, prod": "say: those in dev",
    "docs, tests": "say: those in tests",
    "src, tests": "say: those in tests",
    "photos/test, photos/holiday": "say: those in photos/test",
    "in/0, in/val": "say: those in in/val",
    "with_mask, without_mask, test": "say: those in test",
    "A/train, B/test": "say: those in B/test",
    "images_background, images_evaluation": "say: those in images_evaluation",
    "trainers, test, cat": "say: those in test",
    "dev/images, dev/masks, prod/images, prod/masks": "say: those in dev",
    "a, b, asl_alphabet_test": "say: those in asl_alphabet_test",
    "2019/cat, 2019/dog, 2020/cat, 2020/dog": "merged: 2019, 2020",
    "entrenamiento/cat, entrenamiento/dog, prueba/cat, prueba/dog": "merged: entrenamiento, prueba",
    "teste/cat, teste/dog, treino/cat, treino/dog": "merged: teste, treino",
    "Testdaten/cat, Testdaten/dog, Trainingsdaten/cat, Trainingsdaten/dog": "merged: Testdaten, Trainingsdaten",
    "seen/cat, seen/dog, unseen/cat, unseen/dog": "merged: seen, unseen",
    "control/cat, control/dog, prod/cat, prod/dog": "merged: control, prod",
    cross("color, grayscale, segmented", "cat, dog"): "merged: color, grayscale, segmented",
    "beakers/cat, beakers/dog, test_tubes/cat, test_tubes/dog": "say: those in test_tubes",
    "bullet_train/cat, bullet_train/dog, steam_train/cat, steam_train/dog": "merged: bullet_train, steam_train",
    "train_station/cat, train_station/dog, train_track/cat, train_track/dog": "merged: train_station, train_track",
    "train_horse/cat, train_horse/dog, train_zebra/cat, train_zebra/dog": "merged: train_horse, train_zebra",
    "train_hr/cat, train_hr/dog, train_lr/cat, train_lr/dog": "merged: train_hr, train_lr",
    "train_cats/cat, train_cats/dog, train_dogs/cat, train_dogs/dog": "merged: train_cats, train_dogs",
    "train_1/cat, train_1/dog, train_clean/cat, train_clean/dog": "merged: train_1, train_clean",
    "old/cat, old/dog, private/cat, private/dog, public/cat, public/dog": "merged: old, private, public",
    "private/cat, private/dog, public/cat, public/dog, train/cat, train/dog": "merged: private, public, train",
    "2019/x/a, 2019/x/b, 2020/y/a, 2020/y/b": "merged: 2019, 2020",
    "images/a, images/b, photos/a, photos/b, train/a, train/b": "merged: images, photos, train",
    cross("bus, car, train, truck", "front, rear"): "merged: bus, car, train and 1 more",
    listed(
        "bus/front",
        "bus/rear",
        "car/front",
        "car/rear",
        "train/front",
        "train/rear",
        "truck/front",
        "truck/rear",
        "van",
    ): "alike: bus, car, train and 1 more",
    listed(
        "bus/front", "bus/rear", "car/front", "car/rear", "train/front", "train/rear", "truck/front", "truck/rear", "."
    ): "alike: bus, car, train and 1 more",
    "bus/a, bus/b, tram/a, tram/b, train/a, train/b, train/c": "alike: bus, tram",
    "train/cat, train/dog, cat, dog": "merged: cat, dog, train",
    "a/x, a/y, b/x, b/y, c": "alike: a, b",
    "1/a, 1/b, 2/a, 2/b, 3/a, 3/b, .": "alike: 1, 2, 3",
    listed(
        "cat/young/a", "cat/young/b", "cat/old/a", "cat/old/b", "dog/young/c", "dog/young/d", "dog/old/c", "dog/old/d"
    ): "alike: cat, dog",
    "train/a, train/b, seen/a, seen/b, unseen/a, unseen/b": "merged: seen, train, unseen",
    "train/a, train/b, extra/a, extra/b, query/a, query/b": "merged: extra, query, train",
    "train/a, train/b, cat/a, cat/b, gallery/a, gallery/b": "merged: cat, gallery, train",
    "2019/01, 2019/02, 2019/03, 2020/01, 2020/02, 2020/03": "merged: 2019, 2020",
    cross(VOC, "front, rear"): "merged: aeroplane, bicycle, bird and 17 more",
    "vehicle, vehicle/train, animal": "say: 4 images beside vehicle/train",
    "imagesTs, labelsTs": "say: those in imagesTs",
    cross(
        "images_background/Greek, images_background/Latin, images_evaluation/Angelic, images_evaluation/Avesta", "c1"
    ): "say: those in images_evaluation",
    cross("amazon, dslr, webcam", "images/bike, images/mug"): "merged: amazon, dslr, webcam",
    cross("Art, Clipart, Product, Real World", "Alarm_Clock, Bike"): "merged: Art, Clipart, Product and 1 more",
    cross("art_painting, cartoon, photo, sketch", "dog, horse"): "merged: art_painting, cartoon, photo and 1 more",
    cross("clipart, real, quickdraw", "dog, horse"): "merged: clipart, quickdraw, real",
    cross("color, grayscale, segmented", "Apple_scab, Corn_rust"): "merged: color, grayscale, segmented",
    "control, test1, test2": "say: those in test1",
    "variant_a, variant_b, test": "say: those in test",
    "src, tests, docs": "say: those in tests",
    "dev, ops": "say: those in dev",
    "valid, not_valid": "say: those in not_valid",
    "crash_test, airbag": "say: those in crash_test",
    "blood_test, urine_test, xray": "say: those in blood_test",
    "train_cats, test_dogs, bird": "say: those in test_dogs",
    "., train": "say: 4 images beside train",
    "cat/train, cat/images, dog": "say: images beside cat/train",
    "cat, val": "say: those in val",
    "Trainingsdaten/a1, Trainingsdaten/b1, Testdaten/a1, Testdaten/b1": "merged: Testdaten, Trainingsdaten",
    "., cat_test": "say: those in cat_test",
    "original/a1, original/b1, augmented/a1, augmented/b1": "merged: augmented, original",
    "yes, no, brain_tumor_dataset/yes, brain_tumor_dataset/no": "merged: brain_tumor_dataset, no, yes",
    cross(
        "cell_images, cell_images/cell_images", "Parasitized, Uninfected"
    ): "merged: cell_images/Parasitized, cell_images/Uninfected, cell_images/cell_images",
    "seen_images, unseen_images": "say: those in unseen_images",
    "holdout, rest": "say: those in holdout",
    "fold_1, fold_2, test": "say: those in test",
    "train_old, val_new, x": "say: those in val_new",
    "dev_board, resistor, capacitor": "say: those in dev_board",
    "test_tubes, beakers": "say: those in test_tubes",
    "test_tubes, beakers, flasks": "say: those in test_tubes",
    "val_cats, val_dogs": "say: those in val_cats",
    "test_final, a, b": "say: those in test_final",
    "images, test_faces": "say: those in test_faces",
    "cat, dog, test_new": "say: those in test_new",
    "cat, dog, holdout_patients": "say: those in holdout_patients",
    "dev_board, cat_test, cat_dog": "say: those in cat_test",
    "cat, cat/test, dog": "say: those in cat/test",
    "cat/images, cat/test, dog/images, dog/test": "say: those in cat/test",
    "2019, 2019/test, 2020": "say: those in 2019/test",
    "DCIM/Camera, DCIM/Camera/test, DCIM/100CANON": "say: those in DCIM/Camera/test",
    "2019/images, 2019/images_test, 2020": "say: those in 2019/images_test",
    "Train, Test tube, Beaker, Bus": "say: those in Test tube",
    "train, test-clean, test-other": "ask: holds train and test-clean",
    "train, test_day, test_night": "ask: holds train and test_day",
    "training, test_public, test_private": "ask: holds training and test_private",
    "train/a, train/b, test_easy/a, test_easy/b, test_hard/a, test_hard/b": "ask: holds train and test_easy",
    "train_day, test_night, test_rain": "ask: holds train_day and test_night",
    ", ".join([*(f"Person_{n}" for n in range(12)), "Val_Kilmer"]): "classes",
    ", ".join([*(f"class_{n}" for n in range(12)), "val_small"]): "say: those in val_small",
    ", ".join([*(f"class_{n}" for n in range(12)), "test_final"]): "say: those in test_final",
    "train, test_faces, cat": "say: those in test_faces",
    "valid/a1, valid/b1, invalid/a1, invalid/b1": "say: those in valid",
    "invalid/cat, invalid/dog, valid/cat, valid/dog": "say: those in valid",
    "Valid/front, Valid/back, Non-valid/front, Non-valid/back": "say: those in Non-valid",
    "train, images, masks": "say: images beside train",
    "train, photos, labels": "say: photos beside train",
    # classes
    "cat": "classes",
    "boat, bus, car, train": "classes",
    "x/train, y/train": "classes",
    "photos, gallery": "classes",
    "train, gallery, cat": "classes",
    "art_train, art_gallery, beach": "classes",
    "seen, unseen": "classes",
    "outstanding, nightstand": "classes",
    "strain, detest": "classes",
    "bullet_train, pencil": "classes",
    "trainer, contest, testudo": "classes",
    "train, validator, contest": "classes",
    "hi, tr, te": "classes",
    "hi_tr, hi_te, hi_en": "classes",
    "trainer, contest, pencil, latest, devil": "classes",
    "faces, contest_faces": "classes",
    "2019/a, 2020/a": "classes",
    "train/a, train/b, masks/a, masks/b": "classes",
    "images/a, images/b, masks/a, masks/b": "classes",
    "trainA/cat, trainA/dog, trainB/cat, trainB/dog": "classes",
    "train_a/cat, train_a/dog, train_b/cat, train_b/dog": "classes",
    "cat/images, cat/masks, dog/images, dog/masks": "classes",
    "train_1/cat, train_1/dog, train_2/cat, train_2/dog": "classes",
    cross("train_0, train_1, train_2", "cat, dog"): "classes",
    "train2014/cat, train2014/dog, train2017/cat, train2017/dog": "classes",
    "train/cat, train/dog, train_2/cat, train_2/dog": "classes",
    cross("train_images_1, train_images_2", "cat, dog"): "classes",
    "trainset_1/cat, trainset_1/dog, trainset_2/cat, trainset_2/dog": "classes",
    VOC: "classes",
    listed(
        "person",
        "bicycle",
        "car",
        "motorcycle",
        "airplane",
        "bus",
        "train",
        "truck",
        "boat",
        "traffic_light",
        "fire_hydrant",
        "stop_sign",
        "parking_meter",
        "bench",
        "bird",
        "cat",
        "dog",
        "horse",
        "sheep",
        "cow",
    ): "classes",
    listed(
        "airfield",
        "art_gallery",
        "art_school",
        "train_interior",
        "train_station/platform",
        "subway_station/platform",
        "railroad_track",
        "apartment_building/outdoor",
        "building_facade",
        "television_studio",
        "valley",
    ): "classes",
    listed(
        "n01440764",
        "n01440795",
        "n01440826",
        "n01440857",
        "n01440888",
        "n01440919",
        "n01440950",
        "n01440981",
        "n01441012",
        "n01441043",
    ): "classes",
    "cats, dogs": "classes",
    "PetImages/Cat, PetImages/Dog": "classes",
    "0, 1, 2, 3, 4, 5, 6, 7, 8, 9": "classes",
    "2018, 2019, 2020, 2021": "classes",
    "Canon EOS 5D, iPhone-6, Nexus 5x, NIKON D90": "classes",
    "DCIM/100CANON, DCIM/101CANON": "classes",
    f"., {VOC}": "classes",
    "vehicle/bus, vehicle/train, animal/cat, animal/dog": "classes",
    "trainA, trainB": "classes",
    "img_align_celeba": "classes",
    "img_align_celeba/img_align_celeba": "classes",
    "00000, 01000, 02000": "classes",
    "images1024x1024/00000, images1024x1024/01000": "classes",
    "images1024x1024/00000, thumbnails128x128/00000": "classes",
    "train_all, gallery, query": "classes",
    "images, annotations/trimaps": "classes",
    "images, masks": "classes",
    "images, labels-ah": "classes",
    "train2017": "classes",
    "train2014, train2017": "classes",
    "train2017, unlabeled2017": "classes",
    "VOC2012/JPEGImages, VOC2012/SegmentationClass, VOC2012/SegmentationObject": "classes",
    "VOCtrainval/JPEGImages, VOCtest/JPEGImages": "classes",
    "flowers/daisy, flowers/rose, flowers/tulip": "classes",
    "flower_photos/daisy, flower_photos/roses": "classes",
    "bedroom, church_outdoor": "classes",
    cross("train_1, train_2", "n01440764, n01440795, n01440826"): "classes",
    cross("CUB/images, CUB/segmentations", "001.Black, 002.Laysan"): "classes",
    "food-101/images/apple_pie, food-101/images/sushi": "classes",
    "Flickr2K_HR, Flickr2K_LR_bicubic/X2": "classes",
    "701_StillsRaw_full, LabeledApproved_full": "classes",
    "stage1_train/ab/images, stage1_train/cd/images": "classes",
    "images": "classes",
    "HAM10000_images_part_1, HAM10000_images_part_2": "classes",
    "candle/Data/Images/Normal, candle/Data/Images/Anomaly, candle/Data/Masks/Anomaly": "classes",
    "Aaron_Eckhart, Zico": "classes",
    "lfw-deepfunneled/Aaron_Eckhart, lfw-deepfunneled/Zico": "classes",
    "part1, part2, part3": "classes",
    "00, 01, 02": "classes",
    "a/abbey, a/alley, b/badlands": "classes",
    "101_ObjectCategories/airplanes, 101_ObjectCategories/ant": "classes",
    "EuroSAT/Forest, EuroSAT/River": "classes",
    "treino, teste": "classes",
    "entrenamiento, prueba": "classes",
    "yes, no": "classes",
    "bedroom, gallery, museum": "classes",
    "query, answer": "classes",
    "probe, gallery": "classes",
    "train_part1, train_part2": "classes",
    "fold_1, fold_2, fold_3": "classes",
    "hi, tr, te, en": "classes",
    "tr, va, te": "classes",
    "images/train, masks/train": "classes",
}


def outcome_of(found):
    """Return how images are split, what is asked, or of which folders something is said."""
    try:
        layout = layout_of(found, "source")
    except DataError as error:
        return f"ask: {re.split(': these may|, and it cannot', str(error))[0].removeprefix('source').lstrip('/ ')}"
    split = " | ".join(each.removesuffix("/") for each in layout.folders.values())
    said = [each.removeprefix(DOUBT).partition(" are trained on")[0] for each in layout.doubts]
    same = "say: folders of the same names"
    doubted = [
        f"say: {each}".replace(f"{same} in", "alike:").replace(f"{same}, merged, in", "merged:") for each in said
    ]
    return "; ".join([f"split: {split}"] * bool(split) + doubted) or "classes"


def test_loose_images_cannot_be_renamed():
    with pytest.raises(DataError, match="holds 4 images and test: .*, or rename test$"):
        layout_of([f"{number}.png" for number in range(4)] + [f"test/{number}.png" for number in range(4)], "SRC")


@pytest.mark.parametrize("folders", LAYOUTS)
def test_what_is_split_asked_and_said(folders):
    """A dot are images beside all folders."""
    assert outcome_of([name.removeprefix("./") for name in names(*folders.split(", "))]) == LAYOUTS[folders]


@pytest.mark.parametrize(
    ("folders", "sentence"),
    [
        (
            ["faces", "faces_test"],
            "source holds faces and faces_test: these may be splits or classes; put splits alone into one folder as "
            "train and test, with their classes below, or rename both",
        ),
        (
            ["images/train", "images/val", "masks/train", "masks/val"],
            "source/images holds train and val: these may be splits or classes; put splits alone into one folder as "
            "train and test, with their classes below, or rename both, or name source/images to leave the others out",
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
        "and test, with their classes below, if they are held out",
    )


def test_as_many_images_are_left_out_as_lie_in_a_folder_and_below():
    listed = names("train", "test", "val", "val/a", "val/a/b")
    assert layout_of(listed, "source").left_out == {"images of val, as test is held out": 12}


@pytest.mark.parametrize("held_out", [["test"], ["test/a", "test/b"]])
@pytest.mark.parametrize("pair", [("summer", "winter"), ("train_0", "train_1")])
def test_folders_of_the_same_names_are_no_doubt_where_others_are_held_out(pair, held_out):
    listed = names(*(f"train/{folder}/{each}" for folder in pair for each in ("a", "b")), *held_out)
    assert outcome_of(listed) == "split: train | test"


def test_a_remedy_ends_the_question():
    assert outcome_of(names("train", "test")) == "split: train | test"  # of images beside test, or photos_test
    assert outcome_of(names("train/cat", "test/cat", "train/dog", "test/dog")) == "split: train | test"  # of cat/train
    both = outcome_of(names("all/cat", "all/dog", "extra/cat", "extra/dog"))  # of train and extra
    assert both == "merged: all, extra"


def test_a_second_held_out_folder_is_said_to_be_left_out():
    listed = names("train", "val", "test")
    layout = layout_of(listed, "source")
    assert (layout.names(listed, "train"), layout.names(listed, "test")) == (listed[:4], listed[8:])
    assert layout.left_out == {"images of val, as test is held out": 4}


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


@pytest.mark.parametrize(
    ("names", "classes"),
    [
        (["a/x.png", "b/x.png"], ["a", "b"]),
        (["p/a/x.png", "q/a/x.png", "q/b/x.png"], ["p/a", "q/a", "b"]),
        (["2019/cat/x.png", "2019/dog/x.png", "2020/cat/x.png", "2020/dog/x.png"], ["cat", "dog"] * 2),
        (["cats/images/x.png", "dogs/images/x.png", "birds/pics/x.png"], ["cats/images", "dogs/images", "pics"]),
        (["a/images/x.png", "b/images/x.png", "images/x.png"], ["a/images", "b/images", "images"]),
        (["images/x.png", "images/y.png"], ["images"] * 2),
        (["x.png", "a/y.png"], ["", "a"]),
        ([], []),
    ],
)
def test_classes_are_the_folders_that_images_lie_in(names, classes):
    assert classes_of(names) == classes


@pytest.mark.parametrize(
    ("listed", "doubt"),
    [
        (
            [f"{split}_{i}.png" for split in ("train", "test") for i in range(3)],
            "the names of 3 images begin like test_0",
        ),
        (["images/train_1.png", "images/val_1.png"], "the names of 1 image begin like val_1"),
        *(
            ([f"{begin}{split}{end}.png" for split in ("train", "val")], f"begin like {begin}val{end}")
            for begin, end in (("img_", "_0"), ("COCO_", "2014_0"), ("0001-", ""), ("cat.", ".7"))
        ),
        (["bullet train 1.png", "test tube 1.png"], None),
        (["bullet_train_1.png", "crash_test_1.png"], None),
        (["a/train_1.png", "b/test_1.png"], None),
        (["img_trainer_1.png", "img_contest_1.png"], None),
        (["tester_1.png", "trainer_1.png"], None),
        (["test_1.png", "test_2.png"], None),
    ],
)
def test_held_out_images_by_their_names_are_said(listed, doubt):
    found = list(doubts(listed))
    assert [doubt in each for each in found] == ([True] if doubt else [])


def beside(image, mask):
    return [f"{name.format(i)}.png" for i in range(4) for name in (image, mask)]


MASKS = [
    # folders of masks, beside those of images, above or below them
    *(
        (names("images", masks), f"{masks}/0 and images/0")
        for masks in ("masks", "gts", "Trimap", "annotations/trimaps")
    ),
    *(
        (names("images", masks), f"{masks}/0 and images/0")
        for masks in ("ground_truth", "GroundTruth", "segmentations")
    ),
    (names("images/a", "images/b", "masks/a", "masks/b"), "masks/a/0 and images/a/0"),
    (names("cat", "cat/masks", "dog"), "cat/masks/0 and cat/0"),
    (names("CameraRGB", "CameraSeg"), "CameraSeg/0 and CameraRGB/0"),
    (names("images", "masks", "labels", "a/images", "a/gt"), "a/gt/0 and a/images/0"),
    (names("Kvasir-SEG/images", "Kvasir-SEG/masks"), "Kvasir-SEG/masks/0 and Kvasir-SEG/images/0"),
    (names("with masks/a/image", "with masks/a/mask"), "with masks/a/mask/0 and with masks/a/image/0"),
    (beside("masks/{}", "masks/{}_mask"), "masks/0_mask and masks/0"),
    (beside("train/{}", "train_masks/{}_mask"), "train_masks/0_mask and train/0"),
    (beside("images/\u732b{}", "mask/\u732b{}_mask"), "mask/\u732b0_mask and images/\u732b0"),
    (
        beside("leftImg8bit/x/x_{}_leftImg8bit", "gtFine/x/x_{}_gtFine_color"),
        "gtFine/x/x_0_gtFine_color and leftImg8bit/x/x_0_leftImg8bit",
    ),
    (
        beside("training/images/2{}_training", "training/mask/2{}_training_mask"),
        "training/mask/20_training_mask and training/images/20_training",
    ),
    # masks beside images
    *(
        (beside(image, mask), f"{mask.format(0)} and {image.format(0)}")
        for image, mask in (
            *(("{}", "mask_{}"), ("image_{}", "mask_{}"), ("img{}", "GT{}"), ("{}", "{}_label")),
            *(("{}", "{}_labels"), ("{}", "{}_Ground_Truth"), ("cat{}", "mask_cat{}"), ("cat{}", "cat{}_seg")),
            *(("cat{}", "cat{}_mask_1"), ("cat{}", "GT cat{}")),
        )
    ),
]


@pytest.mark.parametrize(("listed", "pair"), MASKS)
def test_masks_that_have_the_names_of_images_are_said(listed, pair):
    (said,) = doubts(listed)
    assert said.startswith("masks may be among them: the names of ")
    assert f" images are those of others but for a word for masks, as {pair}; move them away" in said


@pytest.mark.parametrize(
    "listed",
    [
        ["cat/1.png", "mask/2.png"],
        ["images/\u732b1.png", "mask/\u72ac1.png"],
        beside("face/{}", "facemask/{}"),
        beside("face_{}", "mask_{}"),
        beside("cars/car_{}", "labels/a_{}"),
        names("with_mask", "without_mask"),
        names("Face Mask/with_mask", "Face Mask/without_mask"),
        [],
        names("Mask", "Non Mask"),
        names("mask", "nomask"),
        names("mask_images", "nomask_images"),
        names("correct_mask", "incorrect_mask"),
        names("label_0", "label_1", "label_2"),
        names("matte", "glossy"),
        names("masks", "cats"),
        names("bullet train", "mask", "file", "1"),
        # a few may be of what an image shows
        ["anna.png", "anna_mask.png", "ben.png", "ben_mask.png"],
        [f"mustang {i}{end}.png" for i in range(3) for end in ("", " gt")],
        ["bottle.png", "bottle_label.png", "can.png"],
        [f"mask_{i}.png" for i in range(4)],
    ],
)
def test_what_is_called_after_masks_is_no_doubt(listed):
    assert not list(doubts(listed))
