"""A new model for the night: judged on the whole pool first, adopted in one transaction or not at all."""

from dataclasses import dataclass, replace
from typing import Any

import polars as pl
import sqlalchemy as sa

from hub.errors import ConfigError
from hub.settings import Settings
from identity import context, refit
from identity.frozen import Frozen
from pipeline import identify
from warehouse import database, fingerprint, identity_pool, ledger, pool, retraining, weighing


@dataclass(frozen=True)
class Outcome:
    """What a model changes in the pool.

    Attributes:
        version: of the model; a dry run of a new one keeps none.
        former: version that the pool is made by.
        is_adopted: whether it was published.
        counts: records whose person changes (``links``), persons before and after, persons ``parted`` and ``joined``, bonds before and after.
        where: changed links by source and township.
        examples: pairs of record ids that are joined or parted; pointers only.
        fingerprint: of the pool afterwards; None in a dry run.
    """

    version: int
    former: int | None
    is_adopted: bool
    counts: dict[str, int]
    where: list[dict[str, Any]]
    examples: dict[str, list[list[str]]]
    fingerprint: str | None


def retrain(settings: Settings, *, version: int | None = None, threshold: float | None = None, adopt: bool = False) -> Outcome:
    """Judge the whole pool by another model; publish the outcome if it is to be adopted.

    Args:
        settings: whose pool.
        version: a model that is known; None = one fitted to the pool now, or with a threshold the one in use.
        threshold: its weights with this threshold instead of its own, as a model of a new version.
        adopt: publish, and let nights weigh by it from now on. Otherwise nothing is kept.

    Raises:
        AlreadyRunning: a night is at work.
        ConfigError: the pool is empty, a night is not published yet, or there is no such version.
    """
    with database.alone(settings, "night"), database.alone(settings, "pool"), database.publishing(settings) as connection:
        outcome = _retrained(connection, settings, version, threshold, adopt=adopt)
        if not adopt:
            connection.rollback()
    return outcome


def _retrained(connection: sa.Connection, settings: Settings, version: int | None, threshold: float | None, *, adopt: bool) -> Outcome:
    last = ledger.last_night(connection, published=True)
    if last is None or identity_pool.is_empty(connection):
        raise ConfigError("the pool holds no record yet", next_step="run `hub night` first")
    if version is not None and not retraining.is_known(connection, version):
        raise ConfigError(f"there is no model of version {version}", where="--version")
    former = weighing.version(connection)
    identity_pool.collect(connection, [])
    identity_pool.judge(connection, again=True)
    _, pairs = identify.compare(connection, everything=True)
    is_new = version is None or threshold is not None
    if threshold is not None:
        by = _moved(connection, identify.adopted(connection, version or former.adopted), threshold)
    else:
        by = _fitted(connection, pairs, former.adopted) if version is None else identify.adopted(connection, version)
    identify.settle(connection, by, pairs, pool=settings.pool_id, everything=True)
    before = identify.adopted(connection, former.made_by or former.adopted).weights.threshold_bits
    counts, where, examples = retraining.effect(connection, before, by.weights.threshold_bits)
    value = None
    if adopt:
        if is_new:
            retraining.put(connection, by.version, by.to_json(), by.listed())
        retraining.adopt(connection, by.version)
        pool.write(connection, was_empty=False)
        persons, homes = pool.counts(connection)
        value = fingerprint.kept(connection)
        ledger.publish(connection, last.business_date, persons=persons, households=homes, cause="model")
        ledger.note_night(connection, last.business_date, fingerprint=value)
    identity_pool.drop_work(connection)
    return Outcome(by.version, former.made_by, adopt, counts, where, examples, value)


def _moved(connection: sa.Connection, by: Frozen, threshold: float) -> Frozen:
    """A model with another threshold: what agreement weighs stays, for that is what the threshold was judged by."""
    number = retraining.next_version(connection)
    name = f"{by.weights.version.partition('+')[0]}+{number}"
    return replace(by, version=number, weights=replace(by.weights, version=name, threshold_bits=threshold))


def _fitted(connection: sa.Connection, pairs: pl.DataFrame, start: int) -> Frozen:
    persons, holds = retraining.census(connection)
    nodes = pl.concat([retraining.sample(connection), pairs["a"], pairs["b"]]).unique()
    ids, records, _ = weighing.scene(connection, nodes, largest_home=context.LARGEST_HOME)
    numbered = pl.DataFrame({"id": ids}).with_row_index("n")
    ends = pairs.join(numbered.rename({"id": "a", "n": "x"}), on="a").join(numbered.rename({"id": "b", "n": "y"}), on="b")
    return refit.refit(
        identify.adopted(connection, start), retraining.next_version(connection), records, ends.select(a="x", b="y"),
        refit.Census(persons, refit.coverage(holds)),
    )  # fmt: skip
