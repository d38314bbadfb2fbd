"""Maps of a one-dimensional toy sky, and their cross spectrum: work for examples/local.toml.

Needs nothing but Python. Products are shared through the folder of the run.
"""

import argparse
import cmath
import json
import math
import os
import random
from pathlib import Path

PIXELS = 64
SKY = [math.sin(2 * math.pi * 3 * p / PIXELS) for p in range(PIXELS)]


def products():
    """Return the folder that the workflows of a run share."""
    folder = Path(os.environ.get("SOCM_RUN_DIR", ".")) / "products"
    folder.mkdir(exist_ok=True)
    return folder


def make_map(band, samples, seed):
    """Bin samples of sky and noise into pixels."""
    chance = random.Random(seed)
    total, hits = [0.0] * PIXELS, [0] * PIXELS
    for _ in range(samples):
        pixel = chance.randrange(PIXELS)
        total[pixel] += SKY[pixel] + chance.gauss(0, 5)
        hits[pixel] += 1
    values = [t / h for t, h in zip(total, hits, strict=True)]
    (products() / f"{band}.json").write_text(json.dumps(values))
    print(f"{band}: {samples} samples in {PIXELS} pixels, {min(hits)} at the least in one")


def make_spectrum(first, second):
    """Multiply the Fourier modes of two maps, so that their noise averages out."""
    modes = [
        transform(json.loads((products() / f"{band}.json").read_text())) for band in (first, second)
    ]
    power = [(a * b.conjugate()).real for a, b in zip(*modes, strict=True)]
    Path("spectrum.txt").write_text("".join(f"{k} {p:.6f}\n" for k, p in enumerate(power)))
    print(f"{first} x {second}: most power at mode {max(range(len(power)), key=power.__getitem__)}")


def transform(values):
    """Return the Fourier modes of a map."""
    step = -2j * math.pi / PIXELS
    return [
        sum(value * cmath.exp(step * k * p) for p, value in enumerate(values)) / PIXELS
        for k in range(PIXELS // 2)
    ]


def main():
    """Make what the command line asks for."""
    parser = argparse.ArgumentParser()
    parser.add_argument("product", choices=["map", "spectrum"])
    parser.add_argument("bands", nargs="+")
    parser.add_argument("--samples", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if options.product == "map":
        make_map(*options.bands, options.samples, options.seed)
    else:
        make_spectrum(*options.bands)


main()
