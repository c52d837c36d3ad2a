"""The identity engine from end to end: records in, persons and households out."""

from dataclasses import dataclass, field
from datetime import date

import numpy as np
import numpy.typing as npt
import polars as pl

from identity import bars, blocking, clusters, context, evidence, features, judgements, living, model, score, sure, training
from identity.blocking import Block
from identity.distinct import Rows
from identity.features import Features
from identity.score import Bits
from identity.sure import Labels

# Below this, nothing that persons around could say makes a link.
_OPEN_FROM = -12.0


@dataclass(frozen=True)
class Found:
    """What the engine decided.

    Attributes:
        person: the person of each record, numbered from 0.
        household: the household living together that the record's person belongs to, numbered from 0.
        nodes: the node (group of sure links) of each record.
        blocks: what each blocking rule gave and what caps cost.
        pairs: pairs of nodes weighed.
        weights: the model used.
        features: the records as compared.
        known: how frequent their values are.
        judged: the judgements that were in force.
    """

    person: Labels
    household: Labels
    nodes: Labels
    blocks: list[Block] = field(repr=False)
    pairs: int
    weights: model.Model = field(repr=False)
    features: Features = field(repr=False)
    known: score.Frequencies = field(repr=False)
    judged: judgements.Decided = field(repr=False)


def _settled(found: features.Features, nodes: Labels) -> npt.NDArray[np.bool_]:
    settled = np.zeros(int(nodes.max(initial=-1)) + 1, np.bool_)
    settled[nodes[found.is_believed]] = True
    return settled


def _in_context(
    weights: model.Model, found: features.Features, known: score.Frequencies, members: evidence.Members, a: Rows, b: Rows, bits: Bits,
    around: context.Context,
) -> Bits:  # fmt: skip
    """Weights of pairs, those left open weighed again with what the persons around say."""
    is_open = np.flatnonzero((around.person[a] != around.person[b]) & (bits > _OPEN_FROM))
    if not is_open.size:
        return bits
    p, q = a[is_open], b[is_open]
    again = evidence.judge(weights, found, known, members, p, q, context.shares_home(around, p, q))
    bits = bits.copy()
    bits[is_open] = again + context.by_sources(around, p, q)
    return bits


def resolve(
    records: pl.DataFrame,
    weights: model.Model | None = None,
    *,
    judged: pl.DataFrame | None = None,
    is_fitted: bool = True,
    on: date | None = None,
) -> Found:
    """Persons of a table of records.

    Args:
        records: columns of :data:`identity.columns.COLUMNS`.
        weights: the model; the one that comes with the hub if None.
        judged: judgements in force (:mod:`identity.judgements`).
        is_fitted: whether the model is first fitted to these records.
        on: the day ages are counted on, where no record says when it was changed; None = the newest birth date.
    """
    weights = weights or model.load()
    found = features.extract(records)
    decided = judgements.locate(records, judged)
    nodes = sure.link(found, decided.must, decided.cannot)
    settled = _settled(found, nodes)
    pairs, told = blocking.pairs(found, nodes, settled)
    a, b = pairs["a"].to_numpy(), pairs["b"].to_numpy()
    members = evidence.variants(found, nodes)
    persons = max(float(settled.sum()), found.n / 2)
    known = score.frequencies(found, persons, weights)
    if is_fitted and a.size:
        weights = training.fit(found, known, weights, *evidence.expand(members, a, b)[:2], is_known=found.is_chinese)
    is_forbidden = bars.bars(bars.believed_numbers(found, nodes, settled.size), judgements.barred(nodes, decided.cannot))
    bits = evidence.judge(weights, found, known, members, a, b)
    person = np.arange(settled.size)
    around = None
    for _ in range(2):  # alone, then with what the persons around say
        if around is not None:
            bits = _in_context(weights, found, known, members, a, b, bits, around)
        component = clusters.connect(clusters.Graph(settled.size, a, b, bits), weights.threshold_bits)
        inner_a, inner_b = clusters.within(component)
        inner_bits = evidence.judge(weights, found, known, members, inner_a, inner_b)
        if around is not None:
            inner_bits = _in_context(weights, found, known, members, inner_a, inner_b, inner_bits, around)
        person = clusters.cluster(component, inner_a, inner_b, inner_bits, weights.threshold_bits, is_forbidden)
        around = context.gather(found, nodes, person)
    of_record = person[nodes]
    return Found(of_record, living.resolve(found, of_record, on)[of_record], nodes, told, a.size, weights, found, known, decided)
