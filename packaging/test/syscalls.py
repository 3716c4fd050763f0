#!/usr/bin/env python3
"""Whether what a program was seen to call (strace -f) is what its unit lets it: syscalls.py UNIT TRACE."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path


def members(group: str) -> set[str]:
    """Calls of one of systemd's groups, with those of the groups in it."""
    told = subprocess.run(["systemd-analyze", "syscall-filter", group], check=True, capture_output=True, text=True).stdout
    names = [line.strip() for line in told.splitlines()[1:] if line.strip() and not line.strip().startswith("#")]
    return {call for name in names for call in (members(name) if name.startswith("@") else {name})}


def allowed(unit: str) -> set[str]:
    """What the unit's SystemCallFilter= lines leave, in their order."""
    calls: set[str] = set()
    for line in re.findall(r"^SystemCallFilter=(.*)$", unit, re.MULTILINE):
        named = set().union(*(members(name) if name.startswith("@") else {name} for name in line.lstrip("~").split()))
        calls = calls - named if line.startswith("~") else calls | named
    return calls


def main() -> None:
    may = allowed(Path(sys.argv[1]).read_text(encoding="utf-8"))
    does = set(re.findall(r"^\d+ +(?:<\.\.\. )?([a-z][a-z0-9_]*)(?:\(| resumed)", Path(sys.argv[2]).read_text(errors="replace"), re.MULTILINE))
    # Whoever starts a program calls it before the filter holds; both also show that the trace is one and the filter is one.
    if not {"futex", "sendto", "openat", "epoll_wait"} & does or "mount" in may or "futex" not in may:
        sys.exit(f"this is no trace of geophone, or no filter: {sorted(does)}")
    if refused := sorted(does - may):
        sys.exit(f"geophone calls what its unit forbids: {', '.join(refused)}; widen SystemCallFilter= or do without")
    print(f"{len(does)} system calls in use, {len(may)} allowed, none refused")


if __name__ == "__main__":
    main()
