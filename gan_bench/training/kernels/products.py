"""The kernels. Images are (set, image, row, column, channel); a set is one trial's real or fake images.

A convolution is a product of matrices in which the left one, patches of images, is never written to memory: every
program gathers its tile of it as it goes (implicit GEMM, Chetlur et al. 2014, section 3). What PyTorch does in passes
of its own over memory, normalising, activating and summing for batch-norm, happens while a tile is in registers.
Batch-norm waits for sums over all images, so a layer is two launches: the product with sums of each tile, and their
total, which gives coefficients that the next product applies when it loads.

Every sum has an order that only the shapes of one trial decide.
"""

from __future__ import annotations

import triton
import triton.language as tl

AS_IT_IS, ACTIVATED, GRADIENT = (tl.constexpr(value) for value in range(3))
"""How a value is made when it is loaded: x; act((x - c0) c1 + c2); c0 (g - c1 - (x - c3) c2). The last one is the
gradient of batch-norm's input, of the gradient g of its output."""
PLAIN, WITH_MOMENTS, WITH_SLOPES = (tl.constexpr(value) for value in range(3))
"""What happens to a result before it is written: nothing; count, mean and squared deviations of the tile, by channel;
the derivative of the activation below, and the two sums that batch-norm's gradient needs."""


@triton.jit
def _load(x, other, coefficients, at, channel, mask, CHANNELS: tl.constexpr, HOW: tl.constexpr, SLOPE: tl.constexpr):
    """Load values and transform them for the product; values outside an image are 0."""
    value = tl.load(x + at, mask=mask, other=0.0)
    if HOW == 0:
        return value
    c0 = tl.load(coefficients + channel)
    c1 = tl.load(coefficients + CHANNELS + channel)
    c2 = tl.load(coefficients + 2 * CHANNELS + channel)
    if HOW == 1:
        value = (value - c0) * c1 + c2
        value = tl.where(value > 0, value, value * SLOPE)
    else:
        c3 = tl.load(coefficients + 3 * CHANNELS + channel)
        value = c0 * (value - c1 - (tl.load(other + at, mask=mask, other=0.0) - c3) * c2)
    return tl.where(mask, value, 0.0)


@triton.jit
def convolve(
    x, x_other, x_coefficients, weights, y, counts, partials, below, below_coefficients, images,
    SETS: tl.constexpr, HI: tl.constexpr, WI: tl.constexpr, CI: tl.constexpr,
    HO: tl.constexpr, WO: tl.constexpr, CO: tl.constexpr, KERNEL: tl.constexpr, STRIDE: tl.constexpr,
    PADDING: tl.constexpr, W_IN: tl.constexpr, W_OUT: tl.constexpr, W_TAP: tl.constexpr, TRANSPOSED: tl.constexpr,
    HOW: tl.constexpr, SLOPE: tl.constexpr, THEN: tl.constexpr, BELOW_SLOPE: tl.constexpr,
    PIXELS_FIRST: tl.constexpr, PRECISION: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr, DEPTH: tl.constexpr,
):  # fmt: skip
    """Convolve, or convolve transposed; either is also the other's gradient in its inputs.

    Rows of the product are output pixels, columns output channels, and the sum runs over taps and input channels. Of
    a transposed convolution a program computes one class of output pixels (``shapes.classes``), which skips the taps
    that a convolution over an image spread with zeros would multiply by zero.
    """
    tile, column_tile, group = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    CLASSES: tl.constexpr = STRIDE if TRANSPOSED else 1
    HC: tl.constexpr = (HO + CLASSES - 1) // CLASSES
    WC: tl.constexpr = (WO + CLASSES - 1) // CLASSES
    TAPS: tl.constexpr = (KERNEL + CLASSES - 1) // CLASSES
    tiles = tl.cdiv(images * HC * WC, ROWS)
    kind = tile // tiles
    row = (tile % tiles) * ROWS + tl.arange(0, ROWS)
    if PIXELS_FIRST:  # all rows of a tile are one pixel's: most taps reach none of them and are skipped
        n, pixel = row % images, row // images
    else:
        n, pixel = row // (HC * WC), row % (HC * WC)
    yo, xo = pixel // WC, pixel % WC
    a, b = kind // CLASSES, kind % CLASSES
    if TRANSPOSED:
        yo = (a + STRIDE * KERNEL - PADDING) % STRIDE + STRIDE * yo
        xo = (b + STRIDE * KERNEL - PADDING) % STRIDE + STRIDE * xo
    inside = (n < tl.load(counts + group % SETS)) & (yo < HO) & (xo < WO) & (pixel < HC * WC)
    channel = column_tile * COLUMNS + tl.arange(0, COLUMNS)
    x_at = group.to(tl.int64) * images * (HI * WI * CI)
    weights += (group // SETS).to(tl.int64) * (KERNEL * KERNEL * CI * CO)
    x_coefficients += group * (4 * CI)
    sums = tl.zeros([ROWS, COLUMNS], dtype=weights.dtype.element_ty)
    for start in range(0, TAPS * TAPS * CI, DEPTH):
        term = start + tl.arange(0, DEPTH)
        if CI % DEPTH == 0:  # one tap in a turn: neighbouring addresses, which the compiler then knows
            tap = tl.full([DEPTH], 0, tl.int32) + start // CI
            ci = start % CI + tl.arange(0, DEPTH)
        else:
            tap, ci = term // CI, term % CI
        r, s = tap // TAPS, tap % TAPS
        known = term < TAPS * TAPS * CI
        if TRANSPOSED:
            yi = (yo[:, None] + PADDING - a) // STRIDE - r[None, :]
            xi = (xo[:, None] + PADDING - b) // STRIDE - s[None, :]
            r, s = a + STRIDE * r, b + STRIDE * s
            known = known & (r < KERNEL) & (s < KERNEL)
        else:
            yi = yo[:, None] * STRIDE - PADDING + r[None, :]
            xi = xo[:, None] * STRIDE - PADDING + s[None, :]
        mask = inside[:, None] & known[None, :] & (yi >= 0) & (yi < HI) & (xi >= 0) & (xi < WI)
        needed = True
        if PIXELS_FIRST:
            needed = tl.sum(tl.sum(mask.to(tl.int32), 1), 0) > 0
        if needed:
            at = ((n[:, None] * HI + yi) * WI + xi) * CI + ci[None, :]
            left = _load(x + x_at, x_other + x_at, x_coefficients, at, ci[None, :], mask, CI, HOW, SLOPE)
            weight_at = ((r * KERNEL + s) * W_TAP + ci * W_IN)[:, None] + channel[None, :] * W_OUT
            right = tl.load(weights + weight_at, mask=known[:, None] & (channel[None, :] < CO), other=0.0)
            sums = _product(left, right, sums, PRECISION)
    at = ((n * HO + yo) * WO + xo)[:, None] * CO + channel[None, :]
    y_at = group.to(tl.int64) * images * (HO * WO * CO)
    real = inside[:, None] & (channel[None, :] < CO)
    if THEN == 2:
        below_coefficients += group * (4 * CO)
        value = tl.load(below + y_at + at, mask=real, other=0.0)
        known_channel = channel < CO
        mean = tl.load(below_coefficients + channel, mask=known_channel, other=0.0)[None, :]
        scale = tl.load(below_coefficients + CO + channel, mask=known_channel, other=0.0)[None, :]
        shift = tl.load(below_coefficients + 2 * CO + channel, mask=known_channel, other=0.0)[None, :]
        inverse = tl.load(below_coefficients + 3 * CO + channel, mask=known_channel, other=0.0)[None, :]
        sums = tl.where((value - mean) * scale + shift > 0, sums, sums * BELOW_SLOPE)
        sums = tl.where(real, sums, 0.0)
        partial = ((group * tl.num_programs(0) + tile) * 3) * CO + channel
        tl.store(partials + partial, tl.sum(sums, 0), mask=known_channel)
        tl.store(partials + partial + CO, tl.sum(sums * (value - mean) * inverse, 0), mask=known_channel)
    if THEN == 1:
        count = tl.sum(inside.to(sums.dtype), 0)
        mean = tl.sum(tl.where(real, sums, 0.0), 0) / tl.maximum(count, 1.0)
        apart = tl.where(real, sums - mean[None, :], 0.0)
        partial = ((group * tl.num_programs(0) + tile) * 3) * CO + channel
        tl.store(partials + partial, tl.full([COLUMNS], 0.0, sums.dtype) + count, mask=channel < CO)
        tl.store(partials + partial + CO, mean, mask=channel < CO)
        tl.store(partials + partial + 2 * CO, tl.sum(apart * apart, 0), mask=channel < CO)
    tl.store(y + y_at + at, sums, mask=real)


@triton.jit
def _product(left, right, sums, PRECISION: tl.constexpr):
    """Add the product of two tiles. ``bf16`` rounds the factors; sums are never less than float32."""
    if PRECISION == "bf16":
        sums = tl.dot(left.to(tl.bfloat16), right.to(tl.bfloat16), sums)
    else:
        sums = tl.dot(left, right, sums, input_precision=PRECISION, out_dtype=sums.dtype)
    return sums


@triton.jit
def weight_gradient(
    x, x_other, x_coefficients, y, y_other, y_coefficients, partials, counts, images,
    SETS: tl.constexpr, PARTS: tl.constexpr, HX: tl.constexpr, WX: tl.constexpr, CX: tl.constexpr,
    HY: tl.constexpr, WY: tl.constexpr, CY: tl.constexpr, KERNEL: tl.constexpr, STRIDE: tl.constexpr,
    PADDING: tl.constexpr, X_HOW: tl.constexpr, X_SLOPE: tl.constexpr, Y_HOW: tl.constexpr, Y_SLOPE: tl.constexpr,
    LENGTH: tl.constexpr, PRECISION: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr, DEPTH: tl.constexpr,
):  # fmt: skip
    """Multiply the small images of a layer, x, by the patches of its large ones, y: a weight's gradient.

    The small images are a convolution's outputs or a transposed convolution's inputs. Rows are their channels, columns
    taps and channels of the large ones, and the sum runs over images and pixels. It is cut into parts of ``LENGTH``
    terms, which ``add_parts`` adds in their order.
    """
    tile, part, group = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    WIDTH: tl.constexpr = KERNEL * KERNEL * CY
    across: tl.constexpr = (WIDTH + COLUMNS - 1) // COLUMNS
    channel = (tile // across) * ROWS + tl.arange(0, ROWS)
    column = (tile % across) * COLUMNS + tl.arange(0, COLUMNS)
    tap, cy = column // CY, column % CY
    r, s = tap // KERNEL, tap % KERNEL
    count = tl.load(counts + group % SETS)
    x += group.to(tl.int64) * images * (HX * WX * CX)
    x_other += group.to(tl.int64) * images * (HX * WX * CX)
    y += group.to(tl.int64) * images * (HY * WY * CY)
    y_other += group.to(tl.int64) * images * (HY * WY * CY)
    x_coefficients += group * (4 * CX)
    y_coefficients += group * (4 * CY)
    sums = tl.zeros([ROWS, COLUMNS], dtype=partials.dtype.element_ty)
    for start in range(0, LENGTH, DEPTH):
        term = part * LENGTH + start + tl.arange(0, DEPTH)
        n, pixel = term // (HX * WX), term % (HX * WX)
        inside = n < count
        mask = (channel[:, None] < CX) & inside[None, :]
        at = term[None, :] * CX + channel[:, None]
        safe = tl.where(channel < CX, channel, 0)[:, None]
        left = _load(x, x_other, x_coefficients, at, safe, mask, CX, X_HOW, X_SLOPE)
        yy = (pixel // WX)[:, None] * STRIDE - PADDING + r[None, :]
        xx = (pixel % WX)[:, None] * STRIDE - PADDING + s[None, :]
        mask = inside[:, None] & (column[None, :] < WIDTH) & (yy >= 0) & (yy < HY) & (xx >= 0) & (xx < WY)
        at = ((n[:, None] * HY + yy) * WY + xx) * CY + cy[None, :]
        right = _load(y, y_other, y_coefficients, at, cy[None, :], mask, CY, Y_HOW, Y_SLOPE)
        sums = _product(left, right, sums, PRECISION)
    at = ((group * PARTS + part).to(tl.int64) * CX + channel[:, None]) * WIDTH + column[None, :]
    tl.store(partials + at, sums, mask=(channel[:, None] < CX) & (column[None, :] < WIDTH))


@triton.jit
def add_parts(
    partials, gradient, PARTS: tl.constexpr, CX: tl.constexpr, CY: tl.constexpr, TAPS: tl.constexpr,
    BLOCK: tl.constexpr,
):  # fmt: skip
    """Add the parts of a weight's gradient in their order, and put it in PyTorch's: (CX, CY, taps)."""
    trial = tl.program_id(1).to(tl.int64)
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = at < CX * CY * TAPS
    sums = tl.zeros([BLOCK], dtype=gradient.dtype.element_ty)
    for part in range(PARTS):
        sums += tl.load(partials + (trial * PARTS + part) * (CX * CY * TAPS) + at, mask=mask, other=0.0)
    cx, rest = at // (TAPS * CY), at % (TAPS * CY)
    to = (cx * CY + rest % CY) * TAPS + rest // CY
    tl.store(gradient + trial * (CX * CY * TAPS) + to, sums, mask=mask)


@triton.jit
def norm_forward(
    partials, gamma, beta, running_mean, running_variance, coefficients, MOMENTUM: tl.constexpr, EPS: tl.constexpr,
    SETS: tl.constexpr, TILES: tl.constexpr, CHANNELS: tl.constexpr, BLOCK: tl.constexpr, MANY: tl.constexpr,
):  # fmt: skip
    """Make batch-norm's coefficients (mean, scale, shift, 1 / deviation) of the tiles' sums; follow the running ones.

    Means and squared deviations of tiles are put together as Chan et al. 1983, which loses no digits where the mean is
    far from 0. The sets of a trial, real images first, move its running statistics one after the other. Momentum and
    epsilon are constants: a number that is given when a kernel is launched is rounded to float32.
    """
    trial, channel = tl.program_id(1), tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    known = channel < CHANNELS
    own = trial * CHANNELS + channel
    scale, shift = tl.load(gamma + own, mask=known, other=0.0), tl.load(beta + own, mask=known, other=0.0)
    mean_so_far = tl.load(running_mean + own, mask=known, other=0.0)
    variance_so_far = tl.load(running_variance + own, mask=known, other=0.0)
    for index in range(SETS):
        group = trial * SETS + index
        count, total = tl.zeros([BLOCK], scale.dtype), tl.zeros([BLOCK], scale.dtype)
        for first in range(0, TILES, MANY):
            tile = first + tl.arange(0, MANY)
            mask = (tile < TILES)[:, None] & known[None, :]
            at = ((group * TILES + tile) * 3 * CHANNELS)[:, None] + channel[None, :]
            n = tl.load(partials + at, mask=mask, other=0.0)
            count += tl.sum(n, 0)
            total += tl.sum(n * tl.load(partials + at + CHANNELS, mask=mask, other=0.0), 0)
        count = tl.maximum(count, 1.0)
        mean = total / count
        squares = tl.zeros([BLOCK], scale.dtype)
        for first in range(0, TILES, MANY):
            tile = first + tl.arange(0, MANY)
            mask = (tile < TILES)[:, None] & known[None, :]
            at = ((group * TILES + tile) * 3 * CHANNELS)[:, None] + channel[None, :]
            n = tl.load(partials + at, mask=mask, other=0.0)
            apart = tl.load(partials + at + CHANNELS, mask=mask, other=0.0) - mean[None, :]
            squares += tl.sum(tl.load(partials + at + 2 * CHANNELS, mask=mask, other=0.0) + n * apart * apart, 0)
        inverse = 1.0 / tl.sqrt(squares / count + EPS)
        to = coefficients + group * (4 * CHANNELS) + channel
        tl.store(to, mean, mask=known)
        tl.store(to + CHANNELS, scale * inverse, mask=known)
        tl.store(to + 2 * CHANNELS, shift, mask=known)
        tl.store(to + 3 * CHANNELS, inverse, mask=known)
        mean_so_far += MOMENTUM * (mean - mean_so_far)
        variance_so_far += MOMENTUM * (squares / tl.maximum(count - 1.0, 1.0) - variance_so_far)
    tl.store(running_mean + own, mean_so_far, mask=known)
    tl.store(running_variance + own, variance_so_far, mask=known)


@triton.jit
def norm_backward(
    partials, coefficients, counts, result, gradient_gamma, gradient_beta,
    SETS: tl.constexpr, TILES: tl.constexpr, PIXELS: tl.constexpr, CHANNELS: tl.constexpr, BLOCK: tl.constexpr,
    MANY: tl.constexpr, WEIGHTS: tl.constexpr,
):  # fmt: skip
    """Make the coefficients of ``GRADIENT`` of the tiles' sums, and the gradients of batch-norm's own weights."""
    trial, channel = tl.program_id(1), tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    known = channel < CHANNELS
    dtype = coefficients.dtype.element_ty
    of_gamma, of_beta = tl.zeros([BLOCK], dtype), tl.zeros([BLOCK], dtype)
    for index in range(SETS):
        group = trial * SETS + index
        plain, scaled = tl.zeros([BLOCK], dtype), tl.zeros([BLOCK], dtype)
        for first in range(0, TILES, MANY):
            tile = first + tl.arange(0, MANY)
            mask = (tile < TILES)[:, None] & known[None, :]
            at = ((group * TILES + tile) * 3 * CHANNELS)[:, None] + channel[None, :]
            plain += tl.sum(tl.load(partials + at, mask=mask, other=0.0), 0)
            scaled += tl.sum(tl.load(partials + at + CHANNELS, mask=mask, other=0.0), 0)
        count = tl.maximum((tl.load(counts + index) * PIXELS).to(dtype), 1.0)
        own = group * (4 * CHANNELS) + channel
        inverse = tl.load(coefficients + own + 3 * CHANNELS, mask=known, other=0.0)
        tl.store(result + own, tl.load(coefficients + own + CHANNELS, mask=known, other=0.0), mask=known)
        tl.store(result + own + CHANNELS, plain / count, mask=known)
        tl.store(result + own + 2 * CHANNELS, scaled / count * inverse, mask=known)
        tl.store(result + own + 3 * CHANNELS, tl.load(coefficients + own, mask=known, other=0.0), mask=known)
        of_gamma += scaled
        of_beta += plain
    if WEIGHTS:
        tl.store(gradient_gamma + trial * CHANNELS + channel, of_gamma, mask=known)
        tl.store(gradient_beta + trial * CHANNELS + channel, of_beta, mask=known)
