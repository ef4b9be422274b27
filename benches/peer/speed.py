#!/usr/bin/env python3
"""Trains with ours and with PyTorch in turns, in one run, and prints how long a step takes with each.

    cargo bench --bench step --no-run           # prints the path of the executable
    python benches/peer/speed.py --ours target/release/deps/step-<hash> [--sizes laptop,small] [--batches 8,16]
                                 [--modes eager,compile] [--rounds 9] [--seconds 60] [--threads 2,1] [--json FILE]
                                 [--device cuda [--precision f32,bf16] [--tf32]]

The median of the turns' ratios is what counts: a machine that slows down slows both. Without --ours PyTorch is timed alone.
Modes: `eager`; `compile`, torch.compile; `graphs`, the same with mode="reduce-overhead", which is CUDA graphs. docs/peer.md says
what is equal on both sides, and what is compiled.

Exit codes: 0 measured, or skipped because PyTorch or the GPU is not there, which is said; 1 ours failed, or `graphs` computes
something else than `eager`; 2 wrong arguments.
"""

import argparse
import gc
import itertools
import json
import os
import statistics
import subprocess
import sys
import time
from dataclasses import replace

try:
    import torch
except ImportError:
    print("SKIPPED: PyTorch is not installed here, so nothing was compared: docs/peer.md says how to install it", file=sys.stderr)
    sys.exit(0)

import numpy as np

import losses
from data import Model, Shown, draw
from model import Recursive

SIZES = {
    "laptop": Model(48, 2, 1, 1, 2, 1, 50, 16),
    "small": Model(64, 2, 1, 1, 3, 2, 50, 16),
    "middle": Model(256, 4, 2, 2, 8, 4, 50, 16),
    "full": Model(384, 6, 3, 3, 8, 6, 100, 35),
}
# Several layers and passes, quickly compiled: for what must compute the same.
CHECKED = Model(32, 2, 2, 2, 3, 2, 50, 16)
# Larger ones take minutes a step on two cores.
MOST = {"laptop": 192, "small": 192, "middle": 96, "full": 8}
# Unrolled as a whole the large ones would compile for an hour: a supervised pass is compiled instead.
WHOLE = ["laptop", "small"]
MODES = {"eager": None, "compile": "default", "graphs": "reduce-overhead"}
WEIGHTS = {"CrossEntropy": 1.0, "Spectrum": 0.1, "Precursor": 0.05}
LENGTHS = (9, 13)
BATCHES = 8
TURN = 0.5
# Seconds before each turn, in which the other side's threads stop spinning and a GPU ends its work.
PAUSE = 0.05


class Peer:
    """PyTorch as a person would write the training step."""

    def __init__(self, model, batch, mode, precision, device, whole, dropout=0.1):
        torch.manual_seed(1)
        random = np.random.default_rng(1)
        self.device, self.mode, self.rounded = device, mode, precision == "bf16"
        self.network = Recursive(model, dropout).to(device)
        self.passes = losses.pass_weights(model.supervision_steps).to(device)
        self.terms = losses.terms
        if mode != "eager":
            self.compile(whole)
        self.parameters = list(self.network.parameters())
        self.adamw = torch.optim.AdamW(self.parameters, lr=1e-3, weight_decay=0.01, fused=True)
        self.average = [parameter.detach().clone() for parameter in self.parameters]
        noise = model.peaks - 2 * (LENGTHS[0] - 1)
        made = [draw(model, batch, random, LENGTHS, noise) for _ in range(BATCHES)]
        self.batches = [(placed(Shown.of(model, one), device), truth(model, one, device)) for one in made]
        self.count = 0
        # On a GPU: 0 as long as everything was finite.
        self.broken = torch.zeros((), device=device)

    def compile(self, whole):
        """Compiles the forward pass with its losses, or the encoder, a supervised pass and the losses, each for itself."""
        compiled = lambda function: torch.compile(function, mode=MODES[self.mode])
        if whole:
            self.total = compiled(self.total)
        else:
            self.network.encode, self.network.advance = compiled(self.network.encode), compiled(self.network.advance)
            self.terms = compiled(self.terms)

    def total(self, shown, truth):
        """The weighted loss. Weights are always f32; in bf16 the layers are, and logits and losses are not."""
        with torch.autocast(self.device, torch.bfloat16, enabled=self.rounded):
            logits = self.network(shown)
        terms = self.terms(logits, truth, self.passes)
        return sum(WEIGHTS[name] * term for name, term in terms.items())

    def gradient(self):
        """Leaves the next batch's gradient in the parameters; the loss."""
        self.count += 1
        self.adamw.zero_grad()
        if self.mode == "graphs":
            torch.compiler.cudagraph_mark_step_begin()
        total = self.total(*self.batches[self.count % BATCHES])
        total.backward()
        return total.detach()

    def step(self):
        total = self.gradient()
        norm = torch.nn.utils.clip_grad_norm_(self.parameters, 1.0, foreach=True)
        self.adamw.step()
        decay = min(0.999, (1 + self.count) / (10 + self.count))
        with torch.no_grad():
            torch._foreach_lerp_(self.average, self.parameters, 1 - decay)
        # Ours looks at every loss, so that a run stops where one is not finite; on a GPU it notes that there, and looks where it
        # reads anyway: x - x is 0 for finite numbers only.
        if self.device == "cuda":
            self.broken += (total - total) + (norm - norm)
        elif not total.isfinite():
            raise ValueError(f"the loss is {float(total)} at step {self.count}")

    def train(self, steps):
        """Seconds that some steps take, all their work included."""
        if self.device == "cuda":
            torch.cuda.synchronize()
        begun = time.perf_counter()
        for _ in range(steps):
            self.step()
        if self.device == "cuda":
            if float(self.broken) != 0:
                raise ValueError(f"a loss or a gradient is not finite, at step {self.count} or before")
            torch.cuda.synchronize()
        return time.perf_counter() - begun


def placed(arrays, device):
    """The same with its tensors on the device."""
    tensors = {name: value for name, value in vars(arrays).items() if isinstance(value, torch.Tensor)}
    return replace(arrays, **{name: value.to(device) for name, value in tensors.items()})


def truth(model, batch, device):
    """The losses take the number of tokens as a tensor, so that a compiled step holds for every batch."""
    of = losses.Truth.of(model, batch, 0.1)
    return placed(replace(of, tokens=torch.tensor(float(of.tokens))), device)


class Ours:
    """Our process, which trains when it is told to."""

    def __init__(self, path):
        self.process = subprocess.Popen([path, "--serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, **what):
        self.process.stdin.write(json.dumps(what) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            sys.exit(f"ours ended with {self.process.wait()} when asked for {what}")
        return json.loads(answer)

    def begin(self, model, batch, precision, device):
        self.ask(model=vars(model), batch=batch, precision=precision, device=device)

    def train(self, steps):
        return self.ask(steps=steps)["seconds"]

    def end(self):
        self.process.stdin.close()
        self.process.wait()


def steps_of(side, device):
    """How many steps make a turn. The first warms up, on a GPU the first few, in which kernels are compiled and chosen; where one
    takes longer than a turn there is no need to ask again."""
    if device == "cuda":
        side.train(3)
    took = side.train(1)
    if took < 2 * TURN:
        side.train(1)
        took = side.train(1)
    return max(1, min(50, round(TURN / took)))


def compare(ours, row, chosen):
    """Adds to a row what is measured."""
    size, batch, precision, device = row["size"], row["batch"], row["precision"], chosen.device
    torch.set_num_threads(row["threads"])
    free(device)
    begun = time.perf_counter()
    peer = Peer(SIZES[size], batch, row["mode"], precision, device, size in WHOLE)
    # The first step compiles; CUDA graphs are recorded in the next, and replayed from then on.
    peer.train(3 if row["mode"] == "graphs" else 1)
    row["first"] = time.perf_counter() - begun
    sides = {"torch": peer}
    if ours:
        ours.begin(SIZES[size], batch, precision, device)
        sides["ours"] = ours
    steps = {name: steps_of(side, device) for name, side in sides.items()}
    turns = {name: [] for name in sides}
    begun = time.perf_counter()
    for turn in range(chosen.rounds):
        order = list(sides) if turn % 2 else list(reversed(sides))
        for name in order:
            time.sleep(PAUSE)
            turns[name].append(sides[name].train(steps[name]) / steps[name])
        if turn >= 2 and time.perf_counter() - begun > chosen.seconds:
            break
    row["rounds"] = len(turns["torch"])
    row |= {name: statistics.median(times) for name, times in turns.items()}
    if ours:
        ratios = sorted(mine / theirs for mine, theirs in zip(turns["ours"], turns["torch"]))
        row |= {"ratio": statistics.median(ratios), "least": ratios[0], "most": ratios[-1]}
    if device == "cuda":
        row["torch_peak_bytes"] = torch.cuda.max_memory_allocated()


def free(device):
    """Forgets what the row before compiled and held, so that each has a peak of memory of its own."""
    torch._dynamo.reset()
    gc.collect()
    if device == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def check(mode, device):
    """What is compiled must leave the gradient that eager does, tensor by tensor. Each pass adds its part to the same gradients,
    which CUDA graphs keep in a memory of their own."""
    eager, compiled = (Peer(CHECKED, 8, each, "f32", device, whole=False, dropout=0.0) for each in ["eager", mode])
    for _ in range(4):
        compiled.step()
    with torch.no_grad():
        torch._foreach_copy_(eager.parameters, compiled.parameters)
    eager.count = compiled.count
    for side in (eager, compiled):
        side.gradient()
    expected, found = ([parameter.grad for parameter in side.parameters] for side in (eager, compiled))
    # A gradient that is next to nothing is nothing but rounding.
    least = 0.005 * torch.nn.utils.get_total_norm(expected)
    furthest = max(float((b - a).norm() / a.norm().maximum(least)) for a, b in zip(expected, found))
    if not furthest < 0.02:
        sys.exit(f"`{mode}` makes another gradient than `eager`, {furthest:.2g} of its norm away: its time would mean nothing")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    listed = lambda text: text.split(",")
    whole = lambda text: [int(part) for part in listed(text)]
    parser.add_argument("--ours", metavar="PATH", help="executable of `cargo bench --bench step`")
    parser.add_argument("--sizes", type=listed, default=list(SIZES))
    parser.add_argument("--batches", type=whole, default=[8, 16, 32, 96, 192])
    parser.add_argument("--modes", type=listed, default=["eager"], help=", ".join(MODES))
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=60.0, help="of turns for one row, at most; three turns are always made")
    parser.add_argument("--threads", type=whole, default=[2], help="of PyTorch; each number is a row of its own")
    parser.add_argument("--json", metavar="FILE", help="the rows, as a list of objects")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu", help="of both sides")
    parser.add_argument("--precision", type=listed, default=["f32"], help="f32, and on a GPU bf16")
    parser.add_argument("--tf32", action="store_true", help="PyTorch's products of f32 may be computed in TF32, on a GPU")
    chosen = parser.parse_args()
    cuda = chosen.device == "cuda"
    for kind, known in [("sizes", SIZES), ("modes", MODES), ("precision", ["f32", "bf16"])]:
        for name in getattr(chosen, kind):
            if name not in known:
                parser.error(f"there is no `{name}`: --{kind} are {', '.join(known)}")
    for what, asked in [("graphs", chosen.modes), ("bf16", chosen.precision)]:
        if what in asked and not cuda:
            parser.error(f"`{what}` needs --device cuda")
    if chosen.tf32 and not cuda:
        parser.error("--tf32 needs --device cuda")
    return chosen


def head(chosen):
    """Says what is measured, and where."""
    print(f"OMP_WAIT_POLICY is {os.environ.get('OMP_WAIT_POLICY', 'not set')}; {os.cpu_count()} cores; load {os.getloadavg()[0]:.1f}")
    if chosen.device == "cuda":
        print(f"{torch.cuda.get_device_name()}; CUDA {torch.version.cuda}; TF32 {'on' if chosen.tf32 else 'off'}")
    print(f"PyTorch {torch.__version__}; milliseconds a step, medians; ratio: ours / PyTorch, with its range")
    names = f"{'size':<8} {'batch':>5} {'mode':<8} {'format':<6} {'threads':>7}"
    print(f"{names} {'ours':>10} {'PyTorch':>10} {'ratio':>7} {'range':>13} {'turns':>5}")


def line(row):
    """A row of the table, or its beginning where nothing was measured."""
    names = f"{row['size']:<8} {row['batch']:>5} {row['mode']:<8} {row['precision']:<6} {row['threads']:>7}"
    if "torch" not in row:
        return names
    mine = f"{row['ours'] * 1e3:>10.2f}" if "ours" in row else f"{'-':>10}"
    ratio = f"{row['ratio']:>7.2f} {row['least']:>6.2f}-{row['most']:<6.2f}" if "ratio" in row else f"{'-':>7} {'-':>13}"
    return f"{names} {mine} {row['torch'] * 1e3:>10.2f} {ratio} {row['rounds']:>5}"


def write(rows, chosen):
    device = torch.cuda.get_device_name() if chosen.device == "cuda" else "cpu"
    with open(chosen.json, "w") as file:
        json.dump({"torch": torch.__version__, "device": device, "tf32": chosen.tf32, "rows": rows}, file, indent=1)


def main():
    chosen = arguments()
    if chosen.device == "cuda" and not torch.cuda.is_available():
        print("SKIPPED: PyTorch finds no NVIDIA GPU here, so nothing was compared", file=sys.stderr)
        return
    if "graphs" in chosen.modes:
        check("graphs", chosen.device)
    # "highest", which it is without being asked, is f32 throughout.
    torch.set_float32_matmul_precision("high" if chosen.tf32 else "highest")
    ours = Ours(chosen.ours) if chosen.ours else None
    head(chosen)
    rows = []
    for each in itertools.product(chosen.sizes, chosen.batches, chosen.modes, chosen.precision, chosen.threads):
        row = dict(zip(["size", "batch", "mode", "precision", "threads"], each))
        most = MOST[row["size"]]
        if chosen.device == "cpu" and row["batch"] > most:
            print(f"{line(row)} left out: more than {most} take too long", flush=True)
            continue
        compare(ours, row, chosen)
        rows.append(row)
        print(line(row), flush=True)
        if chosen.json:
            write(rows, chosen)
    if ours:
        ours.end()


if __name__ == "__main__":
    main()
