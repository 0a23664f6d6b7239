"""The store runs on PostgreSQL 15 and 18, so its tests do.

A test that needs one of them says so: `@pytest.mark.parametrize("server", ["18"], indirect=True)`.
"""

import pytest

from tests.support import Server


@pytest.fixture(params=["18", "15"])
def server(request: pytest.FixtureRequest) -> Server:
    found: Server = request.getfixturevalue(f"server{request.param}")
    return found
