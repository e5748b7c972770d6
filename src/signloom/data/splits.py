"""Who trains and who tests: split schemes, folds, split files, and the auditor that refuses leaks.

All functions are pure: they take a manifest and give a manifest with ``split`` filled in, the same for the same seed.
Three things hold for every scheme. A derived clip goes where its root parent goes. Clips with the same content, and
clips cut from overlapping frames of one recording, stay together. And nothing is decided by chance that the caller
could not repeat. Reasons are in docs/decisions/0003-splits.md.
"""

from __future__ import annotations

import json
import os
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np

from signloom.data.leaks import (
    Joined,
    Leak,
    audit,
    by_key,
    identity_in,
    overlapping,
    places,
    refuse_leaks,
    root_parents,
)
from signloom.data.manifest import Manifest, Record
from signloom.data.manifest_fields import SPLITS
from signloom.errors import InputError, LeakError
from signloom.runtime.atomic import write_json

SCHEMES = ("signer", "source", "given", "random")
FOLD_SCHEMES = ("signer", "source", "signer-k-fold", "k-fold")
__all__ = [
    "FOLD_SCHEMES",
    "SCHEMES",
    "Fold",
    "Leak",
    "Split",
    "apply_split",
    "assign_split",
    "audit",
    "folds",
    "read_split",
    "refuse_leaks",
    "split_of",
    "write_split",
]

FORMAT = "signloom-split"
FORMAT_VERSION = 1
UNUSED = "unused"


@dataclass(frozen=True)
class Fold:
    """One way to cut a corpus for cross-validation: ``manifest`` has ``split`` filled in.

    ``name`` is the signer or source held out, or ``fold-1`` …; ``held_out`` lists the signers (or sources) in test.
    """

    name: str
    manifest: Manifest
    held_out: tuple[str, ...] = ()


# --- schemes ----------------------------------------------------------------------------------------------------


def assign_split(
    manifest: Manifest,
    scheme: str,
    *,
    val: float = 0.15,
    test: float = 0.15,
    seed: int = 0,
    held_out: Iterable[str] | None = None,
    lists: Mapping[str, Iterable[str]] | None = None,
    val_by: str | None = None,
) -> Manifest:
    """Give every clip a split.

    ``scheme``:
      ``signer``  whole signers go to val and test, chosen to come as near to the shares as possible while every label
                  keeps training clips. ``held_out`` names the test signers instead.
      ``source``  the same with whole sources (recordings, sessions).
      ``random``  clips, stratified by label. Not signer-independent: it measures recall of people seen in training.
      ``given``   as the corpus says, or ``lists`` ({split: ids, files or stems}); clips in no list become unused.

    ``val`` and ``test`` are shares of the clips. ``val_by`` says what a validation set is made of: ``signer`` (or
    ``source``: the scheme's own unit) or ``clip``; the default is the scheme's unit. For ``given`` it is asked for only
    when the lists hold no validation clips; the default leaves them as they are.

    The result's ``meta["split"]`` records scheme, seed, shares, held_out and notes. Raises InputError when a signer or
    source is missing, unknown or too few, and for shares outside [0, 1).
    """
    if scheme not in SCHEMES:
        raise InputError(f"split scheme '{scheme}' is not known; wanted one of {', '.join(SCHEMES)}")
    _check_shares(val, test)
    if not manifest.records:
        raise InputError(f"corpus '{manifest.root}' has no clips to split")
    rng = np.random.default_rng(seed)
    notes: list[str] = []
    info: dict[str, Any] = {"scheme": scheme, "seed": seed, "val": val, "test": test}
    if scheme == "given":
        return _given(manifest, lists, val, rng, val_by, info)
    if lists is not None:
        raise InputError(f"lists go with scheme 'given', not '{scheme}'")
    roots = _Roots(manifest)
    if scheme == "random":
        if held_out is not None:
            raise InputError("held_out goes with scheme 'signer' or 'source', not 'random'")
        if val_by not in (None, "clip"):
            raise InputError(f"val_by='{val_by}' does not go with scheme 'random'; it takes clips")
        groups = roots.groups(by_source=True)
        parts = _stratify(groups, roots.label_counts, (1 - val - test, val, test), rng)
        if len(manifest.signers) > 1:
            notes.append(
                "NOT SIGNER-INDEPENDENT: clips of one signer stand in train and test, so the accuracy does not hold "
                "for new people; use --scheme signer for that"
            )
        chosen = {member: SPLITS[part] for group, part in zip(groups, parts) for member in group}
    else:
        unit = _unit(manifest, roots, scheme)
        by_clip = val_by == "clip"
        if val_by not in (None, "clip", scheme):
            raise InputError(f"val_by='{val_by}' does not go with scheme '{scheme}'; wanted '{scheme}' or 'clip'")
        chosen, held = _whole_units(manifest, roots, unit, scheme, 0.0 if by_clip else val, test, rng, held_out)
        info["held_out"] = held
        if by_clip and val > 0:
            chosen = _carve_val(roots, chosen, val, rng)
        info["val_by"] = "clip" if by_clip else scheme
        notes += _share_notes(chosen, {"val": val, "test": test}, held_out)
    notes += _label_notes(roots, chosen)
    if notes:
        info["notes"] = notes
    return _with_splits(manifest, roots.spread(chosen), info)


def folds(
    manifest: Manifest,
    scheme: str,
    *,
    k: int = 5,
    seed: int = 0,
    val: float = 0.15,
    val_by: str = "clip",
    held_out: Iterable[str] | None = None,
) -> list[Fold]:
    """Cut a corpus several ways, so that every clip is tested once.

    ``scheme``: ``signer`` (leave one signer out), ``source`` (leave one source out), ``signer-k-fold`` (k groups of
    whole signers), ``k-fold`` (clips stratified by label; clips of one source stay together; not signer-independent).
    ``held_out`` restricts leave-one-out to these signers or sources.

    Validation comes from the training side and never touches test: ``val_by="clip"`` takes a stratified share of the
    training clips, which keeps every training signer but makes validation easier than test; ``val_by="signer"`` (or
    ``"source"``) takes whole signers, at least one, which is an honest rehearsal of the test but costs training
    signers. ``val=0`` makes none. Raises InputError when there are too few signers, sources or clips.
    """
    if scheme not in FOLD_SCHEMES:
        raise InputError(f"fold scheme '{scheme}' is not known; wanted one of {', '.join(FOLD_SCHEMES)}")
    unit_name = "source" if scheme == "source" else "signer"
    if val_by not in ("clip", unit_name) or (scheme == "k-fold" and val_by != "clip"):
        choice = "'clip'" if scheme == "k-fold" else f"'clip' or '{unit_name}'"
        raise InputError(f"val_by='{val_by}' does not go with fold scheme '{scheme}'; wanted {choice}")
    _check_shares(val, 0.0)
    if not manifest.records:
        raise InputError(f"corpus '{manifest.root}' has no clips to split")
    roots = _Roots(manifest)
    rng = np.random.default_rng(seed)
    unit: dict[str, str] = {}
    tests: list[tuple[set[str], tuple[str, ...]]]
    if scheme == "k-fold":
        groups = roots.groups(by_source=True)
        _check_k(k, len(groups), "groups of clips")
        parts = _stratify(groups, roots.label_counts, (1 / k,) * k, rng)
        tests = [({m for g, p in zip(groups, parts) if p == i for m in g}, ()) for i in range(k)]
        names = [f"fold-{i + 1}" for i in range(k)]
    else:
        unit = _unit(manifest, roots, unit_name)
        units = sorted(set(unit.values()))
        if len(units) < 2:
            raise InputError(f"cannot leave a {unit_name} out: the corpus has only '{units[0]}'")
        if scheme == "signer-k-fold":
            _check_k(k, len(units), "signers")
            grouped = _deal(units, Counter(unit.values()), k, rng)
            names = [f"fold-{i + 1}" for i in range(k)]
        else:
            wanted = _known_units(held_out, units, unit_name) if held_out is not None else units
            grouped = [[u] for u in wanted]
            names = list(wanted)
        tests = [({m for m, u in unit.items() if u in g}, tuple(g)) for g in grouped]
    out = []
    for number, (name, (test_ids, held)) in enumerate(zip(names, tests)):
        if not test_ids:
            raise InputError(f"{name} of {len(names)} would have no test clips; use fewer folds than k={k}")
        fold_rng = np.random.default_rng([seed, number])
        chosen = {r: "test" if r in test_ids else "train" for r in roots.ids}
        if val > 0 and val_by == "clip":
            chosen = _carve_val(roots, chosen, val, fold_rng)
        elif val > 0:
            chosen = _carve_val_units(roots, chosen, unit, unit_name, val, fold_rng)
        notes = _label_notes(roots, chosen)
        if scheme == "k-fold" and len(manifest.signers) > 1:
            notes.insert(0, "NOT SIGNER-INDEPENDENT: clips of one signer stand in train and test")
        info: dict[str, Any] = {
            "scheme": scheme,
            "seed": seed,
            "val": val,
            "val_by": val_by,
            "fold": name,
            "folds": len(names),
            "held_out": list(held),
        }
        if notes:
            info["notes"] = notes
        out.append(Fold(name, _with_splits(manifest, roots.spread(chosen), info), held))
    return out


def _given(
    manifest: Manifest,
    lists: Mapping[str, Iterable[str]] | None,
    val: float,
    rng: np.random.Generator,
    val_by: str | None,
    info: dict[str, Any],
) -> Manifest:
    notes: list[str] = []
    if lists is not None:
        manifest, notes = _apply_lists(manifest, lists)
    roots = _Roots(manifest)
    chosen = {i: r.split for i, r in roots.record.items() if r.split is not None}
    if not chosen:
        raise InputError(
            f"corpus '{manifest.root}' gives no splits; pass lists (--list train=FILE …) or another scheme"
        )
    unused = len(roots.ids) - len(chosen)
    if unused:
        notes.append(f"{unused} clips have no given split and are unused")
    if val_by is not None and val > 0:
        if "val" in chosen.values():
            raise InputError("the given split has validation clips already; leave val_by out")
        if val_by == "clip":
            chosen = _carve_val(roots, chosen, val, rng)
        elif val_by in ("signer", "source"):
            chosen = _carve_val_units(roots, chosen, _unit(manifest, roots, val_by), val_by, val, rng)
        else:
            raise InputError(f"val_by='{val_by}' is not known; wanted clip, signer or source")
        info["val_by"] = val_by
    elif "val" not in chosen.values():
        notes.append("the given split has no validation clips; --val-by clip (or signer) takes some from train")
        info["val"] = 0.0
    else:
        info.pop("val")
    info.pop("test")
    notes += _label_notes(roots, chosen)
    if notes:
        info["notes"] = notes
    return _with_splits(manifest, roots.spread(chosen), info)


def _apply_lists(manifest: Manifest, lists: Mapping[str, Iterable[str]]) -> tuple[Manifest, list[str]]:
    """Splits by lists of ids or files; a name is the same in whichever Unicode form it is written."""
    names: dict[str, list[str]] = defaultdict(list)
    for record in manifest:
        keys = {record.id}
        for path in record.streams.values():
            text = path.replace(os.sep, "/")
            keys |= {
                text,
                os.path.splitext(text)[0],
                os.path.basename(text),
                os.path.splitext(os.path.basename(text))[0],
            }
        for key in {unicodedata.normalize("NFC", key) for key in keys}:
            names[key].append(record.id)
    chosen: dict[str, str] = {}
    unknown: list[str] = []
    for split, entries in lists.items():
        if split not in SPLITS:
            raise InputError(f"lists: split '{split}' is not known; wanted {', '.join(SPLITS)}")
        for entry in entries:
            name = unicodedata.normalize("NFC", entry)
            ids = names.get(name) or names.get(os.path.splitext(name)[0]) or []
            if len(ids) > 1:
                raise InputError(f"{split} list: '{entry}' fits {len(ids)} clips, '{ids[0]}' and '{ids[1]}'; give ids")
            if not ids:
                unknown.append(f"'{entry}' ({split})")
            elif chosen.setdefault(ids[0], split) != split:
                raise LeakError(f"clip '{ids[0]}' stands in the {chosen[ids[0]]} list and in the {split} list")
    if not chosen:
        raise InputError(f"no list entry names a clip of the corpus; the first are {', '.join(unknown[:3]) or 'none'}")
    notes = [f"{len(unknown)} list entries are not in the corpus, first {unknown[0]}"] if unknown else []
    records = tuple(replace(r, split=chosen.get(r.id)) for r in manifest)
    return replace(manifest, records=records), notes


# --- families: what must stay together ----------------------------------------------------------------------------


class _Roots:
    """The clips that a split decides about: those without a parent in the corpus.

    An absent parent is a root too, for which its first child answers. Roots of the same content, or cut from
    overlapping frames of one recording, are a family.
    """

    def __init__(self, manifest: Manifest):
        self.root_of = root_parents(manifest)
        self.record: dict[str, Record] = {}
        for record in manifest:
            root = self.root_of[record.id]
            if root == record.id or root not in self.record:
                self.record[root] = record
        self.ids = list(self.record)
        joined = Joined()
        for members in by_key(manifest, identity_in(manifest)).values():
            joined.join(self.root_of[r.id] for r in members)
        for _, spans in places(manifest):
            for together in overlapping(spans):
                joined.join(self.root_of[span.record.id] for span in together)
        self.family = {i: joined.top(i) for i in self.ids}

    def groups(self, *, by_source: bool) -> list[list[str]]:
        """Roots that must stay together: families, or with ``by_source`` families and whole sources."""
        joined = Joined()
        members: dict[str, list[str]] = defaultdict(list)
        for i in self.ids:
            members[self.family[i]].append(i)
            source = self.record[i].source
            if by_source and source is not None:
                joined.join(["family " + self.family[i], "source " + source])
        out: dict[str, list[str]] = defaultdict(list)
        for family, ids in members.items():
            out[joined.top("family " + family)] += ids
        return list(out.values())

    def label_counts(self, ids: Iterable[str]) -> Counter[str]:
        return Counter(self.record[i].label or "" for i in ids)

    def spread(self, chosen: Mapping[str, str]) -> dict[str, str]:
        """From roots to every clip."""
        return {i: chosen[root] for i, root in self.root_of.items() if root in chosen}


# --- choosing -----------------------------------------------------------------------------------------------------


def _check_shares(val: float, test: float) -> None:
    if not (0 <= val < 1 and 0 <= test < 1 and val + test < 1):
        raise InputError(f"val={val} and test={test} must be shares in [0, 1) that leave some clips for training")


def _check_k(k: int, n: int, what: str) -> None:
    if k < 2:
        raise InputError(f"k={k}; cross-validation needs at least 2 folds")
    if k > n:
        raise InputError(f"k={k} folds need at least {k} {what}; the corpus has {n}")


def _stratify(
    groups: Sequence[Sequence[str]],
    labels_of: Callable[[Sequence[str]], Counter[str]],
    shares: Sequence[float],
    rng: np.random.Generator,
) -> list[int]:
    """Deal groups of clips into parts so that every label comes near its share in every part.

    Greedy, large groups first: each group goes where its labels are missing most. Returns the part of each group.
    """
    counts = [labels_of(g) for g in groups]
    total: Counter[str] = Counter()
    for c in counts:
        total.update(c)
    need = {label: [n * s for s in shares] for label, n in total.items()}
    overall = [sum(total.values()) * s for s in shares]
    order = sorted(rng.permutation(len(groups)).tolist(), key=lambda i: -len(groups[i]))
    open_parts = [p for p, s in enumerate(shares) if s > 0]
    parts = [0] * len(groups)
    jitter = rng.random((len(groups), len(shares)))
    for i in order:
        size = len(groups[i])
        best = max(
            open_parts,
            key=lambda p: (
                round(sum(n * need[label][p] for label, n in counts[i].items()) / size, 9),
                round(overall[p], 9),
                jitter[i][p],
            ),
        )
        parts[i] = best
        overall[best] -= size
        for label, n in counts[i].items():
            need[label][best] -= n
    return parts


def _carve_val(roots: _Roots, chosen: Mapping[str, str], val: float, rng: np.random.Generator) -> dict[str, str]:
    """Move a stratified share of the training clips to val; families stay whole."""
    groups = [g for g in roots.groups(by_source=False) if all(chosen.get(m) == "train" for m in g)]
    n_train = sum(len(g) for g in groups)
    if n_train < 2:
        raise InputError(f"there are {n_train} training clips; cannot take validation clips from them; use val=0")
    share = min(val * len(chosen) / n_train, 0.5)
    parts = _stratify(groups, roots.label_counts, (1 - share, share), rng)
    moved = {m for g, p in zip(groups, parts) if p == 1 for m in g}
    if not moved:
        # Labels of very few clips round to none; a validation set of one clip per common label beats none at all.
        common = roots.label_counts([m for g in groups for m in g]).most_common()
        for label, n in common[: max(1, round(share * n_train))]:
            fitting = [g for g in groups if len(g) == 1 and roots.label_counts(g)[label]]
            if n > 1 and fitting:
                moved.update(fitting[int(rng.integers(len(fitting)))])
    if not moved:
        raise InputError(
            f"no label has two training clips, so none can be spared for validation ({n_train} clips); use val=0"
        )
    return {r: "val" if r in moved else s for r, s in chosen.items()}


def _unit(manifest: Manifest, roots: _Roots, name: str) -> dict[str, str]:
    """Root id → unit (signer or source), units that share a family joined. Raises InputError when one is missing."""
    value: dict[str, str | None] = {i: getattr(r, name) for i, r in roots.record.items()}
    lacking = [i for i, v in value.items() if v is None]
    if lacking:
        how = (
            "name them with --pattern, e.g. '{signer}/{label}/{take}.mp4', or a signer column"
            if name == "signer"
            else "name them with --pattern ({source}) or a source column"
        )
        some = (
            "no clip" if len(lacking) == len(value) else f"{len(lacking)} of {len(value)} clips (first '{lacking[0]}')"
        )
        some = f"{some} has a {name}" if len(lacking) == len(value) else f"{some} have no {name}"
        raise InputError(
            f"corpus '{manifest.root}': {some}, so a {name}-disjoint split is not possible; {how}; or use --scheme "
            "random, whose accuracy does not hold for new signers"
        )
    joined = Joined()
    first: dict[str, str] = {}
    for i, v in sorted(value.items(), key=lambda item: str(item[1])):
        joined.join([first.setdefault(roots.family[i], str(v)), str(v)])
    return {i: joined.top(str(v)) for i, v in value.items()}


def _known_units(asked: Iterable[str], units: Sequence[str], name: str) -> list[str]:
    asked = list(dict.fromkeys(str(a) for a in asked))
    unknown = [a for a in asked if a not in units]
    if unknown:
        raise InputError(f"held_out: {name} '{unknown[0]}' is not in the corpus; it has {', '.join(units)}")
    if not asked:
        raise InputError(f"held_out names no {name}")
    return asked


def _whole_units(
    manifest: Manifest,
    roots: _Roots,
    unit: Mapping[str, str],
    name: str,
    val: float,
    test: float,
    rng: np.random.Generator,
    held_out: Iterable[str] | None,
) -> tuple[dict[str, str], list[str]]:
    """Assign whole signers or sources. Returns root → split, and the units in test."""
    units = sorted(set(unit.values()))
    fixed = _known_units(held_out, units, name) if held_out is not None else []
    wanted = 1 + (val > 0) + (test > 0 or bool(fixed))
    if len(units) < wanted:
        raise InputError(
            f"corpus '{manifest.root}' has {len(units)} {name}{'s' if len(units) > 1 else ''} "
            f"({', '.join(units[:5])}); {wanted} splits of whole {name}s need at least {wanted}. Take validation clips "
            f"from the training {name}s (`signloom split --val-by clip`), or split at random (--split random)"
        )
    if len(fixed) >= len(units) or (val > 0 and len(units) - len(fixed) < 2):
        raise InputError(
            f"held_out takes {len(fixed)} of {len(units)} {name}s; too few are left to train and validate on"
        )
    state = _choose_units(roots, unit, units, (1 - val - test, val, test), rng, fixed)
    chosen = {i: SPLITS[state[u]] for i, u in unit.items()}
    return chosen, sorted(u for u in units if state[u] == 2)


def _choose_units(
    roots: _Roots,
    unit: Mapping[str, str],
    units: Sequence[str],
    shares: Sequence[float],
    rng: np.random.Generator,
    in_test: Sequence[str] = (),
    frozen_train: Sequence[str] = (),
) -> dict[str, int]:
    """Unit → 0 train, 1 val, 2 test, as near to ``shares`` as whole units allow.

    Minimises the distance to the shares, labels without training clips above all, then labels that val or test lack.
    All assignments are tried for up to 7 free units; otherwise a seeded local search moves and swaps units.
    """
    index = {u: k for k, u in enumerate(units)}
    names = sorted({label for i in unit for label in roots.label_counts([i])})
    column = {label: k for k, label in enumerate(names)}
    table = np.zeros((len(units), len(names)), np.int64)
    for i, u in unit.items():
        for label, n in roots.label_counts([i]).items():
            table[index[u], column[label]] += n
    total = table.sum()
    target = np.array(shares)
    splits = [s for s in range(3) if shares[s] > 0]
    fixed = np.full(len(units), -1)
    for u in in_test:
        fixed[index[u]] = 2
    for u in frozen_train:
        fixed[index[u]] = 0
    if in_test:
        splits = [s for s in splits if s != 2]
        target = target.copy()
        target[2] = 0

    def cost(counts: np.ndarray, sizes: np.ndarray) -> float:
        """``counts`` (3, labels) clips, ``sizes`` (3,) units."""
        if any(sizes[s] == 0 for s in splits):
            return float("inf")
        share = counts.sum(1) / total
        # With the test units given, only the share of val is left to choose.
        distance = abs(share[1] - target[1]) if in_test else np.abs(share - target).sum()
        empty = (counts == 0).mean(1)
        thin = empty[1] * (shares[1] > 0) + empty[2] * (shares[2] > 0)
        return float(10 * empty[0] + distance + 0.2 * thin)

    def tally(state: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return (
            np.stack([table[state == s].sum(0) for s in range(3)]),
            np.array([(state == s).sum() for s in range(3)]),
        )

    free = np.flatnonzero(fixed < 0)
    order = rng.permutation(free)  # ties are broken by the seed, not by the alphabet
    best, best_cost = fixed.copy(), float("inf")
    if len(splits) ** len(free) <= 2187:
        state = fixed.copy()
        for code in range(len(splits) ** len(free)):
            rest = code
            for u in order:
                state[u] = splits[rest % len(splits)]
                rest //= len(splits)
            if (c := cost(*tally(state))) < best_cost - 1e-12:
                best, best_cost = state.copy(), c
    else:
        odds = np.array([shares[s] for s in splits])
        for _ in range(4):
            state = fixed.copy()
            state[free] = rng.choice(splits, size=len(free), p=odds / odds.sum())
            for s, u in zip(splits, rng.permutation(free)):
                state[u] = s
            counts, sizes = tally(state)
            c = cost(counts, sizes)
            n_tries = min(4000, 40 * len(free))
            pairs = free[rng.integers(len(free), size=(n_tries, 2))]
            goals = rng.choice(splits, size=n_tries)
            for (u, v), goal in zip(pairs, goals):
                # Move one unit, or swap two.
                moves = [(u, goal)] if rng.random() < 0.5 else [(u, state[v]), (v, state[u])]
                new_counts, new_sizes = counts.copy(), sizes.copy()
                for unit_index, to in moves:
                    new_counts[state[unit_index]] -= table[unit_index]
                    new_counts[to] += table[unit_index]
                    new_sizes[state[unit_index]] -= 1
                    new_sizes[to] += 1
                if (new := cost(new_counts, new_sizes)) < c:
                    counts, sizes, c = new_counts, new_sizes, new
                    for unit_index, to in moves:
                        state[unit_index] = to
            if c < best_cost - 1e-12:
                best, best_cost = state.copy(), c
    return {u: int(best[index[u]]) for u in units}


def _carve_val_units(
    roots: _Roots, chosen: Mapping[str, str], unit: Mapping[str, str], name: str, val: float, rng: np.random.Generator
) -> dict[str, str]:
    """Move whole training signers (or sources) to val."""
    train_units = sorted({u for i, u in unit.items() if chosen.get(i) == "train"})
    elsewhere = {u for i, u in unit.items() if chosen.get(i) not in ("train", None)}
    free = [u for u in train_units if u not in elsewhere]
    if len(train_units) < 2 or not free:
        raise InputError(
            f"only {len(train_units)} {name}s are left to train on; none can be spared for validation: use "
            "val_by='clip' (--val-by clip) or val=0"
        )
    inside = {i: u for i, u in unit.items() if chosen.get(i) == "train"}
    share = min(val * len(chosen) / len(inside), 0.5)
    stuck = [u for u in train_units if u not in free]
    state = _choose_units(roots, inside, train_units, (1 - share, share, 0.0), rng, frozen_train=stuck)
    return {i: "val" if i in inside and state[inside[i]] == 1 else s for i, s in chosen.items()}


def _deal(units: Sequence[str], sizes: Mapping[str, int], k: int, rng: np.random.Generator) -> list[list[str]]:
    """k groups of whole units with about as many clips each: largest first, to the emptiest group."""
    order = sorted(rng.permutation(len(units)).tolist(), key=lambda i: -sizes[units[i]])
    groups: list[list[str]] = [[] for _ in range(k)]
    load = [0] * k
    for i in order:
        g = min(range(k), key=lambda j: (load[j], len(groups[j]), j))
        groups[g].append(units[i])
        load[g] += sizes[units[i]]
    return [sorted(g) for g in groups]


def _share_notes(chosen: Mapping[str, str], asked: Mapping[str, float], held_out: object) -> list[str]:
    counts = Counter(chosen.values())
    notes = []
    for split, share in asked.items():
        got = counts[split] / len(chosen)
        if split == "test" and held_out is not None:
            continue
        if share > 0 and abs(got - share) > 0.1:
            notes.append(
                f"{split} holds {got:.0%} of the clips where {share:.0%} was asked; whole units allow no nearer"
            )
    return notes


def _label_notes(roots: _Roots, chosen: Mapping[str, str]) -> list[str]:
    seen: dict[str, set[str]] = defaultdict(set)
    for i, split in chosen.items():
        label = roots.record[i].label
        if label is not None:
            seen[split].add(label)
    lost = sorted(set().union(*seen.values()) - seen["train"]) if seen else []
    if not lost:
        return []
    names = ", ".join(f"'{label}'" for label in lost[:5]) + (" …" if len(lost) > 5 else "")
    return [f"{len(lost)} labels have no training clip and can never be recognised: {names}"]


def _with_splits(manifest: Manifest, chosen: Mapping[str, str], info: dict[str, Any]) -> Manifest:
    records = tuple(replace(r, split=chosen.get(r.id)) for r in manifest)
    return replace(manifest, records=records, meta={**manifest.meta, "split": info})


# --- split files --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Split:
    """A split as an artefact: which clip of which corpus goes where, and how that was decided."""

    scheme: str
    seed: int | None
    corpus_hash: str
    assignment: Mapping[str, str]
    details: Mapping[str, Any] = field(default_factory=dict)


def split_of(manifest: Manifest) -> Split:
    """The split that ``manifest`` carries. Raises InputError when it carries none."""
    if not any(r.split for r in manifest):
        raise InputError(f"corpus '{manifest.root}' has no split; run: signloom split")
    info = dict(manifest.meta.get("split") or {"scheme": "given"})
    scheme, seed = info.pop("scheme"), info.pop("seed", None)
    return Split(
        scheme, seed, _without_derived(manifest).corpus_hash(), {r.id: r.split or UNUSED for r in manifest}, info
    )


def write_split(split: Split, path: str | os.PathLike[str]) -> Path:
    """Write ``split`` as JSON, atomically."""
    return write_json(
        path,
        {
            "format": FORMAT,
            "version": FORMAT_VERSION,
            "scheme": split.scheme,
            "seed": split.seed,
            "corpus_hash": split.corpus_hash,
            "details": dict(split.details),
            "assignment": dict(split.assignment),
        },
    )


def read_split(path: str | os.PathLike[str]) -> Split:
    """Read a split file. Raises InputError naming the file and what is wrong with it."""
    file = Path(path)
    if not file.is_file():
        what = "is a folder; give one of its files" if file.is_dir() else "does not exist; make it with signloom split"
        raise InputError(f"split file '{file}' {what}")
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InputError(f"'{file}' is not a signloom split: {error}") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise InputError(f'\'{file}\' is not a signloom split: it lacks "format": "{FORMAT}"')
    if content.get("version") != FORMAT_VERSION:
        raise InputError(f"'{file}' has split version {content.get('version')!r}; this signloom reads {FORMAT_VERSION}")
    try:
        assignment = dict(content["assignment"])
        wrong = next(((i, s) for i, s in assignment.items() if s not in (*SPLITS, UNUSED)), None)
        if wrong is not None:
            raise InputError(
                f"'{file}': clip '{wrong[0]}' is in split '{wrong[1]}'; wanted {', '.join(SPLITS)} or unused"
            )
        details = content.get("details", {})
        if (why := _wrong_details(details)) is not None:
            raise InputError(f"'{file}' is not a whole signloom split: details {why}")
        return Split(str(content["scheme"]), content["seed"], str(content["corpus_hash"]), assignment, details)
    except (KeyError, TypeError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"'{file}' is not a whole signloom split: {error!r}") from error


def _wrong_details(details: Any) -> str | None:
    """What is wrong with what a split file says beside its assignment; None where nothing is."""
    if not isinstance(details, dict):
        return f"are {type(details).__name__}, expected an object"
    for name in ("held_out", "notes"):
        held = details.get(name)
        if held is not None and not (isinstance(held, list) and all(isinstance(v, (str, int, float)) for v in held)):
            return f"{name} is {held!r:.60}, expected a list of texts"
    return None


def apply_split(manifest: Manifest, split: Split, *, allow_changed: bool = False) -> Manifest:
    """The corpus with ``split``'s assignment; derived clips that it does not name follow their parents.

    Raises InputError when clips of the split are missing, when clips of the corpus are in it nowhere, and when the
    corpus has other labels, signers or contents than the one the split was made for (unless ``allow_changed``).
    """
    root = root_parents(manifest)
    have = {r.id for r in manifest}
    missing = [i for i in split.assignment if i not in have]
    if missing and not allow_changed:
        raise InputError(
            f"the split names {len(missing)} clips that corpus '{manifest.root}' lacks, first '{missing[0]}'; it was "
            "made for another corpus, or clips failed since. Make it again: signloom split"
        )
    chosen: dict[str, str] = {}
    unknown: list[str] = []
    for record in manifest:
        where = split.assignment.get(record.id) or split.assignment.get(root[record.id])
        if where is None:
            unknown.append(record.id)
        else:
            chosen[record.id] = where
    if unknown:
        raise InputError(
            f"{len(unknown)} clips of corpus '{manifest.root}' are not in the split, first '{unknown[0]}'; make it "
            "again: signloom split"
        )
    roots = _without_derived(manifest)
    if not roots.has_hash(split.corpus_hash) and not allow_changed:
        got = roots.corpus_hash()
        raise InputError(
            f"corpus '{manifest.root}' has hash {got[:12]}, the split was made for {split.corpus_hash[:12]}: same "
            "clips, other labels, signers or contents. Make it again: signloom split"
        )
    records = tuple(replace(r, split=None if chosen[r.id] == UNUSED else chosen[r.id]) for r in manifest)
    info = {"scheme": split.scheme, "seed": split.seed, **split.details}
    if held := info.get("held_out"):
        info["held_out"] = _held_out(split.scheme, held, records)
    return replace(manifest, records=records, meta={**manifest.meta, "split": info})


def _held_out(scheme: str, named: Sequence[str], records: Sequence[Record]) -> list[str]:
    """Who is held out in fact; whom a split file names, unless somebody edited its assignment."""
    of = attrgetter("source" if "source" in scheme else "signer")
    held = {of(r) for r in records if r.split == "test"} - {None}
    return list(named) if held == set(named) else sorted(held)


def choose_split(manifest: Manifest, wanted: str, *, seed: int = 0, scheme: str = "signer") -> tuple[Manifest, Split]:
    """Give the corpus the split a user asked for: a split file, a scheme, "given" or "auto".

    "auto" is the corpus's own split where it has one, else ``scheme``. Where that is "random", signs do not matter (to
    a generator of one signer, say): a corpus with one take of each has clips to spare for a test all the same.
    """
    if wanted == "auto":
        wanted = "given" if any(r.split for r in manifest) else scheme
    if wanted == scheme == "random":
        unlabelled = replace(manifest, records=tuple(replace(r, label=None) for r in manifest))
        divided = assign_split(unlabelled, wanted, seed=seed)
        records = tuple(replace(r, split=d.split) for r, d in zip(manifest, divided))
        manifest = replace(manifest, records=records, meta=divided.meta)
        return manifest, split_of(manifest)
    if wanted in SCHEMES:
        # Two or three signers are too few to spend one on validation: its clips then come from the training signers.
        few = wanted == "signer" and len(manifest.signers) < 4
        manifest = assign_split(manifest, wanted, seed=seed, val_by="clip" if few else None)
        return manifest, split_of(manifest)
    if not Path(wanted).exists():
        raise InputError(f"--split: '{wanted}' is neither a file nor one of auto, {', '.join(SCHEMES)}")
    split = read_split(wanted)
    return apply_split(manifest, split), split


SCHEME_WORDS = {"signer": "signer-disjoint", "source": "source-disjoint", "random": "random", "given": "given"}


def describe_split(split: Split) -> dict[str, Any]:
    """What a checkpoint and a report say about a split."""
    held_out = split.details.get("held_out")
    described = {"scheme": SCHEME_WORDS.get(split.scheme, split.scheme)}
    return {**described, "detail": f"held out: {', '.join(held_out)}"} if held_out else described


def _without_derived(manifest: Manifest) -> Manifest:
    """The clips that a corpus hash of a split counts, so that augmenting a corpus does not spoil its split."""
    return manifest.where(lambda r: r.parent is None)


def split_in_use(manifest: Manifest) -> dict[str, Any]:
    """What a report says about the split that ``manifest`` carries."""
    info = dict(manifest.meta.get("split") or {})
    return describe_split(Split(str(info.pop("scheme", "given")), None, "", {}, info))
