"""Configuration files: finding, reading and writing them (TOML)."""

from __future__ import annotations

import os
import textwrap
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import platformdirs
import tomli_w

from sarra_lite.config import credentials
from sarra_lite.config.commands import SenderConfig
from sarra_lite.config.schema import options
from sarra_lite.config.shared import ExchangeConfig
from sarra_lite.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator, Mapping

    from sarra_lite.config.schema import Option
    from sarra_lite.config.shared import BrokerConfig

_WIDTH: Final = 88
# Attribute with the value in effect for options whose default is derived from others.
_DERIVED: Final = {
    "exchange": "exchange_name",
    "queueName": "queue",
    "reportStream": "report_stream",
    "baseDir": "base_dir",
    "stateDir": "state_directory",
    "prefetch": "prefetch_count",
}


def directories() -> list[Path]:
    """Return the directories with configurations: the user's, then the host's."""
    host = Path("/etc/sarra_lite")
    try:
        return [platformdirs.user_config_path("sarra_lite"), host]
    except RuntimeError:  # a service's user may have no home, as with DynamicUser= of systemd
        return [host]


def find(component: str, name: str) -> Path:
    """Return the file of a configuration; ``name`` is a path or a name such as ``default``."""
    if "/" in name or name.endswith(".toml"):
        return Path(name)
    return _first(f"{component}/{name}.toml")


def credentials_file() -> Path:
    """Return the credentials.conf to use; that of a systemd unit comes first (systemd.exec(5))."""
    systemd = os.environ.get("CREDENTIALS_DIRECTORY")
    if systemd and (file := Path(systemd, "credentials.conf")).exists():
        return file
    return _first("credentials.conf")


def _first(name: str) -> Path:
    """Return the first file of a name that exists, or the user's if there is none."""
    files = [directory / name for directory in directories()]
    return next((file for file in files if file.exists()), files[0])


def read(file: Path) -> dict[str, Any]:
    """Return keys and values of a configuration file; raise ConfigError when it cannot be read."""
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(
            f"{file}: no such configuration; sr_config example {file.parent.name} shows one"
        ) from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise ConfigError(f"{file}: {reason}") from None


def document(values: Mapping[str, Any], remarks: Iterable[str]) -> str:
    """Return a configuration file with remarks as comments at the beginning."""
    head = "".join(map(_comment, remarks))
    return head + "\n" + "".join(f"{_assignment(key, value)}\n" for key, value in values.items())


def _assignment(key: str, value: Any) -> str:
    """Return ``key = value``, with each rule on a line of its own."""
    if isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
        items = "".join(f"    {_inline(item)},\n" for item in value)
        return f"{key} = [\n{items}]"
    return f"{key} = {_inline(value)}"


def _inline(value: Any) -> str:
    """Return a TOML value on one line; tomli_w would break tables and lists."""
    match value:
        case dict():
            pairs = ", ".join(tomli_w.dumps({key: text}).strip() for key, text in value.items())
            return f"{{ {pairs} }}" if value else "{}"
        case list():
            return f"[{', '.join(map(_inline, value))}]"
        case _:
            return tomli_w.dumps({"key": value}).removeprefix("key = ").strip()


def example(config: type[BrokerConfig]) -> str:
    """Return a configuration file that explains every option, the required ones first."""
    component = config.component
    parts = [
        _comment(
            f"Configuration of sr_{component}. Save it as"
            f" ~/.config/sarra_lite/{component}/NAME.toml or /etc/sarra_lite/{component}/NAME.toml"
            f" and check it with: sr_config check {component} NAME"
        )
        + _comment("Passwords belong into credentials.conf beside that directory, mode 0600.")
    ]
    for option in sorted(options(config), key=lambda option: not option.required):
        text = f"{option.key} = {option.example}"
        parts.append(_comment(_explained(option)) + (text if option.required else f"#{text}"))
    return "\n\n".join(part.rstrip("\n") for part in parts) + "\n"


def _explained(option: Option) -> str:
    text = option.text
    if option.choices:
        text += f" One of {', '.join(option.choices)}."
    if option.required:
        return f"{text} Must be set."
    if option.default is None or "Default:" in text:
        return text
    return f"{text} Default: {_inline(option.to_toml(option.default))}"


def _comment(text: str) -> str:
    lines = textwrap.wrap(text, _WIDTH, break_long_words=False, break_on_hyphens=False)
    return "".join(f"# {line}\n" for line in lines)


def effective(config: BrokerConfig, file_keys: Container[str], file: Path) -> str:
    """Return the values in effect; those of ``file_keys`` are set in ``file``.

    States for each password only whether there is one.
    """
    lines = [f"# sr_{config.component} with configuration {config.name}: {file}", ""]
    for option in options(type(config)):
        origin = "from the file" if option.key in file_keys else "default"
        lines.append(_effective_option(config, option, origin))
    lines.append("")
    if isinstance(config, ExchangeConfig):
        lines.append(f"# topics bound to the queue: {' '.join(config.binding_keys)}")
    lines.append(f"# topics of reports: {config.report_topic}.#")
    lines += [f"# {line}" for line in _credentials(config)]
    return "\n".join(lines) + "\n"


def _effective_option(config: BrokerConfig, option: Option, origin: str) -> str:
    value = getattr(config, option.key)
    derived = getattr(config, _DERIVED.get(option.key, ""), None)
    if value is None:
        text = "is not set" if derived is None else f"= {_inline(str(derived))}  # by default"
        return f"# {option.key} {text}"
    if not value and derived is not None:
        origin += f", which makes {derived}"
    return f"{_assignment(option.key, option.to_toml(value))}  # {origin}"


def _credentials(config: BrokerConfig) -> Iterator[str]:
    """Yield what the credentials file has for each host, without the password itself."""
    file = credentials_file()
    hosts = [config.broker, config.sendTo] if isinstance(config, SenderConfig) else [config.broker]
    for endpoint in hosts:
        try:
            complete = credentials.complete(endpoint, file)
        except ConfigError as error:
            yield str(error)
            return
        password = "no password" if complete.password is None else "a password"
        key = complete.options.get("ssh_keyfile")
        yield f"{file} has {password}{f', and ssh_keyfile {key}' if key else ''} for {endpoint}"
