"""What the benchmark scripts share: where things are, building, and how figures are written."""
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
