"""What the benchmark scripts share: where things are, building, running, and how figures are
written, drawn and published."""
import csv
import datetime
import os
import platform
import shutil
import statistics
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
BUILD = os.path.join(ROOT, "build", "benchmark")
PROGRAMS = os.path.join(BUILD, "test", "benchmark")


def build(target):
    subprocess.run(["cmake", "--preset", "release", "-B", BUILD, "-DSLUICE_BUILD_BENCHMARKS=ON",
                    "-DSLUICE_BUILD_TESTS=OFF", "--log-level=STATUS"],
                   cwd=ROOT, check=True, stdout=sys.stderr)
    subprocess.run(["cmake", "--build", BUILD, "--target", target], check=True, stdout=sys.stderr)


def measure(side, workload, size, threads):
    """Runs a workload once. @return What was measured: pairs of a name and a number."""
    command = [os.path.join(PROGRAMS, side), workload, str(size), str(threads)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)}: status {done.returncode}: {done.stderr.strip()}")
    lines = (line.split() for line in done.stdout.splitlines())
    return [(quantity, float(value)) for quantity, value in lines]


def number(value):
    return f"{value:.1f}" if value < 100 else f"{value:,.0f}"


def with_spread(values):
    return f"{number(statistics.median(values))} ({number(min(values))}–{number(max(values))})"


def surroundings():
    with open("/proc/cpuinfo", encoding="utf-8") as f:
        processor = next((line.split(":")[1].strip() for line in f
                          if line.startswith("model name")), "unknown")
    versions = [subprocess.run(command, capture_output=True, text=True).stdout.splitlines()[0]
                for command in (["g++", "--version"], ["go", "version"],
                                ["rustc", "--version"])
                if shutil.which(command[0])]
    return ", ".join([datetime.date.today().isoformat(), f"{os.cpu_count()} × {processor}",
                      f"Linux {platform.release()}", *versions])


def markdown_table(head, rows):
    return "".join(f"| {' | '.join(row)} |\n" for row in [head, ["---"] * len(head), *rows])


def write_csv(name, head, rows):
    with open(os.path.join(BUILD, name), "w", newline="", encoding="utf-8") as f:
        out = csv.writer(f)
        out.writerow(head)
        out.writerows(rows)


def draw(name, size, commands):
    """Has gnuplot, if it is installed, draw a picture of so many pixels."""
    if not shutil.which("gnuplot"):
        print("gnuplot was not found: no plot", file=sys.stderr)
        return
    script = [f"set terminal svg size {size} background 'white'",
              f"set output '{os.path.join(BUILD, name)}'", *commands]
    subprocess.run(["gnuplot"], input="\n".join(script) + "\n", text=True, check=True)


def publish(heading, text, picture=None, caption=None, *other_pictures):
    """Puts a text and perhaps a picture below a heading of README.md, instead of what is there.
    Other pictures are put beside it, for other documents."""
    path = os.path.join(HERE, "README.md")
    with open(path, encoding="utf-8") as f:
        before, mark, rest = f.read().partition(f"\n## {heading}\n")
    if not mark:
        sys.exit(f"{path} has no heading \"{heading}\"")
    _, next_mark, after = rest.partition("\n## ")
    if picture:
        text = f"{text}\n![{caption}]({picture})\n"
        for name in (picture, *other_pictures):
            shutil.copy(os.path.join(BUILD, name), HERE)
    with open(path, "w", encoding="utf-8") as f:
        f.write(f"{before}{mark}\n{text}{next_mark}{after}")
