"""The page in a real browser: it draws, it fits, and its brush chooses the rows it should."""

import json
import shutil
import time

import numpy as np
import pytest

sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright")

WIDTHS = {"phone": (360, 740, True), "desktop": (1280, 900, False)}
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
ROWS_SHOWN = 20
# Closer to the edge of the chosen area than a mouse can be aimed.
AIM_PIXELS = 1.5


@pytest.fixture(scope="module")
def chromium():
    """The browser that is installed; no driver is needed beside it."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        pytest.skip("needs a browser: apt-get install chromium")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def browser(chromium, request):
    """A window, as wide as the test's ``width``; what it logs and asks for is written down."""
    width = request.node.callspec.params["width"] if hasattr(request.node, "callspec") else None
    pixels, height, mobile = WIDTHS[width or "desktop"]
    context = chromium.new_context(
        viewport={"width": pixels, "height": height}, is_mobile=mobile, has_touch=mobile
    )
    page = context.new_page()
    page.logged, page.requested = [], set()
    page.on("console", lambda message: page.logged.append(message.text))
    page.on("pageerror", lambda error: page.logged.append(str(error)))
    page.on("request", lambda one: page.requested.add(one.url))
    yield page
    context.close()


def open_page(browser, folder):
    browser.goto((folder / "report.html").as_uri())
    wait_until(lambda: browser.evaluate("document.documentElement.dataset.ready"))


def wait_until(holds):
    """Ask again and again; the page's security policy lets no function wait in it."""
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize("width", WIDTHS)
def test_it_draws_without_complaint_and_fits(browser, proof_report, width):
    open_page(browser, proof_report[0])
    assert browser.logged == []
    assert browser.requested == {(proof_report[0] / "report.html").as_uri()}

    charts = browser.query_selector_all("[data-chart]")
    assert len(charts) > 10
    for chart in charts:
        drawn = chart.query_selector("svg").bounding_box()
        assert drawn["width"] > 200
        assert drawn["height"] > 80
    wide = browser.evaluate(
        "[...document.querySelectorAll('main *')]"
        ".filter((one) => one.getBoundingClientRect().right > innerWidth + 1)"
        ".map((one) => one.outerHTML.slice(0, 80))"
    )
    assert wide == []
    scroll = browser.evaluate("document.documentElement.scrollWidth")
    assert scroll <= WIDTHS[width][0]


def points_of(chart):
    """Return the centre of every point on the screen, by id, from what was really drawn."""
    return chart.evaluate(
        "(chart) => [...chart.querySelectorAll('.mark-symbol.marks path')].map((one) => {"
        "  const box = one.getBoundingClientRect();"
        "  return [one.__data__.datum.id, box.x + box.width / 2, box.y + box.height / 2];"
        "})"
    )


def shown_ids(browser):
    return browser.locator("#samples-rows td.id").all_text_contents()


def told(browser):
    return browser.inner_text("#samples-count")


def page_data(browser):
    return json.loads(browser.text_content("#data"))


def strong_ids(browser, name):
    """Return the ids of the points of a scatter that are drawn strongly."""
    return set(
        browser.evaluate(
            "(name) => [...document.querySelectorAll(name)]"
            ".filter((one) => Number(getComputedStyle(one).opacity) > 0.5)"
            ".map((one) => one.__data__.datum.id)",
            f"[data-chart='{name}'] .mark-symbol.marks path",
        )
    )


def drag(browser, box):
    """Drag with the mouse from one corner to the other, in pixels of the window."""
    left, top, right, bottom = box
    browser.mouse.move(left, top)
    browser.mouse.down()
    browser.mouse.move(right, bottom, steps=3)
    browser.mouse.up()


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
    chart = browser.query_selector(f"[data-chart='{name}'] svg")
    chart.evaluate("(chart) => chart.scrollIntoView({block: 'center'})")
    box, chosen = clear_box(points_of(chart))
    before = told(browser)
    drag(browser, tuple(map(int, box)))
    wait_until(lambda: told(browser) != before)
    browser.wait_for_timeout(200)
    return chosen


@pytest.mark.parametrize("width", WIDTHS)
def test_a_drag_shows_exactly_the_rows_within_it(browser, proof_report, width):
    open_page(browser, proof_report[0])
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

    browser.click("#samples-all")
    wait_until(lambda: told(browser).startswith("400 rows"))
    assert shown_ids(browser) == everything
    assert not browser.is_visible("#samples-all")


def test_two_areas_leave_the_rows_in_both(browser, proof_report):
    open_page(browser, proof_report[0])
    order = [row["id"] for row in page_data(browser)["sample"]["rows"]]
    chosen = brush(browser, "joint-ie-ge")
    assert shown_ids(browser) == [name for name in order if name in chosen][:ROWS_SHOWN]
    chosen &= brush(browser, "joint-ie-se")
    assert told(browser).startswith(f"{len(chosen)} rows in the chosen area")
    assert shown_ids(browser) == [name for name in order if name in chosen][:ROWS_SHOWN]


@pytest.mark.parametrize("width", ["phone"])
def test_texts_stay_text(browser, hostile_report, width):
    open_page(browser, hostile_report)
    assert browser.evaluate("window.broken === undefined")
    assert browser.query_selector_all("#samples-rows td.text *") == []
    assert browser.query_selector_all("img, iframe, a") == []
    texts = browser.locator("#samples-rows td.text").all_text_contents()
    assert any("<script>window.broken = 1</script>" in text for text in texts)
    assert any("&lt;b&gt; &amp;" in text for text in texts)
    assert browser.evaluate("document.documentElement.scrollWidth") <= WIDTHS[width][0]
    assert browser.logged == []
