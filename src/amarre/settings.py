"""What an installation may set: environment, `amarre.toml`, and `*_FILE` for secrets.

Read once, by `app.py`, which hands each room its own small part. A name that looks like
ours and is not is an error with a suggestion, not a silent default.
"""

import difflib
import hashlib
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar
from zoneinfo import available_timezones

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)
from typing_extensions import override

from amarre.core.errors import AmarreError

SHORTEST_KEY = 32
# SHA-256 of keys that are printed in public documents as examples: no secrets any more.
KNOWN_KEYS = frozenset(
    {
        "b0216a4951d3a293428225c13684bc1d08a619e1cae7653211170d7193cfc5e2",
        "a53e40d810e4d9ce1b1d77f48f5e242aa4c686dfbc427e4669a7b384b9214d4b",
    }
)


class SettingsError(AmarreError):
    """A setting is unknown, missing or cannot be right; the text says which and what to do."""

    code = "settings"


class Settings(BaseSettings):
    """All settings. Field names are those of `amarre.toml`; aliases those of the environment."""

    model_config = SettingsConfigDict(
        frozen=True, extra="ignore", case_sensitive=True, toml_file="amarre.toml", populate_by_name=True
    )

    host: str = Field("127.0.0.1", alias="AMARRE_HOST", description="Address to listen on.")
    port: int = Field(
        8080, alias="AMARRE_PORT", ge=0, le=65535, description="Port to listen on; 0 takes a free one."
    )
    data_dir: Path = Field(
        Path(".amarre"),
        alias="AMARRE_DATA_DIR",
        description="Where the embedded database and the generated keys live.",
    )
    base_url: str | None = Field(
        None,
        alias="SUPABASE_URL",
        description="Public base URL of this service. Default: host and port.",
    )
    company: str = Field(
        "", alias="AMARRE_COMPANY", description="Name shown beside the mark and on pairing pages."
    )
    database_url: SecretStr | None = Field(
        None, alias="DATABASE_URL", description="PostgreSQL >= 15. Default: the embedded server."
    )
    secret_key: SecretStr | None = Field(
        None,
        alias="AMARRE_SECRET_KEY",
        description="Seals tokens in the database; at least 32 characters, the same for all processes.",
    )
    service_key: SecretStr | None = Field(
        None, alias="SUPABASE_SERVICE_ROLE_KEY", description="Key of trusted machines: may do everything."
    )
    anon_key: SecretStr | None = Field(
        None, alias="SUPABASE_ANON_KEY", description="Public key of front ends: opens nothing alone."
    )
    jwt_secret: SecretStr | None = Field(
        None, alias="SUPABASE_JWT_SECRET", description="HS256 secret of the JWTs that end users bring."
    )
    jwks: str | None = Field(
        None, alias="AMARRE_JWKS", description="JSON Web Key Set (as JSON) for JWTs signed with ES256."
    )
    internal_key: SecretStr | None = Field(
        None,
        alias="CRON_INTERNAL_KEY",
        description="Key of scheduled jobs (`X-Internal-Key`), at least 32 characters.",
    )
    internal_key_previous: SecretStr | None = Field(
        None, alias="CRON_INTERNAL_KEY_PREVIOUS", description="The key before, valid during a rotation."
    )
    evolution_url: str | None = Field(
        None, alias="EVOLUTION_API_BASE_URL", description="Where the Evolution API server is."
    )
    evolution_key: SecretStr | None = Field(
        None, alias="EVOLUTION_API_KEY", description="Its global key (AUTHENTICATION_API_KEY there)."
    )
    evolution_name: str = Field("evolution", alias="AMARRE_EVOLUTION_NAME", description="What pages call it.")
    webhook_base_url: str | None = Field(
        None,
        alias="AMARRE_WEBHOOK_BASE_URL",
        description="Base URL under which gateways reach this service, where that is another one.",
    )
    lease_s: float = Field(
        30,
        alias="AMARRE_LEASE_S",
        gt=1,
        description="Seconds until the work of a silent worker is taken over.",
    )
    pairing_window_min: float | None = Field(
        None,
        alias="AMARRE_PAIRING_WINDOW_MIN",
        gt=0,
        description="Minutes that codes are kept live with nobody looking. Default: the gateway's limit.",
    )
    zone: str = Field(
        "Europe/Paris", alias="AMARRE_ZONE", description="Time zone in which pages tell the time."
    )
    log_level: str = Field("info", alias="AMARRE_LOG_LEVEL", description="debug, info, warning or error.")

    SECRETS: ClassVar[tuple[str, ...]] = (
        "secret_key",
        "service_key",
        "anon_key",
        "jwt_secret",
        "internal_key",
    )

    @field_validator("base_url", "webhook_base_url", "evolution_url")
    @classmethod
    def _is_http(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith(("http://", "https://")):
            raise ValueError("a URL begins with http:// or https://")
        return value.rstrip("/") if value else None

    @field_validator("zone")
    @classmethod
    def _is_zone(cls, value: str) -> str:
        if value not in available_timezones():
            raise ValueError("not a time zone such as Europe/Paris or UTC")
        return value

    @field_validator("internal_key", "internal_key_previous")
    @classmethod
    def _is_long(cls, value: SecretStr | None) -> SecretStr | None:
        if value is None:
            return None
        if hashlib.sha256(value.get_secret_value().encode()).hexdigest() in KNOWN_KEYS:
            raise ValueError("this key is printed in public documents: make one of your own")
        if len(value.get_secret_value()) < SHORTEST_KEY:
            raise ValueError(f"at least {SHORTEST_KEY} characters (openssl rand -base64 32)")
        return value

    @classmethod
    @override
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Order: what the command line said, the environment, secret files, `amarre.toml`."""
        return init_settings, env_settings, _SecretFiles(settings_cls), TomlConfigSettingsSource(settings_cls)

    @property
    def url(self) -> str:
        """The public base URL, without a slash at its end."""
        return self.base_url or f"http://{self.host}:{self.port}"


class _SecretFiles(PydanticBaseSettingsSource):
    """Reads `NAME_FILE` for every secret `NAME`: the first line of that file."""

    @override
    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        path = os.environ.get(f"{field.alias}_FILE") if field.annotation == SecretStr | None else None
        if path is None:
            return None, field_name, False
        try:
            return Path(path).read_text(encoding="utf-8").strip(), field.alias or field_name, False
        except OSError as unreadable:
            raise SettingsError(
                f"{field.alias}_FILE: {path} cannot be read ({unreadable.strerror})"
            ) from unreadable

    @override
    def __call__(self) -> dict[str, Any]:
        read = (self.get_field_value(field, name) for name, field in self.settings_cls.model_fields.items())
        return {name: value for value, name, _ in read if value is not None}


def _names() -> set[str]:
    fields = Settings.model_fields.values()
    aliases = {field.alias for field in fields if field.alias}
    return aliases | {f"{field.alias}_FILE" for field in fields if field.annotation == SecretStr | None}


def load(environment: Mapping[str, str] | None = None, **given: Any) -> Settings:
    """Read the settings; `given` (by field name) wins over all else.

    Raises:
        SettingsError: a name is unknown or a value cannot be right. No value is repeated in the text.
    """
    known = _names()
    for name in environment if environment is not None else os.environ:
        if name.startswith("AMARRE_") and name not in known and not name.startswith("AMARRE_TEST_"):
            raise SettingsError(f"unknown setting {name}{_suggestion(name, known)}")
    _check_toml()
    try:
        return Settings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as wrong:
        first = wrong.errors(include_input=False, include_url=False)[0]
        raise SettingsError(
            f"{'.'.join(str(part) for part in first['loc'])}: {first['msg'].removeprefix('Value error, ')}"
        ) from None


def _check_toml() -> None:
    path = Path("amarre.toml")
    if not path.is_file():
        return
    import tomllib  # noqa: PLC0415  # only where there is such a file

    known = set(Settings.model_fields) | _names()
    try:
        written = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as wrong:
        raise SettingsError(f"{path} cannot be read: {wrong}") from None
    for name in written:
        if name not in known:
            raise SettingsError(f"{path}: unknown setting {name}{_suggestion(name, known)}")


def _suggestion(name: str, known: set[str]) -> str:
    near = difflib.get_close_matches(name, sorted(known), n=1)
    return f": did you mean {near[0]}?" if near else "; see docs/reference/settings.md"


def with_generated_keys(settings: Settings) -> Settings:
    """Fill in keys that are not set from the data directory, making them once (mode 0600).

    Only for the embedded database: processes on other machines could not know them.
    """
    folder = settings.data_dir / "keys"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    made = {
        name: SecretStr(_keep(folder / name)) for name in Settings.SECRETS if getattr(settings, name) is None
    }
    return settings.model_copy(update=made)


def _keep(path: Path) -> str:
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_urlsafe(48))
    except FileExistsError:
        pass
    return path.read_text(encoding="utf-8").strip()
