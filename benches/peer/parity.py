#!/usr/bin/env python3
"""Writes the fixtures that the Rust tests of parity read, and checks them with PyTorch in f32.

    python benches/peer/parity.py make        # writes tests/fixtures/parity/<name>/
    python benches/peer/parity.py check       # PyTorch in f32 against them: a table
    python benches/peer/parity.py mistakes    # the same with mistakes in its updates: each must be noticed

Expected values are computed in f64 and rounded to f32. What is in a folder is described in docs/peer.md.
"""

import json
import math
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file

import losses
from data import Batch, Model, Shown, draw
from model import Recursive

FIXTURES = Path(__file__).resolve().parents[2] / "tests" / "fixtures" / "parity"
STEPS = 20
# The rate rises to this at the last update, so that late mistakes count.
PEAK = 2e-4
# What each update clips to, as a share of the first gradient's norm. None: it is not clipped; 3: the norm stays below.
CLIPS = [None, 0.1, None, 3, None, 0.3, 0.05, None, 0.05, 3, None, None, 0.1, 0.2, 3, None, None, 0.1, 0.05, None]
MODELS = {
    # The micro model of the Rust tests: spectra fill all of its peaks.
    "micro": (Model(16, 2, 1, 1, 2, 1, 20, 12), dict(lengths=(5, 10), noise=6)),
    # More of everything, widths that are no powers of two, modifications, and peaks padded to less than the model's.
    "deep": (
        Model(10, 2, 2, 2, 3, 2, 24, 10, ["Carbamidomethyl", "Oxidation", "Acetyl"]),
        dict(lengths=(4, 8), noise=2),
    ),
}
ROWS = 5
CHARGES = (2, 3, 1, 4, 2)
# How long the weights are trained before they are written, so that ions lie near peaks.
TRAINED = {"micro": 500, "deep": 500}


def settings(model):
    """No hyper-parameter is the default of anyone, and each matters over the updates: an epsilon among the gradient's elements,
    a second beta that forgets, an average that lags."""
    return {
        "model": asdict(model),
        "weights": {"CrossEntropy": 1.0, "Spectrum": 0.1, "Precursor": 0.1},
        "label_smoothing": 0.1,
        "clip": [None] * STEPS,
        "ema": 0.6,
        "optimizer": {"weight_decay": 0.5, "beta_1": 0.8, "beta_2": 0.9, "epsilon": 1e-4},
        "rate": [PEAK * (step + 1) / STEPS for step in range(STEPS)],
    }


class Peer:
    """The network with one batch and its settings."""

    def __init__(self, model, batch, settings, weights, dtype):
        self.settings = settings
        self.network = Recursive(model).to(dtype)
        self.network.read(weights)
        self.shown = Shown.of(model, batch, dtype)
        self.truth = losses.Truth.of(model, batch, settings["label_smoothing"], dtype)
        self.passes = losses.pass_weights(model.supervision_steps, dtype)

    def backward(self, sigma=losses.SIGMA):
        """Logits and raw terms; the gradient of the weighted total is left in the parameters."""
        self.network.zero_grad()
        logits = self.network(self.shown)
        terms = losses.terms(logits, self.truth, self.passes, sigma)
        sum(self.settings["weights"][name] * term for name, term in terms.items()).backward()
        return logits, terms

    def gradient(self):
        return self.network.write(lambda parameter: parameter.grad)

    def options(self):
        chosen = self.settings["optimizer"]
        return dict(betas=(chosen["beta_1"], chosen["beta_2"]), eps=chosen["epsilon"], weight_decay=chosen["weight_decay"])

    def optimizer(self):
        return torch.optim.AdamW(self.network.parameters(), **self.options())

    def clip(self, step, norm):
        """What a gradient of this norm is multiplied by."""
        most = self.settings["clip"][step]
        return 1.0 if most is None else min(1.0, most / norm)

    def stays(self, step):
        """Share of the running average that stays at an update."""
        return min(self.settings["ema"], (2 + step) / (11 + step))

    def train(self, steps):
        """Makes updates; terms and gradient norm before each, how far the running average went after each, and what it is after
        the last."""
        parameters = list(self.network.parameters())
        adamw = self.optimizer()
        start = [parameter.detach().clone() for parameter in parameters]
        average = [value.clone() for value in start]
        course = {name: [] for name in [*losses.TERMS, "gradient_norm", "way_of_average"]}
        for step in range(steps):
            _, terms = self.backward()
            norm = length(parameter.grad for parameter in parameters)
            scale = self.clip(step, norm)
            for parameter in parameters:
                parameter.grad.mul_(scale)
            adamw.param_groups[0]["lr"] = self.settings["rate"][step]
            adamw.step()
            torch._foreach_lerp_(average, [parameter.detach() for parameter in parameters], 1 - self.stays(step))
            way = length(mean - value for mean, value in zip(average, start))
            for name, value in [*terms.items(), ("gradient_norm", norm), ("way_of_average", way)]:
                course[name].append(float(value.detach()))
        of = {id(parameter): mean for parameter, mean in zip(parameters, average)}
        return course, self.network.write(lambda parameter: of[id(parameter)])


def length(tensors):
    return torch.sqrt(sum(tensor.square().sum() for tensor in tensors))


def results(peer):
    """All that the Rust side is compared with."""
    logits, terms = peer.backward()
    found = {f"logits.{index}": answer.detach() for index, answer in enumerate(logits)}
    found |= {f"term.{name}": term.detach().reshape(1) for name, term in terms.items()}
    found |= {f"gradient.{name}": value for name, value in peer.gradient().items()}
    course, average = peer.train(STEPS)
    found |= {f"step.{name}": torch.tensor(values, dtype=torch.float64) for name, values in course.items()}
    found |= {f"after.{name}": value for name, value in peer.network.write().items()}
    found |= {f"average.{name}": value for name, value in average.items()}
    return found


def trained(model, batch, chosen, steps):
    """Weights that know the batch in part: ions lie near peaks, and no parameter is left at 0 or 1."""
    torch.manual_seed(7)
    network = Recursive(model)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn(parameter.shape) * 0.05)
    lessons = {**chosen, "label_smoothing": 0.0, "weights": {"CrossEntropy": 1.0, "Spectrum": 1.0, "Precursor": 0.0}}
    peer = Peer(model, batch, lessons, network.write(), torch.float64)
    adamw = torch.optim.AdamW(peer.network.parameters(), lr=4e-3)
    for step in range(steps):
        # A wide window first: beside the narrow one there is no slope that leads into it.
        _, terms = peer.backward(sigma=max(losses.SIGMA, 10.0 * 0.01 ** (step / (0.8 * steps))))
        torch.nn.utils.clip_grad_norm_(peer.network.parameters(), 1.0)
        adamw.step()
    print("trained to", {name: round(float(term.detach()), 4) for name, term in terms.items()})
    return {name: value.float() for name, value in peer.network.write().items()}


def make(name):
    model, how = MODELS[name]
    batch = draw(model, ROWS, np.random.default_rng(11), charges=CHARGES, **how)
    # Two precursors that are off, by an isotope and by far: both branches of that loss are taken.
    batch.neutral_mass[1] += np.float32(1.003355)
    batch.neutral_mass[2] += np.float32(30.0)
    chosen = settings(model)
    weights = trained(model, batch, chosen, TRAINED[name])
    first = float(Peer(model, batch, chosen, weights, torch.float64).train(1)[0]["gradient_norm"][0])
    chosen["clip"] = [share and float(f"{share * first:.3g}") for share in CLIPS]
    expected = results(Peer(model, batch, chosen, weights, torch.float64))
    print(name, {key: round(float(expected[key]), 4) for key in expected if key.startswith("term.")}, f"norm {first:.3g}")
    folder = FIXTURES / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "settings.json").write_text(json.dumps(chosen, indent=1) + "\n")
    save_file(weights, folder / "weights.safetensors")
    save_file({key: torch.from_numpy(value) for key, value in vars(batch).items()}, folder / "batch.safetensors")
    save_file({key: value.float().contiguous() for key, value in expected.items()}, folder / "expected.safetensors")


def read(name):
    folder = FIXTURES / name
    chosen = json.loads((folder / "settings.json").read_text())
    batch = Batch(**{key: value.numpy() for key, value in load_file(folder / "batch.safetensors").items()})
    weights, expected = load_file(folder / "weights.safetensors"), load_file(folder / "expected.safetensors")
    return Model(**chosen["model"]), batch, chosen, weights, expected


def distance(got, expected, floor=0.0):
    """Norm of the difference over the norm of the truth, which counts as at least `floor`."""
    size = max(float(expected.norm()), floor)
    return float((got - expected).norm()) / size if size else float((got - expected).norm())


def compare(peer, weights, expected):
    """Rows of what is compared, how far apart it is, and the bound."""
    found = {key: value.double() for key, value in results(peer).items()}
    expected = {key: value.double() for key, value in expected.items()}
    assert found.keys() == expected.keys()
    of = lambda kind: [key for key in expected if key.startswith(kind + ".")]
    whole = math.sqrt(sum(float(expected[key].square().sum()) for key in of("gradient")))
    rows = [("logits, largest difference", max(float((found[key] - expected[key]).abs().max()) for key in of("logits")), 1e-4)]
    for key in of("term"):
        rows.append((f"{key[5:]}, relative", distance(found[key], expected[key], 0.1), 1e-5))
    # Of a tensor that has next to no gradient only rounding is left.
    floor = 5e-3 * whole
    worst = max(of("gradient"), key=lambda key: distance(found[key], expected[key], floor))
    rows.append((f"gradient, worst tensor ({worst[9:]})", distance(found[worst], expected[worst], floor), 1e-3))
    for key in of("step"):
        rows.append((f"{STEPS} updates: {key[5:]}, largest relative", float((found[key] / expected[key] - 1).abs().max()), 1e-3))
    for kind in ["after", "average"]:
        far = {key: distance(found[f"{kind}.{key}"] - weights[key], expected[f"{kind}.{key}"] - weights[key]) for key in weights}
        worst = max(far, key=far.get)
        rows.append((f"{STEPS} updates: way of {kind}, worst tensor ({worst})", far[worst], 1e-2))
    return rows


def check(name):
    model, batch, chosen, weights, expected = read(name)
    rows = compare(Peer(model, batch, chosen, weights, torch.float32), weights, expected)
    print(f"\n{name}: PyTorch {torch.__version__} in f32 against f64")
    for what, value, bound in rows:
        print(f"  {what:<70} {value:9.1e}  bound {bound:.0e}  {'ok' if value <= bound else 'TOO FAR'}")
    return all(value <= bound for _, value, bound in rows)


class Coupled(Peer):
    """Adam: the decay goes through the moments."""

    def optimizer(self):
        return torch.optim.Adam(self.network.parameters(), **self.options())


class Uncorrected(Peer):
    """Nothing corrects the moments for having begun as zeros: as after many updates."""

    def optimizer(self):
        adamw = super().optimizer()
        for parameter in self.network.parameters():
            zeros = torch.zeros_like(parameter)
            adamw.state[parameter] = {"step": torch.tensor(1e6), "exp_avg": zeros, "exp_avg_sq": zeros.clone()}
        return adamw


class Scaled(Peer):
    """Clipping that makes small gradients larger."""

    def clip(self, step, norm):
        most = self.settings["clip"][step]
        return 1.0 if most is None else most / norm


class Cold(Peer):
    """A running average that does not follow faster at first."""

    def stays(self, step):
        return self.settings["ema"]


def mistaken(chosen):
    """Mistakes in the updates: what it is, the settings, and who makes it."""
    other = lambda **change: {**chosen, "optimizer": {**chosen["optimizer"], **change}}
    late = lambda name: {**chosen, name: [chosen[name][0], *chosen[name][:-1]]}
    return [
        ("no clipping", {**chosen, "clip": [None] * STEPS}, Peer),
        ("clipping of the update before", late("clip"), Peer),
        ("clipping that also makes larger", chosen, Scaled),
        ("rate of the update before", late("rate"), Peer),
        ("beta_1 of 0.85", other(beta_1=0.85), Peer),
        ("beta_2 of 0.92", other(beta_2=0.92), Peer),
        ("beta_2 of 0.999", other(beta_2=0.999), Peer),
        ("epsilon of 1.1e-4", other(epsilon=1.1e-4), Peer),
        ("no bias correction", chosen, Uncorrected),
        ("weight decay of 0.45", other(weight_decay=0.45), Peer),
        ("weight decay coupled", chosen, Coupled),
        ("averaging decay of 0.65", {**chosen, "ema": 0.65}, Peer),
        ("averaging that is not faster at first", chosen, Cold),
    ]


def mistakes(name):
    model, batch, chosen, weights, expected = read(name)
    print(f"\n{name}: the row that is furthest off, as a multiple of its bound")
    noticed = []
    for what, settings, peer in mistaken(chosen):
        rows = compare(peer(model, batch, settings, weights, torch.float32), weights, expected)
        row, value, bound = max(rows, key=lambda row: row[1] / row[2])
        noticed.append(value > bound)
        print(f"  {what:<38} {value / bound:6.1f}  {'noticed' if noticed[-1] else 'NOT NOTICED'}: {row}")
    return check(name) and all(noticed)


def main():
    torch.set_num_threads(1)
    commands = {"make": make, "check": check, "mistakes": mistakes}
    if len(sys.argv) != 2 or sys.argv[1] not in commands:
        sys.exit(__doc__)
    done = [commands[sys.argv[1]](name) for name in MODELS]
    sys.exit(0 if sys.argv[1] == "make" or all(done) else 1)


if __name__ == "__main__":
    main()
