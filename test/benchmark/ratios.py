#!/usr/bin/env python3
"""Draws what a reader asks of the published run: how much longer each peer takes than Sluice.

    test/benchmark/ratios.py     reads the table below "The last published run" in README.md, and
                                 draws ratios.svg and ratios_small.svg, the one of the project's README
"""
import math
import os
import re
import sys
from xml.sax.saxutils import escape

sys.dont_write_bytecode = True
from common import HERE

# By side: its name, and its colour on a light and on a dark ground.
PEERS = {
    "go": ("Go", "#00769b", "#4fc3e8"),
    "fiber": ("Boost.Fiber", "#2f7d32", "#7ccf80"),
    "tokio": ("Tokio", "#b3471d", "#f0996f"),
    "asio_channel": ("Asio's channels", "#7b3fa0", "#c79be3"),
    "asio_plain": ("Asio's callbacks", "#6b6b6b", "#b5b5b5"),
}

GROUPS = [
    ("Channels, nanoseconds a value", r"ping_pong|unbuffered|buffered|uncontended|try_|seq_|spsc_|mpsc_|mpmc_"),
    ("Select, nanoseconds", r"select_"),
    ("Goroutines: starting, waking, memory", r"spawn|parked|memory_|skynet|fib|sieve|ring|group_"
     r"|fan_out|pipeline|from_thread"),
    ("Bursts of work", r"burst_|after_pause_|nqueens"),
    ("Timers and contexts", r"timeout|sleepers|fairness|with_timeout|cancel_tree"),
    ("Completion handlers", r"callback_"),
    ("Locks and pools", r"mutex|semaphore|worker_pool|shared_mutex|condition|once|singleflight"),
    ("Sockets: one request and its answer", r"echo_|server_"),
]

# As users meet them, those included in which Sluice is behind.
SMALL = ["ping_pong", "buffered", "mpmc_n", "select_2_ready", "select_2_parking", "spawn", "parked",
         "sleepers, cpu_ns", "mutex_uncontended", "worker_pool", "echo_100"]

CAPTION = "How much longer the same takes with others"

LEAST, MOST = 1 / 4, 128
LEFT, RIGHT, ROW, HEAD = 210, 20, 15, 24


class Row:
    """What one workload has measured: by threads and peer, the ratio and what it is to be at least."""

    def __init__(self, name):
        self.name = name
        self.marks = {}

    def add(self, threads, peer, own_by_peer, target):
        self.marks[threads, peer] = (1 / max(own_by_peer, 1e-4), 1 / target if target else None)


def rows_of_table(text):
    """The rows of a published table, in its order."""
    rows = {}
    sides = None
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if cells[:2] == ["workload", "threads"]:
            sides = cells[2:]
        elif sides and line.startswith("| ") and len(cells) == len(sides) + 2:
            row = rows.setdefault(cells[0], Row(cells[0]))
            for side, cell in zip(sides, cells[2:]):
                found = re.search(r": \**([\d.]+)(?: [≤>] ([\d.]+))?", cell)
                if side in PEERS and found:
                    row.add(int(cells[1]), side, float(found[1]),
                            float(found[2]) if found[2] else None)
    return list(rows.values())


def x_of(ratio, width):
    inside = min(max(ratio, LEAST), MOST)
    return LEFT + (width - LEFT - RIGHT) * math.log2(inside / LEAST) / math.log2(MOST / LEAST)


def draw(groups, path, width, title):
    """@param groups Pairs of a heading, which may be empty, and rows."""
    shown = [side for side in PEERS if any(side == peer for _, rows in groups for row in rows
                                           for _, peer in row.marks)]
    height = 66 + sum(len(rows) * ROW + (HEAD if heading else 0) for heading, rows in groups) + 30
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
           f'font-family="sans-serif" font-size="11" role="img">',
           f"<title>{escape(title)}</title>", "<style>",
           "text{fill:#24292f}.grid{stroke:#d0d7de}.one{stroke:#24292f;stroke-width:1.5}"
           ".two{fill:#fff}.head{font-weight:bold}"]
    out += [f".{side}{{fill:{light};stroke:{light}}}" for side, (_, light, _) in PEERS.items()]
    out.append("@media(prefers-color-scheme:dark){text{fill:#e6edf3}.grid{stroke:#3d444d}"
               ".one{stroke:#e6edf3}.two{fill:#0d1117}")
    out += [f".{side}{{fill:{dark};stroke:{dark}}}" for side, (_, _, dark) in PEERS.items()]
    out += ["}", ".two{fill-opacity:1}", "</style>",
            f'<text x="8" y="16" class="head">{escape(title)}</text>']
    x = 8
    for side in shown:
        name = PEERS[side][0]
        out.append(f'<circle class="{side}" cx="{x + 5}" cy="30" r="4"/>'
                   f'<text x="{x + 13}" y="34">{escape(name)}</text>')
        x += 28 + 6.2 * len(name)
    out.append(f'<text x="8" y="50">filled: one thread; hollow: two; a stroke: the target, '
               f'to be left of the mark</text>')
    top, y = 60, 66
    body = []
    for heading, rows in groups:
        if heading:
            y += HEAD
            body.append(f'<text x="8" y="{y - 7}" class="head">{escape(heading)}</text>')
        for row in rows:
            y += ROW
            body.append(f'<text x="{LEFT - 8}" y="{y - 3}" text-anchor="end">{escape(row.name)}</text>')
            for (threads, side), (ratio, target) in sorted(row.marks.items()):
                if target:
                    at = x_of(target, width)
                    body.append(f'<path class="{side}" d="M{at:.1f} {y - 12}v10" fill="none" '
                                f'stroke-width="1.5"/>')
                beyond = "" if LEAST <= ratio <= MOST else f"<title>{ratio:.0f}</title>"
                hollow = ' style="fill:none" stroke-width="1.5"' if threads == 2 else ""
                body.append(f'<circle class="{side}" cx="{x_of(ratio, width):.1f}" cy="{y - 7}" '
                            f'r="{3.2 if threads == 2 else 3.6}"{hollow}>{beyond}</circle>')
    tick = LEAST
    while tick <= MOST:
        at = x_of(tick, width)
        out.append(f'<path class="{"one" if tick == 1 else "grid"}" d="M{at:.1f} {top}V{y + 4}"/>')
        text = f"{tick:g}×" if tick >= 1 else f"1/{1 / tick:g}"
        out.append(f'<text x="{at:.1f}" y="{y + 17}" text-anchor="middle">{text}</text>')
        tick *= 2
    out += body
    out.append(f'<text x="{x_of(1, width) + 4:.1f}" y="{y + 29}">Sluice is faster →</text>'
               f'<text x="{x_of(1, width) - 4:.1f}" y="{y + 29}" text-anchor="end">← slower</text>')
    out.append("</svg>")
    with open(path, "w", encoding="utf-8") as f:
        f.write("\n".join(out) + "\n")


def draw_all(rows, folder):
    """Draws the large and the small picture of `rows`."""
    left = [row for row in rows if row.marks]
    groups = []
    for heading, pattern in GROUPS:
        here = [row for row in left if re.match(pattern, row.name)]
        left = [row for row in left if row not in here]
        if here:
            groups.append((heading, here))
    if left:
        groups.append(("Others", left))
    draw(groups, os.path.join(folder, "ratios.svg"), 880,
         f"{CAPTION} (bytes: how much more)")
    by_name = {row.name: row for row in rows}
    small = [by_name[name] for name in SMALL if name in by_name]
    if small:
        draw([("", small)], os.path.join(folder, "ratios_small.svg"), 880, CAPTION)


def published():
    with open(os.path.join(HERE, "README.md"), encoding="utf-8") as f:
        return f.read().partition("\n## The last published run\n")[2]


if __name__ == "__main__":
    if sys.argv[1:]:
        sys.exit(__doc__)
    draw_all(rows_of_table(published()), HERE)
