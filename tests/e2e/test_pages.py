"""The pages, in a real browser."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from tests.e2e.service import Service

QUIET = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run")


@pytest.fixture(scope="module")
def browser() -> Iterator[webdriver.Chrome]:
    paths = {name: shutil.which(name) for name in ("chromium", "chromedriver")}
    if missing := [name for name, path in paths.items() if path is None]:
        pytest.skip(f"{' and '.join(missing)} not installed (Debian: chromium, chromium-driver)")
    options = webdriver.ChromeOptions()
    options.binary_location = paths["chromium"] or ""
    for argument in QUIET:
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(paths["chromedriver"]))
    yield driver
    driver.quit()


def test_every_example_on_the_docs_page_can_be_sent_and_is_answered(
    service: Service, browser: webdriver.Chrome
) -> None:
    browser.get(f"{service.url}/")
    assert browser.current_url == f"{service.url}/docs"
    forms = browser.find_elements(By.TAG_NAME, "form")
    assert len(forms) >= 8
    for form in forms:
        form.find_element(By.TAG_NAME, "button").click()
        output = form.find_element(By.TAG_NAME, "pre")
        WebDriverWait(browser, 30).until(lambda _, output=output: output.text.startswith(("2", "4", "5")))
        assert output.text.startswith("200"), output.text


def test_the_docs_page_loads_without_a_complaint_and_from_here_alone(
    service: Service, browser: webdriver.Chrome
) -> None:
    browser.get(f"{service.url}/docs")
    assert browser.get_log("browser") == []
    fetched = browser.execute_script("return performance.getEntriesByType('resource').map(entry => entry.name)")
    assert all(url.startswith(service.url) for url in fetched)
