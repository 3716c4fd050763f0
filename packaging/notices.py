#!/usr/bin/env python3
"""Prints what must go along with the program: the licence and notice files of every crate that is in it.

notices.py METADATA.json, as `cargo metadata --filter-platform` wrote it. Equal texts are printed once, under all their crates.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

NAMES = re.compile(r"^(licen[cs]e|copying|copyright|notice|unlicense)([-_.].*)?$", re.IGNORECASE)


def linked(metadata: dict) -> list[dict]:
    """Packages that the root needs: neither what only its build scripts use nor what only tests it. Macros are among them,
    because what they write is in the program."""
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    packages = {package["id"]: package for package in metadata["packages"]}
    found, todo = set(), [metadata["resolve"]["root"]]
    while todo:
        if (package := todo.pop()) in found:
            continue
        found.add(package)
        todo += [to["pkg"] for to in nodes[package]["deps"] if any(kind["kind"] is None for kind in to["dep_kinds"])]
    return sorted((packages[package] for package in found), key=lambda package: (package["name"], package["version"]))


def texts(package: dict) -> list[str]:
    """Its licence files, as they are."""
    folder = Path(package["manifest_path"]).parent
    named = [folder / package["license_file"]] if package["license_file"] else []
    files = sorted({*named, *(path for path in folder.iterdir() if path.is_file() and NAMES.match(path.name))})
    return [path.read_text(encoding="utf-8", errors="replace").strip() for path in files]


def main() -> None:
    metadata = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    own = set(metadata["workspace_members"])
    by_text: dict[str, list[str]] = {}
    crates = [package for package in linked(metadata) if package["id"] not in own]
    if not crates:
        sys.exit(f"{sys.argv[1]}: no crates of others; make it with cargo metadata --filter-platform")
    print(f"geophone contains {len(crates)} libraries of others, each under its licence:\n")
    for package in crates:
        print(f"  {package['name']} {package['version']}: {package['license'] or 'see its text below'}")
        # Some crates carry no file: their licence's name above is all that they say.
        for text in texts(package):
            by_text.setdefault(text, []).append(f"{package['name']} {package['version']}")
    for text, names in by_text.items():
        print(f"\n{'=' * 100}\n{', '.join(names)}\n{'=' * 100}\n\n{text}")


if __name__ == "__main__":
    main()
