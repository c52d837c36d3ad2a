"""`hub match` on files: what it reads, what it writes, and what it refuses in one sentence."""

import json

import polars as pl
import pytest
from typer.testing import CliRunner

from hub.errors import ConfigError
from pipeline.cli.main import app

ROWS = {
    "source": ["a", "a", "b", "b"], "record_id": ["1", "2", "1", "2"], "name": ["王建军", "李秀英", "王健君", "陈志强"],
    "birth_date": ["1980-04-05", "1982-01-10", "1980-04-05", "1975-10-02"], "phone": ["13971234567", "13971234567", "13971234567", None],
    "address": ["斗湖堤镇长江村3组5号", "斗湖堤镇长江村3组5号", "斗湖堤镇长江村3组5号", "章庄铺镇枫林村2组11号"],
    "household_id_local": ["h1", "h1", "x", "y"],
}  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    pl.DataFrame(ROWS).write_csv(tmp_path / "records.csv")
    return tmp_path


def run(*arguments):
    done = CliRunner().invoke(app, ["match", *map(str, arguments)])
    if isinstance(done.exception, ConfigError):
        assert done.exception.exit_code == 2
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.output


def test_every_record_gets_a_person_and_a_household(folder):
    run(folder / "records.csv", "--out", folder / "out.csv")
    out = pl.read_csv(folder / "out.csv", infer_schema=False)
    assert out.columns == ["source", "record_id", "person_id", "household_id"]
    assert out.select("source", "record_id").rows() == list(zip(ROWS["source"], ROWS["record_id"], strict=True))
    person = out["person_id"].to_list()
    assert person[0] == person[2] and len(set(person)) == 3
    household = out["household_id"].to_list()
    assert household[0] == household[1] != household[3]


def test_scores_against_a_truth(folder):
    truth = pl.DataFrame(
        {
            "source": ROWS["source"],
            "record_id": ROWS["record_id"],
            "true_person_id": ["p", "q", "p", "r"],
            "true_household_id": ["h", "h", "h", "i"],
        }
    )
    truth.write_csv(folder / "truth.csv")
    told = json.loads(run(folder / "records.csv", "--out", folder / "out.csv", "--truth", folder / "truth.csv", "--json").splitlines()[-1])
    assert told["scores"]["persons"] == {"precision": 1.0, "recall": 1.0, "f1": 1.0, "exact": 1.0}
    assert told["scores"]["households"]["f1"] == 1.0


def test_columns_by_other_names_and_in_parts(folder):
    pl.DataFrame(
        {
            "rec": ["1", "2"],
            "first": ["mitchell", "mitchel"],
            "last": ["green", "green"],
            "dob": ["19560409"] * 2,
            "st": ["wallaby place"] * 2,
            "suburb": ["delmar", "delmar"],
        }
    ).write_csv(folder / "latin.csv")
    maps = ("rec=record_id", "first=given_name", "last=surname", "dob=birth_date", "st=address", "suburb=address")
    run(folder / "latin.csv", "--out", folder / "out.csv", *(x for m in maps for x in ("--map", m)))
    out = pl.read_csv(folder / "out.csv", infer_schema=False)
    assert out["person_id"].n_unique() == 1
    assert out["source"].to_list() == ["latin", "latin"]


def test_numbers_alone_are_enough(folder):
    """Where nothing but valid numbers is told, nothing speaks against equal ones."""
    numbers = ["421022198004051010", "421022198201100029", "421022198004051010", "421022194903120018"]
    pl.DataFrame({"record_id": ["1", "2", "3", "4"], "resident_id": numbers}).write_csv(folder / "numbers.csv")
    run(folder / "numbers.csv", "--out", folder / "out.csv")
    person = pl.read_csv(folder / "out.csv", infer_schema=False)["person_id"].to_list()
    assert person[0] == person[2]
    assert len(set(person)) == 3


def test_parquet_in_and_out_and_a_configuration(folder):
    pl.DataFrame({**ROWS, "xm": ROWS["name"]}).drop("name").write_parquet(folder / "records.parquet")
    (folder / "match.yml").write_text("map: {xm: name}\n")
    run(folder / "records.parquet", "--out", folder / "out.parquet", "--config", folder / "match.yml")
    assert pl.read_parquet(folder / "out.parquet")["person_id"].n_unique() == 3


def test_registered_households_where_an_input_says_so(folder):
    rows = {**ROWS, "registered_household_id_local": ["r1", None, None, "r2"]}
    pl.DataFrame(rows).write_csv(folder / "records.csv")
    run(folder / "records.csv", "--out", folder / "out.csv", "--registered", folder / "registered.csv")
    out = pl.read_csv(folder / "registered.csv", infer_schema=False)
    assert out.columns == ["source", "record_id", "person_id", "registered_household_id"]
    assert out["registered_household_id"].to_list() == ["a:1", None, "a:1", "b:2"]
    assert out["person_id"].to_list() == pl.read_csv(folder / "out.csv", infer_schema=False)["person_id"].to_list()


def test_registered_households_by_sources_that_are_registers(folder):
    (folder / "match.yml").write_text("registers: [a]\n")
    run(folder / "records.csv", "--out", folder / "out.csv", "--registered", folder / "registered.csv", "--config", folder / "match.yml")
    assert pl.read_csv(folder / "registered.csv", infer_schema=False)["registered_household_id"].to_list() == ["a:1", "a:1", "a:1", None]


def test_registered_households_nobody_tells_are_refused(folder):
    with pytest.raises(ConfigError, match="household register"):
        run(folder / "records.csv", "--out", folder / "out.csv", "--registered", folder / "registered.csv")


BAD = {
    "no record ids": ("source,name\na,x\n", "no column record_id"),
    "an empty record id": ("source,record_id,name\na,,x\n", "no record_id"),
    "a record twice": ("source,record_id,name\na,1,x\na,1,y\n", "share source and record_id"),
    "no usable column": ("source,record_id,colour\na,1,red\n", "tells persons apart"),
    "nothing at all": ("", "empty"),
}


@pytest.mark.parametrize(("text", "said"), BAD.values(), ids=list(BAD))
def test_a_bad_table_is_refused_in_one_sentence(tmp_path, text, said):
    (tmp_path / "bad.csv").write_text(text)
    with pytest.raises(ConfigError, match=said):
        run(tmp_path / "bad.csv", "--out", tmp_path / "out.csv")
    assert not (tmp_path / "out.csv").exists()


def test_another_encoding_is_refused(tmp_path):
    (tmp_path / "gb.csv").write_bytes("source,record_id,name\na,1,王建军\n".encode("gb18030"))
    with pytest.raises(ConfigError, match="UTF-8"):
        run(tmp_path / "gb.csv", "--out", tmp_path / "out.csv")


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ConfigError, match="no such file"):
        run(tmp_path / "gone.csv", "--out", tmp_path / "out.csv")


def test_peoples_judgements_win(folder):
    said = pl.DataFrame(
        {
            "source_a": ["a", "a"],
            "record_id_a": ["1", "1"],
            "source_b": ["b", "b"],
            "record_id_b": ["1", "2"],
            "judgement": ["cannot", "must"],
        }
    )
    said.write_csv(folder / "said.csv")
    run(folder / "records.csv", "--out", folder / "out.csv", "--judgements", folder / "said.csv")
    person = pl.read_csv(folder / "out.csv", infer_schema=False)["person_id"].to_list()
    assert person[0] == person[3] != person[2]


def test_an_explanation_tells_reasons_and_no_value(folder):
    done = CliRunner().invoke(app, ["explain", "a:1", "b:1", "--file", str(folder / "records.csv")])
    assert done.exit_code == 0, done.output
    assert "one person" in done.output
    assert "the same birth date" in done.output
    assert "given names that sound alike" in done.output
    assert not any(value in done.output for column in ("name", "birth_date", "phone", "address") for value in ROWS[column] if value)


def test_an_explanation_of_what_would_turn_it(folder):
    done = CliRunner().invoke(app, ["explain", "a:1", "a:2", "--file", str(folder / "records.csv"), "--json"])
    told = json.loads(done.output.splitlines()[-1])
    assert told["is_one"] is False
    assert told["against"] == "family"
    assert {r["field"] for r in told["reasons"]} >= {"given", "birth", "phone", "address"}
