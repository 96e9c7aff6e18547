"""Filters of playbooks/rotate.yml, which look at what is served."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import TypeAlias

    Serials: TypeAlias = Mapping[str, Mapping[str, str]]

#: Ports of playbooks/vars/served_ports.yml that serve the certificate for connections of hosts.
INNER: Final = {
    "connections between load balancers",
    "members of RabbitMQ",
    "the page for load balancers",
}
#: Ports of virtual addresses, behind which any host may be.
SHARED: Final = {"amqps", "the page"}


def certificates_others(
    served: Iterable[Mapping[str, Any]], wanted: Serials, host: str
) -> list[str]:
    """Return a line for each port of a host that serves another certificate than is wanted.

    ``wanted`` has serial numbers in hexadecimal: ``own`` and ``inner`` by host.
    """
    return [
        f"{host}: {one['name']} ({one['address']}:{one['port']}): {_why(one)}"
        for one in served
        if _serial(one.get("serial", "")) not in _accepted(one["name"], wanted, host)
    ]


def _accepted(name: str, wanted: Serials, host: str) -> set[int]:
    if name in INNER:
        return {_serial(wanted["inner"][host])}
    own = wanted["own"]
    return {_serial(own[each]) for each in (own if name in SHARED else [host])}


def _serial(text: str) -> int:
    return int(text, 16) if text else -1


def _why(one: Mapping[str, Any]) -> str:
    if "problem" in one:
        return str(one["problem"])
    return f"serves another certificate, with serial number {one['serial']}"


def certificates_serials(read: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, str]]:
    """Return serial numbers by authority and host, of results of x509_certificate_info.

    Each result's ``item`` has ``of``, which is own or inner, and ``host``.
    """
    found: dict[str, dict[str, str]] = {"own": {}, "inner": {}}
    for one in read:
        if "serial_number" in one:
            found[one["item"]["of"]][one["item"]["host"]] = f"{int(one['serial_number']):X}"
    return found


def certificates_kept(
    made: Iterable[Mapping[str, str]], now: Serials, before: Serials
) -> list[str]:
    """Return which of the certificates, each with ``of`` and ``host``, are not new or not there."""
    return [
        f"{one['of']} of {one['host']}"
        for one in made
        if now[one["of"]].get(one["host"], "") in ("", before.get(one["of"], {}).get(one["host"]))
    ]


class FilterModule:
    """The filters, as Ansible finds them."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters by name."""
        return {
            "certificates_kept": certificates_kept,
            "certificates_others": certificates_others,
            "certificates_serials": certificates_serials,
        }
