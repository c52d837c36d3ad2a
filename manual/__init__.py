"""The pages under docs/ that are made from the code: `python -m manual` writes them, `--check` says which are stale."""
