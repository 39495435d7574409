from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.exposition import grouped_by, missing, rendered, used

GRAFANA = Path(__file__).resolve().parents[2] / "deploy" / "grafana"
DASHBOARD: dict[str, Any] = json.loads((GRAFANA / "dashboards" / "triptych.json").read_text(encoding="utf-8"))
VARIABLES = DASHBOARD["templating"]["list"]
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
TARGETS = [
    pytest.param(target, id=f"{panel['title']} {target['refId']}") for panel in PANELS for target in panel["targets"]
]


def test_every_panel_has_an_id_a_title_and_a_description_of_its_own() -> None:
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(ids)) == len(ids)
    descriptions = [panel["description"] for panel in PANELS if panel["description"].strip()]
    assert len(descriptions) == len(PANELS)
    titles = [(panel["type"], panel["title"]) for panel in PANELS]
    assert len(set(titles)) == len(titles)


def test_panels_do_not_overlap_and_fill_the_width() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert not cells & taken, panel["title"]
        taken |= cells
    rows = {y for _, y in taken}
    assert taken == {(x, y) for x in range(24) for y in rows}


def test_every_panel_asks_the_data_source_that_is_provisioned() -> None:
    provisioned = yaml.safe_load((GRAFANA / "provisioning" / "datasources" / "prometheus.yaml").read_text())
    uids = {source["uid"] for source in provisioned["datasources"]}
    asking = [*PANELS, *VARIABLES, *(target for panel in PANELS for target in panel["targets"])]
    assert {each["datasource"]["uid"] for each in asking} == uids


@pytest.mark.parametrize("target", TARGETS)
def test_a_panel_asks_for_metrics_and_labels_that_exist(target: dict[str, Any]) -> None:
    assert missing(target["expr"]) == []
    assert set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])) <= grouped_by(target["expr"])


def test_a_panel_is_narrowed_by_the_variables_that_fit_its_metrics() -> None:
    for panel in PANELS:
        for target in panel["targets"]:
            for metric in used(target["expr"]):
                for variable in {"model", "route"} & rendered()[metric]:
                    assert f'{variable}=~"${variable}"' in target["expr"], panel["title"]


def test_the_variables_take_their_values_from_labels_that_exist() -> None:
    assert {variable["name"] for variable in VARIABLES} == {"model", "route"}
    for variable in VARIABLES:
        match = re.fullmatch(r"label_values\((\w+), (\w+)\)", variable["definition"])
        assert match is not None
        assert match[2] in rendered()[match[1]]


def test_every_metric_is_on_the_dashboard() -> None:
    shown = {metric for panel in PANELS for target in panel["targets"] for metric in used(target["expr"])}
    families = {re.sub(r"_(bucket|sum|count)$", "", name) for name in shown}
    everything = {re.sub(r"_(bucket|sum|count)$", "", name) for name in rendered() if not name.endswith("_created")}
    assert everything - families == set()


@pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool is not on PATH (Debian's package prometheus has it)"
)
def test_prometheus_can_read_every_expression(tmp_path: Path) -> None:
    expressions = [target["expr"].replace("$__rate_interval", "1m") for p in PANELS for target in p["targets"]]
    rules = [{"record": f"panel:{number}", "expr": expression} for number, expression in enumerate(expressions)]
    path = tmp_path / "rules.yml"
    path.write_text(json.dumps({"groups": [{"name": "panels", "rules": rules}]}))
    done = subprocess.run(["promtool", "check", "rules", path], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_dashboard_is_provisioned_from_where_compose_mounts_it() -> None:
    provider = yaml.safe_load((GRAFANA / "provisioning" / "dashboards" / "triptych.yaml").read_text())["providers"][0]
    grafana = yaml.safe_load((GRAFANA.parents[1] / "compose.yaml").read_text())["services"]["grafana"]
    folder = provider["options"]["path"]
    assert f"./deploy/grafana/dashboards:{folder}:ro" in grafana["volumes"]
    home = Path(grafana["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])
    assert str(home.parent) == folder
    assert (GRAFANA / "dashboards" / home.name).is_file()
