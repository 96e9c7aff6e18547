"""The metrics of when certificates expire."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime
from pathlib import Path

PROGRAM = Path(__file__).parents[2] / "roles/node_exporter/files/certificate-expiry"
NAME = "scope_certificate_expires_seconds"


def test_the_end_of_each_certificate_is_told_and_0_of_one_that_cannot_be_read(
    tmp_path: Path,
) -> None:
    good, bad, none = (tmp_path / f"{name}.pem" for name in ("good", "bad", "none"))
    new = ["openssl", "req", "-x509", "-newkey", "ed25519", "-nodes", "-subj", "/CN=host"]
    key = ["-days", "10", "-keyout", "/dev/null", "-out", str(good)]
    subprocess.run([*new, *key], check=True, capture_output=True)
    bad.write_text("no certificate\n")
    subprocess.run([PROGRAM, tmp_path, good, bad, none], check=True, capture_output=True)
    lines = (tmp_path / "certificates.prom").read_text().splitlines()
    values = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    assert values[f'{NAME}{{path="{bad}"}}'] == values[f'{NAME}{{path="{none}"}}'] == "0"
    days = (int(values[f'{NAME}{{path="{good}"}}']) - datetime.now(UTC).timestamp()) / 86400
    assert 9.9 < days < 10.1
