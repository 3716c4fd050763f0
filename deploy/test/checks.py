"""Counts what is asserted, tells what fails, and ends with it."""

from __future__ import annotations

import json
import sys
import time
from typing import Any


class Checks:
    """One run's assertions."""

    def __init__(self, title: str):
        self._title, self._passed, self._failed, self._start = title, 0, 0, time.monotonic()

    def that(self, what: str, holds: object, told: object = "") -> None:
        """`what` is to hold."""
        if holds:
            self._passed += 1
        else:
            self._failed += 1
            print(f"FAILED {self._title}: {what}{f': {told}' if told != '' else ''}", flush=True)

    def equal(self, what: str, found: Any, wanted: Any) -> None:
        """Both are to be the same."""
        self.that(what, found == wanted, f"\n  found  {_shown(found)}\n  wanted {_shown(wanted)}")

    def section(self, what: str) -> None:
        """Says how far the run is."""
        print(f"   {time.monotonic() - self._start:5.1f} s  {what}", flush=True)

    def gap(self, what: str) -> None:
        """Something that this emulator cannot show, so that nobody believes it was."""
        print(f"   gap      {what}", flush=True)

    def end(self) -> None:
        """The verdict, as exit code, too."""
        print(f"{self._title}: {self._passed} checks passed, {self._failed} failed, {time.monotonic() - self._start:.1f} s", flush=True)
        sys.exit(1 if self._failed or not self._passed else 0)


def _shown(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=str)
