"""``--where``: a condition over outcome columns, read with a whitelist and never evaluated as code.

Python's own parser makes the tree; only comparisons, and/or/not, arithmetic, names of columns and
constants are understood. A comparison with an absent value is false, as in SQL.
"""

from __future__ import annotations

import ast
import difflib
import operator
from collections.abc import Callable, Collection, Mapping
from typing import Any

from lars_sweep.errors import SpecError

_COMPARISONS: dict[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.In: lambda value, options: value in options,
    ast.NotIn: lambda value, options: value not in options,
}
_ARITHMETIC: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}
_LONGEST = 1000
ALLOWED = "columns, numbers, 'texts', < <= == != > >= in, and or not, + - * /"


class Where:
    """A condition that can be asked of rows.

    Args:
        text: as in ``global_batch==8192 and epochs_done>10 and accuracy_val<20``.
        columns: the names that it may use.

    Raises:
        SpecError: it is no such condition; the message points at what is not understood.
    """

    def __init__(self, text: str, columns: Collection[str]) -> None:
        self._text = text
        if len(text) > _LONGEST:
            raise SpecError(f"--where: got {len(text)} characters; allowed: {_LONGEST}")
        try:
            self._tree = ast.parse(text.strip(), mode="eval").body
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            raise SpecError(f"--where {text!r}: {error}; allowed: {ALLOWED}") from None
        self._check(self._tree, columns)

    def holds(self, row: Mapping[str, object]) -> bool:
        """Whether the row fulfils it.

        Raises:
            SpecError: it compares or adds what has no order or sum, as a text with a number.
        """
        try:
            return bool(self._value(self._tree, row))
        except (TypeError, ZeroDivisionError) as error:
            raise SpecError(f"--where {self._text!r}: {error}") from None

    def _check(self, node: ast.expr, columns: Collection[str]) -> None:
        match node:
            case ast.Name(id=name):
                if name not in columns:
                    near = difflib.get_close_matches(name, columns, n=1)
                    hint = f"did you mean {near[0]}?" if near else "see the columns in README.md"
                    raise SpecError(f"--where: no column {name!r}; {hint}")
            case ast.Constant(value=bool() | int() | float() | str() | None):
                return
            case ast.BoolOp(values=parts) | ast.Tuple(elts=parts) | ast.List(elts=parts):
                for part in parts:
                    self._check(part, columns)
            case ast.UnaryOp(op=ast.Not() | ast.USub(), operand=operand):
                self._check(operand, columns)
            case ast.BinOp(left=left, op=operation, right=right) if type(operation) in _ARITHMETIC:
                self._check(left, columns)
                self._check(right, columns)
            case ast.Compare(left=left, ops=ops, comparators=others) if all(
                type(op) in _COMPARISONS for op in ops
            ):
                for part in (left, *others):
                    self._check(part, columns)
            case _:
                given = ast.get_source_segment(self._text.strip(), node) or self._text
                raise SpecError(f"--where: got {given!r}; allowed: {ALLOWED}")

    def _value(self, node: ast.expr, row: Mapping[str, object]) -> Any:
        match node:
            case ast.Name(id=name):
                return row.get(name)
            case ast.Constant(value=value):
                return value
            case ast.Tuple(elts=parts) | ast.List(elts=parts):
                return [self._value(part, row) for part in parts]
            case ast.BoolOp(op=ast.And(), values=parts):
                return all(self._value(part, row) for part in parts)
            case ast.BoolOp(values=parts):
                return any(self._value(part, row) for part in parts)
            case ast.UnaryOp(op=operation, operand=operand):
                value = self._value(operand, row)
                if isinstance(operation, ast.Not):
                    return not value
                return None if value is None else -value
            case ast.BinOp(left=left, op=operator_, right=right):
                one, other = self._value(left, row), self._value(right, row)
                absent = one is None or other is None
                return None if absent else _ARITHMETIC[type(operator_)](one, other)
            case ast.Compare(left=left, ops=ops, comparators=others):
                values = [self._value(part, row) for part in (left, *others)]
                return all(
                    _compared(op, one, other)
                    for op, one, other in zip(ops, values, values[1:], strict=False)
                )
        raise AssertionError("_check lets nothing else pass")


def _compared(operation: ast.cmpop, one: object, other: object) -> bool:
    return one is not None and other is not None and _COMPARISONS[type(operation)](one, other)
