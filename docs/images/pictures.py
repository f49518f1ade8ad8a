"""Makes the pictures of this folder: a run's page, a terminal while it trains, TensorBoard.

usage: python docs/images/pictures.py RUN [CHROMIUM]     RUN: a run's folder, with its weights
needs: pip install pyte playwright, and Chromium
"""

import fcntl
import io
import os
import pty
import re
import select
import struct
import subprocess
import sys
import tempfile
import termios
import time
from pathlib import Path

import pyte
from playwright.sync_api import Browser, sync_playwright
from rich.console import Console
from rich.style import Style
from rich.text import Text

HERE = Path(__file__).parent
COLUMNS, LINES = 100, 36
SRAT = [sys.executable, "-m", "srat"]


def page_of(run: Path, browser: Browser) -> None:
    """Take the upper part of a run's page, light and dark."""
    subprocess.run([*SRAT, "report", str(run)], check=True, stdout=subprocess.DEVNULL)
    for scheme in ("light", "dark"):
        page = browser.new_page(viewport={"width": 1000, "height": 1230}, color_scheme=scheme)
        page.goto((run / "report.html").resolve().as_uri())
        page.screenshot(path=HERE / f"report-{scheme}.png")
        if scheme == "light":
            page.locator("h2:has-text('What images are taken for')").scroll_into_view_if_needed()
            top = page.locator("h2:has-text('What images are taken for')").bounding_box()["y"] - 20
            page.mouse.wheel(0, top)
            page.wait_for_timeout(500)
            page.screenshot(path=HERE / "report-images.png")


def tensorboard(folder: Path, browser: Browser) -> None:
    """Take TensorBoard's page of a short run."""
    subprocess.run([*SRAT, "train", "--logger", "tensorboard", "--out", str(folder)], check=True, capture_output=True)
    command = [
        sys.executable,
        "-m",
        "tensorboard.main",
        "--logdir",
        str(folder),
        "--port",
        "6123",
        "--host",
        "127.0.0.1",
    ]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        page = browser.new_page(viewport={"width": 1300, "height": 900})
        for _ in range(60):
            try:
                page.goto("http://127.0.0.1:6123/?tagFilter=attacked#timeseries")
                break
            except Exception:
                time.sleep(1)
        page.wait_for_timeout(8000)
        page.get_by_role("button", name="Settings").first.click()
        page.wait_for_timeout(3000)
        page.screenshot(path=HERE / "tensorboard.png")
    finally:
        server.kill()


def terminal(folder: Path) -> None:
    """Take a terminal in mid-training, and at the end."""
    screen = pyte.Screen(COLUMNS, LINES)
    stream = pyte.ByteStream(screen)
    process, master = pty.fork()
    if process == 0:
        os.chdir(folder)
        os.execvp(SRAT[0], [*SRAT, "train", "--out", "runs/digits"])
    fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
    taken = False
    while True:
        if select.select([master], [], [], 0.1)[0]:
            try:
                stream.feed(os.read(master, 1 << 16))
            except OSError:
                break
        if not taken and any("epoch 26/40" in line for line in screen.display):
            draw(screen, "terminal-training.svg")
            taken = True
    draw(screen, "terminal-table.svg")


def draw(screen: pyte.Screen, name: str) -> None:
    """Write what is on the screen as SVG, in the reader's own font."""
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True)
    rows = [row for row in range(screen.lines) if screen.display[row].strip()]
    for row in range(rows[0], rows[-1] + 1):
        line = Text(no_wrap=True, overflow="crop")
        for column in range(screen.columns):
            cell = screen.buffer[row][column]
            line.append(cell.data, Style(color=named(cell.fg), bold=cell.bold))
        console.print(line)
    svg = console.export_svg(title="srat train")
    svg = re.sub(r"@font-face \{.*?\}", "", svg, flags=re.DOTALL).replace("Fira Code, monospace", "monospace")
    (HERE / name).write_text(svg)


def named(color: str) -> str | None:
    """Return rich's name of one of pyte's colours."""
    if color == "default" or re.fullmatch(r"[0-9a-f]{6}", color):
        return None if color == "default" else f"#{color}"
    return color.replace("brown", "yellow").replace("bright", "bright_")


def main() -> None:
    """Make all of them."""
    run, chromium = Path(sys.argv[1]), (sys.argv[2:] or ["/usr/bin/chromium"])[0]
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as p:
        terminal(Path(folder))
        browser = p.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page_of(run, browser)
        tensorboard(Path(folder) / "watched", browser)


if __name__ == "__main__":
    main()
