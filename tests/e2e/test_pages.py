"""The pages, in a real browser."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
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
        if not form.find_elements(By.TAG_NAME, "input"):
            assert sent(browser, form).startswith("200")


def test_a_file_can_be_sent_from_the_docs_page_and_its_job_be_followed_and_removed(
    service: Service, browser: webdriver.Chrome, tmp_path: Path
) -> None:
    letter = tmp_path / "letter.md"
    letter.write_text("# Une lettre\n\nJe suis fatigué.\n")
    browser.get(f"{service.url}/docs")

    def form(method: str, path: str) -> WebElement:
        return browser.find_element(By.CSS_SELECTOR, f'form[data-method="{method}"][data-path="{path}"]')

    sending = form("POST", "translate/file")
    for name, value in (("file", str(letter)), ("src_lang", "fr"), ("tgt_lang", "en")):
        sending.find_element(By.NAME, name).send_keys(value)
    assert "letter.en.md" in sent(browser, sending)
    sending.find_element(By.NAME, "job").send_keys("true")
    answer = sent(browser, sending)
    assert answer.startswith("202")
    job = json.loads(answer.partition("\n")[2])["id"]
    for method, path in (("GET", ""), ("GET", "/result"), ("DELETE", "")):
        asking = form(method, f"translate/file/{{id}}{path}")
        asking.find_element(By.NAME, "id").send_keys(job)
        WebDriverWait(browser, 30).until(lambda _, asking=asking: sent(browser, asking).startswith("2"))


def sent(browser: webdriver.Chrome, form: WebElement) -> str:
    """What the page shows of the answer."""
    output = form.find_element(By.TAG_NAME, "pre")
    browser.execute_script("arguments[0].textContent = ''", output)
    form.find_element(By.TAG_NAME, "button").click()
    WebDriverWait(browser, 30).until(lambda _: output.text.startswith(("2", "4", "5")))
    return output.text


def test_the_docs_page_loads_without_a_complaint_and_from_here_alone(
    service: Service, browser: webdriver.Chrome
) -> None:
    browser.get_log("browser")  # what was said of other tests
    browser.get(f"{service.url}/docs")
    assert browser.get_log("browser") == []
    fetched = browser.execute_script("return performance.getEntriesByType('resource').map(entry => entry.name)")
    assert all(url.startswith(service.url) for url in fetched)
