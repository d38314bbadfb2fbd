"""Smart splits: each of them covers the sky like the others.

Blocks of observations are dealt out greedily by the coverage that they add, and then moved, one
at a time, to where they add most. The way is that of tenki's ``smartsplit``, by S. Naess.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator

from socm.errors import ConfigError, Problem
from socm.files import read_whole
from socm.words import reason_of
from socm.workflows.base import LARGEST_LIST, FilePath, Unit
from socm.workflows.null_tests.base import (
    Group,
    Grouping,
    NullTest,
    NullTestOptions,
    Split,
    null_test,
)
from socm.workflows.null_tests.groups import UNPOINTED
from socm.workflows.observations import Observations

Indices = NDArray[np.int64]
DAY = 86_400
MOST_GAIN = 1000.0
"""What a pixel is worth to a split that has nothing of it yet."""
WELL_COVERED = 0.2
"""Share of the usual hits, and of the usual number of blocks, from which a pixel counts."""
BALANCED = 0.9
"""Share of the well-covered sky that every split should cover; less is a warning."""


class SmartOptions(NullTestOptions):
    """Splits that cover the sky alike."""

    nsplits: int = Field(default=4, ge=2, le=1000)
    """Splits of all observations; an even number."""
    block: str = "day"
    """Unit that stays together: ``"day"``, ``"day:2"`` for two days, or ``"tod"``, one session."""
    mode: Literal["plain", "crosslink", "scanpat"] = "crosslink"
    """Balance separately: nothing, rising and setting scans, or each scan pattern."""
    scanpat_tol: Annotated[float, Unit("deg")] = Field(default=1.0, gt=0)
    """Tolerance in azimuth, elevation and throw within one scan pattern."""
    weight: Literal["plain", "det"] = "plain"
    """Weight of a scan: its duration, or its samples of all detectors."""
    res: Annotated[float, Unit("deg")] = Field(default=0.5, gt=0.05, le=10)
    """Size of a pixel."""
    rad: Annotated[float, Unit("deg")] = Field(default=0.7, ge=0, le=20)
    """Radius of the disc that each pointing covers."""
    nopt: int = Field(default=2000, ge=0, le=1_000_000)
    """Maximum number of moves to try."""
    opt_mode: Literal["linear", "random"] = "linear"
    """Order in which blocks are tried: in turn, or random (by `seed`)."""
    constraint: FilePath | None = None
    """Folder of an earlier run: observations in ``smart_split_<k>/query.txt`` stay in split k."""

    @field_validator("block")
    @classmethod
    def _known(cls, block: str) -> str:
        kind, _, days = block.partition(":")
        if kind not in ("day", "tod") or (days and (kind == "tod" or not _positive(days))):
            raise ValueError(f"{block!r} is not a block: 'day', 'day:<number of days>' or 'tod'")
        return block


def _positive(text: str) -> bool:
    try:
        return float(text) > 0
    except ValueError:
        return False


class Hits(NamedTuple):
    """Where a block looks: pixels, numbered over all arrays, and how long at each."""

    pixels: Indices
    values: NDArray[np.float64]


def smart_split(observations: Observations, options: SmartOptions) -> Split:
    """Split observations so that the splits cover the sky alike.

    Of each split is told which share of the well-covered sky it covers, and what it has at its
    worst pixel of a fair share.
    """
    nsplits = options.nsplits
    blocks = _blocks(observations, options)
    if len(observations) < nsplits:
        return Split([np.arange(len(observations))[k::nsplits] for k in range(nsplits)])
    hits, array = _hits(observations, options, blocks)
    owner = _constrained(observations, options, blocks)
    free = [int(block) for block in np.flatnonzero(owner < 0)]
    well = _well_covered(hits, array, nsplits)
    counted = [Hits(h.pixels[keep], h.values[keep]) for h in hits for keep in [well[h.pixels]]]
    coverage = np.zeros((nsplits, len(well)))
    for bound in np.flatnonzero(owner >= 0):
        coverage[owner[bound], counted[bound].pixels] += counted[bound].values

    def place(block: int) -> None:
        """Put a block where it adds most."""
        pixels, values = counted[block]
        have = coverage[:, pixels]
        gain = np.minimum(values / np.maximum(have, values / MOST_GAIN), MOST_GAIN).sum(axis=1)
        # Where a block adds the same to several, to the one that has least.
        best = np.flatnonzero(gain >= gain.max() * (1 - 1e-9))
        owner[block] = best[coverage[best].sum(axis=1).argmin()]
        coverage[owner[block], pixels] += values

    for block in free:
        place(block)
    random = np.random.default_rng(options.seed or 0)
    unmoved = 0
    for step in range(options.nopt if len(free) else 0):
        if options.opt_mode == "linear":
            if unmoved == len(free):
                break  # a whole round without a move: there will be none
            block = free[step % len(free)]
        else:
            block = free[random.integers(len(free))]
        before = owner[block]
        pixels, values = counted[block]
        coverage[before, pixels] = np.maximum(0.0, coverage[before, pixels] - values)
        place(block)
        unmoved = unmoved + 1 if owner[block] == before else 0
    splits = [
        np.sort(
            np.concatenate([np.empty(0, int), *(blocks[b] for b in np.flatnonzero(owner == k))])
        )
        for k in range(nsplits)
    ]
    seen = np.bincount(np.concatenate([h.pixels for h in counted]), minlength=len(well))
    return Split(splits, *_balance(coverage[:, well], seen[well]))


def _balance(coverage: NDArray[np.float64], seen: Indices) -> tuple[list[str], str]:
    """Say how well each split covers what all of them cover, and warn if that is badly.

    Parameters
    ----------
    coverage
        Of each split, at each pixel that is well covered.
    seen
        How many blocks look at each of these pixels.
    """
    if not coverage.size:
        text = "no part of the sky is well covered"
        return [text] * len(coverage), text
    has = coverage > 0
    covered = np.mean(has, axis=1)
    worst = (coverage / coverage.mean(axis=0)).min(axis=1)
    notes = [
        f"covers {share:.1%} of the well-covered sky, {least:.2f} of its share at the worst pixel"
        for share, least in zip(covered, worst, strict=True)
    ]
    if covered.min() >= BALANCED:
        return notes, ""
    enough = np.mean(seen >= len(coverage))
    return notes, (
        f"its splits cover {covered.min():.0%} to {covered.max():.0%} of the well-covered sky, "
        f"{worst.min():.2f} of their share at the worst pixel; {enough:.0%} of it has as many "
        "blocks as there are splits: take more observations, fewer splits, or smaller blocks"
    )


def _blocks(observations: Observations, options: SmartOptions) -> list[Indices]:
    """Return what stays together, the largest first."""
    kind, _, days = options.block.partition(":")
    if kind == "day":
        key = (observations.start // (DAY * float(days or 1))).astype(np.int64)
    elif options.simultaneous == "apart":
        key = np.arange(len(observations))
    else:
        key = observations.session
    blocks = [np.flatnonzero(key == k) for k in np.unique(key)]
    return sorted(blocks, key=len, reverse=True)


def _arrays(observations: Observations, options: SmartOptions) -> Indices:
    """Number what is balanced apart."""
    if options.mode == "plain":
        return np.zeros(len(observations), dtype=np.int64)
    if options.mode == "crosslink":
        return (observations.azimuth >= 180).astype(np.int64)
    o, array = observations, []
    known: list[NDArray[np.float64]] = []
    for pattern in np.column_stack([o.azimuth, o.elevation, o.throw]):
        alike = [k for k, p in enumerate(known) if np.abs(p - pattern).max() <= options.scanpat_tol]
        if not alike:
            known.append(pattern)
        array.append(alike[0] if alike else len(known) - 1)
    return np.array(array, dtype=np.int64)


def _hits(
    observations: Observations, options: SmartOptions, blocks: list[Indices]
) -> tuple[list[Hits], Indices]:
    """Return where each block looks, and the array that each pixel is of."""
    rows = int(np.ceil(180 / options.res))
    sky = rows * 2 * rows
    arrays = _arrays(observations, options)
    weights = observations.stop - observations.start
    if options.weight == "det":
        sets = observations.detector_sets(options.wafers, options.bands)
        weights = (observations.n_samples * sets).astype(np.float64)
    hits = []
    for block in blocks:
        parts = []
        for i in block:
            pixels = arrays[i] * sky + _scan(observations, int(i), options, rows)
            parts.append((pixels, np.full(len(pixels), weights[i] / len(pixels))))
        pixels, inverse = np.unique(np.concatenate([p for p, _ in parts]), return_inverse=True)
        times = np.bincount(inverse, weights=np.concatenate([w for _, w in parts]))
        hits.append(Hits(pixels, times.astype(np.float64)))
    # Number only the pixels that somebody looks at.
    seen = np.unique(np.concatenate([h.pixels for h in hits]))
    return [Hits(np.searchsorted(seen, h.pixels), h.values) for h in hits], seen // sky


def _scan(observations: Observations, i: int, options: SmartOptions, rows: int) -> Indices:
    """Return the pixels that one scan covers, as often as it does.

    Rows of declination are cut into pixels of about one size: fewer of them near the poles.
    """
    from socm.workflows.sky import equatorial, site_of

    o, step = observations, options.res
    width = max(o.throw[i] * np.cos(np.radians(o.elevation[i])), step)
    azimuth = np.linspace(-1, 1, 1 + int(np.ceil(2 * width / step))) * o.throw[i] + o.azimuth[i]
    # The sky turns by 15 degrees an hour: no gap between the discs of one time and the next.
    turns = (o.stop[i] - o.start[i]) / 240 / max(2 * options.rad, step)
    time = np.linspace(o.start[i], o.stop[i], 1 + int(np.ceil(turns)))
    ra, dec = equatorial(
        azimuth[None, :], np.full_like(azimuth, o.elevation[i])[None, :], time[:, None],
        site_of(options.site),
    )  # fmt: skip
    reach = np.arange(-int(options.rad // step), int(options.rad // step) + 1) * step
    dx, dy = (
        a[np.hypot(*np.meshgrid(reach, reach)) <= options.rad] for a in np.meshgrid(reach, reach)
    )
    decs = np.clip(dec[..., None] + dy, -90, 90 - 1e-9)
    row = ((decs + 90) / step).astype(np.int64)
    shrunk = np.maximum(np.cos(np.radians((row + 0.5) * step - 90)), 1e-3)
    ras = (ra[..., None] + dx / shrunk) % 360
    column = (ras * shrunk / step).astype(np.int64)
    return np.asarray((row * 2 * rows + column).ravel(), dtype=np.int64)


def _well_covered(hits: list[Hits], array: Indices, nsplits: int) -> NDArray[np.bool_]:
    """Return which pixels enough blocks look at, so that every split may have its share."""
    pixels = np.concatenate([h.pixels for h in hits])
    values = np.concatenate([h.values for h in hits])
    well = np.zeros(len(array), dtype=bool)
    for number in np.unique(array):
        of_array = array[pixels] == number
        much = of_array & (values > WELL_COVERED * np.median(values[of_array]))
        blocks = np.bincount(pixels[much], minlength=len(array))
        usual = float(np.median(blocks[blocks > 0])) if much.any() else 1.0
        well |= (array == number) & (blocks > min(2 * nsplits, WELL_COVERED * usual))
    return well


def _constrained(
    observations: Observations, options: SmartOptions, blocks: list[Indices]
) -> Indices:
    """Return the split that each block is bound to; -1 where it is free."""
    owner = np.full(len(blocks), -1, dtype=np.int64)
    if options.constraint is None:
        return owner
    files = [
        Path(options.constraint) / f"smart_split_{split}" / "query.txt"
        for split in range(1, options.nsplits + 1)
    ]
    if not any(file.exists() for file in files):
        message = f"the constraint {options.constraint} holds no split of an earlier run"
        raise ConfigError(Problem(message=message, subject="constraint"))
    for split, file in enumerate(files):
        if not file.exists():
            continue  # the earlier run had fewer splits
        try:
            lines = read_whole(file, LARGEST_LIST).decode().splitlines()
        except (OSError, UnicodeDecodeError) as error:
            reason = reason_of(error) if isinstance(error, OSError) else "it is not UTF-8"
            message = f"the constraint {file} cannot be read: {reason}"
            raise ConfigError(Problem(message=message, subject="constraint")) from error
        there = {line.partition("#")[0].strip().split(":")[0] for line in lines}
        for number, block in enumerate(blocks):
            if there.isdisjoint(observations.obs_id[block].tolist()):
                continue
            if owner[number] >= 0:
                message = (
                    f"the constraint has the block of {observations.obs_id[block[0]]} in splits "
                    f"{owner[number] + 1} and {split + 1}"
                )
                hint = "take the same `block` as the earlier run"
                raise ConfigError(Problem(message=message, hint=hint, subject="constraint"))
            owner[number] = split
    return owner


def by_pointing(options: SmartOptions, observations: Observations) -> Grouping:
    """Put what has pointing into one group."""
    pointed = observations.pointed
    return Grouping(
        groups=(Group(name="", members=np.flatnonzero(pointed)),),
        noted={UNPOINTED: int((~pointed).sum())},
    )


SMART_SPLIT = null_test(
    "smart-split-tests",
    SmartOptions,
    NullTest(
        tag="smart",
        group=by_pointing,
        assumed=lambda options: [Group(name="", members=np.empty(0, dtype=np.int64))],
        split=smart_split,
    ),
)
