"""Draw the packages of gan_bench as rooms on floors, from the imports: what `docs/code.md` shows as `rooms.svg`."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from graphlib import TopologicalSorter
from html import escape
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "gan_bench"
WITH_ROOMS = ("execution", "report")
"""Packages whose rooms are drawn one by one."""
WIDTH, HEIGHT, GAP, RISE = 900, 34, 12, 64
STEP = 500
"""Lines of code that make a room one step wider, so that the drawing changes only when a room does."""
STYLE = (
    "rect{fill:#e0f2f1;stroke:#00796b}rect.room{fill:#fff3e0;stroke:#ef6c00}text{font:13px sans-serif;fill:#263238;"
    "text-anchor:middle}path{stroke:#78909c;fill:none;marker-end:url(#head)}"
    "@media(prefers-color-scheme:dark){svg{background:#1e2129}text{fill:#eceff1}rect{fill:#00493f}rect.room{fill:#5d3200}}"
)


def room_of(module: str) -> str:
    """Return the room that a module below ``gan_bench`` stands in: ``execution/trial``, ``records``, ``api``."""
    first, *rest = module.split(".")
    return f"{first}/{rest[0]}" if first in WITH_ROOMS and rest else first


def imports_of(path: Path) -> set[str]:
    """Return the modules of gan_bench that a file imports, without the package's own name."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("gan_bench"):
            base = (node.module or "").removeprefix("gan_bench").removeprefix(".")
            names = [f"{base}.{alias.name}".lstrip(".") for alias in node.names]
            found |= {base} if base else set()
            found |= {name for name in names if (PACKAGE / name.replace(".", "/")).with_suffix(".py").exists()}
    return found


def rooms() -> tuple[dict[str, int], dict[str, set[str]]]:
    """Return every room with its lines, and the rooms that each imports from."""
    lines: dict[str, int] = {}
    arrows: dict[str, set[str]] = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        module = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        if module.split(".")[-1] in ("__init__", "__main__"):
            continue
        room = room_of(module)
        lines[room] = lines.get(room, 0) + len(path.read_text(encoding="utf-8").splitlines())
        arrows.setdefault(room, set()).update(room_of(name) for name in imports_of(path))
    return lines, {room: {to for to in found if to != room and to in lines} for room, found in arrows.items()}


def floors(arrows: Mapping[str, set[str]]) -> dict[str, int]:
    """Return the floor of every room: one above all that it imports from."""
    found: dict[str, int] = {}
    for room in TopologicalSorter(arrows).static_order():  # which refuses a circle, and names it
        found[room] = 1 + max((found[to] for to in arrows[room]), default=0)
    return found


def shortest(arrows: Mapping[str, set[str]]) -> dict[str, set[str]]:
    """Leave out the arrows that others say already: to what is also reached through another room."""

    def reached(room: str) -> set[str]:
        return {each for to in arrows[room] for each in ({to} | reached(to))}

    return {room: {to for to in own if all(to not in reached(by) for by in own - {to})} for room, own in arrows.items()}


def _middle(room: str, arrows: Mapping[str, set[str]], place: Mapping[str, tuple[float, float, float]]) -> float:
    """Return where a room's arrows come from, so that they cross less."""
    above = [place[by][0] + place[by][2] / 2 for by, own in arrows.items() if room in own and by in place]
    return round(sum(above) / len(above)) if above else WIDTH / 2


def drawing() -> str:
    """Return the drawing as SVG, the top floor first."""
    lines, arrows = rooms()
    level = floors(arrows)
    top = max(level.values())
    drawn, place = shortest(arrows), dict[str, tuple[float, float, float]]()
    for number in range(top, 0, -1):
        mine = sorted((_middle(room, drawn, place), room) for room in level if level[room] == number)
        widths = [max(9 * len(room) + 18, 60 + 26 * min(lines[room] // STEP, 6)) for _, room in mine]
        x = (WIDTH - sum(widths) - GAP * (len(mine) - 1)) / 2
        for (_, room), width in zip(mine, widths, strict=True):
            place[room] = (x, 10 + (top - number) * RISE, width)
            x += width + GAP
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {20 + (top - 1) * RISE + HEIGHT}" role="img">',
        "<title>The packages of gan_bench: each imports from those below it</title>",
        f"<style>{STYLE}</style>",
        '<defs><marker id="head" viewBox="0 0 6 6" refX="5" refY="3" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0L6 3L0 6z" style="fill:#78909c;stroke:none;marker-end:none"/></marker></defs>',
    ]
    for room, own in sorted(drawn.items()):
        x, y, width = place[room]
        for to in sorted(own):
            start, end, below = x + width / 2, place[to][0] + place[to][2] / 2, place[to][1]
            bend = f"{start:.0f} {y + HEIGHT + 24} {end:.0f} {below - 24} {end:.0f} {below - 1}"
            parts.append(f'<path d="M{start:.0f} {y + HEIGHT}C{bend}"/>')
    for room, (x, y, width) in sorted(place.items()):
        kind = ' class="room"' if "/" in room else ""
        parts.append(f'<rect{kind} x="{x:.0f}" y="{y}" width="{width}" height="{HEIGHT}" rx="5"/>')
        parts.append(f'<text x="{x + width / 2:.0f}" y="{y + 22}">{escape(room)}</text>')
    return "\n".join([*parts, "</svg>", ""])
