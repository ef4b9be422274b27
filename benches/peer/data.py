"""Spectra as host arrays, and what the network and the losses are shown of them.

Masses, the vocabulary and the embeddings are those of `src/task` and `src/train/network/input.rs`: embeddings of masses are
made in f64 and rounded to f32, as there.
"""

import math
from dataclasses import dataclass, field

import numpy as np
import torch

WATER = 18.010565
PROTON = 1.007276
PAD, END = 0, 2
FIRST_RESIDUE = 4
SPECIALS = 4
MAX_CHARGE = 10
RESIDUES = {
    "G": 57.021464, "A": 71.037114, "S": 87.032028, "P": 97.052764, "V": 99.068414, "T": 101.047679, "C": 103.009185,
    "L": 113.084064, "I": 113.084064, "N": 114.042927, "D": 115.026943, "Q": 128.058578, "K": 128.094963, "E": 129.042593,
    "M": 131.040485, "H": 137.058912, "F": 147.068414, "R": 156.101111, "Y": 163.063329, "W": 186.079313,
}
# Name, mass difference in Da, the residues it sits on, and whether it always does. None: in front of the first residue.
MODIFICATIONS = [
    ("Carbamidomethyl", 57.021464, "C", True),
    ("Oxidation", 15.994915, "M", False),
    ("Deamidated", 0.984016, "NQ", False),
    ("Acetyl", 42.010565, None, False),
    ("Carbamyl", 43.005814, None, False),
    ("AmmoniaLoss", -17.026549, None, False),
]
SHORTEST_WAVE, LONGEST_WAVE = 0.1, 2000.0
FAINT = np.float32(1e-3)
PEAK_ROUND = 8


@dataclass(frozen=True)
class Model:
    """The sizes of a network, by the names of the RON files."""

    hidden: int
    heads: int
    encoder_layers: int
    decoder_layers: int
    supervision_steps: int
    latent_steps: int
    peaks: int
    length: int
    modifications: list[str] = field(default_factory=list)

    @property
    def intensity_width(self) -> int:
        return max(min(32, self.hidden // 4), 2) & ~1

    @property
    def vocabulary(self) -> "Vocabulary":
        return Vocabulary(self.modifications)


class Vocabulary:
    """Mass of every token in Da, and which tokens stand in front of the first residue."""

    def __init__(self, modifications):
        known = [entry for entry in MODIFICATIONS if entry[0] in modifications]
        fixed = {letter: delta for _, delta, sites, always in known if always for letter in sites}
        self.masses = [0.0] * SPECIALS + [mass + fixed.get(letter, 0.0) for letter, mass in RESIDUES.items()]
        self.n_terminal = set()
        for _, delta, sites, always in known:
            if sites is None:
                self.n_terminal.add(len(self.masses))
                self.masses.append(delta)
            elif not always:
                self.masses.extend(RESIDUES[letter] + delta for letter in sites)

    def __len__(self):
        return len(self.masses)


@dataclass
class Batch:
    """The arrays of `task::batch::Batch`, row by row."""

    mz: np.ndarray
    intensity: np.ndarray
    is_peak: np.ndarray
    neutral_mass: np.ndarray
    charge: np.ndarray
    tokens: np.ndarray
    lengths: np.ndarray
    cleavable: np.ndarray

    @property
    def shown(self) -> int:
        """Peaks of the fullest spectrum, rounded up."""
        filled = [int(np.flatnonzero(row)[-1]) + 1 if row.any() else 0 for row in self.is_peak]
        most = max(filled)
        return min(math.ceil((most + 1) / PEAK_ROUND) * PEAK_ROUND - 1, self.is_peak.shape[1])


def draw(model, rows, random, lengths, noise, charges=(2, 2, 3, 4), n_terminal=0.3):
    """Random peptides with their b and y ions at charge 1 and `noise` further peaks, masses a few ppm off."""
    vocabulary, peaks = model.vocabulary, model.peaks
    masses = np.array(vocabulary.masses)
    plain = [token for token in range(FIRST_RESIDUE, len(vocabulary)) if token not in vocabulary.n_terminal]
    batch = Batch(
        mz=np.zeros((rows, peaks), np.float32),
        intensity=np.zeros((rows, peaks), np.float32),
        is_peak=np.zeros((rows, peaks), np.float32),
        neutral_mass=np.zeros(rows, np.float32),
        charge=np.zeros(rows, np.int32),
        tokens=np.full((rows, model.length), PAD, np.int32),
        lengths=np.zeros(rows, np.int64),
        cleavable=np.zeros((rows, model.length), np.float32),
    )
    for row in range(rows):
        shortest, longest = lengths
        length = shortest + (row * 7 + 3) % (longest - shortest + 1)
        peptide = random.choice(plain, length)
        if vocabulary.n_terminal and (row == 0 or random.random() < n_terminal):
            peptide[0] = random.choice(sorted(vocabulary.n_terminal))
        breaks = [place + 1 < length and token not in vocabulary.n_terminal for place, token in enumerate(peptide)]
        prefix = np.cumsum(masses[peptide])
        total = prefix[-1] + WATER
        b = prefix[breaks] + PROTON
        y = total - prefix[breaks] + PROTON
        mz = np.concatenate([b, y, random.uniform(50.0, total, noise)]) * (1 + 5e-6 * random.standard_normal(2 * len(b) + noise))
        intensity = np.concatenate([random.beta(2, 5, len(b)), random.beta(2, 2, len(y)), random.random(noise)])
        intensity = np.maximum(intensity, 0.01)
        kept = np.argsort(-intensity, kind="stable")[:peaks]
        kept = kept[np.argsort(mz[kept], kind="stable")]
        count = len(kept)
        batch.mz[row, :count] = mz[kept]
        batch.intensity[row, :count] = intensity[kept] / intensity.max()
        batch.is_peak[row, :count] = 1
        batch.neutral_mass[row] = total * (1 + 5e-6 * random.standard_normal())
        batch.charge[row] = charges[row % len(charges)]
        batch.tokens[row, :length] = peptide
        batch.tokens[row, length] = END
        batch.lengths[row] = length
        batch.cleavable[row, :length] = breaks
    return batch


def waves(masses, width):
    """Sines, then cosines, of masses at several wavelengths; the whole turns are taken off in f64."""
    count = width // 2
    steps = np.arange(count) / (max(count, 2) - 1)
    frequencies = (LONGEST_WAVE / SHORTEST_WAVE) ** -steps / SHORTEST_WAVE
    turns = masses.astype(np.float64)[..., None] * frequencies
    phase = ((turns - np.round(turns)) * math.tau).astype(np.float32)
    return np.concatenate([np.sin(phase), np.cos(phase)], axis=-1)


@dataclass
class Shown:
    """What the network sees of a batch."""

    mz: torch.Tensor
    brightness: torch.Tensor
    visible: torch.Tensor
    precursor: torch.Tensor
    charge: torch.Tensor

    @staticmethod
    def of(model, batch, dtype=torch.float32):
        shown = batch.shown
        intensity = np.maximum(batch.intensity[:, :shown], FAINT)
        brightness = np.float32(1) - np.float32(2) * np.log(intensity) / np.log(FAINT)
        real = batch.is_peak[:, :shown] > 0
        visible = np.concatenate([np.ones((len(real), 1), bool), real], axis=1)
        return Shown(
            mz=torch.from_numpy(waves(batch.mz[:, :shown], model.hidden - model.intensity_width)).to(dtype),
            brightness=torch.from_numpy(brightness[..., None]).to(dtype),
            visible=torch.from_numpy(visible[:, None, None, :]),
            precursor=torch.from_numpy(waves(batch.neutral_mass[:, None], model.hidden)).to(dtype),
            charge=torch.from_numpy(batch.charge.clip(0, MAX_CHARGE).astype(np.int64)[:, None]),
        )
