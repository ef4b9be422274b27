#!/usr/bin/env python3
"""Trains with ours and with PyTorch in turns, in one run, and prints how long a step takes with each.

    cargo bench --bench step --no-run           # prints the path of the executable
    python benches/peer/speed.py --ours target/release/deps/step-<hash> [--sizes laptop,small] [--batches 8,16]
                                 [--modes eager,compile] [--rounds 9] [--seconds 60] [--threads 2,1] [--json FILE]

The median of the turns' ratios is what counts: a machine that slows down slows both. Without --ours PyTorch is timed alone.
Modes: `eager`; `compile`, torch.compile over the whole forward pass with its losses; `blocks`, torch.compile of each layer.
docs/peer.md says what is equal on both sides.

Exit codes: 0 measured, or skipped because PyTorch is not installed, which is said; 1 ours failed; 2 wrong arguments.
"""

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import time

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
# Larger ones take minutes a step on two cores.
MOST = {"laptop": 192, "small": 192, "middle": 96, "full": 8}
# Unrolled as a whole the large ones would compile for an hour: their layers are compiled instead.
WHOLE = ["laptop", "small"]
WEIGHTS = {"CrossEntropy": 1.0, "Spectrum": 0.1, "Precursor": 0.05}
LENGTHS = (9, 13)
BATCHES = 8
TURN = 0.5


class Peer:
    """PyTorch as a person would write the training step."""

    def __init__(self, model, batch, mode, device="cpu"):
        torch.manual_seed(1)
        random = np.random.default_rng(1)
        self.network = Recursive(model, dropout=0.1).to(device)
        if mode == "blocks":
            for layer in [*self.network.encoder, *self.network.decoder]:
                layer.compile()
        self.passes = losses.pass_weights(model.supervision_steps)
        self.loss = torch.compile(self.total) if mode == "compile" else self.total
        self.parameters = list(self.network.parameters())
        self.adamw = torch.optim.AdamW(self.parameters, lr=1e-3, weight_decay=0.01, fused=True)
        self.average = [parameter.detach().clone() for parameter in self.parameters]
        noise = model.peaks - 2 * (LENGTHS[0] - 1)
        made = [draw(model, batch, random, LENGTHS, noise) for _ in range(BATCHES)]
        # The losses take the number of tokens as a tensor, so that a compiled step holds for every batch.
        self.batches = [(Shown.of(model, one), losses.Truth.of(model, one, 0.1)) for one in made]
        for _, truth in self.batches:
            truth.tokens = torch.tensor(float(truth.tokens))
        self.step = 0

    def total(self, shown, truth):
        terms = losses.terms(self.network(shown), truth, self.passes)
        return sum(WEIGHTS[name] * term for name, term in terms.items())

    def train(self, steps):
        """Seconds that some steps take."""
        begun = time.perf_counter()
        for _ in range(steps):
            self.step += 1
            total = self.loss(*self.batches[self.step % BATCHES])
            self.adamw.zero_grad()
            total.backward()
            torch.nn.utils.clip_grad_norm_(self.parameters, 1.0, foreach=True)
            self.adamw.step()
            decay = min(0.999, (1 + self.step) / (10 + self.step))
            with torch.no_grad():
                torch._foreach_lerp_(self.average, self.parameters, 1 - decay)
            # Ours looks at every loss, so that a run stops where one is not finite.
            if not total.isfinite():
                raise ValueError(f"the loss is {float(total)} at step {self.step}")
        return time.perf_counter() - begun


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

    def begin(self, model, batch):
        self.ask(model=vars(model), batch=batch)

    def train(self, steps):
        return self.ask(steps=steps)["seconds"]

    def end(self):
        self.process.stdin.close()
        self.process.wait()


def steps_of(side):
    """How many steps make a turn. The first warms up; where one takes longer than a turn there is no need to ask again."""
    took = side.train(1)
    if took < 2 * TURN:
        side.train(1)
        took = side.train(1)
    return max(1, min(50, round(TURN / took)))


def compare(ours, size, batch, mode, threads, rounds, seconds):
    model = SIZES[size]
    torch.set_num_threads(threads)
    begun = time.perf_counter()
    torch._dynamo.reset()
    peer = Peer(model, batch, mode)
    peer.train(1)
    compiled = time.perf_counter() - begun
    sides = {"torch": peer}
    if ours:
        ours.begin(model, batch)
        sides["ours"] = ours
    steps = {name: steps_of(side) for name, side in sides.items()}
    turns = {name: [] for name in sides}
    begun = time.perf_counter()
    for turn in range(rounds):
        order = list(sides) if turn % 2 else list(reversed(sides))
        for name in order:
            turns[name].append(sides[name].train(steps[name]) / steps[name])
        if turn >= 2 and time.perf_counter() - begun > seconds:
            break
    row = {"size": size, "batch": batch, "mode": mode, "threads": threads, "rounds": len(turns["torch"]), "first": compiled}
    row |= {name: statistics.median(times) for name, times in turns.items()}
    if ours:
        ratios = sorted(mine / theirs for mine, theirs in zip(turns["ours"], turns["torch"]))
        row |= {"ratio": statistics.median(ratios), "least": ratios[0], "most": ratios[-1]}
    return row


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    listed = lambda text: text.split(",")
    whole = lambda text: [int(part) for part in listed(text)]
    parser.add_argument("--ours", metavar="PATH", help="executable of `cargo bench --bench step`")
    parser.add_argument("--sizes", type=listed, default=list(SIZES))
    parser.add_argument("--batches", type=whole, default=[8, 16, 32, 96, 192])
    parser.add_argument("--modes", type=listed, default=["eager"], help="eager, compile, blocks")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=60.0, help="of turns for one row, at most; three turns are always made")
    parser.add_argument("--threads", type=whole, default=[2], help="of PyTorch; each number is a row of its own")
    parser.add_argument("--json", metavar="FILE", help="the rows, as a list of objects")
    chosen = parser.parse_args()
    for kind, known in [("sizes", list(SIZES)), ("modes", ["eager", "compile", "blocks"])]:
        for name in getattr(chosen, kind):
            if name not in known:
                parser.error(f"there is no `{name}`: --{kind} are {', '.join(known)}")
    return chosen


def main():
    chosen = arguments()
    ours = Ours(chosen.ours) if chosen.ours else None
    print(f"OMP_WAIT_POLICY is {os.environ.get('OMP_WAIT_POLICY', 'not set')}; {os.cpu_count()} cores; load {os.getloadavg()[0]:.1f}")
    print(f"PyTorch {torch.__version__}; milliseconds a step, medians; ratio: ours / PyTorch, with its range")
    print(f"{'size':<8} {'batch':>5} {'mode':<8} {'threads':>7} {'ours':>10} {'PyTorch':>10} {'ratio':>7} {'range':>13} {'turns':>5}")
    rows = []
    for size, batch, mode, threads in itertools.product(chosen.sizes, chosen.batches, chosen.modes, chosen.threads):
        mode = "blocks" if mode == "compile" and size not in WHOLE else mode
        at = f"{size:<8} {batch:>5} {mode:<8} {threads:>7}"
        if batch > MOST[size]:
            print(f"{at} left out: more than {MOST[size]} take too long", flush=True)
            continue
        row = compare(ours, size, batch, mode, threads, chosen.rounds, chosen.seconds)
        rows.append(row)
        mine = f"{row['ours'] * 1e3:>10.2f}" if ours else f"{'-':>10}"
        ratio = f"{row['ratio']:>7.2f} {row['least']:>6.2f}-{row['most']:<6.2f}" if ours else f"{'-':>7} {'-':>13}"
        print(f"{at} {mine} {row['torch'] * 1e3:>10.2f} {ratio} {row['rounds']:>5}", flush=True)
        if chosen.json:
            with open(chosen.json, "w") as file:
                json.dump({"torch": torch.__version__, "rows": rows}, file, indent=1)
    if ours:
        ours.end()


if __name__ == "__main__":
    main()
