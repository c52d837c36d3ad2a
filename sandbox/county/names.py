"""Chinese names by rough frequency; family names first. Frequencies are the project's approximation."""

import numpy as np

_SURNAMES = "王李张刘陈杨黄赵吴周徐孙马朱胡郭何林高罗郑梁谢宋唐许韩冯邓曹彭曾肖田董潘袁蔡蒋余于杜叶程魏苏吕丁任卢姚沈钟姜崔谭陆范汪廖石金韦贾夏付方邹熊白孟秦邱侯江尹薛闫段雷龙黎史贺陶毛郝顾龚邵万覃武钱戴严莫孔向汤"
_MALE = "伟强磊军勇杰涛明超刚平辉鹏华飞斌波宇浩凯健俊帆帅旭宁龙林阳建国志文海峰春生德永福贵祥"
_FEMALE = "芳娜敏静丽艳娟霞秀英玲桂兰燕红梅雪琳慧莹洁婷颖萍玉珍凤菊香莲琴云倩佳欣怡梦瑶诗雨"
_MINORITY = ("阿卜杜拉·买买提", "古丽娜尔·艾合买提", "迪丽拜尔·吐尔逊", "扎西·多吉", "卓玛·央金", "努尔兰·别克")
# Pairs that sound alike or look alike: how a name is misheard or mistyped.
HOMOPHONES = str.maketrans("伟强军英玲芳静丽明华杰敏娟志文", "炜蔷君瑛灵方靖莉鸣骅洁闽鹃智纹")
RARE = np.array(list("堃喆垚犇淼鑫奕昇翀玥"))


def _weights(n: int) -> np.ndarray:
    weight = 1 / (np.arange(n) + 6.0)
    return np.asarray(weight / weight.sum())


def surnames(rng: np.random.Generator, n: int) -> np.ndarray:
    """`n` family names."""
    return rng.choice(np.array(list(_SURNAMES)), n, p=_weights(len(_SURNAMES)))


def given(rng: np.random.Generator, is_male: np.ndarray) -> np.ndarray:
    """A given name of one or two characters for each person; a rare character now and then."""
    n = is_male.size
    pick = [
        np.where(
            is_male,
            rng.choice(np.array(list(_MALE)), n, p=_weights(len(_MALE))),
            rng.choice(np.array(list(_FEMALE)), n, p=_weights(len(_FEMALE))),
        )
        for _ in range(2)
    ]
    second = np.where(rng.random(n) < 0.03, rng.choice(RARE, n), pick[1])
    return np.where(rng.random(n) < 0.75, np.char.add(pick[0], second), pick[0])


def minority(rng: np.random.Generator, n: int) -> np.ndarray:
    """Transcribed names with a middle dot."""
    return rng.choice(np.array(_MINORITY), n)
