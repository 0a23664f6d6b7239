"""A log holds no secret. LESSONS 15."""

import logging
from collections.abc import Generator

import pytest
import structlog

from amarre.app import log


@pytest.fixture
def _restored() -> Generator[None]:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    yield
    root.handlers[:] = before
    root.setLevel(level)
    structlog.reset_defaults()


@pytest.mark.usefixtures("_restored")
def test_a_trace_of_a_library_tells_no_secret(capsys: pytest.CaptureFixture[str]):
    log.set_up()

    told = ValueError("no route to /pair/a-token-of-somebody, apikey: a-key-of-a-gateway")
    logging.getLogger("uvicorn.error").error("Exception in application, Bearer another-key", exc_info=told)

    written = capsys.readouterr().err
    assert written.startswith("ERROR:uvicorn.error:Exception in application")
    assert "ValueError: no route to /pair/***" in written
    assert not any(one in written for one in ("a-token", "a-key", "another-key"))
