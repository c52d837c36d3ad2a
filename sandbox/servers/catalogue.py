"""The catalogue of faults: what each does, and which protocols can have it."""

from dataclasses import dataclass

from hub.errors import ConfigError
from schemas.contract import Contract

_HTTP = frozenset({"rest-oauth", "signed-gateway", "zip-basic"})
_PAGED = frozenset({"rest-oauth", "signed-gateway"})
_FILES = frozenset({"sftp-drop", "zip-basic"})
_COLUMNS = frozenset({"sftp-drop", "exchange-database", "zip-basic"})
_ALL = _HTTP | _COLUMNS

# How far the clock of an agency is ahead that has a wrong one, in seconds.
AHEAD_S = 3600


@dataclass(frozen=True)
class Fault:
    """One way an agency can misbehave.

    Attributes:
        protocols: protocols that can have it.
        times: calls it spoils before all is well again; None = until mended.
        is_content: whether it spoils the rows (in the stock) rather than the way they travel.
    """

    zh: str
    en: str
    protocols: frozenset[str] = _ALL
    times: int | None = None
    is_content: bool = False


FAULTS: dict[str, Fault] = {
    "down": Fault("接口停机，拒绝连接", "nobody listens: connections are refused"),
    "refuse": Fault("拒绝本单位访问", "the agency answers and says no to this account"),
    "slow": Fault("每秒一字节", "after the first kilobytes one byte a second"),
    "hang": Fault("传输中途停住", "after the first kilobytes nothing comes and nothing ends"),
    "truncated": Fault("内容被截断", "connection cut, or a file shorter than declared"),
    "token_expires": Fault("令牌用一次即失效", "every token is good for one call", frozenset({"rest-oauth"})),
    "unauthorized_once": Fault("令牌失效一次", "one call answers 401 although the token was good", frozenset({"rest-oauth"}), 1),
    "rate_limited": Fault("限流(429, Retry-After)", "two calls are told to come back later", _HTTP, 2),
    "clock_wrong": Fault("机构时钟快一小时", "the agency's clock is an hour ahead, and it goes by it", _HTTP),
    "server_error_burst": Fault("连续三次500后恢复", "three calls answer 500, then all is well", _HTTP, 3),
    "pages_overlap": Fault("分页重叠", "each page starts with rows of the page before it", _PAGED),
    "page_repeated": Fault("重复返回同一页", "the second page is the first again", _PAGED),
    "total_changes": Fault("翻页中总数变化", "from the second page on another total is declared", _PAGED),
    "total_disagrees": Fault("声明总数与实际不符", "the declared total is not the number of rows"),
    "error_in_200": Fault("HTTP 200中带错误码", "HTTP 200 with an error in the body", _HTTP),
    "html_login": Fault("返回登录页面", "an HTML login page instead of data", _HTTP),
    "empty_file": Fault("返回空内容", "an empty body or file", _HTTP | _FILES),
    "wrong_checksum": Fault("校验值不符", "the declared SHA-256 is of other bytes", _FILES),
    "control_missing": Fault("缺少控制文件", "the data file is there, its control file is not", frozenset({"sftp-drop"})),
    "control_late": Fault("控制文件迟到", "the control file appears after it has been looked for twice", frozenset({"sftp-drop"}), 2),
    "half_written": Fault("文件尚在写入", "only a growing temporary file is there", frozenset({"sftp-drop"})),
    "encoding_utf8": Fault("编码变为UTF-8", "UTF-8 where another encoding was agreed", frozenset({"sftp-drop"})),
    "bom": Fault("带BOM的UTF-8", "UTF-8 with a byte order mark", frozenset({"sftp-drop"})),
    "zip_bomb": Fault("压缩炸弹", "a workbook that inflates a thousandfold", frozenset({"zip-basic"})),
    "entity_bomb": Fault("XML实体炸弹", "a workbook whose XML defines entities of entities", frozenset({"zip-basic"})),
    "nested_deep": Fault("万层嵌套", "a value nested ten thousand deep", _PAGED),
    "lone_surrogate": Fault("半个字符", "half of a surrogate pair in a text", _PAGED),
    "yesterdays_stock": Fault("仍为昨日数据", "the agency still shows the day before"),
    "rows_minus_40_percent": Fault("少四成记录", "four rows in ten are missing", is_content=True),
    "township_missing": Fault("缺少一个乡镇", "the rows of one township are missing", is_content=True),
    "township_halved": Fault("一个乡镇少一半", "every second row of one township is missing", is_content=True),
    "key_range_missing": Fault("缺少一段主键", "a stretch of keys is missing, six rows in a hundred", is_content=True),
    "equal_birth_dates": Fault("出生日期全部相同", "all birth dates are the same", is_content=True),
    "shifted_column": Fault("证件号列错位", "every identity number is that of the next row", is_content=True),
    "new_code": Fault("出现未约定代码", "a code value nobody agreed on, in every tenth row", is_content=True),
    "rare_code": Fault(
        "个别未约定代码", "one row in a hundred carries a code nobody agreed on, in a field that may be missing", is_content=True
    ),
    "impossible_dates": Fault("日期20200230", "an impossible date in every hundredth row", is_content=True),
    "renamed_column": Fault("字段改名", "an agreed column has another name", is_content=True),
    "extra_column": Fault("新增字段", "a column nobody agreed on", is_content=True),
    "missing_column": Fault("缺少字段", "an agreed column is gone", is_content=True),
    "reordered_columns": Fault("字段顺序变化", "the columns come in another order", _COLUMNS, is_content=True),
    "duplicate_keys": Fault("主键重复", "one row in fifty comes twice", is_content=True),
    "poison_rows": Fault("毒数据行", "rows with NUL, a formula, 1e400 and a field of 10 MB", is_content=True),
}


def applicable(contract: Contract) -> dict[str, Fault]:
    """The faults this agency can have."""
    return {name: fault for name, fault in FAULTS.items() if contract.delivery.protocol in fault.protocols}


def check(contract: Contract, name: str) -> Fault:
    """The fault of a name, if this agency can have it.

    Raises:
        ConfigError: there is no such fault, or this agency's protocol cannot have it.
    """
    possible = applicable(contract)
    if name in possible:
        return possible[name]
    why = f"{contract.delivery.protocol} cannot have the fault {name!r}" if name in FAULTS else f"there is no fault {name!r}"
    raise ConfigError(why, where="--fault", next_step=f"{contract.stem} can have: {', '.join(possible)}")
