"""Distances against closed forms and independent implementations."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import sqrtm
from scipy.spatial.distance import cdist
from support.needs import slow

from gan_bench.metrics.distances import (
    Moments,
    NotFiniteError,
    add_to_sums,
    class_divergence,
    covered_classes,
    frechet_at_infinity,
    frechet_distance,
    gaussian_distance,
    kernel_distance,
    moments_of,
    moments_of_sums,
    random_directions,
    sliced_wasserstein,
)
from gan_bench.metrics.neighbours import nearest_distances, nearest_others, neighbours


def features(count, dim, seed=0, shift=0.0):
    generator = torch.Generator().manual_seed(seed)
    mix = torch.randn(dim, dim, generator=generator, dtype=torch.float64) / dim**0.5
    return torch.randn(count, dim, generator=generator, dtype=torch.float64) @ mix + shift


def moments(values, batch=None):
    dim = values.shape[1]
    total, outer = torch.zeros(dim, dtype=torch.float64), torch.zeros(dim, dim, dtype=torch.float64)
    for chunk in values.split(batch or len(values)):
        add_to_sums(total, outer, chunk)
    return moments_of_sums(len(values), total, outer)


def scipy_frechet(a, b):
    """The textbook formula with scipy's matrix square root."""
    difference = (a.mean - b.mean).numpy()
    root = sqrtm(a.covariance.numpy() @ b.covariance.numpy())
    return difference @ difference + np.trace(a.covariance.numpy() + b.covariance.numpy() - 2 * root.real)


def test_moments_are_numpy_s():
    values = features(100, 7)
    ours = moments(values, batch=13)
    np.testing.assert_allclose(ours.mean, values.mean(0), rtol=1e-12)
    np.testing.assert_allclose(ours.covariance, np.cov(values.numpy().T), rtol=1e-10, atol=1e-14)


def test_closed_form_of_diagonal_gaussians():
    def gaussian(mean, variances):
        return Moments(10, torch.tensor(mean, dtype=torch.float64), torch.diag(torch.tensor(variances).double()))

    a, b = gaussian([0.0, 1.0], [1.0, 4.0]), gaussian([3.0, 1.0], [9.0, 0.25])
    # |m|^2 + sum (s1 - s2)^2 for commuting covariances
    assert frechet_distance(a, b) == pytest.approx(9 + (1 - 3) ** 2 + (2 - 0.5) ** 2, rel=1e-12)


@pytest.mark.parametrize("dim", [3, 64])
def test_equals_scipy(dim):
    a, b = moments(features(4 * dim, dim, 1)), moments(features(3 * dim, dim, 2, shift=0.3))
    assert frechet_distance(a, b) == pytest.approx(scipy_frechet(a, b), rel=1e-6)


def test_equals_torchmetrics():
    from torchmetrics.image.fid import _compute_fid

    a, b = moments(features(300, 48, 1)), moments(features(300, 48, 2, shift=0.2))
    theirs = _compute_fid(a.mean, a.covariance, b.mean, b.covariance).item()
    assert frechet_distance(a, b) == pytest.approx(theirs, rel=1e-6)


def test_rank_deficient_covariances():
    """Fewer images than dimensions: sqrtm struggles, the eigenvalues of a symmetric product do not."""
    a, b = moments(features(20, 64, 1)), moments(features(30, 64, 2))
    values_a, values_b = (m.covariance.numpy() for m in (a, b))
    # oracle: tr (S1 S2)^1/2 = nuclear norm of X1' X2 for S = X X'
    roots = [np.linalg.cholesky(v + 1e-13 * np.eye(64)) for v in (values_a, values_b)]
    nuclear = np.linalg.svd(roots[0].T @ roots[1], compute_uv=False).sum()
    difference = (a.mean - b.mean).numpy()
    expected = difference @ difference + np.trace(values_a) + np.trace(values_b) - 2 * nuclear
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-4)


def test_batches_and_order_do_not_matter():
    values, real = features(500, 32, 3), moments(features(400, 32, 4))
    whole = frechet_distance(moments(values), real)
    shuffled = values[torch.randperm(500, generator=torch.Generator().manual_seed(0))]
    for other in (moments(values, batch=7), moments(shuffled, batch=64), moments_of(values)):
        assert frechet_distance(other, real) == pytest.approx(whole, rel=1e-9)


def test_a_reference_is_decomposed_once(monkeypatch):
    calls, whole = [], torch.linalg.eigh
    monkeypatch.setattr(torch.linalg, "eigh", lambda matrix: calls.append(1) or whole(matrix))
    real = moments(features(400, 16, 4))
    found = [frechet_distance(moments(features(100, 16, seed)), real.to(torch.device("cpu"))) for seed in (1, 2, 1)]
    assert len(calls) == 1
    assert found[0] == found[2] != found[1]
    assert real.to(torch.device("meta")).covariance.is_meta


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_features_that_are_not_finite_raise_and_do_not_crash(bad):
    with pytest.raises(NotFiniteError, match="features are not finite"):
        moments_of(torch.tensor([[0.0, 1.0, 2.0, bad], [1.0, 1.0, 1.0, 1.0]]))


def test_one_feature_has_no_moments():
    with pytest.raises(ValueError, match="at least 2"):
        moments_of(torch.zeros(1, 4))


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10_000), st.integers(2, 12), st.floats(-3, 3))
def test_frechet_properties(seed, dim, shift):
    a, b = moments(features(40, dim, seed)), moments(features(50, dim, seed + 1, shift))
    distance = frechet_distance(a, b)
    assert distance == pytest.approx(frechet_distance(b, a), rel=1e-7, abs=1e-9)
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-8)
    rotation = torch.linalg.qr(features(dim, dim, seed + 2))[0]

    def rotated(m):
        return Moments(m.count, rotation @ m.mean, rotation @ m.covariance @ rotation.T)

    assert frechet_distance(rotated(a), rotated(b)) == pytest.approx(distance, rel=1e-7, abs=1e-8)


@pytest.mark.parametrize(("size", "images"), [(512, 125), *slow((2048, 500))])
def test_more_features_than_images(size, images):
    """As Inception has them: scipy's sqrtm and torchmetrics agree with the symmetric form."""
    from torchmetrics.image.fid import _compute_fid

    a, b = moments(features(images, size, 1)), moments(features(images, size, 2, shift=0.05))
    ours = frechet_distance(a, b)
    theirs = _compute_fid(a.mean, a.covariance, b.mean, b.covariance).item()
    assert ours == pytest.approx(theirs, rel=1e-6)


def test_frechet_grows_with_noise():
    clean, real = features(2000, 8, 1), moments(features(2000, 8, 1))
    noise = torch.randn(2000, 8, generator=torch.Generator().manual_seed(9), dtype=torch.float64)
    scores = [frechet_distance(moments(clean + level * noise), real) for level in (0.0, 0.1, 0.3, 1.0, 3.0)]
    assert scores == sorted(scores)
    assert scores[0] == pytest.approx(0, abs=1e-9)


def test_kernel_distance_equals_torch_fidelity():
    from torch_fidelity.metric_kid import kid_features_to_metric

    x, y = features(300, 16, 1).float(), features(300, 16, 2, shift=0.1).float()
    theirs = kid_features_to_metric(
        x.double(), y.double(), kid_subsets=1, kid_subset_size=300, verbose=False, kid_kernel="poly",
        kid_kernel_poly_degree=3, kid_kernel_poly_gamma=None, kid_kernel_poly_coef0=1, rng_seed=0,
    )  # fmt: skip
    ours, _ = kernel_distance(x, y)
    assert ours == pytest.approx(theirs["kernel_inception_distance_mean"], rel=1e-9)


def unit(x):
    return x / x.norm(dim=1, keepdim=True)


@pytest.mark.parametrize("width", [0.5, 10.0])
def test_gaussian_distance_equals_torch_fidelity(width):
    from torch_fidelity.metric_kid import kernel_rbf, mmd2

    x, y = unit(features(60, 8, 1)), unit(features(60, 8, 2, shift=1.0))
    kernels = [kernel_rbf(a.numpy(), b.numpy(), kid_kernel_rbf_sigma=width) for a, b in ((x, x), (x, y), (y, y))]
    assert gaussian_distance(3 * x, y / 7, width) == pytest.approx(mmd2(*kernels), rel=1e-6, abs=1e-12)


def test_gaussian_distance_depends_neither_on_order_nor_on_rows_and_is_unbiased():
    x, y = features(70, 8, 1), features(50, 8, 2, shift=1.0)
    whole = gaussian_distance(x, y)
    assert whole > 0
    assert gaussian_distance(x.flip(0), y, rows=7) == pytest.approx(whole, rel=1e-9)
    nothing = torch.zeros(5, 8, dtype=torch.float64)
    assert gaussian_distance(nothing, nothing) == pytest.approx(0, abs=1e-15)
    draws = [torch.randn(2, 60, 8, generator=torch.Generator().manual_seed(s)) for s in range(80)]
    null = torch.tensor([gaussian_distance(a, b) for a, b in draws])
    assert (null < 0).any()
    assert abs(float(null.mean())) < 4 * float(null.std()) / 80**0.5
    with pytest.raises(ValueError, match="at least 2"):
        gaussian_distance(x[:1], y)
    with pytest.raises(NotFiniteError):
        gaussian_distance(x * torch.nan, y)


def test_kernel_distance_equals_torchmetrics():
    from torchmetrics.image.kid import poly_mmd

    x, y = features(300, 16, 1), features(300, 16, 2, shift=0.1)
    assert kernel_distance(x, y)[0] == pytest.approx(poly_mmd(y, x).item(), rel=1e-12)


def test_kernel_distance_is_unbiased_and_knows_its_error():
    """Equal distributions: the mean over repetitions is zero, and the standard error is that of its spread."""
    found = [kernel_distance(features(1000, 6, s), features(1000, 6, s + 5000), block=100) for s in range(0, 60)]
    same = [
        kernel_distance(torch.randn(1000, 6, generator=torch.Generator().manual_seed(s)),
                        torch.randn(1000, 6, generator=torch.Generator().manual_seed(s + 999)), block=100)
        for s in range(60)
    ]  # fmt: skip
    values = np.array([value for value, _ in same])
    assert abs(values.mean()) < 4 * values.std() / 60**0.5
    assert np.mean([error for _, error in same]) == pytest.approx(values.std(ddof=1), rel=0.25)
    assert all(value > 0 for value, _ in found), "sets of different mixings differ"


def test_one_block_has_no_standard_error():
    assert math.isnan(kernel_distance(features(50, 4, 1), features(50, 4, 2))[1])


def test_precision_and_recall_equal_torch_fidelity():
    from torch_fidelity.metric_prc import prc_features_to_metric

    generated, real = features(400, 8, 1), features(300, 8, 2, shift=0.4)
    theirs = prc_features_to_metric(generated, real, prc_neighborhood=3, prc_batch_size=100, save_cpu_ram=False,
                                    verbose=False)  # fmt: skip
    found = neighbours(generated, real, nearest_others(real, chunk=77), chunk=64)
    assert found.precision == pytest.approx(theirs["precision"], abs=1e-6)
    assert found.recall == pytest.approx(theirs["recall"], abs=1e-6)
    brute = torch.stack([(real - point).norm(dim=1).min() for point in generated])
    torch.testing.assert_close(found.nearest, brute, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(found.nearest, nearest_distances(generated, real, chunk=33), rtol=1e-9, atol=1e-9)


def test_precision_and_recall_tell_collapse_from_blur():
    real = features(500, 4, 1)
    balls = nearest_others(real)
    one_mode = real[:1] + 0.01 * features(500, 4, 3)
    collapsed = neighbours(one_mode, real, balls)
    assert collapsed.precision > 0.9
    assert collapsed.recall < 0.1
    scattered = neighbours(features(500, 4, 4) * 20, real, balls)
    assert scattered.precision < 0.2


@pytest.mark.parametrize(("many", "few", "dim", "shift"), [(400, 300, 8, 0.4), (250, 900, 3, 0.0), (60, 7, 2, 2.0)])
def test_density_and_coverage_equal_the_package_of_their_authors(many, few, dim, shift, capsys):
    from prdc import compute_prdc

    generated, real = features(many, dim, 1), features(few, dim, 2, shift=shift)
    theirs = compute_prdc(real_features=real.numpy(), fake_features=generated.numpy(), nearest_k=5)
    found = neighbours(generated, real, nearest_others(real), chunk=64)
    assert found.density == pytest.approx(theirs["density"], abs=1e-6)
    assert found.coverage == pytest.approx(theirs["coverage"], abs=1e-6)
    assert "Num real" in capsys.readouterr().out


def test_authentic_is_what_it_says_one_by_one():
    generated, real = features(90, 4, 1), features(120, 4, 2)
    wanted = []
    for point in generated:
        to_real = (real - point).norm(dim=1)
        neighbour = int(to_real.argmin())
        others = (real - real[neighbour]).norm(dim=1)
        others[neighbour] = math.inf
        wanted.append(bool(to_real[neighbour] > others.min()))
    found = neighbours(generated, real, nearest_others(real), chunk=7)
    assert 0.2 < found.authentic < 0.99
    assert found.authentic == sum(wanted) / len(wanted)
    assert neighbours(real + 1e-9, real, nearest_others(real)).authentic == 0, "copies are not"


def test_copies_lie_in_balls_of_copies():
    """Distances of many are made of products, whose rounding put equal features 1e-7 apart: recall 0.17 for 0.99."""
    distinct, copied = features(100, 48, 0).float() * 5, features(1, 48, 1).float() * 5
    real = torch.cat([distinct, copied.expand(497, -1)])
    generated = torch.cat([distinct, copied.expand(684, -1) * (1 + 1e-7)])
    found = neighbours(generated, real, nearest_others(real))
    apart = cdist(generated.double().numpy(), real.double().numpy()).round(4)
    balls = np.sort(cdist(real.double().numpy(), real.double().numpy()).round(4), axis=1)[:, [3, 5]]
    own = np.sort(cdist(generated.double().numpy(), generated.double().numpy()).round(4), axis=1)[:, 3]
    assert found.precision == (apart <= balls[:, 0]).any(1).mean()
    assert found.recall == (apart <= own[:, None]).any(0).mean()
    assert found.density == pytest.approx((apart <= balls[:, 1]).sum() / 5 / len(generated))
    assert found.coverage == (apart.min(0) <= balls[:, 1]).mean()
    assert (nearest_distances(generated, real) == 0).all()


def test_too_few_real_features_have_no_density():
    real = features(5, 3, 1)
    found = neighbours(features(20, 3, 2), real, nearest_others(real))
    assert (found.density, found.coverage) == (None, None)
    assert 0 <= found.precision <= 1


def test_sliced_wasserstein_on_a_line_is_scipys():
    x, y = features(300, 1, 1), features(300, 1, 2, shift=0.7)
    line = torch.ones(1, 1)
    found = sliced_wasserstein(x, y, line)
    assert found == pytest.approx(float((x.sort(0).values - y.sort(0).values).square().mean()))
    order = torch.randperm(300, generator=torch.Generator().manual_seed(0))
    assert sliced_wasserstein(x[order], y, line) == pytest.approx(found, rel=1e-12)
    from scipy.optimize import linear_sum_assignment

    costs = torch.cdist(x, y).square().numpy()
    assert found == pytest.approx(costs[linear_sum_assignment(costs)].mean(), rel=1e-9)


def test_sliced_wasserstein_of_shifted_clouds_is_the_shift():
    """In D dimensions a shift s gives |s|² / D over all directions, whatever the cloud."""
    x, shift = features(500, 6, 1), torch.tensor([3.0, 0, 0, 0, 0, 0])
    directions = random_directions(6, torch.Generator().manual_seed(0), 4000)
    torch.testing.assert_close(directions.norm(dim=1), torch.ones(4000).double())
    assert sliced_wasserstein(x, x + shift, directions) == pytest.approx(9 / 6, rel=0.05)
    assert sliced_wasserstein(x, x, directions) == 0
    assert sliced_wasserstein(x, x[:100], directions) == 0, "as many of each"


def test_extrapolation_removes_the_bias_of_few_samples():
    dim = 16
    real = Moments(10**9, torch.zeros(dim).double(), torch.eye(dim).double())
    samples = torch.randn(2000, dim, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    plain = frechet_distance(moments(samples), real)
    endless = frechet_at_infinity(samples, real, torch.Generator().manual_seed(0))
    assert abs(endless) < 0.3 * plain
    assert endless == frechet_at_infinity(samples, real, torch.Generator().manual_seed(0))
    assert endless != frechet_at_infinity(samples, real, torch.Generator().manual_seed(1))
    assert math.isfinite(frechet_at_infinity(samples[:50], real, torch.Generator().manual_seed(0)))
    with pytest.raises(ValueError, match="at least 50"):
        frechet_at_infinity(samples[:49], real, torch.Generator().manual_seed(0))


def test_class_measures():
    real = torch.tensor([100, 100, 100, 0])
    assert class_divergence(torch.tensor([7, 7, 7, 0]), real) == pytest.approx(0, abs=1e-12)
    assert class_divergence(torch.tensor([30, 0, 0, 0]), real) == pytest.approx(math.log(3))
    assert class_divergence(torch.tensor([1, 1, 1, 1]), real) == math.inf
    assert covered_classes(torch.tensor([98, 2, 0, 5]), real) == 1
    assert covered_classes(torch.tensor([90, 5, 5, 0]), real) == 3


@pytest.mark.parametrize("measure", [lambda x: kernel_distance(x, x), nearest_others])
def test_pair_measures_refuse_nan(measure):
    values = features(20, 3)
    values[3, 1] = math.nan
    with pytest.raises(NotFiniteError):
        measure(values)
