#!/usr/bin/env python3
"""Reads the boards of a run with TensorBoard's own reader and compares them with the run's metrics and evaluations.

    python3 -m venv /tmp/tensorboard && /tmp/tensorboard/bin/pip install tensorboard
    cargo run --release -- -C DIR run experiments/precursor_timing.ron     # also after Ctrl-C or kill -9, and again
    cargo run --release -- -C DIR board --once
    /tmp/tensorboard/bin/python tests/peer/tensorboard.py DIR [RUN..]

Without RUN every run that has boards is compared. For each leaf: the tags, the number of values of each, every step and
every value (as the 32-bit number that the format holds), and that time never goes back. Nothing of runner is used: the
lineage is followed through the manifests, as they are described in ARCHITECTURE.md. A leaf without a checkpoint in a folder
of its own (it shares all of its history with another) has its board read, but has nothing to be compared with.

Exit codes: 0 all equal, or skipped because TensorBoard is not installed, which is said; 1 something differs.
"""

import json
import math
import struct
import sys
from pathlib import Path

# This file has the package's name: without its folder on the path the package itself is found.
HERE = Path(__file__).resolve().parent
sys.path = [place for place in sys.path if Path(place or ".").resolve() != HERE]

try:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
except ImportError:
    print("0 passed, 0 failed, 1 skipped")
    print("SKIPPED: TensorBoard is not installed here, so nothing was compared: pip install tensorboard", file=sys.stderr)
    sys.exit(0)

FIGURES = [
    "token_accuracy",
    "peptide_precision",
    "residue_precision",
    "residue_recall",
    "length_accuracy",
    "within_20_ppm",
    "mass_error_ppm",
]


def single(value):
    """The 32-bit number nearest to a value; the metrics write what JSON lacks as text."""
    value = float(value)
    try:
        return struct.unpack("<f", struct.pack("<f", value))[0]
    except OverflowError:
        return math.copysign(math.inf, value)


def equal(a, b):
    return a == b or (math.isnan(a) and math.isnan(b))


def checkpoints(runs):
    """Every checkpoint under `runs/` by its name: its folder and its manifest."""
    found = {}
    for file in sorted(runs.glob("*/**/MANIFEST.json")):
        parts = file.relative_to(runs).parts
        hidden = any(part.startswith((".", "lost-", "damaged-")) for part in parts)
        if not hidden and file.parent.name != "tensors":
            manifest = json.loads(file.read_text())
            found[manifest["id"]] = (file.parent, manifest)
    return found


def lineage(found, folder):
    """The checkpoints from the root's first to the deepest in a leaf's folder."""
    own = [(manifest["step"], name) for name, (path, manifest) in found.items() if path.parent == folder]
    line, name = [], max(own)[1] if own else None
    while name is not None:
        line.append(found[name])
        parent = found[name][1]["parent"]
        name = parent["id"] if parent else None
    return line[::-1]


def expected(found, evaluations, line):
    """Values by tag and step, of the metrics joined along a lineage and of its evaluations."""
    values = {}

    def add(tag, step, value):
        assert step not in values.setdefault(tag, {}), f"{tag} at {step} is recorded twice"
        values[tag][step] = single(value)

    for folder, _ in line:
        for text in (folder / "metrics.jsonl").read_text().splitlines():
            row = json.loads(text)
            for loss, value in row["terms"].items():
                add(f"loss/{loss}", row["step"], value)
            for loss, value in row["weights"].items():
                add(f"weight/{loss}", row["step"], value)
            add("loss/total", row["step"], row["total"])
            add("rate", row["step"], row["rate"])
            add("gradient_norm", row["step"], row["gradient_norm"])
            add("length/longest", row["step"], row["length"][1])
    names = {manifest["id"] for _, manifest in line}
    for record in evaluations:
        if record["id"] not in names:
            continue
        add(f"eval/{record['set']}/cross_entropy", record["step"], record["scores"]["cross_entropy"])
        for figure in FIGURES:
            value = record["scores"]["summary"]["all"].get(figure)
            if value is not None:
                add(f"eval/{record['set']}/{figure}", record["step"], value)
    return values


def unsaved(found, evaluations):
    """Scores of weights that were evaluated and not saved, by tag and step: whose leaf they are only a history tells."""
    scores = {}
    for record in evaluations:
        if record["id"] not in found:
            figures = {"cross_entropy": record["scores"]["cross_entropy"], **record["scores"]["summary"]["all"]}
            for figure, value in figures.items():
                if value is not None:
                    scores.setdefault((f"eval/{record['set']}/{figure}", record["step"]), set()).add(single(value))
    return scores


def compare(board, values, others):
    """What differs between a board and what was recorded, in words."""
    reader = EventAccumulator(str(board), size_guidance={"scalars": 0})
    reader.Reload()
    problems = []
    tags = set(reader.Tags()["scalars"])
    for tag in tags:
        for event in reader.Scalars(tag):
            if event.value in others.get((tag, event.step), ()):
                values.setdefault(tag, {}).setdefault(event.step, event.value)
    for tag in sorted(tags ^ set(values)):
        problems.append(f"the tag {tag} is {'only on the board' if tag in tags else 'missing'}")
    total = 0
    for tag in sorted(tags & set(values)):
        events = reader.Scalars(tag)
        total += len(events)
        if [event.step for event in events] != sorted(values[tag]):
            problems.append(f"{tag}: {len(events)} steps, recorded {len(values[tag])}, and they are not the same")
            continue
        wrong = [event for event in events if not equal(event.value, values[tag][event.step])]
        if wrong:
            first = wrong[0]
            problems.append(f"{tag} at {first.step}: {first.value}, recorded {values[tag][first.step]}; {len(wrong)} differ")
        times = [event.wall_time for event in events]
        if times != sorted(times):
            problems.append(f"{tag}: time goes back")
    return problems, len(tags), total


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    runs = Path(sys.argv[1]).resolve() / "runs"
    chosen = sys.argv[2:]
    found = checkpoints(runs)
    evaluations = [json.loads(file.read_text()) for file in sorted(runs.glob("*/evaluations/*.json"))]
    others = unsaved(found, evaluations)
    passed = failed = skipped = 0
    for file in sorted(runs.glob("*/tensorboard/**/events.out.tfevents.*")):
        run, _, *leaf = file.parent.relative_to(runs).parts
        if chosen and run not in chosen:
            continue
        name = "/".join([run, *leaf])
        line = lineage(found, runs.joinpath(run, *leaf))
        if not line:
            print(f"skipped {name}: no checkpoint of its own")
            skipped += 1
            continue
        problems, tags, total = compare(file.parent, expected(found, evaluations, line), others)
        passed, failed = passed + (not problems), failed + bool(problems)
        print(f"{'FAILED' if problems else 'equal '}  {name}: {tags} tags, {total} values")
        for problem in problems:
            print(f"    {problem}")
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    sys.exit(1 if failed or not passed else 0)


main()
