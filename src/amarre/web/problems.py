"""Errors as their readers need them: a problem document for machines, a page for people."""

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response

from amarre.core.errors import AmarreError, TooManyError, UnauthenticatedError
from amarre.web.i18n import error_text
from amarre.web.pages import frame

MACHINES = ("/api/", "/functions/", "/events", "/healthz", "/readyz", "/metrics")
CODES = {404: "not_found", 405: "method_not_allowed", 413: "too_large"}


async def on_amarre_error(request: Request, failed: Exception) -> Response:
    """Answer with what the error says; people without a session are led to the login page."""
    assert isinstance(failed, AmarreError)  # noqa: S101  # registered for it
    machine = _is_machine(request)
    if isinstance(failed, UnauthenticatedError) and not machine and request.method == "GET":
        return RedirectResponse(f"/login?next={frame.safe_next(str(request.url.path))}", 303)
    headers: dict[str, str] = {}
    if isinstance(failed, TooManyError):
        headers["Retry-After"] = str(failed.facts.get("retry_after_s", 60))
    if isinstance(failed, UnauthenticatedError):
        headers["WWW-Authenticate"] = "Bearer"
    if machine:
        return _problem(request, failed.status, failed.code, dict(failed.facts), headers)
    return await _page(request, failed.status, failed.code, dict(failed.facts), headers)


async def on_invalid(request: Request, failed: Exception) -> Response:
    """Answer 422 with the first field that cannot be right."""
    assert isinstance(failed, RequestValidationError)  # noqa: S101  # registered for it
    first = failed.errors()[0]
    field = ".".join(str(part) for part in first.get("loc", ()) if part not in ("body", "query", "path"))
    facts: dict[str, str | int] = {"field": field or "body"}
    if _is_machine(request):
        return _problem(request, 422, "invalid", facts, {}, detail=str(first.get("msg", "")))
    return await _page(request, 422, "invalid", facts, {})


async def on_http_error(request: Request, failed: Exception) -> Response:
    """Answer what the framework refuses (unknown routes, wrong methods) in the same form."""
    assert isinstance(failed, HTTPException)  # noqa: S101  # registered for it
    code = CODES.get(failed.status_code, "error")
    headers = dict(failed.headers or {})
    if _is_machine(request):
        return _problem(request, failed.status_code, code, {}, headers)
    return await _page(request, failed.status_code, code, {}, headers)


async def on_defect(request: Request, _: Exception) -> Response:
    """Answer 500 without telling what broke; the log has it."""
    if _is_machine(request):
        return _problem(request, 500, "error", {}, {})
    return await _page(request, 500, "error", {}, {})


def _is_machine(request: Request) -> bool:
    return request.url.path.startswith(MACHINES) and request.url.path != "/api/docs"


def _problem(
    request: Request,
    status: int,
    code: str,
    facts: dict[str, str | int],
    headers: dict[str, str],
    *,
    detail: str | None = None,
) -> JSONResponse:
    lang = frame.language(request, None)
    text = error_text(code, facts, lang)
    body: dict[str, object] = {
        "type": f"/errors/{code}",
        "title": text,
        "status": status,
        "code": code,
        "instance": request.url.path.split("/evolution-webhook-handler/")[0],
        **facts,
    }
    if detail:
        body["detail"] = detail
    if request.url.path.startswith("/functions/v1"):
        body |= {"success": False, "error": text}
    return JSONResponse(body, status, {**headers, "Content-Language": lang}, "application/problem+json")


async def _page(
    request: Request, status: int, code: str, facts: dict[str, str | int], headers: dict[str, str]
) -> HTMLResponse:
    return HTMLResponse(frame.error_page(request, status, code, facts), status, headers)
