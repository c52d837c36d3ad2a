"""What an agency holds: what changed, what vanished, and how wrongly it sees the county."""

import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from hub.settings import CHECKOUT, Settings
from identity import resident_id
from sandbox import agency, corrections, noise, spelling
from sandbox.agency import CHANGED, TRUTH
from schemas.contract import Contract, load_contract, load_contracts, stems

PERSONS = 2500
NIGHTS = range(1, 9)
SEEDS = (7, 20260301)
Stock = Callable[..., pl.DataFrame]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("county")


@pytest.fixture(scope="module")
def stock(home: Path) -> Stock:
    """The stock of an agency with its truth."""

    @cache
    def get(stem: str, night: int, seed: int = SEEDS[0], level: str = "standard", persons: int = PERSONS) -> pl.DataFrame:
        settings = settings_of(home, seed=seed, level=level, persons=persons)
        contract = load_contract(stem)
        truth = agency.truth(contract, night, settings).rename({"record_key": contract.key.physical_name})
        return agency.snapshot(contract, night, settings).join(truth, on=contract.key.physical_name, maintain_order="left")

    return get


def settings_of(home: Path, *, seed: int = SEEDS[0], level: str = "standard", persons: int = PERSONS) -> Settings:
    return Settings(home=home, sandbox_persons=persons, sandbox_seed=seed, sandbox_noise=level)  # type: ignore[call-arg, arg-type]


def column(contract: Contract, concept: str) -> str:
    spec = contract.by_concept(concept)
    assert spec is not None
    return spec.physical_name


def own(contract: Contract) -> list[str]:
    return [f.physical_name for f in contract.fields]


# -- deltas --------------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("stem", stems())
def test_rows_that_differ_between_two_nights_are_those_that_say_so(stock: Stock, stem: str, seed: int) -> None:
    contract = load_contract(stem)
    for night in NIGHTS[:-1]:
        before, after = stock(stem, night, seed).select(own(contract)), stock(stem, night + 1, seed)
        differs = after.select(own(contract)).join(before, on=own(contract), how="anti", nulls_equal=True)
        says = after.filter(pl.col(CHANGED) == night + 1)
        key = contract.key.physical_name
        assert sorted(differs[key]) == sorted(says[key])


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("stem", stems())
def test_a_full_snapshot_is_the_one_before_with_deltas_and_withdrawals(stock: Stock, stem: str, seed: int) -> None:
    contract = load_contract(stem)
    key, columns = contract.key.physical_name, own(contract)
    pool = stock(stem, 1, seed).select(columns)
    for night in NIGHTS[1:]:
        full = stock(stem, night, seed)
        delta = full.filter(pl.col(CHANGED) == night).select(columns)
        pool = pl.concat([pool.join(delta, on=key, how="anti"), delta]).join(full, on=key, how="semi").sort(key)
        assert pool.equals(full.select(columns))


def test_a_delta_is_a_small_part_of_the_stock(stock: Stock) -> None:
    for stem in stems():
        for night in NIGHTS[1:]:
            assert (stock(stem, night)[CHANGED] == night).mean() < 0.03  # type: ignore[operator]


def test_about_one_person_in_a_hundred_has_a_changed_record_each_night(stock: Stock) -> None:
    shares = []
    for night in NIGHTS[1:]:
        changed = pl.concat([stock(stem, night).filter(pl.col(CHANGED) == night)["true_person_id"] for stem in stems()])
        shares.append(changed.n_unique() / PERSONS)
    assert 0.007 < float(np.mean(shares)) < 0.02


@pytest.mark.parametrize("stem", stems())
def test_a_night_asked_for_out_of_turn_is_the_same(stock: Stock, tmp_path: Path, stem: str) -> None:
    last, contract = NIGHTS[-1], load_contract(stem)
    for night in NIGHTS[:-1]:
        stock(stem, night)  # each written out in full; below, the nights between are not
    assert agency.snapshot(contract, last, settings_of(tmp_path)).equals(stock(stem, last).drop(*TRUTH))


def test_what_an_agency_corrected_on_nights_nobody_asked_for_is_dated_by_them(stock: Stock, tmp_path: Path) -> None:
    stem = max(stems(), key=lambda s: stock(s, 1).height)
    contract, jumped, lived = load_contract(stem), settings_of(tmp_path / "jumped"), settings_of(tmp_path / "lived")
    keys = stock(stem, 1)[contract.key.physical_name].to_list()
    for settings in (jumped, lived):
        corrections.correct(settings, stem, keys[: len(keys) // 2], 3)
        corrections.correct(settings, stem, [corrections.ALL], 4)
    after = [agency.snapshot(contract, night, lived) for night in range(1, 6)][-1]
    assert after.filter(pl.col(CHANGED) == 4).height > stock(stem, 5).filter(pl.col(CHANGED) == 4).height
    assert agency.snapshot(contract, 5, jumped).equals(after)


@pytest.mark.slow
def test_another_process_makes_the_same_rows(stock: Stock, tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from hub.settings import Settings; from sandbox import agency;"
        "from schemas.contract import load_contracts;"
        f"s = Settings(home=Path(sys.argv[1]), sandbox_persons={PERSONS}, sandbox_seed={SEEDS[0]}, sandbox_noise='standard');"
        "print(*(agency.snapshot(c, 3, s).write_csv() for c in load_contracts().values()), sep='', end='')"
    )
    made = subprocess.run([sys.executable, "-c", code, str(tmp_path)], cwd=CHECKOUT, capture_output=True, check=True)
    assert made.stdout.decode() == "".join(stock(stem, 3).drop(*TRUTH).write_csv() for stem in load_contracts())


# -- records vanish and appear -------------------------------------------------------------------------------------------------------------


def test_records_vanish_and_appear_but_few_a_night(stock: Stock) -> None:
    gone = come = 0
    for stem in stems():
        key = load_contract(stem).key.physical_name
        for night in NIGHTS[:-1]:
            before, after = stock(stem, night), stock(stem, night + 1)
            lost = before.join(after, on=key, how="anti").height
            gone, come = gone + lost, come + after.join(before, on=key, how="anti").height
            assert lost < 0.01 * before.height + 3
    assert gone > 10
    assert come > 0


def test_the_dead_are_kept_a_while_and_then_dropped(stock: Stock, home: Path) -> None:
    settings = settings_of(home, persons=20_000)
    died = agency.people(settings, 1).filter(pl.col("death_date").is_not_null())
    days = died.select("person", days=(pl.lit(settings.sandbox_epoch) - pl.col("death_date").cast(pl.Date)).dt.total_days())
    largest = max(stems(), key=lambda stem: stock(stem, 1).height)
    held = stock(largest, 1, persons=20_000)
    known = days.join(held, left_on="person", right_on="true_person_id", how="semi")
    unknown = days.join(held, left_on="person", right_on="true_person_id", how="anti")
    assert known.height and unknown.height
    assert known["days"].max() <= 40  # type: ignore[operator]
    assert known["days"].mean() < unknown["days"].mean()  # type: ignore[operator]


def test_an_agency_with_a_change_flag_says_what_is_over(stock: Stock) -> None:
    flagged = [c for c in load_contracts().values() if c.by_concept("record.change_flag")]
    assert flagged
    for contract in flagged:
        flags = stock(contract.stem, NIGHTS[-1]).group_by(column(contract, "record.change_flag")).len()
        assert set(flags.to_series(0)) == {"I", "U", "D"}


# -- truth ---------------------------------------------------------------------------------------------------------------------------------


def test_the_truth_of_a_record_is_its_person_and_that_persons_homes_of_the_night(stock: Stock, home: Path) -> None:
    for night in (1, NIGHTS[-1]):
        people = agency.people(settings_of(home), night)
        for stem in stems():
            truth = agency.truth(load_contract(stem), night, settings_of(home))
            assert truth.columns == ["record_key", *TRUTH]
            assert truth["record_key"].is_unique().all()
            assert people["living_home"].gather(truth["true_person_id"]).equals(truth["living_household_id"], check_names=False)
            assert people["registered_home"].gather(truth["true_person_id"]).equals(truth["registered_household_id"], check_names=False)


def test_a_record_keeps_its_person_for_ever(stock: Stock) -> None:
    for stem in stems():
        key = load_contract(stem).key.physical_name
        both = stock(stem, 1).join(stock(stem, NIGHTS[-1]), on=key)
        assert (both["true_person_id"] == both["true_person_id_right"]).all()


# -- noise ---------------------------------------------------------------------------------------------------------------------------------


def unusable(stock: Stock, home: Path, level: str) -> float:
    """Share of records without a usable number of the person's own."""
    own_numbers = agency.people(settings_of(home, level=level), 1).select(true_person_id="person", own="resident_id")
    rows = pl.concat(
        [
            stock(stem, 1, level=level).select("true_person_id", number=column(load_contract(stem), "person.resident_id"))
            for stem in stems()
        ]
    ).join(own_numbers, on="true_person_id")  # fmt: skip
    return float((resident_id.normalise(rows["number"]).fill_null("") != rows["own"].fill_null("-")).mean())  # type: ignore[arg-type]


def test_without_noise_agencies_see_the_county_as_it_is(stock: Stock, home: Path) -> None:
    assert unusable(stock, home, "none") < 0.003  # foreigners have no resident number
    for contract in load_contracts().values():
        rows = stock(contract.stem, 1, level="none")
        people = agency.people(settings_of(home, level="none"), 1)
        assert people["name"].gather(rows["true_person_id"]).equals(rows[column(contract, "person.name")], check_names=False)


def test_at_each_level_so_many_records_lack_a_number_of_their_own(stock: Stock, home: Path) -> None:
    low, standard, heavy = (unusable(stock, home, level) for level in ("low", "standard", "heavy"))
    assert 0.005 < low < 0.03
    assert 0.035 < standard < 0.065
    assert 2 < heavy / standard < 4.5


def test_two_records_of_one_person_in_one_agency_differ_in_their_errors(stock: Stock) -> None:
    contract = load_contract(max(stems(), key=lambda stem: stock(stem, 1, level="heavy").height))
    rows = stock(contract.stem, 1, level="heavy")
    name = column(contract, "person.name")
    doubles = rows.filter(pl.len().over("true_person_id") > 1)
    assert doubles.height > 50
    assert 0 < (doubles.group_by("true_person_id").agg(pl.col(name).n_unique().alias("n"))["n"] > 1).mean() < 0.5  # type: ignore[operator]


def test_an_error_stays_with_its_record(stock: Stock) -> None:
    for contract in load_contracts().values():
        number, key = column(contract, "person.resident_id"), contract.key.physical_name
        both = stock(contract.stem, 1).join(stock(contract.stem, 2), on=key)
        assert both[number].eq_missing(both[f"{number}_right"]).mean() > 0.995  # type: ignore[operator]


SEEN = {
    "person.resident_id": {
        "missing": lambda t: t.is_null(),
        "old number of fifteen digits": lambda t: t.str.contains(r"^\d{15}$"),
        "small x": lambda t: t.str.contains("x$"),
        "full width": lambda t: t.str.contains("[０-９]"),
        "space": lambda t: t.str.contains(" "),
        "rounded by a spreadsheet": lambda t: t.str.contains(r"^\d{15}000$"),
    },
    "person.name": {
        "space": lambda t: t.str.contains(r"[ 　]"),
        "lost character": lambda t: t.str.contains("[?？□〇]"),
        "another dot": lambda t: t.str.contains("[•・．.]"),
        "mother's child": lambda t: t.str.contains("·"),
    },
    "person.birth_date": {
        "first of January": lambda t: t.str.contains("-?01-?01$"),
        "30th of February": lambda t: t.str.contains("-?02-?30$"),
    },
    "person.phone": {
        "missing": lambda t: t.is_null(),
        "country code": lambda t: t.str.starts_with("+86"),
        "hyphens": lambda t: t.str.contains("-"),
    },
    "person.address": {
        "without province": lambda t: t.str.starts_with("荆州市"),
        "without all names in front": lambda t: t.str.starts_with("第"),
        "社 for 组": lambda t: t.str.contains(r"\d社"),
        "幢 for 栋": lambda t: t.str.contains("幢"),
        "no 号": lambda t: t.str.contains(r"[组社]\d+$"),
    },
}


@pytest.mark.parametrize(("concept", "error"), [(c, e) for c, errors in SEEN.items() for e in errors])
def test_each_error_is_seen(stock: Stock, concept: str, error: str) -> None:
    values = pl.concat(
        [stock(c.stem, 1, level="heavy")[column(c, concept)].alias("v") for c in load_contracts().values() if c.by_concept(concept)]
    )
    share = values.to_frame().select(SEEN[concept][error](pl.col("v")).fill_null(False).mean()).item()
    assert 0 < share < 0.5


def test_shares_of_errors_grow_with_the_level() -> None:
    for error, shares in noise._errors().items():
        assert 0 < shares["low"] < shares["standard"] < shares["heavy"] <= 1, error
        assert noise.share("none", error) == 0


def test_a_misheard_name_sounds_the_same() -> None:
    heard = spelling.misheard(pl.Series(["张伟", "李秀英", "王芳"] * 40), np.arange(120) * 37)
    assert (heard != pl.Series(["张伟", "李秀英", "王芳"] * 40)).mean() > 0.9  # type: ignore[operator]
    from pypinyin import Style, lazy_pinyin

    said = {"".join(lazy_pinyin(name, style=Style.NORMAL)) for name in heard.to_list()}
    assert {"zhangwei", "lixiuying", "wangfang"} & said
    assert heard.str.len_chars().is_in([2, 3]).all()


def test_a_lost_character_leaves_a_mark() -> None:
    assert spelling.lost(pl.Series(["李堃", "王喆明"]), np.array([0, 1])).to_list() == ["李?", "王□明"]
