"""The gate's reports as pages on disk, to be opened in a browser. They hold rules and counts, no person's value."""

from datetime import date
from pathlib import Path

from expectations.report import as_html
from hub.settings import Settings
from warehouse import database, landing, ledger

_BOOKS = {
    "交付 delivered": "delivered", "拒收 rejected": "rejected", "隔离 quarantined": "quarantined", "未变 unchanged": "unchanged",
    "新增 inserted": "inserted", "更新 updated": "updated", "往日 past": "past", "依法删除 erased": "erased", "撤回 withdrawn": "withdrawn",
}  # fmt: skip


def page(settings: Settings, stem: str, day: date) -> str | None:
    """The report on a source's delivery of a night, as HTML; None when the gate has not judged one."""
    with database.engine(settings).connect() as connection:
        intake = ledger.intake(connection, day, stem)
        found = landing.load_report(connection, str(intake.delivery_id)) if intake and intake.delivery_id else None
    if intake is None or found is None:
        return None
    return as_html(found, {title: getattr(intake, name) for title, name in _BOOKS.items()})


def write(settings: Settings, day: date) -> dict[str, Path]:
    """Write the pages of a night to ``reports/DATE/STEM.html`` in the home folder; stem → page."""
    with database.engine(settings).connect() as connection:
        stems = [i.stem for i in ledger.intakes(connection, day)]
    written = {}
    for stem in stems:
        text = page(settings, stem, day)
        if text is not None:
            path = settings.home.resolve() / "reports" / str(day) / f"{stem}.html"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            written[stem] = path
    return written
