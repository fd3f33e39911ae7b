"""Logging: JSON lines in a file, readable lines on the console, and no secret in either.

The one rule: logging is configured once, at the top of a process; a module only calls `get(name)`. The standard library's
logging (of grpc, asyncio) is written in the same way. Redaction is the last step before a line is written; it looks at the
names of fields and at all text, so a token is hidden wherever it occurs.
"""

import logging
import os
import re
import sys
from collections.abc import Mapping
from io import TextIOWrapper
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any, Final

from tsunagu.kit.lazy import absent
from tsunagu.kit.tokens import TOKEN

# It would import rich, for tracebacks that are printed plainly here, in every process of a mesh: 0.03 s of CPU each.
with absent("rich"):
    import structlog
    from structlog.typing import EventDict, Processor, WrappedLogger

HIDDEN: Final = "[redacted]"
_SECRET_NAMES: Final = re.compile(
    r"(^|[_-])(token|secret|secrets|password|passwd|authorization|credential|credentials|cookie|api_?key|private_?key)$",
    re.IGNORECASE,
)
_BEARER: Final = re.compile(r"\bBearer\s+\S+", re.IGNORECASE)
_FILE_BYTES: Final = 10 * 1024 * 1024
_FILES_KEPT: Final = 2


def configure(*, file: Path | None = None, console: bool = True, level: str = "info") -> None:
    """Set where this process logs to, and the lowest level that is written (debug, info, warning, error).

    `file` gets JSON lines; it has mode 0600 and is rotated at 10 MB, with two old files kept. With `console`, stderr gets
    readable lines. A second call replaces the first.
    """
    handlers = [handler for handler in (_to_file(file), _to_console() if console else None) if handler]
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
        old.close()
    for handler in handlers:
        root.addHandler(handler)
    root.setLevel(level.upper())
    logging.raiseExceptions = False  # or logging would print a record that it cannot format to stderr, unredacted
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_shared(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,  # a logger made at import must obey a later `configure`
    )


def get(name: str, **fields: object) -> structlog.stdlib.BoundLogger:
    """Return the logger of the part called `name` (e.g. 'serve.publisher'). Each of its lines has `fields`."""
    logger: structlog.stdlib.BoundLogger = structlog.get_logger(name, **fields)
    return logger


def redact(value: Any) -> Any:
    """Return `value` with each token, and each value under the name of a secret, replaced. Containers are copied.

    Any other object becomes text here, since it would show its tokens if it became text later.
    """
    if isinstance(value, str):
        return _BEARER.sub(f"Bearer {HIDDEN}", TOKEN.sub(HIDDEN, value))
    if isinstance(value, bytes):
        return redact(value.decode(errors="replace"))
    if isinstance(value, Mapping):
        return {key: HIDDEN if _is_secret(key) else redact(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [redact(inner) for inner in value]
    return value if value is None or isinstance(value, int | float) else redact(str(value))


def _is_secret(name: object) -> bool:
    return isinstance(name, str) and bool(_SECRET_NAMES.search(name))


def _redact_event(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    hidden: dict[str, Any] = redact(event)
    return hidden


def _shared() -> list[Processor]:
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]


def _formatter(*renderers: Processor) -> logging.Formatter:
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=_shared(),
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderers],
    )


class _OwnersFile(RotatingFileHandler):
    """A rotating file that only its owner can read, also after a rotation."""

    def _open(self) -> TextIOWrapper:
        # With an opener: a mode that is set after opening is set too late.
        return open(self.baseFilename, self.mode, encoding=self.encoding, errors=self.errors, opener=_owners)  # type: ignore[return-value]


def _owners(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _to_file(path: Path | None) -> logging.Handler | None:
    if path is None:
        return None
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    handler = _OwnersFile(path, maxBytes=_FILE_BYTES, backupCount=_FILES_KEPT, encoding="utf-8")
    tracebacks = structlog.processors.format_exc_info
    handler.setFormatter(_formatter(tracebacks, _redact_event, structlog.processors.JSONRenderer(default=str)))
    return handler


def _to_console() -> logging.Handler:
    handler = logging.StreamHandler(sys.stderr)
    renderer = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), pad_event_to=0)
    handler.setFormatter(_formatter(structlog.processors.format_exc_info, _redact_event, renderer))
    return handler
