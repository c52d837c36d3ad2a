"""The switchboard of faults: which agency misbehaves how, switched from outside while it serves."""

import json
from pathlib import Path

from hub.errors import ConfigError
from hub.settings import Settings

# Fault → (what happens in Chinese, in English).
FAULTS = {
    "down": ("接口拒绝服务(503)", "every call answers 503"),
    "hang": ("接口无响应", "calls are taken and never answered"),
    "server_error_burst": ("连续三次500后恢复", "three calls answer 500, then all is well"),
    "unauthorized_once": ("令牌失效一次", "one call answers 401 although the token was good"),
    "rate_limited": ("限流(429, Retry-After)", "every third call answers 429 with Retry-After"),
    "error_in_200": ("HTTP 200中带错误码", "HTTP 200 with an error in the body"),
    "html_login": ("返回登录页面", "an HTML login page instead of JSON"),
    "empty_file": ("返回空内容", "an empty body"),
    "page_repeated": ("重复返回同一页", "the second page is the first again"),
    "total_disagrees": ("声明总数与实际不符", "the declared total is not the number of rows"),
    "truncated": ("内容被截断", "the body is cut off in the middle"),
    "rows_minus_40_percent": ("少四成记录", "four rows in ten are missing"),
    "township_missing": ("缺少一个乡镇", "the rows of one township are missing"),
    "equal_birth_dates": ("出生日期全部相同", "all birth dates are the same"),
    "shifted_column": ("证件号列错位", "every identity number is that of the next row"),
    "new_code": ("出现未约定代码", "a code value nobody agreed on, in every tenth row"),
    "impossible_dates": ("日期20200230", "an impossible date in every hundredth row"),
    "renamed_column": ("字段改名", "an agreed column has another name"),
    "extra_column": ("新增字段", "a column nobody agreed on"),
    "duplicate_keys": ("主键重复", "one row in fifty comes twice"),
    "poison_rows": ("毒数据行", "rows with NUL, a formula, 1e400 and a field of 10 MB"),
}


def _path(settings: Settings, stem: str) -> Path:
    return settings.home / "sandbox" / "faults" / f"{stem}.json"


def active(settings: Settings, stem: str) -> frozenset[str]:
    """Names of the faults that are on for an agency."""
    path = _path(settings, stem)
    return frozenset(json.loads(path.read_text(encoding="ascii"))) if path.exists() else frozenset()


def break_source(settings: Settings, stem: str, name: str) -> None:
    """Switch a fault on.

    Raises:
        ConfigError: there is no such fault.
    """
    if name not in FAULTS:
        raise ConfigError(f"there is no fault {name!r}", where="--fault", next_step=f"one of: {', '.join(FAULTS)}")
    path = _path(settings, stem)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(sorted(active(settings, stem) | {name})), encoding="ascii")


def mend(settings: Settings, stem: str) -> None:
    """Switch all faults of an agency off."""
    _path(settings, stem).unlink(missing_ok=True)
