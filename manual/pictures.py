"""Draw the pictures of a morning in docs/operations.md: ``make pictures`` lives it once more and draws what a terminal shows.

On a hub of its own the agency of education sends a column shifted; the delivery is held, its ticket sent back, the agency mends its file, and the
night is run again for that source. Commands and their output are those of the documents, of a made-up county.
"""

import os
import pty
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from xml.sax.saxutils import escape

from rich.cells import cell_len
from rich.console import Console
from rich.style import Style
from rich.text import Text

from hub.settings import CHECKOUT

IMAGES = CHECKOUT / "docs" / "images"
_COLUMNS = 132
_DATE = "2026-03-08"
_TICKET = "education.identity_columns_agree.20260308"
_CARD = Path("education-2026-03")
# What is drawn into which file (None: it is only done), and up to which line of its output (None: all).
_STORY: tuple[tuple[str | None, str, str | None], ...] = (
    (None, "night --date 2026-03-01", None),
    (None, "sandbox break education --fault shifted_column", None),
    (None, "sandbox night 8", None),
    (None, f"night --date {_DATE}", None),
    ("morning-held.svg", "status", "medical_insurance .* 最久"),
    (None, f"ticket export {_TICKET} --out {{out}}", None),
    (None, f"ticket send {_TICKET} --note 政务外网邮箱", None),
    (None, "sandbox mend education", None),
    (None, f"night --date {_DATE} --source education", None),
    ("morning-run-again.svg", "status", "medical_insurance .* 最久"),
    ("ticket-closed.svg", f"ticket show {_TICKET}", "#6 "),
    (None, "scorecard education --month 2026-03 --out {out}", None),
)
_CELL, _LINE, _EDGE = 8.0, 19, 16  # pixels: a terminal's cell, a line, the margin
_INK = {1: "#b3261e", 2: "#1b6e3c", 3: "#8a5a00", 4: "#1d5fa8", 5: "#7b3f98", 6: "#0b6a75"}  # by the number of a terminal's colour
_WIDE, _NARROW = "[⺀-鿿＀-￯、-〟]", "[^⺀-鿿＀-￯、-〟\\n]"  # characters of two cells, and of one
_FONTS = "'DejaVu Sans Mono', Menlo, Consolas, 'Noto Sans Mono CJK SC', 'Noto Sans CJK SC', 'PingFang SC', 'Microsoft YaHei', monospace"


def shown(command: list[str], environment: dict[str, str]) -> str:
    """What a command writes on a terminal, standard error apart.

    Raises:
        SystemExit: it ended otherwise than well or with a source that failed (status 4).
    """
    leader, follower = pty.openpty()
    child = subprocess.Popen(command, stdout=follower, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
    os.close(follower)
    told = bytearray()
    while chunk := _read(leader):
        told += chunk
    os.close(leader)
    if child.wait() not in (0, 4):
        raise SystemExit(f"`hub {' '.join(command[3:])}` ended with status {child.returncode}")
    return told.decode("utf-8").replace("\r\n", "\n")


def _read(leader: int) -> bytes:
    try:
        return os.read(leader, 65536)
    except OSError:  # the command's end is closed
        return b""


def drawn(command: str, told: str, until: str | None) -> str:
    """A terminal with a command and what it wrote, as SVG; up to the first line that matches a pattern, None = all of it."""
    lines = [Text.from_ansi(line) for line in re.sub(r"\x1b\[\?25[hl]|\x1b\[2K|\x1b\[1A|\r", "", told).rstrip().split("\n")]
    last = next((n for n, line in enumerate(lines) if until and re.search(until, line.plain)), len(lines) - 1)
    lines = [Text(f"$ hub {command}", style="bold"), Text(""), *lines[: last + 1], *([Text("…")] if last + 1 < len(lines) else [])]
    console = Console(width=_COLUMNS, force_terminal=True, color_system="truecolor", file=StringIO())
    width, height = _COLUMNS * _CELL + 2 * _EDGE, len(lines) * _LINE + 2 * _EDGE
    texts = [run for n, line in enumerate(lines) for run in _runs(line, console, _EDGE + (n + 0.75) * _LINE)]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" role="img" font-family="{_FONTS}" font-size="13" fill="#1c2733" xml:space="preserve">\n'
        f"<title>hub {escape(command)}</title>\n"
        f'<rect x="0.5" y="0.5" width="{width - 1:g}" height="{height - 1:g}" rx="6" fill="#fbfcfd" stroke="#c3ccd6"/>\n'
        + "\n".join(texts)
        + "\n</svg>\n"
    )


def _runs(line: Text, console: Console, y: float) -> Iterator[str]:
    """The texts of a line, each begun at its cell: characters of two cells stand apart from those of one, so that columns hold in any font."""
    at = 0
    for segment in line.render(console):
        style = segment.style or Style()
        colour = _INK.get(style.color.number % 8) if style.color and style.color.number is not None else None
        look = (
            (f' fill="{colour}"' if colour else "")
            + (' font-weight="bold"' if style.bold else "")
            + (' opacity="0.7"' if style.dim else "")
        )
        for text in re.findall(rf"{_WIDE}+| {{2,}}|(?:(?! {{2}}){_NARROW})+", segment.text):
            if text.strip():
                size = ' font-size="15"' if re.match(_WIDE, text) else ""
                x = _EDGE + (at + len(text) - len(text.lstrip(" "))) * _CELL
                yield f'<text x="{x:g}" y="{y:g}" textLength="{cell_len(text.strip(" ")) * _CELL:g}"{size}{look}>{escape(text.strip(" "))}</text>'
            at += cell_len(text)


def photographed(page: Path, picture: Path) -> bool:
    """A page as Chromium shows it, as PNG; False where this machine has none."""
    if (browser := shutil.which("chromium")) is None:
        return False
    looks = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--window-size=1000,1120", f"--screenshot={picture}"]
    subprocess.run([browser, *looks, page.as_uri()], check=True, capture_output=True)
    return True


def main() -> None:
    """Live the morning and write its pictures."""
    with tempfile.TemporaryDirectory(prefix="hub-pictures-") as top:
        Path(top).chmod(0o711)
        environment = {**os.environ, "HUB_HOME": f"{top}/hub", "COLUMNS": str(_COLUMNS), "TERM": "xterm-256color", "HUB_LOG_LEVEL": "ERROR"}
        run = [sys.executable, "-m", "pipeline.cli.main"]
        try:
            for file, command, until in _STORY:
                told = shown([*run, *command.format(out=top).split()], environment)
                if file:
                    (IMAGES / file).write_text(drawn(command, told, until), encoding="utf-8")
                print(f"{'✓ ' + file if file else '  '} hub {command.format(out='…')}", flush=True)
            taken = photographed(Path(top) / _CARD.with_suffix(".html"), IMAGES / "scorecard.png")
            print("✓ scorecard.png" if taken else "scorecard.png stays: Debian's package chromium is not installed", flush=True)
        finally:
            subprocess.run([*run, "down"], env=environment, check=False, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
