#!/usr/bin/env python3
"""What is in the packages: contents.py SBOM DEB_ROOT IMAGE_ROOT

The list of dependencies inside each program agrees with the SBOM; no file names a place of the machine that built it; the
licences of what is linked in are there.
"""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
import tempfile
import zlib
from pathlib import Path

# What geophone certainly is made of: a list without them is no list of it.
CERTAIN = {"geophone", "aws-sdk-kinesis", "aws-sdk-sns", "tokio", "rustls", "serde_json", "kinesis-lease"}
CRATES_MIN = 200


def fail(what: str) -> None:
    sys.exit(f"FAILED: {what}")


def audited(program: Path) -> set[tuple[str, str]]:
    """Names and versions that cargo-auditable wrote into the program, without those that only built it."""
    with tempfile.TemporaryDirectory() as folder:
        section = Path(folder) / "dep-v0"
        subprocess.run(["objcopy", "--dump-section", f".dep-v0={section}", program, Path(folder) / "copy"], check=True)
        packages = json.loads(zlib.decompress(section.read_bytes()))["packages"]
    return {(package["name"], package["version"]) for package in packages if package.get("kind", "runtime") == "runtime"}


def listed(sbom: Path) -> set[tuple[str, str]]:
    """Names and versions of the SBOM."""
    bom = json.loads(sbom.read_text(encoding="utf-8"))
    if bom["bomFormat"] != "CycloneDX" or tuple(map(int, bom["specVersion"].split("."))) < (1, 5):
        fail(f"{sbom} is no CycloneDX of 1.5 or later")
    components = [*bom["components"], bom["metadata"]["component"]]
    if bad := [component["name"] for component in components if not component.get("purl")]:
        fail(f"no package URL for {bad}")
    return {(component["name"], component["version"]) for component in components}


def without_places(files: list[Path]) -> None:
    """No file has the path of a folder in which it was made."""
    cargo = os.environ.get("CARGO_HOME") or str(Path.home() / ".cargo")
    places = {str(Path.cwd()), cargo, os.environ.get("CARGO_TARGET_DIR") or str(Path.cwd() / "target")}
    for path in files:
        data = path.read_bytes()
        data = gzip.decompress(data) if path.suffix == ".gz" else data
        for place in places:
            if (at := data.find(place.encode())) >= 0:
                fail(f"{path} names {data[at : at + 120]!r}")


def main() -> None:
    sbom, *roots = map(Path, sys.argv[1:])
    named = listed(sbom)
    for root in roots:
        has = audited(root / "usr/bin/geophone")
        if not CERTAIN <= {name for name, _ in has} or len(has) < CRATES_MIN:
            fail(f"the list inside {root}/usr/bin/geophone is not whole: {len(has)} crates")
        if missing := has - named:
            fail(f"not in {sbom}: {sorted(missing)}")
        notices = gzip.decompress((root / "usr/share/geophone/NOTICES.gz").read_bytes()).decode()
        own = {"geophone", "geophone-company", "kinesis-lease"}
        if missing := [name for name, version in has if name not in own and f"  {name} {version}: " not in notices]:
            fail(f"no notice of {missing}")
    files = [sbom, *(path for root in roots for path in root.rglob("*") if path.is_file() and not path.is_symlink())]
    without_places(files)
    print(f"{len(has)} crates inside the programs, all among the {len(named)} of the SBOM; {len(files)} files name no place of this machine")


if __name__ == "__main__":
    main()
