"""What the house asks of every source file, beyond imports."""

import ast
from importlib.resources import files
from pathlib import Path

import pytest

SRC = Path(__file__).parents[2] / "src"
SOURCES = sorted(SRC.rglob("*.py"))
each_source = pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(SRC)))


def named_classes(tree: ast.Module) -> list[str]:
    """Model… and Enum… classes; an exception that is called a model is none."""
    return [
        node.name
        for node in tree.body
        if isinstance(node, ast.ClassDef)
        and node.name.startswith(("Model", "Enum"))
        and not node.name.endswith("Error")
    ]


def names_any(tree: ast.Module) -> bool:
    return any(
        (isinstance(node, ast.Name) and node.id == "Any")
        or (isinstance(node, ast.Attribute) and node.attr == "Any")
        or (isinstance(node, ast.alias) and node.name == "Any")
        for node in ast.walk(tree)
    )


@each_source
def test_a_file_holds_one_model_or_enum_and_is_named_after_it(path: Path) -> None:
    classes = named_classes(ast.parse(path.read_text()))
    if path.stem.startswith(("model_", "enum_")):
        assert [name.lower() for name in classes] == [path.stem.replace("_", "")]
    else:
        assert classes == []


@each_source
def test_no_file_names_any(path: Path) -> None:
    assert not names_any(ast.parse(path.read_text()))


@pytest.mark.parametrize(
    "source",
    [
        "from typing import Any",
        "from typing import Any as Anything",
        "import typing\nx: typing.Any = 1",
        "import typing as t\nx: list[t.Any] = []",
    ],
)
def test_any_is_noticed_however_it_is_written(source: str) -> None:
    assert names_any(ast.parse(source))


def test_the_package_tells_type_checkers_that_it_is_typed() -> None:
    assert files("omnibase_infra").joinpath("py.typed").is_file()
