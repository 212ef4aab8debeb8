"""slurm/README.md says what the code does. Run as a program it writes the table of keys anew."""

from __future__ import annotations

import re
import typing
from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from lars_sweep.cluster.loading import shipped_profiles
from lars_sweep.cluster.profile import Profile
from lars_sweep.shipped import shipped

README = shipped("slurm") / "README.md"
KEYS = re.compile(r"(<!-- keys:[^\n]*-->\n).*(<!-- end of keys -->)", re.DOTALL)


def rows(model: type[BaseModel], section: str = "") -> Iterator[str]:
    inner = []
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            inner.append((name, field.annotation))
        else:
            yield f"| `{section}{name}` | {default(field)} | {text(field)} |"
    for name, part in inner:
        yield from rows(part, f"{name}.")


def default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True)
    if field.is_required() or value is None or value in ((), {}):
        return ""
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def text(field: FieldInfo) -> str:
    choices = typing.get_args(field.annotation)
    described = " ".join((field.description or "").split()).replace("``", "`").replace("|", "\\|")
    words = [f"`{c}`" for c in choices if isinstance(c, str)]
    return f"{' or '.join(words)}. {described}" if words else described


def table() -> str:
    return "\n".join(["| key | default | meaning |", "|---|---|---|", *rows(Profile)])


def with_table(readme: str) -> str:
    return KEYS.sub(lambda match: f"{match[1]}{table()}\n{match[2]}", readme)


def test_the_table_of_keys_is_current() -> None:
    readme = README.read_text()
    assert with_table(readme) == readme, "run `python tests/cluster/test_readme.py`"
    assert "| `job.time_limit_min` | `240` |" in readme


def test_links_lead_somewhere() -> None:
    readme = README.read_text()
    headings = {
        re.sub(r"[^\w -]", "", line.lstrip("# ").lower()).replace(" ", "-")
        for line in readme.splitlines()
        if line.startswith("#")
    }
    for target in re.findall(r"\]\(([^)]+)\)", readme):
        if target.startswith("#"):
            assert target[1:] in headings, target
        else:
            assert (README.parent / target).exists(), target


def test_every_shipped_profile_is_mentioned() -> None:
    readme = README.read_text()
    assert all(f"(profiles/{name}.toml)" in readme for name in shipped_profiles())


def test_files_named_in_code_blocks_exist() -> None:
    commands = re.findall(r"slurm/devcluster/\w+", README.read_text())
    top = Path(README).parents[1]
    assert len(commands) > 5
    assert all((top / command).exists() for command in commands)


if __name__ == "__main__":
    README.write_text(with_table(README.read_text()))
