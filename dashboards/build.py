#!/usr/bin/env python3
"""Writes the dashboards' JSON from `source/`; with --check says whether the files are what it would write."""

import importlib
import json
import pathlib
import sys

from source.panels import DASHBOARDS

HERE = pathlib.Path(__file__).resolve().parent


def main(arguments):
    if arguments not in ([], ["--check"]):
        print("usage: build.py [--check]", file=sys.stderr)
        return 64
    stale = 0
    for name in DASHBOARDS:
        made = importlib.import_module(f"source.{name}").DASHBOARD
        text = json.dumps(made, indent=2, sort_keys=True) + "\n"
        path = HERE / f"{name}.json"
        if not arguments:
            path.write_text(text, encoding="utf-8")
        elif not path.is_file() or path.read_text(encoding="utf-8") != text:
            print(f"{path.name} is not what source/{name}.py says: run dashboards/build.py")
            stale += 1
    return 1 if stale else 0


if __name__ == "__main__":
    sys.dont_write_bytecode = True
    sys.exit(main(sys.argv[1:]))
