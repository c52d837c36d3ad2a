"""One spelling for what decides identity."""

import polars as pl
import pytest

from identity import normalise, resident_id

# 11010519491231002X is the worked example of GB 11643-1999.
IDS = {
    "valid": ("11010519491231002X", "11010519491231002X"),
    "lower-case x": ("11010519491231002x", "11010519491231002X"),
    "full width and spaces": (" １１０１０５ 1949123１ 002X", "11010519491231002X"),
    "15 digits": ("110105491231002", "11010519491231002X"),
    "wrong check character": ("110105194912310021", None),
    "impossible date": ("110105194902310023", None),
    "rounded by a spreadsheet": ("110105194912310000", None),
    "missing": (None, None),
}


@pytest.mark.parametrize(("given", "normal"), IDS.values(), ids=list(IDS))
def test_resident_id(given, normal):
    assert resident_id.normalise(pl.Series("id", [given], dtype=pl.String)).to_list() == [normal]


NAMES = {
    "dots": ("阿卜·杜拉", "阿卜杜拉"),
    "inner space": ("王　伟", "王伟"),
    "lost character": ("王?", None),
    "latin": ("Li Wei", "LIWEI"),
}


@pytest.mark.parametrize(("given", "normal"), NAMES.values(), ids=list(NAMES))
def test_name(given, normal):
    assert pl.DataFrame({"n": [given]}).select(normalise.names(pl.col("n"))).item() == normal


def test_an_address_is_the_same_with_and_without_province_and_county():
    long, short = "湖北省荆州市公安县斗湖堤镇长江村3组5号", "斗湖堤镇长江村3组５号"
    keys = pl.DataFrame({"a": [long, short]}).select(normalise.addresses(pl.col("a")))["a"]
    assert keys[0] == keys[1] is not None


def test_rows_stay_rows_when_every_concept_is_missing():
    assert normalise.normalise(pl.DataFrame({"row_number": [1, 2, 3]})).height == 3
