"""Fixtures: one node, one SFTP server, one authority for all tests."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import pytest
from hypothesis import HealthCheck, settings

from tests.lab import Unavailable
from tests.lab.again import pytest_configure  # noqa: F401  a hook of pytest
from tests.lab.authority import Authority
from tests.lab.rabbitmq import Rabbit
from tests.lab.site import Site
from tests.lab.sshd import Sshd

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

_BOUND = "LAB_BOUND_BY_MODES"

# One profile everywhere: how long an example takes says nothing on a busy machine.  Hypothesis
# would load another one where CI is set.
settings.register_profile(
    "sarra_lite",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize="CI" in os.environ,
    print_blob=True,
)
# For a long run of one test: --hypothesis-profile=long --timeout=0
settings.register_profile("long", settings.get_profile("sarra_lite"), max_examples=20_000)
settings.load_profile("sarra_lite")


def pytest_addoption(parser: pytest.Parser) -> None:
    text = "where pictures of the web page are written (default: kept nowhere)"
    parser.addoption("--screenshots", type=Path, metavar="DIRECTORY", help=text)
    parser.addoption("--faults", action="store_true", help="faults that take minutes, too")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip faults that take minutes, unless they are asked for."""
    if not config.getoption("--faults"):
        skip = pytest.mark.skip(reason="only with --faults")
        for item in items:
            if item.get_closest_marker("faults"):
                item.add_marker(skip)


def _give_up(why: Unavailable) -> NoReturn:
    """Skip what this machine cannot run, but where CI is set let it fail."""
    if os.environ.get("CI"):
        pytest.fail(str(why))
    pytest.skip(str(why))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup() -> Generator[None, object, object]:
    try:
        return (yield)
    except Unavailable as error:
        _give_up(error)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Generator[None, object, object]:
    try:
        return (yield)
    except Unavailable as error:
        _give_up(error)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run what is about file modes anew, as root without the right to pass over them."""
    if os.geteuid() != 0 or os.environ.get(_BOUND):
        return None
    if pyfuncitem.get_closest_marker("bound_by_modes") is None:
        return None
    rights = "--bounding-set=-dac_override,-dac_read_search"
    command = ["setpriv", rights, sys.executable, "-m", "pytest", "-q", pyfuncitem.nodeid]
    environment = os.environ | {_BOUND: "1"}
    done = subprocess.run(
        command, cwd=pyfuncitem.config.rootpath, env=environment, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stdout.decode()
    return True


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="session")
def rabbit(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[Rabbit]:
    with Rabbit(tmp_path_factory.mktemp("rabbit"), tls=authority) as node:
        yield node


@pytest.fixture(scope="session")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    with Sshd(tmp_path_factory.mktemp("sshd")) as server:
        yield server


@pytest.fixture
def site(rabbit: Rabbit, sshd: Sshd, tmp_path: Path) -> Site:
    """A user with nothing sent yet, and a working configuration."""
    return Site(rabbit, sshd, tmp_path / "site")
