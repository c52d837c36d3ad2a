"""Nodes into persons: average linkage inside components, where what speaks against a link counts as much as what speaks for it.

The outcome depends on the weights alone, not on the order of records or their names: links of equal weight are taken together or not at all.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from identity.distinct import Rows
from identity.score import Bits
from identity.sure import Labels, components

# Which pairs of nodes, given with their weights, may not be one person.
Forbids = Callable[[Rows, Rows, Bits], npt.NDArray[np.bool_]]

# One weight must not outvote all others, in either direction: weights are bent towards this many bits, their order kept.
_MOST = 24.0
# Average weight from which two groups may be one: even odds.
_EVEN = 0.0
# Components of more nodes are cut along their weakest links before they are looked at in full.
_LARGEST = 150


@dataclass(frozen=True)
class Graph:
    """Weighed pairs of nodes.

    Attributes:
        n: how many nodes.
        a, b: nodes, a < b, each pair once.
        bits: log2 odds that they are one person.
    """

    n: int
    a: Rows
    b: Rows
    bits: Bits


def connect(graph: Graph, threshold: float) -> Labels:
    """Components of the links, those too large cut at a higher threshold until they are small or made of the strongest links."""
    labels = np.arange(graph.n)
    active = graph.bits >= threshold
    bar = threshold
    offset = graph.n
    a, b, bits = graph.a[active], graph.b[active], graph.bits[active]
    while a.size:
        found = components(graph.n, (a.astype(np.int64), b.astype(np.int64)))
        sizes = np.bincount(found)
        large = sizes[found] > _LARGEST
        done = ~large & (sizes[found] > 1)
        labels[done] = found[done] + offset
        offset += int(found.max()) + 1
        bar += 2.0
        rest = large[a] & (bits >= bar)
        a, b, bits = a[rest], b[rest], bits[rest]
        if bar > 60.0:
            break
    return np.unique(labels, return_inverse=True)[1].astype(np.int64)


def within(labels: Labels) -> tuple[Rows, Rows]:
    """All pairs of nodes of one component, a < b."""
    order = np.argsort(labels, kind="stable")
    sizes = np.bincount(labels)
    starts = np.r_[0, np.cumsum(sizes)[:-1]]
    place = np.arange(order.size) - starts[labels[order]]
    later = sizes[labels[order]] - place - 1
    first = np.repeat(np.arange(order.size), later)
    second = first + 1 + np.arange(first.size) - np.repeat(np.cumsum(later) - later, later)
    a, b = order[first], order[second]
    return np.minimum(a, b), np.maximum(a, b)


def _agglomerate(weights: npt.NDArray[np.float64], threshold: float, is_forbidden: npt.NDArray[np.bool_]) -> Labels:
    """Average linkage of one component from its full matrix of weights.

    Two groups become one while their average weight does not speak against it and at least one pair is a link of its own.
    """
    n = weights.shape[0]
    groups: list[list[int]] = [[i] for i in range(n)]
    total = weights.copy()
    strongest = weights.copy()
    barred = is_forbidden.copy()
    alive = list(range(n))
    refused: set[tuple[int, ...]] = set()
    while len(alive) > 1:
        size = np.array([len(groups[g]) for g in alive], dtype=np.float64)
        mean = total[np.ix_(alive, alive)] / np.outer(size, size)
        mean = np.round(mean, 6)
        mean[barred[np.ix_(alive, alive)] | (strongest[np.ix_(alive, alive)] < threshold)] = -np.inf
        np.fill_diagonal(mean, -np.inf)
        for key in refused:
            at = [alive.index(g) for g in key]
            mean[np.ix_(at, at)] = -np.inf
        best = mean.max()
        if best < _EVEN:
            break
        ties = np.argwhere(np.triu(mean == best))
        # Everything tied at the best weight is one step, so that order cannot matter.
        parent = {i: i for i in range(len(alive))}

        def root(i: int, parent: dict[int, int] = parent) -> int:
            while parent[i] != i:
                i = parent[i]
            return i

        for i, j in ties.tolist():
            parent[root(i)] = root(j)
        steps: dict[int, list[int]] = {}
        for i in range(len(alive)):
            steps.setdefault(root(i), []).append(alive[i])
        for step in (s for s in steps.values() if len(s) > 1):
            pairs = np.ix_(step, step)
            inner = [total[p, q] / (len(groups[p]) * len(groups[q])) for k, p in enumerate(step) for q in step[k + 1 :]]
            if barred[pairs].any() or min(inner) < _EVEN - 1e-6:
                refused.add(tuple(sorted(step)))
                continue
            head = step[0]
            for other in step[1:]:
                groups[head] += groups[other]
                total[head, :] += total[other, :]
                total[:, head] += total[:, other]
                strongest[head, :] = np.maximum(strongest[head, :], strongest[other, :])
                strongest[:, head] = strongest[head, :]
                barred[head, :] |= barred[other, :]
                barred[:, head] |= barred[:, other]
                alive.remove(other)
            barred[head, head] = False
            # What was refused to a group stays refused to what it has become, whichever of its parts it is named after.
            refused = {tuple(sorted({head if g in step else g for g in key})) for key in refused}
    labels = np.zeros(n, np.int64)
    for k, g in enumerate(alive):
        labels[groups[g]] = k
    return labels


def cluster(
    labels: Labels,
    a: Rows,
    b: Rows,
    bits: Bits,
    threshold: float,
    is_forbidden: Forbids,
) -> Labels:
    """Persons.

    Args:
        labels: the component of each node.
        a, b: all pairs of nodes of one component, as :func:`within` gives them.
        bits: their weights; the same for every pair.
        threshold: average weight from which two groups are one person.
        is_forbidden: which pairs may not be one person whatever the others say.

    Returns:
        The person of each node, numbered from 0.
    """
    clipped = bits.astype(np.float64) / (1.0 + np.abs(bits) / _MOST)
    barred = is_forbidden(a, b, bits)
    owner = labels[a]
    # Components where every pair is a link, or none is, need no search.
    threshold = threshold / (1.0 + threshold / _MOST)
    links = (clipped >= threshold) & ~barred
    n_components = int(labels.max(initial=-1)) + 1
    of_links, of_pairs = np.bincount(owner, links, minlength=n_components), np.bincount(owner, minlength=n_components)
    whole = (of_links == of_pairs) & (of_pairs > 0)
    persons = np.arange(labels.size)
    first = np.full(n_components, labels.size, np.int64)
    np.minimum.at(first, labels, np.arange(labels.size))
    persons = np.where(whole[labels], first[labels], persons)
    rest = np.flatnonzero(~whole[owner] & (of_links[owner] > 0))
    rest = rest[np.argsort(owner[rest], kind="stable")]
    if rest.size:
        bounds = np.flatnonzero(np.r_[True, owner[rest][1:] != owner[rest][:-1]])
        for start, stop in zip(bounds, np.r_[bounds[1:], rest.size], strict=True):
            at = rest[start:stop]
            nodes, back = np.unique(np.concatenate([a[at], b[at]]), return_inverse=True)
            i, j = back[: at.size], back[at.size :]
            matrix, forbidden = np.zeros((nodes.size, nodes.size)), np.zeros((nodes.size, nodes.size), np.bool_)
            matrix[i, j] = matrix[j, i] = clipped[at]
            forbidden[i, j] = forbidden[j, i] = barred[at]
            found = _agglomerate(matrix, threshold, forbidden)
            heads = np.full(int(found.max()) + 1, labels.size)
            np.minimum.at(heads, found, nodes)
            persons[nodes] = heads[found]
    return np.unique(persons, return_inverse=True)[1].astype(np.int64)
