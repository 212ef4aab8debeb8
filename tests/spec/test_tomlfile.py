"""Lines of keys, overrides, and problems that point at them."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path as FilePath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lars_sweep.errors import SpecError
from lars_sweep.tomlfile import Path, TomlFile, dotted, read_toml, shown, unknown

EVERY_FORM = '''\
# comment with [brackets] and "quotes"
title = "a # in a string"   # and a comment
"quoted key" . 'part two'.plain = 1
[space]   # header
list = [
    1,  # one
    "two ] \\" [",
    [3, 4],
    { a = 5, b.c = 6 },
]
multi = """
first = 1
second ""\\""" """"
literal = \'\'\'
[no.header]
\'\'\'\'
inline = { x = { y = [true, false] }, z = 'it''' + """' }
when = 1979-05-27 07:32:00
[ space . deep . "er" ]
x = -1.5e-3
""".replace("'it''' + ''''", "'it'")


def _leaves(value: object, path: Path = ()) -> Iterator[tuple[Path, object]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield (*path, key), None
            yield from _leaves(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield (*path, index), None
            yield from _leaves(item, (*path, index))
    else:
        yield path, value


def test_every_form_of_toml_has_its_line() -> None:
    lines = TomlFile("f.toml", EVERY_FORM).lines
    assert set(lines) == {path for path, _ in _leaves(tomllib.loads(EVERY_FORM))}
    expected = {
        ("title",): 2,
        ("quoted key", "part two", "plain"): 3,
        ("space",): 4,
        ("space", "list"): 5,
        ("space", "list", 0): 6,
        ("space", "list", 1): 7,
        ("space", "list", 2, 1): 8,
        ("space", "list", 3, "b", "c"): 9,
        ("space", "multi"): 11,
        ("space", "literal"): 14,
        ("space", "inline", "x", "y", 1): 17,
        ("space", "inline", "z"): 17,
        ("space", "when"): 18,
        ("space", "deep"): 19,
        ("space", "deep", "er", "x"): 20,
    }
    assert {path: lines[path] for path in expected} == expected


_BARE_KEYS = st.text("abcXYZ019_-", min_size=1, max_size=4)
_KEYS = st.one_of(
    _BARE_KEYS.map(lambda key: (key, key)),
    st.text("ab .#[]{}='", max_size=4).map(lambda key: (key, f'"{key}"')),
)


@st.composite
def documents(draw: st.DrawFn) -> str:
    """A TOML text in which every scalar is a different word ``v<n>`` on one line."""
    count = iter(range(10_000))

    def scalar() -> str:
        noise = draw(st.sampled_from(["", " # no", "[", "}", ",", "="]))
        quote = draw(st.sampled_from(['"', "'"]))
        return f"{quote}v{next(count)};{noise}{quote}"

    def value(depth: int, *, one_line: bool) -> str:
        kind = draw(st.sampled_from(["scalar"] if depth == 0 else ["scalar", "list", "table"]))
        if kind == "scalar":
            return scalar()
        if kind == "list":
            gap = " " if one_line else draw(st.sampled_from([" ", "\n  ", " # [,\n\n "]))
            items = [value(depth - 1, one_line=one_line) for _ in range(draw(st.integers(0, 3)))]
            return "[" + gap + f",{gap}".join(items) + gap + "]"
        keys = draw(st.lists(_KEYS, max_size=3, unique_by=lambda key: key[0]))
        pairs = [f"{text} = {value(depth - 1, one_line=True)}" for _, text in keys]
        return "{ " + ", ".join(pairs) + " }"

    def pairs() -> list[str]:
        keys = draw(st.lists(_KEYS, max_size=4, unique_by=lambda key: key[0]))
        return [f"{text} = {value(2, one_line=False)}" for _, text in keys]

    lines = pairs()
    headers = draw(st.lists(_KEYS, max_size=3, unique_by=lambda key: key[0]))
    for index, (_, text) in enumerate(headers):
        lines += ["", f"[ t{index}.{text} ] # header", *pairs()]
    return "\n".join(lines) + "\n"


@given(documents())
def test_scanner_sees_what_tomllib_sees(text: str) -> None:
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError:  # a key of the top level that is a header too
        return
    lines = TomlFile("f.toml", text).lines
    assert set(lines) == {path for path, _ in _leaves(content) if path}
    texts = text.split("\n")
    for path, value in _leaves(content):
        if isinstance(value, str):
            assert value.split(";")[0] + ";" in texts[lines[path] - 1]


def test_syntax_error_names_line_and_text() -> None:
    with pytest.raises(SpecError) as caught:
        TomlFile("s.toml", 'name = "x"\n[space]\nlr = {\n  log = [1, 2]\n}\n').content  # noqa: B018
    (problem,) = caught.value.problems
    assert (problem.file, problem.line, problem.given) == ("s.toml", 3, "lr = {")
    assert "must stay on one line" in problem.allowed


@pytest.mark.parametrize(
    ("override", "path", "value"),
    [
        ("a.b=3", ("a", "b"), 3),
        ("a.b = 3e-1", ("a", "b"), 0.3),
        ("a.b=[1, 2]", ("a", "b"), [1, 2]),
        ("a.b={log=[1, 2], points=3}", ("a", "b"), {"log": [1, 2], "points": 3}),
        ("a.b=lars", ("a", "b"), "lars"),
        ('a."b c"="x=y"', ("a", "b c"), "x=y"),
        ("new.table.key=true", ("new", "table", "key"), True),
        ("a.b=package.module:function", ("a", "b"), "package.module:function"),
        ("a.b=", ("a", "b"), ""),
    ],
)
def test_override(override: str, path: tuple[str, ...], value: object) -> None:
    content: object = TomlFile("f", "[a]\nb = 1\nc = 2\n", (override,)).content
    for key in path:
        assert isinstance(content, dict)
        content = content[key]
    assert content == value


def test_later_override_wins_and_the_rest_stays() -> None:
    content = TomlFile("f", "[a]\nb = 1\nc = 2\n", ("a.b=5", "a.b=6")).content
    assert content == {"a": {"b": 6, "c": 2}}


@pytest.mark.parametrize("override", ["a.b", "=3", "a..b=3", "", "a b=3"])
def test_override_that_is_none(override: str) -> None:
    with pytest.raises(SpecError, match="--set") as caught:
        TomlFile("f", "", (override,)).content  # noqa: B018
    assert caught.value.problems[0].allowed.startswith("key=value")


def test_override_through_a_value() -> None:
    with pytest.raises(SpecError, match=r"--set: a\.b\.c.*which is no table but 1"):
        TomlFile("f", "[a]\nb = 1\n", ("a.b.c=3",)).content  # noqa: B018


def test_problem_of_an_override_names_set_and_not_the_file() -> None:
    file = TomlFile("f.toml", "[a]\nb = 1\nc = 2\n", ("a.b=5",))
    assert str(file.problem(("a", "b"), "5", "6")) == "--set: a.b: got 5; allowed: 6"
    assert str(file.problem(("a", "c"), "2", "6")) == "f.toml:3: a.c: got 2; allowed: 6"
    assert str(file.problem(("a", "d"), "nothing", "6")) == "f.toml: a.d: got nothing; allowed: 6"


def test_words() -> None:
    assert dotted(("space", "base_lr", "log", 0)) == "space.base_lr.log[0]"
    assert shown({"log": [1, 2.5], "on": True, "s": "x"}) == '{log = [1, 2.5], on = true, s = "x"}'
    assert len(shown("x" * 200)) == 60
    assert unknown("momentun", ["lr", "momentum"]) == "did you mean momentum? one of lr, momentum"
    assert unknown("zzz", ["lr", "momentum"]) == "one of lr, momentum"


def problem_of(toml: TomlFile, *path: str | int) -> tuple[str, int | None]:
    problem = toml.problem(path, "given", "allowed")
    return problem.file, problem.line


def test_a_problem_is_blamed_on_who_gave_the_value() -> None:
    toml = TomlFile("f", "[a]\nb = 1\n", ("nope.deep.x=1", "a.c=2", "a.list=[1, 2]"))
    assert problem_of(toml, "nope") == ("--set", None)
    assert problem_of(toml, "nope", "deep") == ("--set", None)
    assert problem_of(toml, "nope", "deep", "x") == ("--set", None)
    assert problem_of(toml, "a", "c") == ("--set", None)
    assert problem_of(toml, "a", "list", 1) == ("--set", None)
    assert problem_of(toml, "a") == ("f", 1)
    assert problem_of(toml, "a", "b") == ("f", 2)
    assert problem_of(toml, "else") == ("f", None)


TEXT = 'name = "λ"\n'


def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path: FilePath) -> None:
    path = tmp_path / "s.toml"
    for encoding in ("utf-8", "utf-8-sig"):
        path.write_text(TEXT, encoding=encoding)
        assert read_toml(path, "sweep file") == TEXT


@pytest.mark.parametrize(
    ("encoding", "byte", "at"),
    [("utf-16", "0xff", 0), ("utf-16-le", "0xbb", 16), ("cp1253", "0xeb", 8)],
)
def test_other_encodings_are_refused_in_one_line(
    tmp_path: FilePath, encoding: str, byte: str, at: int
) -> None:
    path = tmp_path / "s.toml"
    path.write_bytes(TEXT.encode(encoding))
    with pytest.raises(SpecError) as caught:
        read_toml(path, "sweep file")
    assert str(caught.value) == (
        f"cannot read the sweep file {path}: got byte {byte} at position {at}; allowed: text in "
        "UTF-8: save it so"
    )


def test_ascii_in_two_bytes_is_refused_too(tmp_path: FilePath) -> None:
    path = tmp_path / "s.toml"
    path.write_bytes('name = "x"'.encode("utf-16-le"))
    with pytest.raises(SpecError, match="got byte 0x00 at position 1; allowed: text in UTF-8"):
        read_toml(path, "profile")
