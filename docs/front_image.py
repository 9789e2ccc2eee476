"""Draw the README's first picture from published records: cats, CIFAR-10, MNIST after the articles' trainings.

python docs/front_image.py
"""

from __future__ import annotations

from pathlib import Path

from PIL import Image

ROOT = Path(__file__).parents[1]
RECORDS = ROOT / "results" / "published" / "nvidia-h200" / "articles"
OUT = ROOT / "docs" / "images" / "front.png"
ROWS = (("cats-dcgan,seed=0", 60, 2), ("cifar10-dcgan,seed=0", 25, 1), ("mnist-dcgan,seed=0", 10, 1))
"""Trial, epoch, and rows of images; of a stored grid the first ones, none is chosen."""
SIDE, GAP, COLUMNS = 64, 4, 8


def tiles(trial: str, epoch: int, rows: int) -> list[Image.Image]:
    """Cut the first rows of a stored grid into images, those of 28x28 pixels enlarged to twice that in a frame."""
    (record,) = RECORDS.glob(f"{trial}--*")
    with Image.open(record / "samples" / f"epoch-{epoch:04d}.png") as opened:
        grid = opened.convert("RGB")
    side = (grid.width - 2) // COLUMNS - 2  # images stand in frames of two pixels
    found = []
    for index in range(rows * COLUMNS):
        left, top = 2 + index % COLUMNS * (side + 2), 2 + index // COLUMNS * (side + 2)
        image = grid.crop((left, top, left + side, top + side))
        scale = SIDE // side
        frame = Image.new("RGB", (SIDE, SIDE), "black")
        frame.paste(image.resize((side * scale, side * scale), Image.Resampling.NEAREST),
                    ((SIDE - side * scale) // 2, (SIDE - side * scale) // 2))  # fmt: skip
        found.append(frame)
    return found


def draw() -> Image.Image:
    """Return the picture."""
    rows = sum(count for _, _, count in ROWS)
    picture = Image.new("RGB", (COLUMNS * (SIDE + GAP) - GAP, rows * (SIDE + GAP) - GAP), "white")
    images = [image for trial, epoch, count in ROWS for image in tiles(trial, epoch, count)]
    for index, image in enumerate(images):
        picture.paste(image, (index % COLUMNS * (SIDE + GAP), index // COLUMNS * (SIDE + GAP)))
    return picture


if __name__ == "__main__":
    draw().save(OUT, optimize=True)
