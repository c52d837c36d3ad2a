"""Chances that depend on seed, label and who it is about alone: never on the order of rows, nor on how many there are."""

import hashlib

import numpy as np


def _mixed(seed: int, label: str, about: np.ndarray) -> np.ndarray:
    """64 mixed bits per number (the finaliser of SplitMix64 over a keyed counter)."""
    key = np.uint64(int.from_bytes(hashlib.blake2b(f"{seed}|{label}".encode(), digest_size=8).digest(), "little"))
    x = about.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + key
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(x ^ (x >> np.uint64(31)))


def uniform(seed: int, label: str, about: np.ndarray) -> np.ndarray:
    """One number from 0 to below 1 for each of `about` (whole numbers: persons, homes, records)."""
    return np.asarray((_mixed(seed, label, about) >> np.uint64(11)) * 2.0**-53)


def whole(seed: int, label: str, about: np.ndarray, below: int) -> np.ndarray:
    """One whole number from 0 to below `below` for each of `about`."""
    return np.asarray((_mixed(seed, label, about) % np.uint64(below)).astype(np.int64))
