"""Whatever is sent to the REST API, the answer is one that its document promises."""

import asyncio
from typing import Any

import schemathesis
from hypothesis import HealthCheck, given, settings

from amarre.web.pages.api_docs import schema_of
from tests.story.harbour import SERVICE_KEY, harbour

SERVICE = {"Authorization": f"Bearer {SERVICE_KEY}"}
SLOW = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]


async def test_no_request_that_the_document_allows_breaks_the_service(database_url: str):
    async with harbour(database_url) as h:
        answered = await asyncio.to_thread(send_everything, schema_of(h.app), h.url)

    assert len(answered) >= 15
    broken = {name: codes for name, codes in answered.items() if any(code >= 500 for code in codes)}
    assert broken == {}, answered


def send_everything(document: dict[str, Any], url: str) -> dict[str, set[int]]:
    """Send made-up requests to every operation; return the statuses by operation."""
    answered: dict[str, set[int]] = {}
    for found in schemathesis.openapi.from_dict(document).get_all_operations():
        operation: Any = found.ok()  # pyright: ignore[reportAttributeAccessIssue]  # an Err would raise
        statuses = answered.setdefault(operation.label, set())
        send_some(operation, url, statuses)
    return answered


def send_some(operation: Any, url: str, statuses: set[int]) -> None:
    @settings(max_examples=15, deadline=None, database=None, suppress_health_check=SLOW)
    @given(case=operation.as_strategy())
    def send(case: Any) -> None:
        statuses.add(case.call(base_url=url, headers=SERVICE, timeout=20).status_code)

    send()
