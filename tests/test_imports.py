"""Who may import whom: the table of the design, walked over every file. A new edge must be written here first."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Rule:
    """The modules below `package` may import these of the project's, and of these third parties; nothing else."""

    package: str
    ours: tuple[str, ...]
    theirs: tuple[str, ...]


BASE = ("service.errors", "service.messages", "service.config", "service.version", "service.iso639")

# The most specific rule counts. Every package may import its own modules and the standard library.
RULES = (
    Rule("models", (), ("torch", "tokenizers", "safetensors", "numpy")),
    Rule("models.chat", ("models",), ("jinja2",)),
    Rule("models.huggingface", ("models",), ("torch", "tokenizers", "safetensors", "yaml")),
    Rule("models.huggingface.gguf", ("models",), ("torch", "gguf")),
    Rule("models.huggingface.hub", ("models.checkpoint",), ("huggingface_hub",)),
    Rule(
        "models.huggingface.sentencepieces",
        ("models.checkpoint", "models.huggingface"),
        ("tokenizers", "sentencepiece"),
    ),
    Rule("models.registry", ("models",), ("fsspec",)),
    Rule(
        "models.training",
        ("models",),
        (
            "torch",
            "tokenizers",
            "safetensors",
            "numpy",
            "yaml",
            "pydantic",
            "pydantic_core",
            "rich",
            "sacrebleu",
            "pyarrow",
            "tensorboard",
            "mlflow",
            "matplotlib",
        ),
    ),
    Rule(
        "models.training.data",
        ("models.disk", "models.formats", "models.tokenizer", "models.training.recipe", "models.training.sections"),
        ("numpy", "pyarrow", "regex"),
    ),
    Rule("models.training.evaluation", ("models",), ("torch", "numpy", "sacrebleu", "yaml", "pydantic", "rapidfuzz")),
    Rule("models.training.distributed", ("models",), ("torch", "ray")),
    Rule("service.errors", (), ()),
    Rule("service.messages", ("service.errors",), ()),
    Rule("service.options", (), ("annotated_types",)),
    Rule("service.version", (), ()),
    Rule("service.iso639", (), ()),
    Rule("service.config", ("service.messages", "service.options"), ("pydantic", "pydantic_settings", "yaml")),
    Rule(
        "service.engine",
        ("models.config", "models.interface", "models.native", "models.packing", "models.shortlist"),
        ("torch", "numpy"),
    ),
    Rule(
        "service.worker",
        ("models", "service.engine", "service.errors", "service.messages", "service.options", "service.iso639"),
        ("torch",),
    ),
    Rule(
        "service.worker.segments",
        ("models.formats", "models.tokenizer", "service.errors", "service.messages", "service.iso639"),
        ("sentencex", "regex"),
    ),
    Rule("service.observability", BASE, ("prometheus_client",)),
    Rule("service.gateway", ("service.observability", *BASE), ("fastapi", "starlette", "pydantic", "pydantic_core")),
    Rule("service.gateway.connections", (), ("uvicorn", "starlette")),
    Rule("service.gateway.keys", BASE, ("limits", "pydantic", "yaml")),
    Rule("service.gateway.quotas", ("service.gateway.keys", *BASE), ("limits",)),
    Rule("service.gateway.detection", ("service.iso639",), ("langidentify",)),
    Rule(
        "service.gateway.files",
        ("service.gateway", "service.documents", "service.translating", "service.observability", *BASE),
        ("fastapi", "starlette", "pydantic", "pydantic_core"),
    ),
    Rule(
        "service.deployments",
        ("models", "service.gateway", "service.worker", "service.observability", "service.app", *BASE),
        ("ray", "torch", "starlette"),
    ),
    # The model of a command that finds no service: answered as it would be, and asked as it would be.
    Rule(
        "service.deployments.local",
        (
            "models",
            "service.gateway.app",
            "service.worker",
            "service.observability",
            "service.serving.asking",
            *BASE,
        ),
        ("torch", "starlette"),
    ),
    # Ray Data passes on in Arrow's tables what is translated of files.
    Rule(
        "service.deployments.folders",
        ("service.deployments", "service.gateway.languages", "service.documents", "service.translating", *BASE),
        ("ray", "pyarrow"),
    ),
    # What the service's processes tell each other, and the environment they are started in: for the supervisor, too.
    Rule("service.deployments.reports", BASE, ()),
    Rule("service.deployments.environment", (), ()),
    Rule("service.deployments.host", ("service.deployments", "service.observability", *BASE), ("psutil",)),
    Rule(
        "service.deployments.server",
        ("service.deployments", "service.gateway", "service.observability", *BASE),
        ("ray", "uvicorn"),
    ),
    Rule("service.app", ("service.deployments", *BASE), ("ray",)),
    Rule(
        "service.serving",
        (
            "models",
            "service.deployments.reports",
            "service.deployments.environment",
            "service.gateway.glossaries",
            "service.gateway.keys",
            "service.gateway.quotas",
            "service.observability.logging",
            *BASE,
        ),
        ("rich", "psutil"),
    ),
    Rule("service.documents", (), ("pyromark",)),
    Rule("service.translating", ("service.documents", "service.serving.asking", *BASE), ()),
    Rule("service.scoring", ("models", "service.worker", "service.options", *BASE), ("rich",)),
    Rule("service.interruption", (), ()),
    Rule("service.__main__", ("service.cli", "service.interruption"), ()),
    Rule("service.cli", ("service.commands", "service.version"), ("typer",)),
    Rule("service.commands", ("models", "service", "loadtests"), ("typer", "rich", "pydantic", "yaml", "ray")),
    Rule(
        "loadtests",
        ("models", "service.engine", "service.messages"),
        (
            "torch",
            "numpy",
            "rich",
            "locust",
            "ctranslate2",
            "transformers",
            "openvino",
            "nncf",
            "sacrebleu",
            "matplotlib",
        ),
    ),
    # What a generator's training texts are, its recipe and the training job's reading say.
    Rule("loadtests.bench.compression", ("models",), ("rich", "pyppmd")),
    # What finds ends of sentences is the worker's; the libraries beside it are loaded by name, where there are any.
    Rule("loadtests.bench.segmentation", ("service.worker.segments",), ("rich",)),
    Rule("loadtests.bench.memory", (), ("rich", "psutil")),
    # The gateway over a model that costs nothing, and who asks it.
    Rule("loadtests.bench.gateway", (), ("rich", "uvloop")),
    Rule("loadtests.bench.flood", ("loadtests.bench.gateway",), ("rich", "uvloop")),
    Rule(
        "loadtests.bench.gateway_servers",
        ("service.gateway", "service.observability.metrics", *BASE),
        ("starlette", "uvicorn"),
    ),
    # Translators are measured as `triptych evaluate` does it.
    Rule("loadtests.bench.attention", ("models", "service.scoring", "service.messages"), ("rich", "matplotlib")),
)
EXCEPTIONS = {
    # Annotations of what the engine emits, behind TYPE_CHECKING: nothing is loaded.
    ("service.observability.metrics", "service.engine.stats"),
}


# Whom the training job's modules are for, besides itself.
_TRAINERS = (
    "models.training",
    "service.commands",
    "service.scoring",
    "loadtests.bench.compression",
    "loadtests.bench.attention",
)

# The protocols of the gateway: each over the traffic, none over another. The app alone knows them.
_PROTOCOLS = tuple(f"service.gateway.{each.parent.name}" for each in (ROOT / "service/gateway").glob("*/__init__.py"))


def within(module: str, packages: tuple[str, ...]) -> bool:
    return any(module == package or module.startswith(package + ".") for package in packages)


def rule_for(module: str) -> Rule:
    fitting = [rule for rule in RULES if within(module, (rule.package,))]
    assert fitting, f"{module} has no import rule: add one"
    return max(fitting, key=lambda rule: len(rule.package))


def imports(source: str) -> Iterator[str]:
    """Absolute names of everything imported, inside functions too."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"relative import of {node.module}: imports are absolute here"
            assert node.module is not None
            is_package = (ROOT / Path(*node.module.split(".")) / "__init__.py").exists()
            yield from (f"{node.module}.{alias.name}" if is_package else node.module for alias in node.names)


def violations(module: str, source: str) -> list[str]:
    rule = rule_for(module)
    allowed = (rule.package, *rule.ours, *rule.theirs, *sys.stdlib_module_names)
    # A narrower rule below an allowed package keeps its doors: models.training is no part of "models" for others.
    return [
        f"{module} imports {name}"
        for name in imports(source)
        if (module, name) not in EXCEPTIONS
        and (
            not within(name, allowed)
            or (within(name, ("models.training",)) and not within(rule.package, _TRAINERS))
            or within(name, _others(module))
        )
    ]


def _others(module: str) -> tuple[str, ...]:
    """The protocols whose doors are closed to it."""
    return () if module == "service.gateway.app" else tuple(each for each in _PROTOCOLS if not within(module, (each,)))


def files() -> list[tuple[str, Path]]:
    found = [path for top in ("models", "service", "loadtests") for path in sorted((ROOT / top).rglob("*.py"))]
    return [(".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"), path) for path in found]


FILES = [(name, path) for name, path in files() if name not in ("service", "models", "loadtests")]


@pytest.mark.parametrize(("module", "path"), FILES, ids=[name for name, _ in FILES])
def test_a_module_imports_only_what_its_package_may(module: str, path: Path) -> None:
    assert violations(module, path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("models.gpt", "import ray"),
        ("models.gpt", "from service.errors import ServiceError"),
        ("models.gpt", "from models.training import data"),
        ("models.training.trainer", "import ray"),
        ("models.training.data.rows", "import torch"),
        ("service.engine.runner", "from fastapi import FastAPI"),
        ("service.engine.runner", "import pydantic"),
        ("service.engine.runner", "def f():\n    from prometheus_client import Counter"),
        ("service.engine.runner", "from service.gateway import app"),
        ("service.gateway.batcher", "import torch"),
        ("service.gateway.batcher", "from service.engine.engine import Engine"),
        ("service.gateway.batcher", "from ray import serve"),
        ("service.gateway.huggingface.routes", "from service.gateway.operations.page import page"),
        ("service.gateway.operations.admin", "from service.gateway.huggingface import body"),
        ("service.gateway.traffic", "from service.gateway.huggingface.body import TaskBody"),
        ("service.gateway.huggingface.translate", "import torch"),
        ("service.messages.decoding", "import pydantic"),
        ("service.messages", "from service.config import Settings"),
        ("service.observability.metrics", "import ray"),
        ("service.deployments.model", "from models.training.data import read_splits"),
        ("service.deployments.local", "import ray"),
        ("service.serving.supervisor", "import ray"),
        ("service.serving.supervisor", "from service.deployments import lifecycle"),
        ("service.deployments.reports", "import ray"),
        ("service.documents.html", "from service.translating import journal"),
        ("service.documents.markdown", "import torch"),
        ("service.translating.files", "from service.gateway import traffic"),
        ("service.gateway.huggingface.translate", "from service.documents.formats import read"),
        ("service.gateway.files.jobs", "from service.gateway.huggingface.translate import TranslateBody"),
        ("loadtests.locustfile", "from service.gateway.app import create_app"),
    ],
)
def test_an_edge_added_by_hand_is_found(module: str, line: str) -> None:
    assert len(violations(module, line)) == 1


def test_loading_the_gateway_loads_neither_torch_nor_ray() -> None:
    program = (
        "import sys, service.gateway.app; print([m for m in ('torch', 'ray', 'service.engine') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_metrics_library_is_imported_in_one_folder() -> None:
    users = {module for module, path in FILES if "prometheus_client" in path.read_text(encoding="utf-8")}
    assert users
    assert all(within(user, ("service.observability",)) for user in users)
