"""How characters are misheard, misread and lost when a name is typed."""

from dataclasses import dataclass
from functools import cache

import numpy as np
import polars as pl
from pypinyin import Style, lazy_pinyin

from sandbox.county import names

# Characters that look alike, in groups; the project's own list.
_ALIKE = (
    "未末 土士 日曰 己已巳 大太犬 王玉主 田由甲申 人入八 木本术 天夫无 干千于 刀力 白自 目且 名各 石右 母毋 辛幸 晨辰 字宇 伟纬 娜那 婷停 梅海悔 凤风 芳方 莉利 "
    "涛寿 琳淋 玲铃 军车 春舂 建健 固国 杰杏 洁浩 晴睛 倩情 雪雷 芝艺 云去 桂佳 秀季 珍玢 兰三 英荚 燕蒸 艳绝 敏敝 静净 红江 志忐 强张 刚钢 明朋 辉晖 斌赋 波披 勇湧 "
    "梓样 涵函 欣欧 怡恰 梦焚 瑶摇 豪毫 轩杆 睿容 铭铬 泽译 俊峻 帅师 旭旮 旺汪 鑫淼 堃方 垚森 犇奔 昇升 奕弈 丹舟 思恩 宁丁 陈阵 刘浏 赵起 杨扬 徐除 孙孑 胡湖 朱未 郑邓 邱丘 余佘 侯候 肖尚 汪江 付村"
)
_LOST_AS = np.array(list("?□〇？"))


@dataclass(frozen=True)
class _Other:
    """Characters and, for each, others it is taken for (repeated, so that each has as many)."""

    known: pl.Series
    others: np.ndarray


def _table(groups: list[str]) -> _Other:
    wide = 12
    known = [c for group in groups for c in group]
    others = [[[x for x in group if x != c][i % (len(group) - 1)] for i in range(wide)] for group in groups for c in group]
    frame = pl.DataFrame({"c": known, "n": range(len(known))}).unique("c", keep="first", maintain_order=True)
    return _Other(frame["c"], np.array(others)[frame["n"].to_numpy()])


@cache
def _homophones() -> _Other:
    """Common characters (level 1 of GB 2312) that sound alike, tone apart."""
    common = [bytes([high, low]).decode("gb2312", "ignore") for high in range(0xB0, 0xD8) for low in range(0xA1, 0xFF)]
    common = sorted({c for c in common if c} | set("".join(names.SURNAMES.tolist())) | set(names.RARE.tolist()))
    sounds: dict[str, list[str]] = {}
    for character, sound in zip(common, lazy_pinyin("".join(common), style=Style.NORMAL), strict=True):
        sounds.setdefault(sound, []).append(character)
    return _table(["".join(group) for group in sounds.values() if len(group) > 1])


@cache
def _alike() -> _Other:
    return _table(_ALIKE.split())


def _replaced(table: _Other, name: pl.Series, draw: np.ndarray) -> pl.Series:
    """Names with one character taken for another: mostly one of the given name; as they were where the table knows none."""
    length = name.str.len_chars().fill_null(0).to_numpy()
    at = np.where(draw % 20 == 0, 0, np.maximum(length - 1 - (draw // 20 % 2) * (length > 2), 0))
    frame = pl.DataFrame({"name": name, "at": at})
    character = frame.select(pl.col("name").str.slice(pl.col("at"), 1))["name"]
    index = character.replace_strict(table.known, pl.Series(np.arange(table.known.len())), default=-1).fill_null(-1).to_numpy().astype(int)
    other = np.where(index >= 0, table.others[index, draw // 40 % table.others.shape[1]], "")
    return frame.select(
        pl.when(pl.Series(index >= 0))
        .then(pl.col("name").str.slice(0, pl.col("at")) + pl.Series(other) + pl.col("name").str.slice(pl.col("at") + 1))
        .otherwise("name")
        .alias("name")
    )["name"]


def misheard(name: pl.Series, draw: np.ndarray) -> pl.Series:
    """Names with one character written as another that sounds alike; `draw` decides which."""
    return _replaced(_homophones(), name, draw)


def misread(name: pl.Series, draw: np.ndarray) -> pl.Series:
    """Names with one character written as another that looks alike."""
    return _replaced(_alike(), name, draw)


def lost(name: pl.Series, draw: np.ndarray) -> pl.Series:
    """Names whose rare characters the system could not store."""
    rare = "[" + "".join(names.RARE.tolist()) + "]"
    frame = pl.DataFrame({"name": name, "as": pl.Series(_LOST_AS[draw % _LOST_AS.size])})
    return frame.select(pl.col("name").str.replace_all(rare, "\x00").str.replace_all("\x00", pl.col("as"), literal=True).alias("name"))[
        "name"
    ]
