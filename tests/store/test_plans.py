"""No statement reads a large table from end to end, whatever the statistics say."""

from collections.abc import Iterator

import psycopg
import pytest
from psycopg import Connection
from psycopg.rows import TupleRow

from tests.store.plan import STATES, Statement, explain, statements
from tests.support import SECOND, Server

# Reads much by its meaning, and seldom.
MAY_READ_ALL = {
    "claim.EXTEND_REQUESTS": "what is in flight",
    "fleet.BY_STATE": "a page",
    "fleet.COUNTED": "a page",
    "fleet.PAGE": "a page",
    "gateway.ALL": "counts the instances, in an index",
    "gateway.ROOMIEST": "counts the instances, in an index",
    "instance.CHECK_WEBHOOKS_SOON": "all of a gateway, when it comes back",
    "instance.LOOK_SOON": "all of a gateway, when it comes back",
    "instance.OF_GATEWAY": "all of a gateway, to be compared with its list",
    "profile.PAGE": "a page",
    "request.COUNTS": "a page",
    "request.SWEEP": "once a minute",
    "worker.FREE_REQUESTS": "what is in flight",
}
# No statement but DELETE's is about more rows than this at a time, with these samples.
MOST_ROWS = 1000
# A hundred times what they take: it is for a plan that has gone wrong, on a machine that is busy.
LONGEST = 2 * SECOND


@pytest.fixture(scope="module", params=["18", "15"])
def any_server(request: pytest.FixtureRequest) -> Server:
    found: Server = request.getfixturevalue(f"server{request.param}")
    return found


@pytest.fixture(scope="module")
def filled(any_server: Server, request: pytest.FixtureRequest) -> Iterator[Connection[TupleRow]]:
    with (
        any_server.database(any_server.template) as url,
        psycopg.connect(url, autocommit=True, prepare_threshold=None) as conn,
    ):
        for step in STATES[request.param]:
            conn.execute(step.encode())
        yield conn


@pytest.mark.parametrize("filled", ["empty"], indirect=True)
def test_the_server_understands_and_plans_every_statement(filled):
    plans = {one.name: explain(filled, one) for one in statements()}

    assert len(plans) > 100


@pytest.mark.parametrize("filled", ["stale", "full"], indirect=True)
def test_no_statement_reads_what_it_is_not_about(filled):
    plans = {one.name: explain(filled, one, run=True) for one in statements()}

    wrong = {
        name: (sorted(plan.scanned), plan.looked_at)
        for name, plan in plans.items()
        if name not in MAY_READ_ALL and (plan.scanned or plan.looked_at > MOST_ROWS)
    }
    slow = {name: plan.took for name, plan in plans.items() if plan.took > LONGEST}
    assert (wrong, slow) == ({}, {})


def test_what_may_read_all_is_still_there():
    assert {one.name for one in statements()} >= MAY_READ_ALL.keys()


def test_a_plan_that_reads_all_is_told_from_one_that_does_not(server):
    """The measure itself: the trap that it is there for is found."""
    trap = """
        update amarre.provisioning_requests set status = 'completed'
         where id = %(id)s and claim_no = %(claim_no)s and status = 'processing'
    """
    with server.database(server.template) as url, psycopg.connect(url, autocommit=True) as conn:
        for step in STATES["stale"]:
            conn.execute(step.encode())

        found = explain(conn, Statement("request.TRAP", trap), run=True)

    assert found.looked_at > MOST_ROWS
