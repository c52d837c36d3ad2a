"""Sure links: records that are one person beyond what needs weighing. One grouped pass; the result are *nodes*, weighed further on."""

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from identity.features import MISSING, NO_DAY, Features

Labels = npt.NDArray[np.int64]
Edges = tuple[Labels, Labels]


_NO_EDGES: Edges = (np.zeros(0, np.int64), np.zeros(0, np.int64))


def group_keys(*columns: npt.NDArray[np.int32]) -> Labels:
    """One number per distinct combination of codes; -1 where any is missing."""
    known = np.ones(columns[0].size, np.bool_)
    for column in columns:
        known &= (column != MISSING) & (column != NO_DAY)
    keys = np.full(columns[0].size, -1, np.int64)
    rows = np.flatnonzero(known)
    if rows.size:
        mixed = columns[0][rows].astype(np.int64)
        for column in columns[1:]:
            # Dense again after each step, so that two codes always fit into 64 bits.
            _, mixed = np.unique(mixed, return_inverse=True)
            mixed = (mixed.astype(np.int64) << 32) + (column[rows].astype(np.int64) + 2**31)
        _, mixed = np.unique(mixed, return_inverse=True)
        keys[rows] = mixed
    return keys


def star(keys: Labels) -> Edges:
    """Edges from the first record of each group to its others."""
    rows = np.flatnonzero(keys >= 0)
    order = rows[np.argsort(keys[rows], kind="stable")]
    if not order.size:
        return order, order
    starts = np.r_[True, keys[order][1:] != keys[order][:-1]]
    first = order[np.maximum.accumulate(np.where(starts, np.arange(order.size), 0))]
    inner = ~starts
    return first[inner], order[inner]


def components(n: int, *edges: Edges) -> Labels:
    """Connected components as labels 0, 1, 2 …"""
    a, b = np.concatenate([e[0] for e in edges]), np.concatenate([e[1] for e in edges])
    graph = coo_array((np.ones(a.size, np.int8), (a, b)), shape=(n, n))
    return np.asarray(connected_components(graph, directed=False)[1], dtype=np.int64)


def distinct_per_group(labels: Labels, values: npt.NDArray[np.int32], where: npt.NDArray[np.bool_]) -> Labels:
    """How many distinct values each label holds among some rows."""
    pairs = np.unique((labels[where] << 32) + values[where])
    return np.bincount(pairs >> 32, minlength=int(labels.max(initial=-1)) + 1)


def link(features: Features, must: Edges = _NO_EDGES, cannot: Edges = _NO_EDGES) -> Labels:
    """Nodes: groups of records tied by sure links.

    A link is sure with the same valid number and the same name, or one that sounds the same; or with the same name, birth date and
    telephone, or door, where no two believed numbers are drawn together.

    Args:
        features: all records.
        must: rows a judgement makes one person.
        cannot: rows a judgement makes two persons; sure links that would tie them, over however many records, are left to be weighed.

    Returns:
        The node of each record, numbered from 0.
    """
    code = features.code
    number = np.where(features.is_valid, code("number"), MISSING).astype(np.int32)
    name, sound = code("full"), code("full_sound")
    day = np.where(features.is_default_day, NO_DAY, features.birth).astype(np.int32)
    has_door = np.array([(d or "") != "" for d in [*features.coded["address"].values, ""]])  # one entry per distinct address
    door = np.where(has_door[code("address")] & ((code("door") != MISSING) | (code("place") == MISSING)), code("address"), MISSING)
    strong = [star(group_keys(number, name)), star(group_keys(number, sound))]
    both_parts = np.where((code("given") != MISSING), name, MISSING).astype(np.int32)
    weak = [star(group_keys(both_parts, day, other.astype(np.int32))) for other in (code("phone"), door)]
    labels = components(features.n, *strong, *weak)
    believed = np.where(features.is_believed, code("number"), MISSING).astype(np.int32)
    torn = distinct_per_group(labels, believed, believed != MISSING)[labels] > 1
    kept = [(a[~torn[a]], b[~torn[a]]) for a, b in weak]
    labels = components(features.n, *strong, *kept, must)
    apart = np.unique(labels[cannot[0]][labels[cannot[0]] == labels[cannot[1]]])
    if apart.size:
        spoiled = np.isin(labels, apart)
        labels = components(features.n, *[(a[~spoiled[a]], b[~spoiled[a]]) for a, b in (*strong, *kept)], must)
    return labels
