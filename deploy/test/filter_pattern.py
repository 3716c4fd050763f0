"""CloudWatch Logs filter patterns over JSON, as far as pipeline.yaml uses them.

After "Filter pattern syntax for metric filters, subscription filters, …" in the CloudWatch Logs User Guide: `$.path = "text"` and `!=` with
`*` for any run of characters, `IS TRUE` and `IS FALSE`, `&&`, `||` and brackets. `!=` holds also where the property is not there.
"""

from __future__ import annotations

import fnmatch
import re
from typing import Any

Json = Any
_WORD = re.compile(r'\s*(\(|\)|&&|\|\||!=|=|IS\s+TRUE|IS\s+FALSE|\$(?:\.\w+)+|"[^"]*")')


class FilterPattern:
    """A parsed pattern."""

    def __init__(self, text: str):
        inner = re.fullmatch(r"\s*\{(.*)\}\s*", text, re.DOTALL)
        if not inner:
            raise ValueError(f"no pattern over JSON: {text}")
        self._words: list[str] = []
        rest = inner[1].strip()
        while rest:
            word = _WORD.match(rest)
            if not word:
                raise ValueError(f"not understood: {rest[:40]}")
            self._words.append(re.sub(r"\s+", " ", word[1]))
            rest = rest[word.end() :].strip()

    def matches(self, record: dict[str, Json]) -> bool:
        """Whether the record is sent."""
        holds, rest = self._any(self._words, record)
        if rest:
            raise ValueError(f"behind the end: {rest}")
        return holds

    def _any(self, words: list[str], record: Json) -> tuple[bool, list[str]]:
        holds, words = self._all(words, record)
        while words and words[0] == "||":
            other, words = self._all(words[1:], record)
            holds = holds or other
        return holds, words

    def _all(self, words: list[str], record: Json) -> tuple[bool, list[str]]:
        holds, words = self._one(words, record)
        while words and words[0] == "&&":
            other, words = self._one(words[1:], record)
            holds = holds and other
        return holds, words

    def _one(self, words: list[str], record: Json) -> tuple[bool, list[str]]:
        if words[0] == "(":
            holds, words = self._any(words[1:], record)
            if words[0] != ")":
                raise ValueError(f"no bracket before {words}")
            return holds, words[1:]
        value: Json = record
        for part in words[0].removeprefix("$.").split("."):
            value = value.get(part) if isinstance(value, dict) else None
        if words[1] in ("IS TRUE", "IS FALSE"):
            return value is (words[1] == "IS TRUE"), words[2:]
        equal = isinstance(value, str) and fnmatch.fnmatchcase(value, words[2].strip('"'))
        return equal if words[1] == "=" else not equal, words[3:]
