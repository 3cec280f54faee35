"""The server's page in a real browser: paste, upload, example, errors, layout, and no requests to other servers."""

import dataclasses
import json
import re
import socket
import threading
import time

import pandas as pd
import pytest
import uvicorn
from playwright.sync_api import expect

from survlstm.inference.predictor import Predictor
from survlstm.serving.app import RequestLimits
from tests.browser import (
    DESKTOP,
    NEEDS_CHROMIUM,
    PHONE,
    assert_both_schemes_are_legible,
    assert_only_boxes_scroll,
    assert_words_are_whole_and_legible,
)
from tests.bundles import bundle_on
from tests.serving.asking import app_on, as_json, some_events

pytestmark = NEEDS_CHROMIUM
CLOCKS = ("visit", "landmark")
NASTY = "<img src=x onerror=document.title='hit'>"
# Chromium tells of every answer that is an error; the page can't keep it from that.
STATUS = "Failed to load resource: the server responded with a status of"


@pytest.fixture(scope="module")
def pages():
    """Start a server for each clock, and return the URLs."""
    listeners = {clock: socket.create_server(("127.0.0.1", 0)) for clock in CLOCKS}
    servers, threads = [], []
    for clock, listener in listeners.items():
        bundle = bundle_on(clock)
        # As long as some that exports hold.
        long = {code: f"{text} of the {'cardiovascular ' * 8}system" for code, text in bundle.descriptions.items()}
        predictor = Predictor(dataclasses.replace(bundle, descriptions=long))
        app = app_on(clock, predictor=predictor, limits=RequestLimits(max_body_bytes=500_000, max_events=5000))
        servers.append(uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off", ws="none")))
        threads.append(threading.Thread(target=servers[-1].run, kwargs={"sockets": [listener]}))
        threads[-1].start()
    until = time.monotonic() + 30
    while not all(server.started for server in servers) and time.monotonic() < until:
        time.sleep(0.01)
    yield {clock: f"http://127.0.0.1:{listener.getsockname()[1]}/" for clock, listener in listeners.items()}
    for server in servers:
        server.should_exit = True
    for thread in threads:
        thread.join(30)


def predict(page, text=None):
    """Request the prediction of a text, or of the text that is on the page already."""
    if text is not None:
        page.fill("#events", text)
    page.get_by_role("button", name="Predict").click()


def predicted(page, text=None):
    """Request a prediction and wait for the effects of the codes."""
    predict(page, text)
    page.get_by_role("heading", name="Effect of each code").wait_for()
    return page


def with_example(page):
    page.get_by_role("button", name="Load an example").click()
    # The page's own policy forbids what wait_for_function evaluates.
    expect(page.locator("#events")).to_have_value(re.compile("^subject_id,"))
    return predicted(page)


@pytest.mark.parametrize("clock", CLOCKS)
def test_the_example_shows_curve_and_codes_and_only_the_server_is_asked(opened, pages, clock):
    page = with_example(opened(clock))
    assert page.said == []
    assert all(url.startswith((pages[clock], "data:")) for url in page.asked)
    assert page.get_by_role("heading", name="Prediction for example").is_visible()
    assert page.locator("#results .strip dd").first.inner_text().endswith("%")
    labels = page.locator("figure svg").evaluate_all("nodes => nodes.map(node => node.getAttribute('aria-label'))")
    assert labels[0].startswith("Survival curve: from 100 % to ")
    unit = {"visit": "Visits after the last one", "landmark": "Days after the landmark"}[clock]
    words = page.locator("figure svg").first.locator("text").all_text_contents()
    assert {unit, "Probability of no event yet", "0 %", "100 %"} <= set(words)
    assert len(labels) == {"visit": 2, "landmark": 1}[clock]
    rows = page.locator("#explained tbody tr")
    assert rows.count() > 3
    assert "finding number" in rows.first.inner_text()
    assert rows.first.locator("rect").evaluate("node => node.getBoundingClientRect().width") > 20


@pytest.mark.parametrize("clock", CLOCKS)
def test_the_curve_and_the_codes_are_those_of_the_api(opened, pages, clock):
    page = with_example(opened(clock))
    text = page.input_value("#events")
    headers = {"content-type": "text/csv"}
    found = page.request.post(f"{pages[clock]}predict", data=text, headers=headers).json()
    (row,) = found["predictions"]
    drawn = page.locator("figure svg .line").first.get_attribute("d")
    lowest = float(drawn.replace("V", " ").replace("H", " ").replace("L", " ").split()[-1])
    floor, ceiling = 290 - 50, 26
    assert (floor - lowest) / (floor - ceiling) == pytest.approx(row["curve"][-1], abs=0.001)
    assert page.locator("#results .strip dd").first.inner_text() == f"{100 * row['risk']:.1f} %"
    codes = page.request.post(f"{pages[clock]}explain?top=20", data=text, headers=headers).json()["codes"]
    shown = page.locator("#explained tbody th small").all_inner_texts()
    assert shown == [code["code"] for code in codes]


def test_what_is_uploaded_is_predicted(opened, tmp_path):
    file = tmp_path / "events.json"
    # A list of events alone, as tables are written by many programs.
    file.write_text(json.dumps(as_json(some_events(1))["events"]))
    page = opened("visit")
    page.get_by_label("Or choose a file").set_input_files(file)
    page.get_by_text("events.json is loaded.").wait_for()
    predicted(page)
    assert page.said == []


def test_one_of_several_patients_is_chosen_and_who_is_not_scored_says_why(opened):
    table = some_events(3)
    names = list(dict.fromkeys(table["subject_id"]))
    page = predicted(opened("visit"), table.to_csv(index=False) + "short,2012-01-01,X/1,,\n")
    assert page.get_by_role("heading", name=f"Prediction for {names[0]}").is_visible()
    assert page.get_by_label("Patient").locator("option").count() == 4
    page.get_by_label("Patient").select_option("2")
    page.get_by_role("heading", name=f"Prediction for {names[2]}").wait_for()
    page.get_by_role("heading", name="Effect of each code").wait_for()
    page.get_by_label("Patient").select_option("3")
    page.get_by_role("heading", name="No prediction for short").wait_for()
    assert "1 visit" in page.locator("#one").inner_text()
    assert page.locator("#one svg").count() == 0
    assert "3 patients scored, 1 not." in page.get_by_role("status").inner_text()
    assert page.said == []


def test_as_of_hides_what_came_later(opened):
    page = opened("visit")
    page.fill("#events", some_events(1).to_csv(index=False))
    page.get_by_label("As of (optional)").fill("2012-06-30")
    predicted(page)
    assert page.locator("#results .strip dd").nth(4).inner_text() < "2012-07-01"
    assert all("as_of=2012-06-30" in url for url in page.asked if "predict" in url or "explain" in url)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "There are no events."),
        ("subject_id,time\n1,2", "code is missing among the 2 found"),
        ('{"events": [{"subject_id": 1}]}', "events[0].time must be given"),
        ("[", "the body must be JSON"),
        ("x" * 500_001, "A request may hold at most 0.477 MiB"),
        (f"subject_id,time,code,{NASTY}\n1,2,3,4,5\n", "line 2 must have 4 fields"),
    ],
)
def test_an_error_is_a_sentence_and_the_page_goes_on(opened, text, sentence):
    page = opened("visit")
    predict(page, text)
    problem = page.get_by_role("alert")
    problem.wait_for()
    assert sentence in problem.inner_text()
    assert not page.locator("#results").is_visible()
    assert page.evaluate("document.activeElement.id") == "problem"
    with_example(page)
    assert not problem.is_visible()
    assert [said for said in page.said if not said.startswith(STATUS)] == []


def test_a_server_that_is_gone_is_told(opened):
    page = opened("visit")
    page.route("**/predict*", lambda route: route.abort())
    predict(page, "subject_id,time,code\n1,2020-01-01,X/1")
    page.get_by_role("alert").wait_for()
    assert "The server can't be reached." in page.get_by_role("alert").inner_text()


def test_what_the_data_hold_is_text_and_never_markup(opened):
    table = some_events(1).assign(subject_id=NASTY)
    other = {"subject_id": f"{NASTY} 2", "time": "2012-01-01", "code": NASTY}
    table = pd.concat([table, pd.DataFrame([other])]).assign(**{f"{NASTY} 3": 1})
    page = predicted(opened("visit"), table.to_csv(index=False))
    assert page.get_by_role("heading", name=f"Prediction for {NASTY}").is_visible()
    # A name of a column is content like any other: notes count it.
    assert "ignored columns: 1 name" in page.locator("#notes").inner_text()
    assert NASTY not in page.locator("#notes").inner_text()
    page.get_by_label("Patient").select_option("1")
    page.get_by_role("heading", name=f"No prediction for {NASTY} 2").wait_for()
    assert page.locator("img").count() == 0
    assert page.title() == "survlstm: small"
    assert page.said == []


@pytest.mark.parametrize("width", [PHONE, DESKTOP])
@pytest.mark.parametrize("clock", CLOCKS)
def test_nothing_overflows_and_every_word_is_legible(opened, clock, width):
    page = with_example(opened(clock, width))
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert_words_are_whole_and_legible(page)
    assert_only_boxes_scroll(page)
    page.evaluate("document.querySelectorAll('details').forEach(part => part.open = true)")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    predict(page, "{" + "x" * 300)
    page.get_by_role("alert").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_all_columns_of_the_codes_are_seen_on_a_desk(opened):
    table = with_example(opened("visit")).locator("#explained table")
    box = table.bounding_box()
    assert box["x"] + box["width"] <= DESKTOP
    outside = "nodes => nodes.filter(node => node.scrollWidth > node.clientWidth + 1).length"
    assert table.locator("th, td").evaluate_all(outside) == 0


def test_both_colour_schemes_are_legible_and_differ(opened):
    names = ["--ink", "--muted", "--blue", "--orange", "--red"]
    assert_both_schemes_are_legible(lambda scheme: opened("visit", scheme=scheme), names)


def test_every_field_has_a_label_and_the_keyboard_is_enough(opened):
    page = opened("visit")
    fields = page.evaluate(
        "[...document.querySelectorAll('textarea, input, select')].map(field => [field.id, field.labels.length])"
    )
    assert len(fields) == 4
    assert all(labels == 1 for _, labels in fields)
    reached = []
    for _ in range(12):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.id || document.activeElement.textContent"))
    stops = ["events", "file", "as-of", "Predict", "example"]
    assert list(dict.fromkeys(name for name in reached if name in stops)) == stops
    assert page.locator("#status").get_attribute("aria-live") == "polite"
    assert page.locator("#explained").get_attribute("aria-live") == "polite"
