"""What is kept: the database and the landing store."""

from collections.abc import Iterator

from hub.errors import HubError
from hub.settings import Settings
from pipeline.doctor.finding import Finding, State
from warehouse import database as warehouse
from warehouse import embedded
from warehouse import landing as store
from warehouse.vault import VaultDamaged

_VERSION = 18  # WITHOUT OVERLAPS and uuidv7() came with it


def _is_there(settings: Settings) -> bool:
    """Whether the database can be asked without starting it."""
    if settings.database_url is not None:
        return True
    return embedded.was_started(settings) and embedded.cluster(settings).is_running()


def database(settings: Settings) -> Iterator[Finding]:
    """The warehouse answers, is new enough, and is at the newest version."""
    if not _is_there(settings):
        is_new = not (settings.home / "postgres").exists()
        told = ("数据库尚未建立", "the database was not made yet") if is_new else ("数据库已停止", "the database is stopped")
        yield Finding("database", State.IDLE, *told)
        return
    try:
        condition = warehouse.condition(settings)
    except HubError as error:
        yield Finding(
            "database",
            State.FAULT,
            "数据库不可用",
            f"{error.where or 'database'}: {error.message}",
            error.next_step or "start it; check the address and password",
        )
        return
    if condition.server_version < _VERSION:
        server = f"PostgreSQL {condition.server_version}"
        yield Finding("database", State.FAULT, f"{server} 过旧", f"{server} is too old", f"PostgreSQL {_VERSION} or later")
    elif condition.version is None:
        yield Finding("database", State.IDLE, "数据库为空", "the database is empty: `hub night` makes its tables")
    elif condition.version != condition.newest:
        yield Finding(
            "database", State.WARNING, f"数据库版本 {condition.version}，代码 {condition.newest}",
            f"the database is at version {condition.version}, the code at {condition.newest}",
            "the next night migrates it; if the database is newer, this code is an old checkout",
        )  # fmt: skip
    else:
        server = f"PostgreSQL {condition.server_version}, {condition.version}"
        yield Finding("database", State.OK, f"数据库正常 {server}", f"the database answers: {server}")


def landing(settings: Settings) -> Iterator[Finding]:
    """The newest delivery can be read from the landing store with the key that is configured."""
    if not _is_there(settings):
        yield Finding("landing", State.IDLE, "落地区待数据库启动后检查", "the landing store is looked at when the database runs")
        return
    try:
        with warehouse.engine(settings).connect() as connection:
            newest = next(iter(store.deliveries(connection)), None) if warehouse.condition(settings).version else None
        if newest is None:
            yield Finding("landing", State.IDLE, "尚无交付", "nothing was landed yet")
            return
        size = sum(len(chunk) for _, chunks in store.Store(settings).parts(newest.object) for chunk in chunks)
    except VaultDamaged as error:
        yield Finding(
            "landing", State.FAULT, "最新交付无法解密", f"the newest delivery cannot be read: {error.message}",
            "is the landing key the one it was sealed with? put it back, or restore the object",
        )  # fmt: skip
    except HubError as error:
        yield Finding("landing", State.FAULT, "落地区不可用", str(error), error.next_step)
    else:
        yield Finding("landing", State.OK, f"最新交付可解密，{size:,} 字节", f"the newest delivery can be read, {size:,} bytes")
