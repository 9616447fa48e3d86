"""Writes docs/reference.md, the reference of all that a plugin touches, from signatures, types and docstrings.

    python docs/make_reference.py

The code is read with griffe (https://mkdocstrings.github.io/griffe/) and not imported, so that the strings under
fields are found, and nothing heavy is needed. A test holds the page against the code.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

import griffe

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "reference.md"

MODULES: Mapping[str, tuple[str, ...]] = {
    "vitbench": (),
    "vitbench.specs": (),
    "vitbench.protocols": (),
    "vitbench.contract": ("API", "OFFERED", "call"),
    "vitbench.errors": (
        "VitbenchError",
        "UsageError",
        "UnusableError",
        "StoreError",
        "NothingSelectedError",
        "Skip",
        "did_you_mean",
        "reason_of",
    ),
    "vitbench.training": (),
    "vitbench.training.checkpoint": (),
    "vitbench.training.card": ("read_card",),
    "vitbench.attention": (),
    "vitbench.figures": (),
    "vitbench.exporting": (),
    "vitbench.measuring.flops": (),
    "vitbench.measuring.numerics": ("disagreement", "unjudged"),
    "vitbench.statistics": (),
    "vitbench.data.splits": ("stratified_split", "single_image_note"),
    "vitbench.testing": (),
}
"""The public modules, and which of their names are for plugins; none: all of ``__all__``."""

INTRODUCTION = """\
# Python API

Everything that a plugin gives, gets or may call, as signatures and docstrings have it: `python docs/make_reference.py`
writes this page. The hooks, with examples, are in [plugin-hooks.md](plugin-hooks.md), and
[write-a-plugin.md](write-a-plugin.md) goes from an empty folder to a ranked model. What is not on these pages may
change with any version.

Letters in shapes: B images in a batch, N images in a split, C channels, H height, W width, K classes. All arguments of
the types below are given by name.
"""

WIDTH = 100
"""A signature that is longer has a line for each parameter."""

Found = griffe.Object | griffe.Alias
Code = griffe.Expr | str | None


class Reference:
    """The page, and what it describes."""

    def __init__(self) -> None:
        """Read vitbench from this checkout."""
        self._package = griffe.load("vitbench", search_paths=[ROOT])
        self.described: dict[str, dict[str, griffe.Object]] = {module: {} for module in MODULES}
        """By module and name. A name that a module passes on is described where it is defined, if that is public."""
        self._anchors = {module: module for module in MODULES}
        """Of each module, and of each name, short and in full."""
        for module in MODULES:
            for name in self.names(module):
                target = self._member(f"{module}.{name}")
                home = target.path.rpartition(".")[0]
                anchor = target.path if home in MODULES else f"{module}.{name}"
                self._anchors |= {name: anchor, f"{module}.{name}": anchor, target.path: anchor}
                if anchor == f"{module}.{name}":
                    self.described[module][name] = target

    def names(self, module: str) -> tuple[str, ...]:
        """Return the names of a module that are for plugins."""
        return MODULES[module] or tuple(map(str, self._member(module).exports or ()))

    def knows(self, name: str) -> bool:
        """Return whether the page describes a name, given in full."""
        return name in self._anchors

    def __str__(self) -> str:
        """Return the page."""
        listed = [f"- [`{module}`](#{module}): " + ", ".join(map(self._link, of)) for module, of in self._listed()]
        parts = [INTRODUCTION, "\n".join(listed)]
        for module, found in self.described.items():
            parts += [f'<a id="{module}"></a>\n\n## `{module}`', self._linked(_docstring(self._member(module)))]
            for name, target in found.items():
                parts.append(f'<a id="{module}.{name}"></a>\n\n### `{name}`')
                parts += [self._linked(part, but=_own_names(target)) for part in self._entry(name, target)]
        return "\n\n".join(part.strip("\n") for part in parts if part) + "\n"

    def _listed(self) -> Iterator[tuple[str, list[str]]]:
        for module in MODULES:
            yield module, sorted((self._member(f"{module}.{name}").path for name in self.names(module)), key=_last)

    def _member(self, path: str) -> griffe.Object:
        found: Found = self._package
        for name in path.split(".")[1:]:
            found = found.members[name]
        return found.final_target if isinstance(found, griffe.Alias) else found

    def _link(self, path: str) -> str:
        anchor = self._anchors[path]
        return f"[`{_last(anchor)}`](#{anchor})"

    def _linked(self, text: str, but: Collection[str] = ()) -> str:
        """Return a text whose `names` are links to what the page describes, except those that the object defines."""

        def replace(match: re.Match[str]) -> str:
            name = match[1]
            anchor = self._anchors.get(name) or self._anchors.get(name.rpartition(".")[0])
            return match[0] if name in but or not anchor else f"[`{name}`](#{anchor})"

        return re.sub(r"(?<![`\w])`([A-Za-z_][\w.]*)`(?!`)", replace, text)

    def _entry(self, name: str, target: griffe.Object) -> Iterator[str]:
        """Give the parts of an entry."""
        if isinstance(target, griffe.Attribute):
            yield f"```python\n{target.source}\n```"
        elif isinstance(target, griffe.Function):
            yield f"```python\n{self._signature(name, target)}\n```"
        elif bases := [str(base) for base in target.bases if str(base) not in ("Declared", "Protocol", "_Data")]:
            yield f"A subclass of `{', '.join(bases)}`."
        yield from _sections(target)
        if isinstance(target, griffe.Class):
            members = {name: member for name, member in target.members.items() if not name.startswith("_")}
            if "__init__" in target.members and target.members["__init__"].docstring:
                members = {target.name: target.members["__init__"], **members}
            lines = [f"- {self._member_line(name, member)}" for name, member in members.items()]
            yield "\n".join(line + "\n" if "\n\n" in line else line for line in lines)  # what follows is an item, too

    def _member_line(self, name: str, member: Found) -> str:
        """Return a field, a property or a method as the text of a list's item."""
        if member.is_function:
            head = f"`{self._signature(name, member, width=1000)}`:"
        else:
            kind, value = self._code(member.annotation), self._code(member.value)
            default = value.replace("field(default_factory=dict)", "{}")
            optional = re.fullmatch(r"(\w+) \| None", kind)
            shown = f"`{optional[1]}` or None" if optional and optional[1] in self._anchors else f"`{kind or default}`"
            head = f"`{name}`{', a property' if 'property' in member.labels else ''}: {shown}"
            head += f", default `{default}`." if kind and default else "."
        return _indented(" ".join([head, *_sections(member, in_list=True)]))

    def _code(self, expression: Code) -> str:
        """Return code in this project's style; a constant of vitbench's that has no entry gives way to its value."""
        text = "" if expression is None else str(expression).replace("'", '"')
        for part in expression.iterate(flat=True) if isinstance(expression, griffe.Expr) else ():
            path = part.canonical_path if isinstance(part, griffe.ExprName) else ""
            if path.startswith("vitbench.") and path not in self._anchors:
                known = self._member(path)
                if isinstance(known, griffe.Attribute) and known.value and "TypeVar" not in str(known.value):
                    text = re.sub(rf"\b{part.name}\b", self._code(known.value).replace("\\", r"\\"), text)
        return text

    def _signature(self, name: str, function: Found, *, width: int = WIDTH) -> str:
        shown = []
        kinds = griffe.ParameterKind
        for parameter in function.parameters:
            if parameter.name == "self":
                continue
            if parameter.kind is kinds.keyword_only and not any(one.startswith("*") for one in shown):
                shown.append("*")
            stars = {kinds.var_positional: "*", kinds.var_keyword: "**"}.get(parameter.kind, "")
            kind, default = self._code(parameter.annotation), self._code(parameter.default)
            shown.append(
                stars
                + parameter.name
                + (f": {kind}" if kind else "")
                + (f" = {default}" if default and not stars else "")
            )
        result = f" -> {self._code(function.returns)}" if function.returns is not None else ""
        line = f"{name}({', '.join(shown)}){result}"
        return line if len(line) <= width else f"{name}(\n" + "".join(f"    {one},\n" for one in shown) + f"){result}"


def _last(path: str) -> str:
    return path.rpartition(".")[2]


def _own_names(target: griffe.Object) -> set[str]:
    """Return the names that mean something of the object's own in its docstrings."""
    own = set(target.members) if isinstance(target, griffe.Class) else set()
    return (
        own
        | {target.name}
        | ({one.name for one in target.parameters} if isinstance(target, griffe.Function) else set())
    )


def _sections(target: Found, *, in_list: bool = False) -> Iterator[str]:
    """Give the parts of a docstring: its text, and what it takes, gives and raises."""
    for section in target.docstring.parse("google", warnings=False) if target.docstring else ():
        kind = section.kind.value
        if kind == "text":
            yield _markdown(section.value)
            continue
        items = []
        for one in section.value:
            names = {"parameters": getattr(one, "name", ""), "raises": str(one.annotation)}.get(kind, "")
            label = ", ".join(f"`{name}`" for name in re.findall(r"[\w*]+", names))
            items.append((f"{label}: " if label else "") + _markdown(one.description))
        title = {"parameters": "Arguments", "returns": "Returns", "yields": "Yields", "raises": "Raises"}[kind]
        if in_list:
            yield f"{title} " + " ".join(items)
        elif kind in ("returns", "yields"):
            yield f"{title}: " + " ".join(items)
        else:
            yield f"{title}:\n\n" + "\n".join("- " + _indented(item) for item in items)


def _indented(text: str) -> str:
    """Return a text as an item of a list has it."""
    return re.sub(r"\n(?=[^\n])", "\n    ", text)


def _docstring(target: Found) -> str:
    return _markdown(target.docstring.value) if target.docstring else ""


def _markdown(text: str) -> str:
    """Return a docstring's text as Markdown: what follows ``::`` is indented, which is code there, too."""
    return re.sub(r"::$", ":", text.strip(), flags=re.MULTILINE)


if __name__ == "__main__":
    PAGE.write_text(str(Reference()), encoding="utf-8")
