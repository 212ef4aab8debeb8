"""The reference of the sweep file's keys, made from the models and fields that read it."""

from __future__ import annotations

import types
from collections.abc import Iterator, Sequence
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from lars_sweep.spec.axes import FORMS
from lars_sweep.spec.fields import FIELDS, ScienceField
from lars_sweep.spec.loading import SECTIONS
from lars_sweep.spec.sweep import Header
from lars_sweep.tomlfile import shown

_TYPES = {str: "text", int: "integer", float: "number", bool: "true or false"}


def describe_keys() -> str:
    """Markdown tables of every key of a sweep file, as sweeps/README.md holds them."""
    blocks = [_table("Top of the file", Header)]
    blocks += [_table(f"`[{name}]`", section) for name, section in SECTIONS.items()]
    blocks.append(_fields_table())
    blocks.append(_forms_table())
    return "\n\n".join(blocks)


def _table(title: str, model: type[BaseModel]) -> str:
    rows = [
        (f"`{name}`", _type_words(info.annotation), _default(info), _line(info.description))
        for name, info in model.model_fields.items()
    ]
    intro = f"### {title}\n\n" + ("" if model is Header else f"{_line(model.__doc__)}\n\n")
    return intro + _markdown(("key", "value", "default", "meaning"), rows)


def _fields_table() -> str:
    rows = [
        (f"`{f.name}`", f"`[{f.home}]`", _allowed(f), _field_default(f), _meaning(f))
        for f in FIELDS.values()
    ]
    return (
        "### `[training]` and `[space]`\n\n"
        "Every field of a trial. The section is where its single value stands; any of them but "
        "`milestones` may be an axis in `[space]` instead. `warmup` and `warmup_start` are written "
        "with their unit.\n\n"
        + _markdown(("field", "section", "value", "default", "meaning"), rows)
    )


def _forms_table() -> str:
    rows = [
        ("`0.1`", "one value"),
        ("`[0.1, 0.2]`", "these values"),
        *(_form_row(_line(form.__doc__)) for form in FORMS.values()),
    ]
    return "### Forms of an axis\n\n" + _markdown(("form", "meaning"), rows)


def _form_row(doc: str) -> tuple[str, str]:
    form, _, meaning = doc.partition(": ")
    return form, meaning


def _allowed(field: ScienceField) -> str:
    if field.units:
        return " or ".join(f"`{{ {unit} = … }}`, {rule}" for unit, rule in field.units.items())
    return f"list, each {field.rule}" if field.whole_list else str(field.rule)


def _field_default(field: ScienceField) -> str:
    if field.required:
        return "required"
    if field.whole_list or field.default is None:
        return ""
    return f"`{shown(field.default)}`"


def _meaning(field: ScienceField) -> str:
    if field.only_with is None:
        return field.meaning
    other, values = field.only_with
    return f"{field.meaning}; only with `{other}` = {' or '.join(f'`{v}`' for v in values)}"


def _type_words(annotation: Any) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return " or ".join(f"`{shown(value)}`" for value in arguments)
    if origin in (Union, types.UnionType):
        return _type_words(next(a for a in arguments if a is not type(None)))
    if origin is tuple:
        return f"list, each {_type_words(arguments[0])}"
    if hasattr(annotation, "__metadata__"):
        return _type_words(arguments[0])
    return _TYPES.get(annotation, "table")


def _default(info: FieldInfo) -> str:
    if info.is_required():
        return "required"
    default = info.get_default(call_default_factory=True)
    return "" if default in (None, "", {}) else f"`{shown(default)}`"


def _line(text: str | None) -> str:
    return " ".join((text or "").replace("``", "`").split())


def _markdown(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    def lines() -> Iterator[str]:
        yield "| " + " | ".join(head) + " |"
        yield "|" + "---|" * len(head)
        for row in rows:
            yield "| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |"

    return "\n".join(lines())
