"""The site in headless Chromium, by keyboard too. Left out where there is no Chromium."""

import itertools
import shutil

import pytest

from benchmarks.leaderboard_scale import make
from tests.report.test_site import fill, site

selenium = pytest.importorskip("selenium.webdriver")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (shutil.which("chromium") and shutil.which("chromedriver")),
        reason="chromium or chromedriver is not installed",
    ),
]
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    results = tmp_path_factory.mktemp("results")
    fill(results)
    return site(results, results / "report").index


@pytest.fixture(scope="module")
def crowd(tmp_path_factory):
    """A thousand runs of 216 rows on three datasets."""
    results = tmp_path_factory.mktemp("crowd")
    make(results, 1000, seeds=5)
    return site(results, results / "report").index


@pytest.fixture(params=["light", "dark", "phone"])
def browser(request, index, tmp_path_factory):
    options = selenium.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    for flag in FLAGS:
        options.add_argument(flag)
    options.add_argument(f"--user-data-dir={tmp_path_factory.mktemp('chromium')}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    service = selenium.ChromeService(shutil.which("chromedriver"))
    driver = selenium.Chrome(options, service)
    try:
        width = 390 if request.param == "phone" else 1280
        driver.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 400},
        )
        theme = "dark" if request.param == "dark" else "light"
        driver.execute_cdp_cmd(
            "Emulation.setEmulatedMedia",
            {"features": [{"name": "prefers-color-scheme", "value": theme}]},
        )
        driver.get(index.as_uri())
        yield driver
        assert driver.get_log("browser") == []
    finally:
        driver.quit()


def column(browser, name, table="table-0"):
    """The cells of the rows that are shown, by the column's heading."""
    return browser.execute_script(
        """
        const table = document.getElementById(arguments[1]);
        const index = [...table.tHead.rows[0].cells].findIndex(
          (th) => th.dataset.column === arguments[0]);
        return [...table.tBodies[0].rows].filter((row) => !row.hidden)
          .map((row) => row.cells[index].dataset.v ?? row.cells[index].textContent.trim());
        """,
        name,
        table,
    )


def press(browser, selector, keys):
    browser.find_element("css selector", selector).send_keys(keys)


def test_sorting_by_keyboard(browser):
    head = "#table-0 th[data-column='fg_ari/attention'] button"
    press(browser, head, "\ue007")  # enter
    first = column(browser, "fg_ari/attention")
    assert [float(value) for value in first] == sorted(map(float, first), reverse=True)
    press(browser, head, " ")
    assert column(browser, "fg_ari/attention") == first[::-1]
    # What is missing stays last in both directions.
    press(browser, "#table-0 th[data-column='fg_ari/decoder'] button", "\ue007")
    down = column(browser, "fg_ari/decoder")
    press(browser, "#table-0 th[data-column='fg_ari/decoder'] button", "\ue007")
    assert down[-1] == column(browser, "fg_ari/decoder")[-1] == ""
    head = browser.find_element("css selector", "#table-0 th[data-column='fg_ari/decoder']")
    assert head.get_attribute("aria-sort") == "ascending"


def test_search_families_and_columns(browser):
    everything = column(browser, "objective")
    press(browser, "#search", "simclr")
    assert column(browser, "objective") == ["simclr"]
    assert "(1 of" in browser.find_element("css selector", "#table-0 caption").text
    press(browser, "#search", "\ue003" * 6)  # backspace
    assert column(browser, "objective") == everything
    press(browser, ".family[value=control]", " ")
    assert column(browser, "objective") == [name for name in everything if name != "random"]
    browser.find_element("css selector", ".columns summary").click()
    head = "document.querySelector(\"#table-0 th[data-column='time']\")"
    cell = f"document.querySelector('#table-0 tbody tr').cells[{head}.cellIndex]"
    assert browser.execute_script(f"return {head}.hidden") is False
    assert browser.execute_script(f"return getComputedStyle({cell}).display") == "table-cell"
    for label in browser.find_elements("css selector", "#columns label"):
        if label.text.strip() == "time":
            label.click()
    assert browser.execute_script(f"return {head}.hidden") is True
    assert browser.execute_script(f"return getComputedStyle({cell}).display") == "none"
    press(browser, "#search-runs", "failed")
    assert column(browser, "state", "table-runs") == ["failed"]


def test_links_lead_there_and_back(browser, index):
    browser.find_element("css selector", "#table-0 tbody a").click()
    assert "/runs/" in browser.current_url
    browser.find_element("css selector", "nav a").click()
    assert browser.current_url == index.as_uri()


def test_nothing_is_wider_than_the_page(browser):
    """Tables scroll in boxes of their own."""
    script = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert browser.execute_script(script) <= 0


def test_axe_finds_nothing(browser):
    axe = pytest.importorskip("axe_core_python.selenium").Axe()
    for link in itertools.chain([None], ["#table-0 tbody a"]):
        if link:
            browser.find_element("css selector", link).click()
        found = axe.run(browser)["violations"]
        assert [(each["id"], [node["html"] for node in each["nodes"]]) for each in found] == []


ACTS = {
    "sort": "head.click()",
    "sort again": "head.click()",
    "search": "search('byol')",
    "search for all": "search('')",
    "column": "column.click()",
}
NAMES = """
const box = document.getElementById("search-runs");
const search = (text) => { box.value = text; box.dispatchEvent(new Event("input")); };
const head = document.querySelector("#table-runs th:nth-child(7) button");
const column = document.querySelector("#columns input:not(:checked)");
"""


def test_a_thousand_runs_sort_and_filter_without_lag(browser, crowd):
    # Seconds that the page's thread works, not those that pass: the machine may be busy.
    browser.execute_cdp_cmd("Performance.enable", {"timeDomain": "threadTicks"})

    def worked():
        found = browser.execute_cdp_cmd("Performance.getMetrics", {})["metrics"]
        return float({each["name"]: each["value"] for each in found}["TaskDuration"])

    before = worked()
    browser.get(crowd.as_uri())
    taken = {"load": worked() - before}
    rows = browser.execute_script("return document.querySelectorAll('#table-runs tr').length")
    assert rows == 1001
    for name, act in ACTS.items():
        before = worked()
        browser.execute_script(f"{NAMES}{act}; document.body.getBoundingClientRect();")
        taken[name] = worked() - before
    assert {name: t for name, t in taken.items() if t > (5 if name == "load" else 1.2)} == {}, taken
