"""Ansible module that reads certificates from the ports that serve them."""

from __future__ import annotations

import socket
import ssl
from datetime import UTC, datetime
from typing import Any, Final

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = """
module: status_certificates
short_description: Tell how long certificates are valid, as they are served
description:
  - A service may serve another certificate than is in its file, such as the one of before.
options:
  ports:
    description:
      - Each has C(name), C(address) and C(port), and C(proxy) if the service expects a header
        of the PROXY protocol first.
    type: list
    elements: dict
    required: true
"""
HEADER: Final = b"PROXY UNKNOWN\r\n"
SECONDS: Final = 5
DAY: Final = 86400


def served(address: str, port: int, *, proxy: bool) -> bytes:
    """Return the certificate that a port serves, as DER; raise OSError if it serves none."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # also an expired one is to be read
    with socket.create_connection((address, port), timeout=SECONDS) as plain:
        if proxy:
            plain.sendall(HEADER)
        with context.wrap_socket(plain, server_hostname=address) as secure:
            return secure.getpeercert(binary_form=True) or b""


def facts(text: str, now: datetime) -> dict[str, Any]:
    """Return days left and serial number, of the output of openssl x509 -enddate -serial."""
    lines = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    end = lines["notAfter"].replace("GMT", "+0000")
    left = datetime.strptime(end, "%b %d %H:%M:%S %Y %z") - now
    return {"days": int(left.total_seconds() // DAY), "serial": lines.get("serial", "")}


def main() -> None:
    """Run as a module of Ansible."""
    module = AnsibleModule(
        argument_spec={"ports": {"type": "list", "elements": "dict", "required": True}},
        supports_check_mode=True,
    )
    found = []
    for one in module.params["ports"]:
        about = {"name": one["name"], "address": one["address"], "port": int(one["port"])}
        try:
            der = served(about["address"], about["port"], proxy=bool(one.get("proxy")))
        except OSError as error:
            found.append(about | {"problem": str(error)})
            continue
        command = ["openssl", "x509", "-inform", "DER", "-noout", "-enddate", "-serial"]
        code, out, err = module.run_command(command, data=der, binary_data=True)
        told = facts(out, datetime.now(UTC)) if code == 0 else {"problem": err.strip()}
        found.append(about | told)
    module.exit_json(certificates=found)


if __name__ == "__main__":
    main()
