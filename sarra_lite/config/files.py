"""Configuration files: where they are, and what is in them."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import platformdirs

from sarra_lite.errors import ConfigError


def directories() -> list[Path]:
    """Where configuration is looked for: the user's directory, then the host's."""
    host = Path("/etc/sarra_lite")
    try:
        return [platformdirs.user_config_path("sarra_lite"), host]
    except RuntimeError:  # a service's user may have no home, as with DynamicUser= of systemd
        return [host]


def find(component: str, name: str) -> Path:
    """Return the file of a configuration: ``name`` is a path, or a name among ``component``'s."""
    if "/" in name or name.endswith(".toml"):
        return Path(name)
    files = [directory / component / f"{name}.toml" for directory in directories()]
    return next((file for file in files if file.exists()), files[0])


def read(file: Path) -> dict[str, Any]:
    """Keys and values of a configuration file; ConfigError when it is no TOML."""
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(
            f"{file}: no such configuration; sr_config example {file.parent.name} shows one"
        ) from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise ConfigError(f"{file}: {reason}") from None
