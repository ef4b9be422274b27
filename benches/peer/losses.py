"""The three terms of the loss, as in `src/train/losses`."""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from data import PROTON, WATER

SIGMA = 0.2
BETA = 0.1
MASS_UNIT = 110.0
NO_ION = 1e9
IGNORED = -100
TERMS = ["CrossEntropy", "Spectrum", "Precursor"]


@dataclass
class Truth:
    """A batch's ground truth."""

    targets: torch.Tensor
    tokens: int
    smoothing: float
    masses: torch.Tensor
    is_true: torch.Tensor
    neutral: torch.Tensor
    mz: torch.Tensor
    share: torch.Tensor
    no_ion: torch.Tensor

    @staticmethod
    def of(model, batch, label_smoothing, dtype=torch.float32):
        shown, words = batch.shown, len(model.vocabulary)
        places = np.arange(model.length)[None, :]
        lengths = batch.lengths[:, None]
        targets = np.where(places <= lengths, batch.tokens, IGNORED).astype(np.int64)
        intensity = batch.intensity[:, :shown].astype(np.float64)
        share = intensity / np.maximum(intensity.sum(axis=1, keepdims=True), 1e-300) / len(intensity)
        return Truth(
            targets=torch.from_numpy(targets),
            tokens=int((batch.lengths + 1).sum()),
            # Ours takes the smoothing from the true token and gives it to the others, PyTorch's to all.
            smoothing=label_smoothing * words / (words - 1),
            masses=torch.tensor(model.vocabulary.masses, dtype=dtype),
            is_true=torch.from_numpy(places < lengths).to(dtype),
            neutral=torch.from_numpy(batch.neutral_mass).to(dtype),
            mz=torch.from_numpy(batch.mz[:, :shown, None]).to(dtype),
            share=torch.from_numpy(share).to(dtype),
            no_ion=torch.from_numpy(np.where(batch.cleavable > 0, 0.0, NO_ION)).to(dtype).repeat(1, 4)[:, None],
        )


def terms(logits, truth, pass_weights, sigma=SIGMA):
    """The raw terms of logits `[B, L, V]` after each supervised pass."""
    expected = (logits[-1].softmax(-1) @ truth.masses) * truth.is_true
    return {
        "CrossEntropy": cross_entropy(logits, truth, pass_weights),
        "Spectrum": spectrum(expected, truth, sigma),
        "Precursor": precursor(expected, truth),
    }


def pass_weights(passes, dtype=torch.float32):
    """Linear supervision."""
    weights = torch.arange(1, passes + 1, dtype=dtype)
    return weights / weights.sum()


def cross_entropy(logits, truth, weights):
    """sum_t w_t * mean over true and end tokens of -sum_v q_v ln p_v, with q the smoothed target."""
    passes = len(logits)
    logits = torch.stack(logits).flatten(0, 2)
    targets = truth.targets.flatten().repeat(passes)
    each = F.cross_entropy(logits, targets, ignore_index=IGNORED, label_smoothing=truth.smoothing, reduction="none")
    return each.view(passes, -1).sum(1) @ weights / truth.tokens


def spectrum(expected, truth, sigma=SIGMA):
    """1 minus the share of the intensity near an ion: b and y at charge 1 and 2."""
    prefix = expected.cumsum(1)
    suffix = prefix[:, -1:] - prefix + WATER
    ions = torch.cat([prefix, suffix, prefix / 2, suffix / 2], dim=1)[:, None] + PROTON
    nearest = ((truth.mz - ions).square() + truth.no_ion).amin(2)
    close = torch.exp(nearest * (-0.5 / sigma**2))
    return 1 - (close * truth.share).sum()


def precursor(expected, truth):
    error = (expected.sum(1) + WATER - truth.neutral) / MASS_UNIT
    return F.smooth_l1_loss(error, torch.zeros_like(error), beta=BETA)
