"""Other engines as they come, on the same records: Splink's standard recipe with connected components, and goldenmatch out of the box.

Run by :mod:`benchmarks.identity` with the interpreter of an environment of its own (``make bench-setup``), since these packages ask for other
versions of common libraries: ``python benchmarks/peers.py NAME records.parquet clusters.parquet``.
"""

import logging
import sys
from pathlib import Path

import polars as pl

_DEDUPLICATE_AT = 0.95  # the threshold of Splink's own tutorials


def splink_recipe(records: pl.DataFrame) -> pl.DataFrame:
    """Splink as its tutorials set it up for the columns at hand: library comparisons, u by sampling, two rounds of EM, components."""
    import duckdb
    import splink.comparison_library as cl
    from splink import Linker, SettingsCreator, block_on

    try:
        from splink.backends.duckdb import DuckDBAPI
    except ImportError:
        from splink import DuckDBAPI
    logging.getLogger("splink").setLevel(logging.ERROR)
    frame = records.with_row_index("unique_id").with_columns(
        birth_date=pl.col("birth_date").str.replace_all(r"[^\d]", "").str.replace(r"^(\d{4})(\d{2})(\d{2})$", "$1-$2-$3")
    )
    has = {c for c in frame.columns if frame[c].null_count() < frame.height}
    kinds = {
        "name": lambda c: cl.NameComparison(c), "given_name": lambda c: cl.NameComparison(c), "surname": lambda c: cl.NameComparison(c),
        "birth_date": lambda c: cl.DateOfBirthComparison(c, input_is_string=True), "sex": cl.ExactMatch,
        "resident_id": lambda c: cl.LevenshteinAtThresholds(c, [1, 2]), "phone": lambda c: cl.LevenshteinAtThresholds(c, [1, 2]),
        "address": lambda c: cl.JaroWinklerAtThresholds(c, [0.95, 0.88]), "postcode": lambda c: cl.LevenshteinAtThresholds(c, [1]),
        "birth_place": lambda c: cl.ExactMatch(c),
    }  # fmt: skip
    used = [c for c in kinds if c in has]
    names = [c for c in ("name", "given_name", "surname") if c in has]
    rules = [block_on("birth_date")] if "birth_date" in has else []
    rules += [block_on(*names)] + [block_on(c) for c in ("resident_id", "phone") if c in has]
    rules += [block_on(names[0], "postcode")] if "postcode" in has else []
    settings = SettingsCreator(
        link_type="dedupe_only", comparisons=[kinds[c](c) for c in used], blocking_rules_to_generate_predictions=rules
    )
    api = DuckDBAPI(connection=duckdb.connect())
    data = frame.select("unique_id", *used).to_arrow()
    try:
        linker = Linker(api.register(data), settings)
    except (AttributeError, TypeError):
        linker = Linker(data, settings, api)
    train = linker.training
    certain = [block_on(*names, "birth_date")] + ([block_on("resident_id")] if "resident_id" in has else [])
    train.estimate_probability_two_random_records_match(certain, recall=0.8)
    train.estimate_u_using_random_sampling(max_pairs=1_000_000, seed=1)
    train.estimate_parameters_using_expectation_maximisation(block_on("birth_date"))
    train.estimate_parameters_using_expectation_maximisation(block_on(*names))
    scores = linker.inference.predict(threshold_match_probability=0.5)
    found = linker.clustering.cluster_pairwise_predictions_at_threshold(scores, _DEDUPLICATE_AT)
    table = pl.DataFrame(found.as_record_list()).select("unique_id", "cluster_id")
    return frame.select("unique_id", "source", "record_id").join(table.cast({"unique_id": pl.UInt32}), on="unique_id").select("source", "record_id", person_id=pl.col("cluster_id").cast(pl.String))  # fmt: skip


def goldenmatch_box(records: pl.DataFrame) -> pl.DataFrame:
    """goldenmatch with no configuration but the columns that are names of records, not evidence, left out."""
    import goldenmatch

    evidence = [c for c in records.columns if records[c].null_count() < records.height]
    frame = records.select(evidence)
    keys = frame.select("source", "record_id").with_row_index("n")
    result = goldenmatch.dedupe_df(frame, exclude_columns=["source", "record_id"], confidence_required=False, allow_red_config=True)
    cluster = {}
    for cluster_id, entry in result.clusters.items():
        members = entry["members"] if isinstance(entry, dict) else entry
        for row in members:
            cluster[int(row)] = str(cluster_id)
    return keys.with_columns(
        person_id=pl.col("n").cast(pl.Int64).replace_strict(cluster, default=None, return_dtype=pl.String)
    ).with_columns(person_id=pl.coalesce("person_id", pl.format("alone {}", "n"))).drop("n")  # fmt: skip


PEERS = {"splink": splink_recipe, "goldenmatch": goldenmatch_box}


def main() -> int:
    """Cluster one file."""
    name, source, target = sys.argv[1:4]
    PEERS[name](pl.read_parquet(source)).write_parquet(Path(target))
    return 0


if __name__ == "__main__":
    sys.exit(main())
