"""A TOML text with the line of every key, and problems that point at them."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, time
from functools import cached_property
from pathlib import Path as FilePath
from typing import Any

from lars_sweep.errors import Problem, SpecError

Path = tuple[str | int, ...]
"""Keys and array positions from the top of the file, as in ``("space", "base_lr", "log", 0)``."""

_GAP = re.compile(r"(?:[ \t\r\n]+|#[^\n]*)*")
_KEY_PART = re.compile(r"""[ \t]*([A-Za-z0-9_-]+|"(?:\\.|[^"\\\n])*"|'[^'\n]*')[ \t]*""")
_STRING = re.compile(
    r'"""(?:\\.|[^\\])*?"""(?:"{0,2})'
    r"|'''.*?'''(?:'{0,2})"
    r'|"(?:\\.|[^"\\\n])*"'
    r"|'[^'\n]*'",
    re.DOTALL,
)
_BARE_VALUE = re.compile(r"[^,\]}#\r\n]+")
_SHOWN = 60


def read_toml(path: FilePath, kind: str) -> str:
    """The text of a file in UTF-8, with or without the byte order mark that some editors write.

    Args:
        path: the file.
        kind: what it is, for the message, as in ``sweep file``.

    Raises:
        SpecError: it cannot be read, or is in another encoding.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise SpecError(f"cannot read the {kind} {path}: {error}") from None
    except UnicodeDecodeError as error:
        raise _not_utf8(path, kind, f"0x{error.object[error.start]:02x}", error.start) from None
    if "\0" in text:  # UTF-16 without a mark; it is no TOML in any case
        raise _not_utf8(path, kind, "0x00", text.encode().index(0))
    return text


def _not_utf8(path: FilePath, kind: str, byte: str, at: int) -> SpecError:
    return SpecError(
        f"cannot read the {kind} {path}: got byte {byte} at position {at}; allowed: text in UTF-8: "
        "save it so"
    )


def dotted(path: Path) -> str:
    """The path as a person writes it: ``space.base_lr.log[0]``."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def shown(value: object) -> str:
    """The value as TOML writes it, cut to one short line."""
    text = _toml(value)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"


def unknown(word: str, options: Iterable[str]) -> str:
    """What to write instead of an unknown word: the nearest one, and all."""
    options = list(options)
    return f"{nearest(word, options)}one of {', '.join(options)}"


def nearest(word: str, options: Iterable[str]) -> str:
    """The beginning of advice about an unknown word; empty if nothing is near."""
    near = difflib.get_close_matches(word, list(options), n=1, cutoff=0.5)
    return f"did you mean {near[0]}? " if near else ""


_IN_TOML = {
    "model_type": "a table",
    "dict_type": "a table",
    "tuple_type": "a list",
    "string_type": "text in quotes",
    "int_type": "an integer",
    "float_type": "a number",
    "bool_type": "true or false",
}


def wanted(kind: str, message: str) -> str:
    """What pydantic expected, in the words of the file's format.

    Args:
        kind: the error's type, as in ``int_type``.
        message: its sentence.
    """
    said = message.removeprefix("Input should be ").removeprefix("Value error, ")
    return _IN_TOML.get(kind, said)


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return '"' + value.replace("\n", "\\n") + '"'
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key} = {_toml(item)}" for key, item in value.items()) + "}"
    if isinstance(value, Sequence):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return str(value)


@dataclass(frozen=True)
class TomlFile:
    """One TOML text and the overrides that go over it."""

    name: str
    """The file as its reader knows it."""
    text: str
    overrides: tuple[str, ...] = ()
    """``key=value`` with the value in TOML syntax or a bare string; later ones win."""

    @cached_property
    def content(self) -> dict[str, Any]:
        """The parsed text with the overrides applied.

        Raises:
            SpecError: the text is not TOML, or an override is not ``key=value``.
        """
        try:
            content: dict[str, Any] = tomllib.loads(self.text)
        except tomllib.TOMLDecodeError as error:
            raise SpecError([self._syntax_problem(str(error))]) from None
        for override in self._overrides:
            override.apply(content)
        return content

    @cached_property
    def lines(self) -> Mapping[Path, int]:
        """Line, from 1, of each key and array item of the text."""
        return _Scanner(self.text).scan()

    def problem(self, path: Path, given: str, allowed: str) -> Problem:
        """The problem with the value at a path, in the file or in the override that gave it."""
        if any(self._gave(override, path) for override in self._overrides):
            return Problem(file="--set", line=None, key=dotted(path), given=given, allowed=allowed)
        return Problem(
            file=self.name,
            line=self.lines.get(path),
            key=dotted(path),
            given=given,
            allowed=allowed,
        )

    def _gave(self, override: _Override, path: Path) -> bool:
        """Whether the value at a path is the override's, or a table that only it made."""
        only_its = path not in self.lines and path == override.path[: len(path)] != ()
        return only_its or path[: len(override.path)] == override.path

    @cached_property
    def _overrides(self) -> tuple[_Override, ...]:
        return tuple(_Override.parse(text) for text in self.overrides)

    def _syntax_problem(self, message: str) -> Problem:
        where = re.search(r"\(at line (\d+), column \d+\)", message)
        line = int(where[1]) if where else self.text.count("\n") + 1
        lines = self.text.splitlines()
        given = lines[line - 1].strip() if line <= len(lines) else "the end of the file"
        allowed = "TOML: " + message.split(" (")[0]
        if given.count("{") > given.count("}"):
            allowed += "; a table in braces must stay on one line, or use [a.header]"
        return Problem(file=self.name, line=line, key="syntax", given=given, allowed=allowed)


@dataclass(frozen=True)
class _Override:
    path: tuple[str, ...]
    value: Any

    @classmethod
    def parse(cls, text: str) -> _Override:
        key, equals, value = text.partition("=")
        try:
            if not equals:
                raise tomllib.TOMLDecodeError("no '='")
            nested: Any = tomllib.loads(f"{key.strip()} = 0")
        except tomllib.TOMLDecodeError:
            raise SpecError(
                [_override_problem(text, text, "key=value, as in space.epochs=30")]
            ) from None
        path = []
        while isinstance(nested, dict):
            (part, nested), *_ = nested.items()
            path.append(part)
        return cls(tuple(path), _value(value.strip()))

    def apply(self, content: dict[str, Any]) -> None:
        table = content
        for depth, part in enumerate(self.path[:-1], start=1):
            table = table.setdefault(part, {})
            if not isinstance(table, dict):
                raise SpecError(
                    [
                        _override_problem(
                            dotted(self.path),
                            shown(self.value),
                            f"{dotted(self.path[:depth])} itself, which is no table but "
                            f"{shown(table)} in the file",
                        )
                    ]
                )
        table[self.path[-1]] = self.value


def _value(text: str) -> Any:
    """The TOML value, or the text itself if it is none."""
    try:
        parsed = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text
    return parsed["value"] if len(parsed) == 1 else text


def _override_problem(key: str, given: str, allowed: str) -> Problem:
    return Problem(file="--set", line=None, key=key, given=given, allowed=allowed)


def plain(value: Any) -> Any:
    """The value with dates and times as text, so that it can be written as JSON."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value.isoformat() if isinstance(value, date | time) else value


class _Scanner:
    """Walks a text that tomllib has accepted; looks at keys, brackets and strings only."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._lines: dict[Path, int] = {}
        self._line = 1
        self._counted_to = 0

    def scan(self) -> dict[Path, int]:
        table: Path = ()
        self._gap()
        while self._at < len(self._text):
            if self._text[self._at] == "[":
                brackets = 2 if self._text.startswith("[[", self._at) else 1
                self._at += brackets
                table = self._key(())
                self._at += brackets
            else:
                self._pair(table)
            self._gap()
        return self._lines

    def _pair(self, table: Path) -> None:
        path = self._key(table)
        self._at += 1  # =
        self._gap()
        self._value(path)

    def _key(self, table: Path) -> Path:
        """Read a dotted key; it and the tables that it implies begin on this line."""
        path = table
        for part in self._key_parts():
            path = (*path, part)
            self._lines.setdefault(path, self._here())
        return path

    def _key_parts(self) -> Iterator[str]:
        while True:
            part = self._take(_KEY_PART).strip()
            yield tomllib.loads(f"key = {part}")["key"] if part[0] in "\"'" else part
            if self._text[self._at] != ".":
                return
            self._at += 1

    def _value(self, path: Path) -> None:
        first = self._text[self._at]
        if first == "[":
            self._items("]", lambda index: self._item((*path, index)))
        elif first == "{":
            self._items("}", lambda _: self._pair(path))
        else:
            self._take(_STRING if first in "\"'" else _BARE_VALUE)

    def _item(self, path: Path) -> None:
        self._lines[path] = self._here()
        self._value(path)

    def _items(self, end: str, read: Any) -> None:
        self._at += 1
        index = 0
        self._gap()
        while self._text[self._at] != end:
            read(index)
            index += 1
            self._gap()
            if self._text[self._at] == ",":
                self._at += 1
                self._gap()
        self._at += 1

    def _gap(self) -> None:
        self._take(_GAP)

    def _take(self, pattern: re.Pattern[str]) -> str:
        match = pattern.match(self._text, self._at)
        assert match is not None, f"not TOML at character {self._at}"
        self._at = match.end()
        return match[0]

    def _here(self) -> int:
        self._line += self._text.count("\n", self._counted_to, self._at)
        self._counted_to = self._at
        return self._line


def raise_if_any(problems: Iterable[Problem]) -> None:
    """Raise one SpecError with all the problems, each once, if there are any."""
    found = list(dict.fromkeys(problems))
    if found:
        raise SpecError(found)
