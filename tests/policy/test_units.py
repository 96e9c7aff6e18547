"""Services of our own may do only what they need, and have limits."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
UNITS = sorted(ROOT.glob("roles/*/templates/*.service.j2"))
# sshd becomes every user, so it needs more than other services of ours.
LIMIT, SSHD_LIMIT = 3.0, 5.0


def rendered(template: Path, directory: Path) -> Path:
    """Write the unit without what depends on the inventory."""
    text = re.sub(r"\{%.*?%\}", "", template.read_text())
    text = re.sub(r"^ProtectHome=\{\{.*", "ProtectHome=yes", text, flags=re.MULTILINE)
    text = re.sub(r"\{\{.*?\}\}", "x", text)
    dropped = r"^(Exec\w+|LogFilterPatterns|RequiresMountsFor|BindsTo|MemoryMax=x|x).*\n"
    text = re.sub(dropped, "", text, flags=re.MULTILINE)
    path = directory / template.name.removesuffix(".j2").replace("@.", "@x.")
    path.write_text(text.replace("[Service]", "[Service]\nExecStart=/bin/true"))
    return path


@pytest.mark.parametrize("template", UNITS, ids=lambda path: f"{path.parts[-3]}/{path.name}")
def test_a_service_may_do_little_on_the_host(template: Path, tmp_path: Path) -> None:
    if not shutil.which("systemd-analyze"):
        pytest.skip("needs systemd-analyze")
    unit = rendered(template, tmp_path)
    printed = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--no-pager", str(unit)],
        capture_output=True,
        text=True,
        check=False,
    )
    match = re.search(r"exposure level for \S+: ([0-9.]+)", printed.stdout)
    assert match, printed.stderr
    limit = SSHD_LIMIT if template.name.startswith("sshd") else LIMIT
    worst = [line for line in printed.stdout.splitlines() if line.startswith("✗")]
    assert float(match[1]) <= limit, "\n".join(worst)


@pytest.mark.parametrize("template", UNITS, ids=lambda path: f"{path.parts[-3]}/{path.name}")
def test_a_service_has_limits_of_memory_tasks_and_descriptors(template: Path) -> None:
    for setting in ("MemoryMax", "TasksMax", "LimitNOFILE"):
        assert re.search(rf"^{setting}=", template.read_text(), re.MULTILINE), setting


@pytest.mark.parametrize("template", UNITS, ids=lambda path: f"{path.parts[-3]}/{path.name}")
def test_a_service_that_loads_rules_loads_them_again_after_nftables_was_restarted(
    template: Path,
) -> None:
    text = template.read_text()
    if "nftables.service" in text:
        assert re.search(r"^PartOf=nftables.service$", text, re.MULTILINE)
        assert re.search(r"^After=.*\bnftables.service\b", text, re.MULTILINE)


@pytest.mark.parametrize("template", UNITS, ids=lambda path: f"{path.parts[-3]}/{path.name}")
def test_a_service_may_start_as_often_as_its_timer_says(template: Path) -> None:
    """OnActiveSec= of a timer is due again after each reload of systemd."""
    timer = template.with_name(template.name.replace(".service.", ".timer."))
    if timer.exists() and "OnActiveSec=" in timer.read_text():
        assert "StartLimitIntervalSec=0\n" in template.read_text()


def test_what_reads_the_log_of_transfers_reads_their_own_journal() -> None:
    texts = [*ROOT.glob("roles/**/*"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("tests/scope/*.py")]
    named = re.compile(r"sshd-transfer|internal-sftp")
    lines = [
        (path.name, line)
        for path in texts
        if path.suffix in {".j2", ".md", ".py", ".sh", ".yml"}
        for line in re.findall(r"journalctl.*", path.read_text())
        if named.search(line)
    ]
    assert lines
    assert [each for each in lines if "--namespace=transfer" not in each[1]] == []
    program = (ROOT / "roles/sftp_server/files/sftp_logins.py").read_text()
    assert '"--namespace=transfer"' in program


def test_sessions_and_their_chroot_log_to_the_same_journal() -> None:
    templates = ROOT / "roles/sftp_server/templates"
    found = {
        re.findall(pattern, (templates / name).read_text(), re.MULTILINE)[0]
        for name, pattern in (
            ("sshd-transfer.service.j2", r"^LogNamespace=(.+)$"),
            ("dev-log.mount.j2", r"^What=/run/systemd/journal[.](.+)/dev-log$"),
            ("dev-log.mount.j2", r"^Requires=systemd-journald@(.+)[.]socket$"),
        )
    }
    assert found == {"transfer"}
