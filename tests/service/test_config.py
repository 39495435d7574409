from __future__ import annotations

from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest
from pydantic import ValidationError

from service.config import SHIPPED_REGISTRY, ModelSettings, Settings, in_words


def test_the_defaults_serve_the_four_shipped_models_on_loopback() -> None:
    settings = Settings.load()
    assert (settings.host, settings.port, settings.registry) == ("127.0.0.1", 8000, SHIPPED_REGISTRY)
    assert {name: model.task for name, model in settings.models.items()} == {
        "translator": "translate",
        "generator": "generate",
        "classifier": "classify",
        "encoder": "embed",
    }


def test_a_file_is_read_the_environment_wins_over_it_and_options_over_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "settings.yaml"
    path.write_text("port: 1111\nhost: 0.0.0.0\ngateway: {max_inputs: 3, batch_size: 5}\n")
    monkeypatch.setenv("TRIPTYCH_HOST", "127.0.0.2")
    monkeypatch.setenv("TRIPTYCH_PORT", "2222")
    monkeypatch.setenv("TRIPTYCH_GATEWAY__MAX_INPUTS", "7")
    settings = Settings.load(path, port=3333, host=None)
    assert (settings.host, settings.port) == ("127.0.0.2", 3333)
    assert (settings.gateway.max_inputs, settings.gateway.batch_size) == (7, 5)


def test_a_variable_changes_one_setting_of_a_shipped_model_and_leaves_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIPTYCH_MODELS__TRANSLATOR__SLOTS", "128")
    settings = Settings.load()
    assert settings.models.keys() == {"translator", "generator", "classifier", "encoder"}
    assert (settings.models["translator"].slots, settings.models["translator"].checkpoint) == (128, "translator")


def test_a_file_that_names_models_serves_those_alone(tmp_path: Path) -> None:
    path = tmp_path / "settings.yaml"
    path.write_text("models: {mine: {task: classify, checkpoint: mine@3}}")
    assert Settings.load(path).models.keys() == {"mine"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("port: 70000", "port is 70000: Input should be less than or equal to 65535"),
        ("ports: 1", "ports is 1: Extra inputs are not permitted"),
        ("gateway: {max_inputs: 0}", "gateway.max_inputs is 0: Input should be greater than 0"),
        ("models: {}", "models: Dictionary should have at least 1 item"),
        ("models: {x: {task: sing, checkpoint: x}}", "models.x.task is 'sing': Input should be 'translate'"),
        (
            "models: {x: {task: classify, checkpoint: x, min_replicas: 3, max_replicas: 2}}",
            "max_replicas is 2, below min_replicas 3",
        ),
        ("- a list", "expected settings by name"),
    ],
)
def test_a_setting_that_cannot_be_is_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "settings.yaml"
    path.write_text(text)
    with pytest.raises(ValueError) as refused:  # of which a ValidationError is one
        Settings.load(path)
    error = refused.value
    assert message in (in_words(error) if isinstance(error, ValidationError) else str(error))


def test_settings_cannot_be_changed_after_reading() -> None:
    settings = Settings.load()
    with pytest.raises(ValidationError, match="frozen"):
        settings.port = 1
    with pytest.raises(ValidationError, match="frozen"):
        settings.gateway.max_inputs = 5  # type: ignore[misc]
    with pytest.raises(FrozenInstanceError):
        settings.models["translator"].slots = 5  # type: ignore[misc]


def test_a_fraction_of_a_gpu_may_be_asked_for() -> None:
    assert ModelSettings(task="classify", checkpoint="x", gpus_per_replica=0.25).gpus_per_replica == 0.25


def test_replicas_share_the_cores_but_one_unless_told_otherwise() -> None:
    shipped = Settings.load(None)
    assert [shipped.threads_of("translator", cores) for cores in (1, 2, 4, 8, 16)] == [1, 1, 1, 2, 4]
    translator = {"task": "translate", "checkpoint": "translator"}
    alone = Settings.load(None, models={"translator": translator})
    assert [alone.threads_of("translator", cores) for cores in (1, 2, 8)] == [1, 1, 7]
    told = Settings.load(None, models={"translator": {**translator, "threads": 4}})
    assert told.threads_of("translator", 2) == 4


def test_replicas_share_what_those_leave_that_are_told_their_threads() -> None:
    one, other = {"task": "translate", "checkpoint": "translator"}, {"task": "classify", "checkpoint": "classifier"}
    both = Settings.load(
        None, models={"one": {**one, "min_replicas": 2, "max_replicas": 2, "threads": 3}, "other": other}
    )
    assert [both.threads_of("other", cores) for cores in (2, 8, 16)] == [1, 1, 9]
    assert both.threads_of("one", 16) == 3


@pytest.mark.parametrize(
    ("variable", "said"),
    [
        ("TRIPTYCH_PROT", "TRIPTYCH_PROT names no setting: did you mean TRIPTYCH_PORT?"),
        ("TRIPTYCH_GATEWAY__MAX_IMPUTS", "gateway.max_imputs is '3': Extra inputs are not permitted"),
        ("TRIPTYCH_MODELS__TRANSLATOR__SLOT", "models.translator.slot is 3: Extra inputs are not permitted"),
        ("TRIPTYCH_XYZZY", "names no setting: there are host, port, "),
    ],
)
def test_a_misspelt_variable_is_refused(monkeypatch: pytest.MonkeyPatch, variable: str, said: str) -> None:
    monkeypatch.setenv(variable, "3")
    with pytest.raises(ValidationError) as refused:
        Settings.load()
    assert said in in_words(refused.value)


def test_variables_of_other_commands_and_of_whole_sections_are_no_mistakes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIPTYCH_CACHE", "/somewhere")
    monkeypatch.setenv("TRIPTYCH_DATA", "/elsewhere")
    monkeypatch.setenv("TRIPTYCH_GATEWAY", '{"max_inputs": 9}')
    monkeypatch.setenv("triptych_models__generator__slots", "7")
    settings = Settings.load()
    assert (settings.gateway.max_inputs, settings.models["generator"].slots) == (9, 7)


def test_a_secret_is_not_shown_where_it_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "settings.yaml"
    path.write_text("gateway: {admin_token: hunter2, max_inputs: -3}\n")
    with pytest.raises(ValidationError) as refused:
        Settings.load(path)
    said = in_words(refused.value)
    assert "hunter2" not in said
    assert "gateway.admin_token is what was given" in said
    assert "16" in said
    assert "gateway.max_inputs is -3" in said
