"""`hub match`: the identity engine on files."""

import json
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import polars as pl
import typer
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hub.errors import ConfigError
from identity.columns import COLUMNS

if TYPE_CHECKING:
    from identity.engine import Found

KEYS = ("source", "record_id")
_JUDGEMENTS_HELP = (
    "source_a, record_id_a, source_b, record_id_b, judgement (must, cannot, unsure)[, retracted]: people's decisions, which always win."
)
_EVIDENCE = frozenset(COLUMNS) - {"source", "record_id", "relation", "updated_at", "sex"}


class MatchConfig(BaseModel):
    """What a configuration file may say; nothing needs to be said.

    Attributes:
        map: column of the files → column of the engine.
        registers: sources whose household numbers are those of a household register (户籍); they decide nothing else than ``--registered``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    map: dict[str, str] = Field(default_factory=dict)
    registers: frozenset[str] = frozenset()


def configured(path: Path | None, maps: list[str]) -> MatchConfig:
    config = MatchConfig()
    if path is not None:
        try:
            config = MatchConfig.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")) or {})
        except (OSError, UnicodeDecodeError, yaml.YAMLError, ValidationError):
            raise ConfigError(
                "this is not a configuration of `hub match`",
                where=str(path),
                next_step="it may hold `map: {theirs: ours}` and `registers: [source]`",
            ) from None
    found = dict(config.map)
    for entry in maps:
        theirs, sign, ours = entry.partition("=")
        if not sign or not theirs:
            raise ConfigError("a mapping is written theirs=ours", where=f"--map {entry}")
        found[theirs] = ours
    for theirs, ours in found.items():
        if ours not in COLUMNS:
            raise ConfigError(
                f"there is no column {ours!r} to map to", where=f"--map {theirs}={ours}", next_step=f"one of {', '.join(COLUMNS)}"
            )
    return config.model_copy(update={"map": found})


def _read(path: Path) -> pl.DataFrame:
    """A CSV or Parquet file as text columns."""
    try:
        with path.open("rb") as file:
            is_parquet = file.read(4) == b"PAR1"
        if is_parquet:
            return pl.read_parquet(path)
        return pl.read_csv(path, infer_schema=False, encoding="utf8")
    except FileNotFoundError:
        raise ConfigError("there is no such file", where=str(path)) from None
    except pl.exceptions.NoDataError:
        raise ConfigError("this file is empty", where=str(path), next_step="it needs a line of column names") from None
    except (OSError, UnicodeDecodeError, pl.exceptions.PolarsError):
        raise ConfigError(
            "this file can be read neither as CSV in UTF-8 nor as Parquet",
            where=str(path),
            next_step="convert it, for example: iconv -f GB18030 -t UTF-8",
        ) from None


def _renamed(frame: pl.DataFrame, mapped: dict[str, str]) -> pl.DataFrame:
    """Our column names; several of theirs mapped to one of ours are joined by spaces, in the order given."""
    parts: dict[str, list[str]] = {}
    for theirs, ours in mapped.items():
        if theirs in frame.columns:
            parts.setdefault(ours, []).append(theirs)
    taken = {c for columns in parts.values() for c in columns}
    own = [c for c in frame.columns if c in COLUMNS and c not in taken and c not in parts]
    joined = {
        ours: pl.col(theirs[0])
        if len(theirs) == 1
        else pl.concat_str([pl.col(c).cast(pl.String) for c in theirs], separator=" ", ignore_nulls=True)
        for ours, theirs in parts.items()
    }
    return frame.select(*own, **joined)


def read_records(files: list[Path], mapped: dict[str, str]) -> pl.DataFrame:
    """All records of some files in the engine's columns.

    Raises:
        ConfigError: a file cannot be read, has no record ids or no column to judge by, or a record comes twice.
    """
    known: set[str] = set()
    frames = []
    for path in files:
        raw = _read(path)
        known |= set(raw.columns)
        frame = _renamed(raw, mapped)
        if "record_id" not in frame.columns:
            raise ConfigError(
                "this file has no column record_id", where=str(path), next_step="name the column that holds it: --map THEIRS=record_id"
            )
        if not _EVIDENCE & set(frame.columns):
            raise ConfigError(
                "this file has no column that tells persons apart", where=str(path), next_step="name one, for example: --map THEIRS=name"
            )
        frame = frame.with_columns(pl.all().cast(pl.String))
        if "source" not in frame.columns:
            frame = frame.with_columns(source=pl.lit(path.stem))
        frame = frame.with_columns(pl.col("source").fill_null(path.stem))
        empty = frame.select((pl.col("record_id").is_null() | (pl.col("record_id").str.strip_chars() == "")).sum()).item()
        if empty:
            raise ConfigError(f"{empty:,} records have no record_id", where=str(path), next_step="every record needs one")
        frames.append(frame)
    missing = sorted(set(mapped) - known)
    if missing:
        raise ConfigError(f"no file has the column {missing[0]!r}", where="--map", next_step="check its spelling")
    records = pl.concat(frames, how="diagonal")
    twice = int(records.select(pl.struct(KEYS).is_duplicated().sum()).item())
    if twice:
        raise ConfigError(
            f"{twice:,} records share source and record_id with another",
            where=", ".join(map(str, files)),
            next_step="record ids must be unique within a source",
        )
    return records


def _truth(path: Path, mapped_sources: pl.DataFrame) -> pl.DataFrame:
    frame = _read(path).with_columns(pl.all().cast(pl.String))
    if "source" not in frame.columns and mapped_sources["source"].n_unique() == 1:
        frame = frame.with_columns(source=pl.lit(mapped_sources["source"][0]))
    if not {"source", "record_id", "true_person_id"} <= set(frame.columns):
        raise ConfigError("truth needs the columns source, record_id and true_person_id", where=str(path))
    return frame


def _judgements(path: Path) -> pl.DataFrame:
    from identity.judgements import SCHEMA, Judgement

    frame = _read(path).with_columns(pl.all().cast(pl.String))
    if not set(SCHEMA) <= set(frame.columns):
        raise ConfigError(f"judgements need the columns {', '.join(SCHEMA)}", where=str(path))
    unknown = frame.filter(~pl.col("judgement").is_in([j.value for j in Judgement])).height
    if unknown:
        raise ConfigError(f"{unknown:,} judgements are none of must, cannot, unsure", where=str(path))
    if "retracted" in frame.columns:
        frame = frame.with_columns(retracted=pl.col("retracted").str.to_lowercase().is_in(["true", "1", "yes"]))
    return frame


def evaluate(clusters: pl.DataFrame, truth: pl.DataFrame) -> dict[str, Any]:
    """Scores of clusters against the truth: persons over records, households over persons."""
    from identity import scorecard

    joined = clusters.join(truth, on=list(KEYS), how="inner", maintain_order="left")
    if joined.is_empty():
        raise ConfigError(
            "truth and files have no record in common", where="--truth", next_step="source and record_id must be the same in both"
        )
    scores: dict[str, Any] = {"records": joined.height, "persons": scorecard.score(joined, "person_id", "true_person_id").as_json()}
    if "true_household_id" in truth.columns:
        persons = joined.drop_nulls("true_household_id").unique("true_person_id", keep="first", maintain_order=True)
        scores["households"] = scorecard.score(persons, "household_id", "true_household_id").as_json()
    return scores


def run(records: pl.DataFrame, judged: pl.DataFrame | None = None) -> tuple[pl.DataFrame, "Found"]:
    """Clusters of records: ``source``, ``record_id``, ``person_id``, ``household_id``, in the order of the records.

    A person or household is named by the first of its records, by source and record id; the name does not change while that record stays.
    """
    from identity import engine

    found = engine.resolve(records, judged=judged, on=datetime.now(UTC).date())
    keyed = records.select(*KEYS).with_columns(
        p=pl.Series(found.person), h=pl.Series(found.household), _key=pl.concat_str(KEYS, separator=":")
    )
    clusters = keyed.select(*KEYS, person_id=pl.col("_key").min().over("p"), household_id=pl.col("_key").min().over("h"))
    return clusters, found


def registered_households(clusters: pl.DataFrame, found: "Found", sources: frozenset[str]) -> pl.DataFrame:
    """Registered households: ``source``, ``record_id``, ``person_id``, ``registered_household_id``, null = on no register that is told.

    Raises:
        ConfigError: nothing says which numbers are those of a register.
    """
    from identity import registered as registers

    household = registers.resolve(found.features, found.person, sources)
    if (household < 0).all():
        raise ConfigError(
            "nothing in these files says who is on which household register", where="--registered",
            next_step="map a column to registered_household_id_local, or name the sources in the configuration: `registers: [source]`",
        )  # fmt: skip
    keyed = clusters.select(*KEYS, "person_id").with_columns(h=pl.Series(household[found.person]), _key=pl.concat_str(KEYS, separator=":"))
    name = pl.when(pl.col("h") >= 0).then(pl.col("_key").min().over("h"))
    return keyed.select(*KEYS, "person_id", registered_household_id=name)


def _write(clusters: pl.DataFrame, out: Path) -> None:
    """Write a table as CSV, or as Parquet by its name; the file is there whole or not at all."""
    draft = out.with_name(f".{out.name}.draft")
    try:
        if out.suffix == ".parquet":
            clusters.write_parquet(draft)
        else:
            clusters.write_csv(draft)
        draft.replace(out)
    except OSError:
        raise ConfigError("this file cannot be written", where=str(out)) from None


def match(
    files: Annotated[list[Path], typer.Argument(help="CSV (UTF-8) or Parquet files of records.")],
    out: Annotated[
        Path, typer.Option("--out", help="Where to write source, record_id, person_id, household_id (CSV, or Parquet by its name).")
    ],
    truth: Annotated[
        Path | None, typer.Option("--truth", help="source, record_id, true_person_id[, true_household_id]: print scores.")
    ] = None,
    config: Annotated[Path | None, typer.Option("--config", help="YAML file: map, registers.")] = None,
    mapped: Annotated[list[str] | None, typer.Option("--map", help="theirs=ours: another name of a column. May be repeated.")] = None,
    registered: Annotated[
        Path | None, typer.Option("--registered", help="Also write source, record_id, person_id, registered_household_id (户籍).")
    ] = None,
    judged: Annotated[Path | None, typer.Option("--judgements", help=_JUDGEMENTS_HELP)] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Which records of some files are one person, and which persons one household. Needs no tuning; any subset of columns will do."""
    started = time.perf_counter()
    chosen = configured(config, mapped or [])
    records = read_records(files, chosen.map)
    known = _truth(truth, records) if truth else None
    clusters, found = run(records, _judgements(judged) if judged else None)
    _write(clusters, out)
    if registered is not None:
        _write(registered_households(clusters, found, chosen.registers), registered)
    capped = [b for b in found.blocks if b.capped]
    told: dict[str, Any] = {
        "records": records.height, "persons": clusters["person_id"].n_unique(), "households": clusters["household_id"].n_unique(),
        "pairs_compared": found.pairs, "blocks_capped": sum(b.capped for b in capped), "pairs_lost_to_caps": sum(b.lost for b in capped),
        "model": found.weights.version, "seconds": round(time.perf_counter() - started, 1), "out": str(out),
    }  # fmt: skip
    if known is not None:
        told["scores"] = evaluate(clusters, known)
    if as_json:
        print(json.dumps(told, ensure_ascii=False))
        return
    print(f"记录 records {told['records']:,} → 人 persons {told['persons']:,}，户 households {told['households']:,}  ({told['seconds']} s)")
    if capped:
        print(
            f"超大分组未全比 blocks capped {told['blocks_capped']:,} (pairs left out {told['pairs_lost_to_caps']:,}); see --json",
            file=sys.stderr,
        )
    for kind, values in told.get("scores", {}).items():
        if kind != "records":
            print(f"{kind:<11}" + "  ".join(f"{k} {v:.5f}" for k, v in values.items()))
    print(f"已写入 written to {out}")
