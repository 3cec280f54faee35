"""Send requests to the application within the test's process, with records of random subjects."""

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
    """Build the application for a small bundle."""
    return create_app(predictor or predictor_on(clock), limits, host=host, names=names)


def ask(app, method, path, **rest):
    """Send one request and return the response."""
    return asyncio.run(answer(app, method, path, **rest))


async def answer(app, method, path, **rest):
    """Send one request within an event loop, so that several can run at the same time."""
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url=HERE) as client:
        return await client.request(method, path, **rest)


def as_json(table, **options):
    """Build a JSON body from a table of events; times are text, and missing values are left out."""
    return {"events": json.loads(table.to_json(orient="records")), **options}


def as_csv(table):
    """Build a request with the table as CSV."""
    return {"content": table.to_csv(index=False), "headers": {"content-type": "text/csv"}}


def some_events(subjects=3, *, seed=5, **rest):
    """Return a table of the events of a few random subjects."""
    return meds(random_records(subjects, seed=seed), **rest)
