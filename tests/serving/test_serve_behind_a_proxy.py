"""The names under which a proxy serves the server."""

from tests.serving.asking import app_on, as_json, ask, some_events
from tests.serving.test_serve_refusals import refused


def test_a_name_that_a_proxy_serves_under_is_one_of_ours_when_it_is_told():
    at_proxy = {"host": "risk.example", "origin": "https://risk.example"}
    asked = as_json(some_events(1))
    app = app_on(names=["Risk.Example"])
    assert ask(app, "POST", "/predict", json=asked, headers=at_proxy).status_code == 200
    refused(
        ask(app, "POST", "/predict", json=asked, headers=at_proxy | {"origin": "https://evil.example"}), 403, "origin"
    )
    refused(ask(app_on(), "POST", "/predict", json=asked, headers=at_proxy), 421, "Set host= or names=")
