"""The OpenAPI document and its page name what machines may call."""

from tests.story.harbour import SERVICE_KEY, harbour

BEARER = {"Authorization": f"Bearer {SERVICE_KEY}"}


async def test_the_document_lists_the_functions_and_the_api_and_no_page(database_url: str):
    async with harbour(database_url) as h:
        async with h.http.get("/api/openapi.json", headers=BEARER) as answer:
            paths = set((await answer.json())["paths"])
        async with h.http.get("/api/docs", headers=BEARER) as answer:
            page = await answer.text()

    assert {"/functions/v1/create-evolution-instance", "/api/v1/instances/{instance_id}"} <= paths
    assert {path for path in paths if not path.startswith(("/functions/v1/", "/api/v1/"))} == set()
    assert [path for path in paths if path not in page] == []
