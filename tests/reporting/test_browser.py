"""The page in a real browser: it draws, it fits, and its brush chooses the rows it should."""

import json
import shutil
import time

import numpy as np
import pytest

pytest.importorskip("selenium", reason="needs selenium: pip install selenium")

from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

WIDTHS = {"phone": (360, 740, True), "desktop": (1280, 900, False)}
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
ROWS_SHOWN = 20
# Closer to the edge of the chosen area than a mouse can be aimed.
AIM_PIXELS = 1.5


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if chromium is None or driver is None:
        pytest.skip("needs a browser: apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in FLAGS:
        options.add_argument(flag)
    options.add_argument(f"--user-data-dir={tmp_path_factory.mktemp('chromium')}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    one = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    yield one
    one.quit()


def open_page(browser, folder, width):
    pixels, height, mobile = WIDTHS[width]
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": pixels, "height": height, "deviceScaleFactor": 1, "mobile": mobile},
    )
    browser.get((folder / "report.html").as_uri())
    WebDriverWait(browser, 60).until(
        lambda one: one.execute_script("return document.documentElement.dataset.ready")
    )


def requested(browser):
    """Return the addresses that the page itself asked for."""
    sent = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    return {
        one["params"]["request"]["url"]
        for one in sent
        if one["method"] == "Network.requestWillBeSent"
        and one["params"]["documentURL"].startswith("file:")
    }


@pytest.mark.parametrize("width", WIDTHS)
def test_it_draws_without_complaint_and_fits(browser, proof_report, width):
    browser.get_log("browser")
    browser.get_log("performance")
    open_page(browser, proof_report[0], width)
    assert browser.get_log("browser") == []
    assert requested(browser) == {(proof_report[0] / "report.html").as_uri()}

    charts = browser.find_elements(By.CSS_SELECTOR, "[data-chart]")
    assert len(charts) > 10
    for chart in charts:
        drawn = chart.find_element(By.TAG_NAME, "svg")
        assert drawn.size["width"] > 200
        assert drawn.size["height"] > 80
    wide = browser.execute_script(
        "return [...document.querySelectorAll('main *')]"
        ".filter((one) => one.getBoundingClientRect().right > innerWidth + 1)"
        ".map((one) => one.outerHTML.slice(0, 80))"
    )
    assert wide == []
    scroll = browser.execute_script("return document.documentElement.scrollWidth")
    assert scroll <= WIDTHS[width][0]


def points_of(browser, chart):
    """Return the centre of every point on the screen, by id, from what was really drawn."""
    return browser.execute_script(
        "return [...arguments[0].querySelectorAll('.mark-symbol.marks path')].map((one) => {"
        "  const box = one.getBoundingClientRect();"
        "  return [one.__data__.datum.id, box.x + box.width / 2, box.y + box.height / 2];"
        "})",
        chart,
    )


def shown_ids(browser):
    return browser.execute_script(
        "return [...document.querySelectorAll('#samples-rows td.id')].map((one) => one.textContent)"
    )


def told(browser):
    return browser.find_element(By.ID, "samples-count").text


def page_data(browser):
    return json.loads(browser.find_element(By.ID, "data").get_attribute("textContent"))


def strong_ids(browser, name):
    """Return the ids of the points of a scatter that are drawn strongly."""
    return set(
        browser.execute_script(
            "return [...document.querySelectorAll(arguments[0])]"
            ".filter((one) => Number(getComputedStyle(one).opacity) > 0.5)"
            ".map((one) => one.__data__.datum.id)",
            f"[data-chart='{name}'] .mark-symbol.marks path",
        )
    )


def drag(browser, chart, box):
    """Drag with the mouse from one corner to the other, in pixels of the window."""
    frame = browser.execute_script("return arguments[0].getBoundingClientRect().toJSON()", chart)
    middle = frame["x"] + frame["width"] / 2, frame["y"] + frame["height"] / 2
    left, top, right, bottom = box
    actions = ActionChains(browser, duration=50)
    actions.move_to_element_with_offset(chart, round(left - middle[0]), round(top - middle[1]))
    actions.click_and_hold()
    actions.move_by_offset(round((right - left) / 2), round((bottom - top) / 2))
    actions.move_by_offset(
        round(right - left) - round((right - left) / 2),
        round(bottom - top) - round((bottom - top) / 2),
    )
    actions.release().perform()


def clear_box(points):
    """Return the box with most points in it of those whose edges are clear of any point.

    Then which points lie within does not depend on the last pixel that the mouse was aimed at.
    """
    x, y = np.array([(x, y) for _, x, y in points]).T
    draw = np.random.default_rng(0)
    across = np.sort(draw.integers(int(x.min()), int(x.max()), (4000, 2)), axis=1)
    along = np.sort(draw.integers(int(y.min()), int(y.max()), (4000, 2)), axis=1)

    def inside(slack):
        return (
            (x >= across[:, :1] - slack)
            & (x <= across[:, 1:] + slack)
            & (y >= along[:, :1] - slack)
            & (y <= along[:, 1:] + slack)
        )

    sizes = inside(0).sum(axis=1)
    sizes[(inside(AIM_PIXELS) != inside(-AIM_PIXELS)).any(axis=1)] = 0
    best = int(sizes.argmax())
    chosen = {name for (name, *_), is_in in zip(points, inside(0)[best], strict=True) if is_in}
    assert 5 <= len(chosen) < len(points)
    return (across[best, 0], along[best, 0], across[best, 1], along[best, 1]), chosen


def brush(browser, name):
    """Drag over a box of a scatter; return the ids of the points within, as drawn on the screen."""
    chart = browser.find_element(By.CSS_SELECTOR, f"[data-chart='{name}'] svg")
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", chart)
    box, chosen = clear_box(points_of(browser, chart))
    before = told(browser)
    drag(browser, chart, tuple(map(int, box)))
    WebDriverWait(browser, 20).until(lambda one: told(one) != before)
    time.sleep(0.2)
    return chosen


@pytest.mark.parametrize("width", WIDTHS)
def test_a_drag_shows_exactly_the_rows_within_it(browser, proof_report, width):
    open_page(browser, proof_report[0], width)
    everything = shown_ids(browser)
    assert len(everything) == ROWS_SHOWN
    assert told(browser) == "400 rows, the first 20 are shown"
    order = [row["id"] for row in page_data(browser)["sample"]["rows"]]

    chosen = brush(browser, "joint-ie-ge")
    assert told(browser).startswith(f"{len(chosen)} rows in the chosen area")
    assert shown_ids(browser) == [name for name in order if name in chosen][:ROWS_SHOWN]
    # All scatters stress the same rows.
    assert strong_ids(browser, "joint-ie-ge") == chosen
    there = {row["id"] for row in page_data(browser)["sample"]["rows"] if row["se"] is not None}
    assert strong_ids(browser, "joint-ge-se") == chosen & there

    browser.find_element(By.ID, "samples-all").click()
    WebDriverWait(browser, 20).until(lambda one: told(one).startswith("400 rows"))
    assert shown_ids(browser) == everything
    assert not browser.find_element(By.ID, "samples-all").is_displayed()


def test_two_areas_leave_the_rows_in_both(browser, proof_report):
    open_page(browser, proof_report[0], "desktop")
    order = [row["id"] for row in page_data(browser)["sample"]["rows"]]
    chosen = brush(browser, "joint-ie-ge")
    assert shown_ids(browser) == [name for name in order if name in chosen][:ROWS_SHOWN]
    chosen &= brush(browser, "joint-ie-se")
    assert told(browser).startswith(f"{len(chosen)} rows in the chosen area")
    assert shown_ids(browser) == [name for name in order if name in chosen][:ROWS_SHOWN]


def test_texts_stay_text(browser, hostile_report):
    browser.get_log("browser")
    open_page(browser, hostile_report, "phone")
    assert browser.execute_script("return window.broken === undefined")
    assert browser.find_elements(By.CSS_SELECTOR, "#samples-rows td.text *") == []
    assert browser.find_elements(By.CSS_SELECTOR, "img, iframe, a") == []
    texts = browser.execute_script(
        "return [...document.querySelectorAll('#samples-rows td.text')]"
        ".map((one) => one.textContent)"
    )
    assert any("<script>window.broken = 1</script>" in text for text in texts)
    assert any("&lt;b&gt; &amp;" in text for text in texts)
    scroll = browser.execute_script("return document.documentElement.scrollWidth")
    assert scroll <= WIDTHS["phone"][0]
    assert browser.get_log("browser") == []
