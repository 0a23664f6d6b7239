"""Stories are told on a whole installation: see `harbour`."""

from collections.abc import AsyncGenerator

import pytest

from tests.story.harbour import Harbour, harbour


@pytest.fixture
async def h(database_url: str) -> AsyncGenerator[Harbour]:
    async with harbour(database_url) as opened:
        yield opened
