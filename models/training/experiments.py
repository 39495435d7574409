"""A run as MLflow keeps it: the recipe's fields, measures by step, samples, curves and the final manifest.

MLflow is optional, and so is its store (a server, or a SQLite file that needs none): what cannot be sent is kept and
sent at a later validation, and whatever goes wrong is said once and never ends a training.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from models.checkpoint import CURVES, Manifest
from models.training.evaluation.validation import Shown
from models.training.recipe import Recipe
from models.training.tracking import Figures, Say, Sink, as_table
from models.training.trainer import Interrupted

RUN = "mlflow-run"  # in the run's folder: the id under which a later sitting goes on
_SQLITE = "sqlite:///"
_EXPERIMENT = "triptych"  # unless MLFLOW_EXPERIMENT_NAME says otherwise
_SECONDS_BETWEEN_TRIES = 60.0
_AT_ONCE = 100  # parameters or metrics in a message
_LONGEST = 500  # characters of a parameter's value
_INSTALL = 'pip install -e ".[tracking]"'

# Given the client and the run's id, one thing to send.
_Sending = Callable[[Any, str], object]


class Experiment(Sink):
    """One sitting of a run in the store at `uri`; how the block ends is the run's status. Nothing is sent before the
    first validation or the end, whichever comes first."""

    def __init__(self, uri: str, recipe: Recipe, directory: Path, say: Say) -> None:
        self._uri, self._recipe, self._directory = uri, recipe, directory
        self._say: Say | None = say  # until it is said what is wrong
        self._client: Any = None
        self._run = ""
        self._waiting: list[_Sending] = []
        self._metrics: list[tuple[str, float, int, int]] = []  # name, value, milliseconds, step
        self._told: dict[str, int] = {}  # by metric: the last step of which an earlier sitting told
        self._failed_at = -_SECONDS_BETWEEN_TRIES

    def steps(self, step: int, values: Figures) -> None:
        self._measure("training", step, values)

    def validation(self, step: int, measures: Figures, counters: Mapping[str, Any], samples: Sequence[Shown]) -> None:
        self._measure("validation", step, measures)
        self._measure("progress", step, {name: counters[name] for name in counters.keys() & {"epoch", "tokens"}})
        if samples:
            self._text(f"samples/step-{step:09d}.md", as_table(samples))
        if time.monotonic() - self._failed_at >= _SECONDS_BETWEEN_TRIES:
            self._send()

    def published(self, checkpoint: Path, manifest: Manifest) -> None:
        """The checkpoint that the run ended in."""
        self._text("manifest.json", manifest.to_json())
        curves = checkpoint / CURVES
        if curves.is_file():
            self._waiting.append(lambda client, run: client.log_artifact(run, str(curves)))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        status = "FINISHED" if kind is None else "KILLED" if issubclass(kind, Interrupted) else "FAILED"
        self._waiting.append(lambda client, run: client.set_terminated(run, status))
        self._send()

    def _measure(self, group: str, step: int, values: Figures) -> None:
        now = time.time_ns() // 1_000_000
        self._metrics += [(f"{group}/{name}", float(value), now, step) for name, value in values.items()]

    def _text(self, path: str, text: str) -> None:
        self._waiting.append(lambda client, run: client.log_text(run, text, path))

    def _send(self) -> None:
        """All that waits, in order; what fails stays, with what comes after it."""
        try:
            if self._client is None:
                self._open()
            from mlflow.entities import Metric

            # A sitting begins at the last saved state; of the steps behind it the one before may have told already.
            self._metrics = [each for each in self._metrics if each[3] > self._told.get(each[0], -1)]
            while self._metrics:
                some = [Metric(*each) for each in self._metrics[:_AT_ONCE]]
                self._client.log_batch(self._run, metrics=some)
                del self._metrics[:_AT_ONCE]
            while self._waiting:
                self._waiting[0](self._client, self._run)
                del self._waiting[0]
        except Exception as error:  # of MLflow, of its store, of the network: none of them is worth a training
            self._failed_at = time.monotonic()
            if self._say is not None:
                self._say(f"{self._recipe.name}: {self._complaint(error)}; the training goes on")
            self._say = None

    def _complaint(self, error: Exception) -> str:
        if isinstance(error, ImportError):
            return f"nothing is tracked: mlflow is missing; {_INSTALL}"
        reason = _without_password(" ".join(str(error).split()) or type(error).__name__)
        return f"MLflow at {_without_password(self._uri)}: {reason if len(reason) <= 300 else reason[:300] + '…'}"

    def _open(self) -> None:
        # Before the library is read: a server that does not answer is no reason to wait for minutes, and nothing is
        # told to anybody that the user has not named.
        for name, value in {
            "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
            "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
            "MLFLOW_LOGGING_LEVEL": "WARNING",
            "MLFLOW_DISABLE_TELEMETRY": "true",
        }.items():
            os.environ.setdefault(name, value)
        from mlflow.tracking import MlflowClient

        client = MlflowClient(tracking_uri=self._uri, registry_uri=self._uri)
        self._run = self._earlier(client) or self._begin(client)
        self._client = client

    def _earlier(self, client: Any) -> str:
        """The run that an earlier sitting began in this store, awake again; "" where there is none."""
        from mlflow.exceptions import MlflowException

        note = self._directory / RUN
        run = note.read_text().strip() if note.is_file() else ""
        try:
            if run and (found := client.get_run(run)).info.lifecycle_stage == "active":
                client.update_run(run, status="RUNNING")
                for name in found.data.metrics:
                    self._told[name] = max(each.step for each in client.get_metric_history(run, name))
                return run
        except MlflowException as error:
            if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                raise
        return ""

    def _begin(self, client: Any) -> str:
        from mlflow.entities import Param

        name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or _EXPERIMENT
        found = client.get_experiment_by_name(name)
        number = found.experiment_id if found else client.create_experiment(name, self._artifacts())
        tags = {"triptych.task": self._recipe.task, "triptych.directory": str(self._directory)}
        run = client.create_run(number, run_name=self._recipe.name, tags=tags).info.run_id
        parameters = [Param(key, value) for key, value in flattened(self._recipe.model_dump()).items()]
        for start in range(0, len(parameters), _AT_ONCE):
            client.log_batch(run, params=parameters[start : start + _AT_ONCE])
        (self._directory / RUN).write_text(run)
        return run

    def _artifacts(self) -> str | None:
        """Where the files of a new experiment go: beside a SQLite store, elsewhere where the server says."""
        if not self._uri.startswith(_SQLITE):
            return None
        folder = Path(self._uri.removeprefix(_SQLITE)).resolve().parent
        folder.mkdir(parents=True, exist_ok=True)
        return (folder / "mlartifacts").as_uri()


def absolute(uri: str) -> str:
    """The same store for a process with another working directory."""
    return _SQLITE + str(Path(uri.removeprefix(_SQLITE)).resolve()) if uri.startswith(_SQLITE) else uri


def flattened(values: Any, name: str = "") -> dict[str, str]:
    """Fields by their paths, as `--set` has them: {"training.steps": "1000"}. What is empty is left out."""
    if isinstance(values, Mapping):
        parts = [(str(key), value) for key, value in values.items()]
    elif isinstance(values, list | tuple) and any(isinstance(value, Mapping) for value in values):
        parts = [(str(number), value) for number, value in enumerate(values)]
    else:
        text = json.dumps(list(values), ensure_ascii=False) if isinstance(values, list | tuple) else str(values)
        return {} if values in (None, "", (), []) else {name: text[:_LONGEST]}
    found: dict[str, str] = {}
    for key, value in parts:
        key = re.sub(r"[^\w\-. /]", "_", key)  # the characters that MLflow takes
        found |= flattened(value, f"{name}.{key}" if name else key)
    return found


def _without_password(text: str) -> str:
    return re.sub(r"//[^/@\s]*@", "//", text)
