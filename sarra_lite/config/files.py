"""Configuration files: where they are, reading them, and writing one for people as TOML."""

from __future__ import annotations

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

    from sarra_lite.config.credentials import Endpoint
    from sarra_lite.config.schema import Option
    from sarra_lite.config.shared import BrokerConfig

_WIDTH: Final = 88
# What an option comes to where it is not set.
_DERIVED: Final = {
    "exchange": "exchange_name",
    "queueName": "queue",
    "reportStream": "report_stream",
    "baseDir": "base_dir",
    "stateDir": "state_directory",
    "prefetch": "prefetch_count",
}


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


def assignment(key: str, value: Any) -> str:
    """Return ``key = value``; rules take a line each."""
    if isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
        items = "".join(f"    {_inline(item)},\n" for item in value)
        return f"{key} = [\n{items}]"
    return f"{key} = {_inline(value)}"


def _inline(value: Any) -> str:
    """Return a value on one line."""
    match value:
        case {}:
            pairs = (f"{_key(key)} = {_inline(item)}" for key, item in value.items())
            return f"{{ {', '.join(pairs)} }}" if value else "{}"
        case list():
            return f"[{', '.join(map(_inline, value))}]"
        case _:
            return tomli_w.dumps({"it": value}).removeprefix("it = ").strip()


def _key(key: str) -> str:
    return tomli_w.dumps({key: 0}).removesuffix(" = 0\n")


def example(config: type[BrokerConfig]) -> str:
    """Return a configuration with all that can be set, explained; what must be set comes first."""
    component = config.component
    parts = [
        _comment(
            f"Configuration of sr_{component}. Save it as"
            f" ~/.config/sarra_lite/{component}/NAME.toml or /etc/sarra_lite/{component}/NAME.toml"
            f" and say: sr_config check {component} NAME"
        )
        + _comment("Passwords belong into credentials.conf beside that directory, mode 0600.")
    ]
    for option in sorted(options(config), key=lambda option: not option.required):
        text = f"{option.key} = {option.example}"
        parts.append(_comment(_explained(option)) + (text if option.required else f"#{text}"))
    return "\n\n".join(part.rstrip("\n") for part in parts) + "\n"


def _explained(option: Option) -> str:
    said = option.text
    if option.choices:
        said += f" One of {', '.join(option.choices)}."
    if option.required:
        return f"{said} Must be set."
    if option.default is None or "Default:" in said:
        return said
    return f"{said} Default: {_inline(option.plain(option.default))}"


def _comment(text: str) -> str:
    lines = textwrap.wrap(text, _WIDTH, break_long_words=False, break_on_hyphens=False)
    return "".join(f"# {line}\n" for line in lines)


def effective(config: BrokerConfig, told: Container[str], file: Path, secrets: Path) -> str:
    """Return what is in effect: ``told`` are the keys that ``file`` has, all others defaults.

    Of passwords in the file ``secrets`` it says only whether there is one.
    """
    lines = [f"# sr_{config.component} with configuration {config.name}: {file}", ""]
    lines += [_in_effect(config, option, option.key in told) for option in options(type(config))]
    lines.append("")
    lines += [f"# {line}" for line in (*_topics(config), *_secrets(config, secrets))]
    return "\n".join(lines) + "\n"


def _in_effect(config: BrokerConfig, option: Option, told: bool) -> str:  # noqa: FBT001  private
    value = getattr(config, option.key)
    derived = getattr(config, _DERIVED.get(option.key, ""), None)
    if value is None:
        known = "is not set" if derived is None else f"= {_inline(str(derived))}  # by default"
        return f"# {option.key} {known}"
    remark = "from the file" if told else "default"
    if not value and derived is not None:
        remark += f", which makes {derived}"
    return f"{assignment(option.key, option.plain(value))}  # {remark}"


def _topics(config: BrokerConfig) -> Iterator[str]:
    if isinstance(config, ExchangeConfig):
        yield f"topics bound to the queue: {' '.join(config.binding_keys)}"
    yield f"topics of reports: {config.report_topic}.#"


def _secrets(config: BrokerConfig, file: Path) -> Iterator[str]:
    wanted = [config.endpoint]
    if isinstance(config, SenderConfig):
        wanted.append(config.destination)
    for endpoint in wanted:
        try:
            found = credentials.complete(endpoint, file)
        except ConfigError as error:
            yield str(error)
            return
        yield f"{file} has {_secret(found)} for {endpoint}"


def _secret(found: Endpoint) -> str:
    """Say what a credentials file has for an endpoint, never the password itself."""
    password = "a password" if found.password is not None else "no password"
    key = found.options.get("ssh_keyfile")
    return f"{password}, and ssh_keyfile {key}" if key else password


def document(values: Mapping[str, Any], remarks: Iterable[str]) -> str:
    """Return a configuration with remarks above it."""
    head = "".join(map(_comment, remarks))
    return head + "\n" + "".join(f"{assignment(key, value)}\n" for key, value in values.items())
