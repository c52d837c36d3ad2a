"""Reviewers' work on the pool: judge, retract, list, and how they are doing. What they decide is applied by the next night."""

import getpass
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
import polars as pl
import sqlalchemy as sa

from hub.errors import ConfigError, IdentityConflict
from hub.settings import Settings
from identity import calibration, contradictions, reviewers, sampling
from identity import queue as queueing
from identity.judgements import Judgement
from pipeline import identify, weights
from warehouse import database, scenes, weighing
from warehouse import review as kept

# A pair of one person this much more probable than not needs no look.
_CLEAR_BITS = 12.0


class Standing(StrEnum):
    """What follows from a judgement."""

    IN_FORCE = "in force"
    """The next night applies it."""
    NOTHING = "nothing follows"
    """The reviewer was unsure, or others outvote them."""
    WAITS = "waits"
    """The pair is in the sample that another reviewer must agree on."""


@dataclass(frozen=True)
class Entered:
    """A judgement that was written down.

    Attributes:
        judgement_id: its id; by it, it can be retracted.
        standing: what follows from it now.
        needs_second: whether the pair is in the sample two reviewers must agree on.
    """

    judgement_id: str
    standing: Standing
    needs_second: bool


def _said(text: str, flag: str) -> str:
    if not (said := text.strip()):
        raise ConfigError("this must be said", where=flag)
    return said


def _pair(a: str, b: str) -> pl.DataFrame:
    return pl.DataFrame({"record_a": [min(a, b)], "record_b": [max(a, b)]})


def is_in_sample(settings: Settings, a: str, b: str) -> bool:
    """Whether two reviewers must agree on a pair of records."""
    pair = _pair(a, b)
    return bool(sampling.place(pair["record_a"], pair["record_b"])[0] < settings.review_second_share)


def _refuse_contradiction(in_force: pl.DataFrame, standing: pl.DataFrame) -> None:
    found = contradictions.find(in_force)
    if found is None:
        return
    named = []
    for a, b in (found.cannot, *found.chain):
        named += standing.filter((pl.col("record_a") == a) & (pl.col("record_b") == b))["judgement_id"].to_list()
    raise IdentityConflict(
        f"records {found.cannot[0]} and {found.cannot[1]} would have to be one person over {len(found.chain)} judgement(s), and two by another",
        where="judgements",
        next_step=f"if one of these is wrong, retract it first: {', '.join(dict.fromkeys(named))}",
    )


def judge(settings: Settings, one: str, other: str, judgement: str, *, reviewer: str, reason: str) -> Entered:
    """Write down what a reviewer says of two records.

    Args:
        settings: whose pool.
        one, other: records, as id or ``stem:key``.
        judgement: must, cannot or unsure.
        reviewer: who says so.
        reason: why; no value of a person.

    Raises:
        ConfigError: something is missing or wrong, the reviewer has judged the pair before, or the reason quotes a value.
        IdentityConflict: it contradicts what was judged before.
    """
    if judgement not in set(Judgement):
        raise ConfigError(f"there is no judgement {judgement!r}", where="JUDGEMENT", next_step="one of must, cannot, unsure")
    reviewer, reason = _said(reviewer, "--reviewer"), _said(reason, "--reason")
    with database.engine(settings).begin() as connection:
        kept.lock(connection)
        a, b = sorted(kept.record_id(connection, r) for r in (one, other))
        if a == b:
            raise ConfigError("these are one and the same record", where="RECORD")
        if kept.quotes_a_value(connection, [a, b], reason):
            raise ConfigError(
                "the reason quotes a value of these records",
                where="--reason",
                next_step="say which fields agree or differ, not what they hold",
            )
        standing, in_force = kept.standing(connection), kept.in_force(connection)
        is_pair = (pl.col("record_a") == a) & (pl.col("record_b") == b)
        same = standing.filter(is_pair)
        before = same.filter(pl.col("reviewer") == reviewer)
        if before.height:
            raise ConfigError(
                f"{reviewer} has judged this pair before", where=f"judgement {before['judgement_id'][0]}",
                next_step="to say something else, retract that judgement first",
            )  # fmt: skip
        needs_second = is_in_sample(settings, a, b) or bool(same["needs_second"].any())
        if judgement != Judgement.UNSURE:
            # Where two must agree, the second may differ from the first: a third then decides.
            others = in_force.filter(~is_pair) if needs_second else in_force
            vote = _pair(a, b).with_columns(judgement=pl.lit(judgement))
            _refuse_contradiction(pl.concat([others.select(*vote.columns), vote]), standing)
        stood, bits, model = kept.stand(connection, a, b)
        added = kept.append(
            connection, a, b, judgement, reviewer=reviewer, reason=reason, needs_second=needs_second, stood=stood, bits=bits, model_version=model
        )  # fmt: skip
        decided = kept.in_force(connection).filter(is_pair)["judgement"].to_list()
    return Entered(added, _standing(judgement, decided), needs_second)


def _standing(judgement: str, decided: list[str]) -> Standing:
    if judgement == Judgement.UNSURE or (decided and decided != [judgement]):
        return Standing.NOTHING
    return Standing.IN_FORCE if decided else Standing.WAITS


def retract(settings: Settings, judgement_id: str, *, reviewer: str, reason: str) -> None:
    """Take a judgement back: from the next night on it is as if it had never been made.

    Raises:
        ConfigError: there is no such judgement, it was retracted before, or something is missing.
        IdentityConflict: without it, others that contradict each other would be in force.
    """
    reviewer, reason = _said(reviewer, "--reviewer"), _said(reason, "--reason")
    with database.engine(settings).begin() as connection:
        kept.lock(connection)
        kept.retract(connection, judgement_id, reviewer=reviewer, reason=reason)
        _refuse_contradiction(kept.in_force(connection), kept.standing(connection))


def listed(
    settings: Settings, *, record: str | None = None, reviewer: str | None = None, retracted: bool = False, limit: int = 50
) -> list[dict[str, Any]]:
    """Judgements, newest first (see :func:`warehouse.review.listed`)."""
    with database.engine(settings).connect() as connection:
        keys = None if record is None else [kept.record_id(connection, record)]
        return kept.listed(connection, records=keys, reviewer=reviewer, retracted=retracted, limit=limit)


def note_view(settings: Settings, records: list[str], *, viewer: str | None, reason: str | None) -> None:
    """Write down, for good, that somebody with the right is about to be shown values of some records.

    Args:
        settings: name who has the right.
        records: record ids.
        viewer: who asks; the account of the operating system if None.
        reason: why.

    Raises:
        ConfigError: they have no right, or give no reason.
    """
    account = getpass.getuser()
    viewer = (viewer or account).strip()
    if viewer not in {name.strip() for name in settings.value_viewers.split(",") if name.strip()}:
        raise ConfigError(
            f"{viewer} may not be shown values",
            where="--values",
            next_step="HUB_VALUE_VIEWERS names who may; without --values no right is needed",
        )
    said = _said(reason or "", "--why")
    with database.engine(settings).begin() as connection:  # committed before anything is shown
        kept.note_view(connection, records, viewer=viewer, account=account, reason=said)


def values(settings: Settings, records: list[str], *, viewer: str | None, reason: str | None) -> dict[str, dict[str, str | None]]:
    """Values of some records, for somebody with the right; that they were shown is written down first (see :func:`note_view`).

    Raises:
        ConfigError: they have no right, or give no reason.
    """
    note_view(settings, records, viewer=viewer, reason=reason)
    with database.engine(settings).connect() as connection:
        return kept.values(connection, records)


@dataclass(frozen=True)
class Queued:
    """A pair that somebody should look at.

    Attributes:
        record_a, record_b: the pair.
        person_a, person_b: the persons they belong to now.
        bits: its weight (log2 odds); None = not weighed: it is one of two records that contradict each other within a person.
        why: ``weight``, or what contradicts: ``numbers``, ``sexes``, ``birth_years``.
        chance: that the present decision is wrong.
        records: of the persons.
        households: they belong to.
        effect: the product of the three: expected wrong answers.
        waits: how many reviewers have judged it and another one is wanted.
    """

    record_a: str
    record_b: str
    person_a: str
    person_b: str
    bits: float | None
    why: str
    chance: float
    records: int
    households: int
    effect: float
    waits: int


def queue(settings: Settings, *, reviewer: str | None = None) -> list[Queued]:
    """Undecided pairs, the most useful first (see :mod:`identity.queue`).

    Args:
        settings: whose pool.
        reviewer: leave out what they have judged.
    """
    with database.engine(settings).connect() as connection:
        return queued(connection, kept.suspicious(connection), reviewer=reviewer)


def queued(connection: sa.Connection, suspicious: pl.DataFrame, *, reviewer: str | None = None) -> list[Queued]:
    """The same of a pool whose contradictions (:func:`warehouse.review.suspicious`) are known."""
    weighed = kept.weighed(connection, clear_bits=_CLEAR_BITS).with_columns(why=pl.lit("weight"))
    strange = suspicious.rename({"person_id": "person_a"}).with_columns(person_b="person_a")
    pairs = pl.concat([weighed, strange.with_columns(bits=pl.lit(None, dtype=pl.Float64)).select(weighed.columns)])
    concerned = pl.concat([pairs["person_a"], pairs["person_b"]]).unique().to_list()
    ordered = queueing.order(
        pairs, kept.sizes(connection, concerned), kept.memberships(connection, concerned), kept.in_force(connection),
        kept.standing(connection), reviewer=reviewer,
    )  # fmt: skip
    return [Queued(**row) for row in ordered.iter_rows(named=True)]


@dataclass(frozen=True)
class Learned:
    """What judgements say of the threshold.

    Attributes:
        present: the threshold in use.
        judged: pairs decided that were weighed; those sure links tie say nothing of it.
        proposal: what they ask for; None = they are too few.
    """

    present: float
    judged: int
    proposal: calibration.Proposal | None


def learn(settings: Settings) -> Learned:
    """Where the threshold should be, by the judgements in force. Nothing is changed.

    Weights are those of the model in use, with records grouped as if nobody had judged any: what was judged must not speak for itself.
    """
    with database.engine(settings).connect() as connection:
        decided = kept.in_force(connection)
        records = scenes.around(connection, pl.concat([decided["record_a"], decided["record_b"]]).unique().to_list())
        if records.is_empty():
            by = identify.adopted(connection, weighing.version(connection).adopted)
            return Learned(by.weights.threshold_bits, 0, None)
        setting = weights.set_up(connection, records, without_judgements=True)
    there = set(records["record_id"])
    pairs = [row for row in decided.select("record_a", "record_b", "judgement").iter_rows() if row[0] in there and row[1] in there]
    found = [(weights.bits(setting, a, b), judgement == Judgement.MUST) for a, b, judgement in pairs]
    usable = [(b, is_one) for b, is_one in found if b is not None]
    present = setting.by.weights.threshold_bits
    proposal = calibration.propose(np.array([b for b, _ in usable]), np.array([one for _, one in usable], bool), present)
    return Learned(present, len(usable), proposal)


@dataclass(frozen=True)
class Figures:
    """How the review is going.

    Attributes:
        judgements: standing ones, by kind.
        in_force: pairs decided.
        agreement: of first and second reviewers.
        couples: of each two reviewers.
        reviewers: what each got done.
        queued: pairs in the queue.
        waiting: of them, judged by somebody and waiting for another.
    """

    judgements: dict[str, int]
    in_force: int
    queued: int
    waiting: int
    agreement: reviewers.Agreement
    couples: list[reviewers.Agreement]
    reviewers: list[reviewers.Throughput]


def figures(settings: Settings) -> Figures:
    """How well reviewers agree, and how much they get done."""
    with database.engine(settings).connect() as connection:
        standing, in_force, made = kept.standing(connection), kept.in_force(connection), kept.made(connection)
    whole, couples = reviewers.agreements(standing)
    by_kind = {kind.value: int((standing["judgement"] == kind.value).sum()) for kind in Judgement}
    open_pairs = queue(settings)
    waiting = sum(q.waits > 0 for q in open_pairs)
    return Figures(by_kind, in_force.height, len(open_pairs), waiting, whole, couples, reviewers.throughput(made))
