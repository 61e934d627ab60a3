"""Linear centred kernel alignment (CKA) between two sets of features of the same recordings."""

from __future__ import annotations

import torch
from torch import Tensor

from align.objectives.precision import ObjectiveError, paired_rows, without_autocast

MINIMUM_ROWS = 4  # n (n - 3) divides the debiased estimate

# With rows of unit mean square a self term is about one over the effective number of dimensions.
# This floor stands for a million of them: no encoder comes near, only degenerate features do.
SELF_TERM_FLOOR = 1e-6


def debiased_cka(audio: Tensor, text: Tensor) -> Tensor:
    """Debiased linear CKA on sample-by-sample Grams, in [-1, 1]; about 0 for unrelated features.

    The HSIC estimator of Song et al. 2012 ("Feature selection via dependence maximization", eq. 5)
    on Grams K, L with zeroed diagonals, normalised as in Kornblith et al. 2019:

        HSIC(K, L) = [<K, L> + sum(K) sum(L) / ((n-1)(n-2)) - 2/(n-2) rowsum(K).rowsum(L)]
                     / (n(n-3))
        CKA = HSIC(K, L) / sqrt(HSIC(K, K) HSIC(L, L))

    Centred features have Grams whose rows sum to zero, so with the diagonals a, b removed the row
    sums are -a and -b: no pass over the n x n matrices is needed for the last two terms. Only the
    self terms are clamped. A side whose rows are all equal (collapse) gives 0 with zero gradient.

    Args:
        audio: (n, d) features; bf16 and fp16 are computed in fp32, float64 stays.
        text: (n, k) features of the same rows.

    Raises:
        ObjectiveError: fewer than four rows, or shapes that do not pair.
    """
    audio, text = paired_rows(audio, text, same_width=False)
    rows = len(audio)
    if rows < MINIMUM_ROWS:
        raise ObjectiveError(f"debiased CKA needs at least {MINIMUM_ROWS} recordings, got {rows}")
    with without_autocast(audio):
        x, y = _standardised(audio), _standardised(text)
        a, b = x.square().sum(1), y.square().sum(1)
        cross, self_x, self_y = _gram_products(x, y, a, b)
        return _normalised(
            _hsic(cross, a, b),
            _hsic(self_x, a, a),
            _hsic(self_y, b, b),
        )


def biased_cka(audio: Tensor, text: Tensor) -> Tensor:
    """Plain linear CKA (Kornblith et al. 2019), in [0, 1].

    Near 1 for unrelated features when there are fewer rows than dimensions: 0.955 on independent
    24 x 512 Gaussians. Kept for comparison; arguments as `debiased_cka`.
    """
    audio, text = paired_rows(audio, text, same_width=False)
    with without_autocast(audio):
        x, y = _standardised(audio), _standardised(text)
        rows_squared = len(x) ** 2
        cross, self_x, self_y = (term / rows_squared for term in _gram_products(x, y))
        return _normalised(cross, self_x, self_y)


def released_cka(audio: Tensor, text: Tensor) -> Tensor:
    """What the AcuLa authors' released code computes, for replication only.

    It compares the feature-by-feature Grams X'X and Y'Y (d x d), which are sums over recordings:
    reordering the rows of one side changes nothing, so this "alignment" cannot see which report
    belongs to which recording. It only matches the two covariances. Both sides need one width.
    """
    audio, text = paired_rows(audio, text, same_width=True)
    with without_autocast(audio):
        x, y = _standardised(audio), _standardised(text)
        # <X'X, Y'Y> = |X Y'|^2: biased CKA of the transposed features, centred over recordings.
        rows_squared = len(x) ** 2
        cross, self_x, self_y = (term / rows_squared for term in _gram_products(x.T, y.T))
        return _normalised(cross, self_x, self_y)


def _standardised(features: Tensor) -> Tensor:
    """Centred rows of unit mean square norm; zeros if the rows are equal up to rounding.

    CKA does not change with scale, so the scale is a constant to autograd; it keeps the products of
    large batches inside float32.
    """
    centred = features - features.mean(0)
    with torch.no_grad():
        scale = centred.square().sum(1).mean().sqrt()
        rounding = 16 * torch.finfo(features.dtype).eps * features.square().sum(1).mean().sqrt()
        factor = torch.where(scale <= rounding, 0.0, 1.0 / scale)  # NaN stays NaN
    return centred * factor


def _gram_products(
    x: Tensor, y: Tensor, a: Tensor | None = None, b: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """<K, L>, <K, K>, <L, L> of K = xx', L = yy'; given their diagonals a, b, without them.

    For many rows the products come from d x k matrices, <xx', yy'> = |x'y|^2; else from the Grams,
    whose diagonals are zeroed in place so that reduced-precision products (TF32) cannot leave a
    remainder of them.
    """
    rows, width_x, width_y = len(x), x.shape[1], y.shape[1]
    if rows * (width_x + width_y) <= width_x**2 + width_x * width_y + width_y**2:
        gram_x, gram_y = x @ x.T, y @ y.T
        if a is not None:
            gram_x.fill_diagonal_(0)
            gram_y.fill_diagonal_(0)
        k, l = gram_x.flatten(), gram_y.flatten()  # noqa: E741  (the formula's names)
        return k.dot(l), k.dot(k), l.dot(l)
    cross = (x.T @ y).square().sum()
    self_x, self_y = (x.T @ x).square().sum(), (y.T @ y).square().sum()
    if a is None or b is None:
        return cross, self_x, self_y
    return cross - a.dot(b), self_x - a.dot(a), self_y - b.dot(b)


def _hsic(product: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """Song's estimate from <K, L> off the diagonals and the diagonals a, b of centred Grams."""
    n = len(a)
    sums = a.sum() * b.sum() / ((n - 1) * (n - 2))
    return (product + sums - 2 / (n - 2) * a.dot(b)) / (n * (n - 3))


def _normalised(cross: Tensor, self_x: Tensor, self_y: Tensor) -> Tensor:
    return cross / (self_x.clamp(min=SELF_TERM_FLOOR) * self_y.clamp(min=SELF_TERM_FLOOR)).sqrt()
