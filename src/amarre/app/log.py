"""Logs: one JSON object a line (or coloured text in a terminal), without secrets."""

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog
from typing_extensions import override

# What is never to be read in a log, whoever hands it in: tokens in paths and URLs, keys,
# numbers of people.
_SECRETS = (
    (re.compile(r"(/pair/|evolution-webhook-handler/)[^/?\s\"']+"), r"\1***"),
    (
        re.compile(r"(?i)((?:apikey|api_key|token|secret|password)[\"']?\s*[=:]\s*[\"']?)[^\s\"',&}]+"),
        r"\1***",
    ),
    (re.compile(r"(?i)(bearer\s+)[\w.\-~+/=]+"), r"\1***"),
    (re.compile(r"(postgres(?:ql)?://[^:/@\s]*:)[^@\s]+@"), r"\1***@"),
    (re.compile(r"\b\d{8,15}(@(?:s\.whatsapp\.net|c\.us|lid))"), r"***\1"),
)


def redact_text(text: str) -> str:
    """Return a text without secrets."""
    for pattern, instead in _SECRETS:
        text = pattern.sub(instead, text)
    return text


def _redact(_: Any, _method: str, entry: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for key, value in entry.items():
        if isinstance(value, str):
            entry[key] = redact_text(value)
    return entry


class _Redacting(logging.Formatter):
    """Formats records of libraries; what a trace tells is redacted like the message."""

    @override
    def format(self, record: logging.LogRecord) -> str:
        return redact_text(super().format(record))


def set_up(level: str = "info") -> None:
    """Send logs to standard error."""
    plain = sys.stderr.isatty()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            _redact,
            structlog.dev.ConsoleRenderer()
            if plain
            else structlog.processors.JSONRenderer(ensure_ascii=False),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper(), logging.INFO)),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Redacting(logging.BASIC_FORMAT))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
