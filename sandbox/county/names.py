"""Names of persons: family names and given names by rough frequency, sex and generation; transcribed names of minorities.

Frequencies and lists are the project's approximation of how names are spread; nobody in particular is meant.
"""

import numpy as np


def _words(text: str) -> list[str]:
    return text.split()


_SURNAMES = "王李张刘陈杨黄赵吴周徐孙马朱胡郭何林高罗郑梁谢宋唐许韩冯邓曹彭曾肖田董潘袁蔡蒋余于杜叶程魏苏吕丁任卢姚沈钟姜崔谭陆范汪廖石金韦贾夏付方邹熊白孟秦邱侯江尹薛闫段雷龙黎史贺陶毛郝顾龚邵万覃武钱戴严莫孔向汤"
SURNAMES = np.array([*_SURNAMES, "欧阳", "上官", "司马", "诸葛"])
# Generations: born up to 1959, 1984, 1999, later. Per sex: characters to compose of, and names so common that villages share them.
_UNTIL = np.array([1960, 1985, 2000])
_MALE = (
    ("国德福贵祥生春山明才发有先正大兴永忠金荣", "建国 国华 德生 永福 正明 大有 金生 福生 先发 忠才 春生 明山"),
    ("伟强军勇明刚平辉斌波建华志文海峰林国良新", "建军 志强 建华 国强 文军 海波 志明 建平 永强 军 伟 勇 强 刚 辉 斌"),
    ("杰涛超鹏飞宇浩凯健俊帆帅旭宁龙阳亮磊博鑫", "杰 涛 超 鹏 浩 俊杰 志鹏 宇航 俊 凯 旭东 文博 磊"),
    ("宇轩子浩梓晨泽铭睿博奕辰佑霖沐宸皓楷瑞航", "子轩 浩宇 梓轩 宇轩 子涵 浩然 宇航 梓豪 俊熙 一诺 奕辰 沐宸"),
)
_FEMALE = (
    ("秀英桂兰凤珍玉莲香菊芝翠云春梅清素元淑贞", "秀英 桂英 秀兰 玉珍 桂兰 玉兰 凤英 秀珍 翠英 素珍 春梅 玉英"),
    ("红丽霞敏艳娟玲燕华芳琴萍云梅英春平秋慧娥", "丽 红 艳 霞 敏 小红 丽华 春梅 红梅 海燕 小燕 玉玲 芳 娟"),
    ("婷静雪倩佳欣颖莹琳洁慧雯晶蕾丹娜莎瑶琪璐", "婷 静 倩 婷婷 雪 思思 佳 莉 晶晶 丹丹 慧 颖 雅婷"),
    ("梓涵欣怡诗雨梦瑶语嫣可馨思琪萱若汐妍沐彤", "梓涵 欣怡 子涵 诗涵 雨涵 梦瑶 思涵 可馨 一诺 语桐 若汐 欣妍"),
)
RARE = np.array(list("堃喆垚犇淼鑫奕昇翀玥珺赟頔燚玙婳祎旻昉甡"))
_DOTTED_MALE = np.array(
    _words(
        "买买提 艾合买提 阿卜杜拉 吐尔逊 努尔买买提 阿不都热依木 玉素甫 依明 艾力 卡德尔 热合曼 吾斯曼 阿布力孜 库尔班 托合提 亚森 "
        "伊力哈木 木拉提 肉孜 塔依尔 阿卜杜热合曼 麦麦提江 艾尼瓦尔 阿迪力 努尔兰 叶尔肯 巴合提 赛力克 哈力木 别克"
    )
)
_DOTTED_FEMALE = np.array(
    _words(
        "古丽娜尔 阿依古丽 帕提古丽 迪丽拜尔 热孜万古丽 再娜甫 阿米娜 玛依拉 古丽巴哈尔 祖丽胡玛尔 努尔比亚 布维海丽且木 海日古丽 "
        "阿孜古丽 米热古丽 艾孜再姆 热依汗 吐逊古丽 帕丽旦 沙拉买提 加娜尔 阿丽玛 迪娜拉 茹仙古丽"
    )
)
_PLAIN = tuple(_words("扎西 次仁 旺堆 多吉 尼玛 达娃 平措 格桑 洛桑 丹增 边巴 普布 索朗 晋美"))
_PLAIN_SECOND = (_words("罗布 顿珠 旺久 江村 次旦 平措 加措 群培"), _words("卓玛 央金 拉姆 曲珍 卓嘎 德吉 白珍 措姆"))
DOT = "·"


def _weights(n: int) -> np.ndarray:
    weight = 1 / (np.arange(n) + 6.0)
    return np.asarray(weight / weight.sum())


def surnames(rng: np.random.Generator, n: int) -> np.ndarray:
    """`n` family names."""
    return rng.choice(SURNAMES, n, p=_weights(SURNAMES.size))


def given(rng: np.random.Generator, is_male: np.ndarray, born: np.ndarray) -> np.ndarray:
    """A given name of one or two characters for each person; a rare character now and then.

    Args:
        is_male: one truth value a person.
        born: year of birth.
    """
    n = is_male.size
    found = np.full(n, "", dtype="U4")
    generation = np.searchsorted(_UNTIL, born, side="right") * 2 + is_male
    for kind in range(8):
        rows = np.flatnonzero(generation == kind)
        letters, whole = (_MALE if kind % 2 else _FEMALE)[kind // 2]
        single = np.array(list(letters))
        common = np.array(whole.split())
        weights = _weights(single.size)
        first, second = (rng.choice(single, rows.size, p=weights) for _ in range(2))
        second = np.where(rng.random(rows.size) < 0.04, rng.choice(RARE, rows.size), second)
        second = np.where(rng.random(rows.size) < 0.12, "", second)
        popular = rng.choice(common, rows.size, p=_weights(common.size))
        found[rows] = np.where(rng.random(rows.size) < 0.45, popular, np.strings.add(first, second))
    return found


def minority(rng: np.random.Generator, is_male: np.ndarray, father: np.ndarray) -> np.ndarray:
    """Transcribed names: own and father's with a dot, some with the grandfather's too, some of four characters without a dot.

    Args:
        is_male: one truth value a person.
        father: the father's whole name; empty = not known.
    """
    n = is_male.size
    own = np.where(is_male, rng.choice(_DOTTED_MALE, n), rng.choice(_DOTTED_FEMALE, n))
    of_father = np.array([name.split(DOT)[0] for name in father.tolist()], dtype="U12")
    after = np.where(of_father == "", rng.choice(_DOTTED_MALE, n), of_father)
    name = np.strings.add(np.strings.add(own, DOT), after)
    third = np.strings.add(np.strings.add(name, DOT), rng.choice(_DOTTED_MALE, n))
    name = np.where(rng.random(n) < 0.12, third, name)
    second = np.where(is_male, rng.choice(_PLAIN_SECOND[0], n), rng.choice(_PLAIN_SECOND[1], n))
    plain = np.strings.add(rng.choice(_PLAIN, n), second)
    is_plain = np.array([name != "" and DOT not in name for name in father.tolist()], dtype=bool)
    return np.where(is_plain | ((father == "") & (rng.random(n) < 0.3)), plain, name)


_FOREIGN_FIRST = np.array(_words("阮 黎 陈 范 潘 武"))
_FOREIGN_GIVEN = np.array(_words("氏芳 氏兰 氏红 氏金莺 氏秋 氏月 氏青娥 氏明 氏香 氏翠"))


def foreign(rng: np.random.Generator, n: int) -> np.ndarray:
    """Names of women who married in from abroad."""
    return np.strings.add(rng.choice(_FOREIGN_FIRST, n), rng.choice(_FOREIGN_GIVEN, n))
