"""The application asked in the test's own process, and the records that it is asked about."""

from __future__ import annotations

import asyncio
import json
import logging

import httpx

from survlstm.serving.app import RequestLimits, create_app
from tests.bundles import meds, predictor_on
from tests.records import random_records

# The client tells what it asks; what the server tells is what matters.
logging.getLogger("httpx").setLevel(logging.WARNING)

HERE = "http://127.0.0.1:8000"
ENOUGH = RequestLimits(max_body_bytes=2_000_000, max_events=5000)


def app_on(clock="visit", *, predictor=None, limits=ENOUGH, host="127.0.0.1", names=()):
    """The application on a small bundle."""
    return create_app(predictor or predictor_on(clock), limits, host=host, names=names)


def ask(app, method, path, **rest):
    """One request and its answer."""
    return asyncio.run(answer(app, method, path, **rest))


async def answer(app, method, path, **rest):
    """The same, for several at once."""
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url=HERE) as client:
        return await client.request(method, path, **rest)


def as_json(table, **options):
    """The body of a request: the events of a table, times as text, nothing where there is none."""
    return {"events": json.loads(table.to_json(orient="records")), **options}


def as_csv(table):
    """The same as CSV."""
    return {"content": table.to_csv(index=False), "headers": {"content-type": "text/csv"}}


def some_events(subjects=3, *, seed=5, **rest):
    """A table of events of a few random subjects."""
    return meds(random_records(subjects, seed=seed), **rest)
