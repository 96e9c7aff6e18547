"""What is made at the destination has its mode; what is there already keeps its own."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import pytest

from tests.lab.site import Site
from tests.lab.sshd import Sshd

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.lab.rabbitmq import Rabbit

NOBODY = 65534
# The server's umask takes away all but the owner's rights.  Only root can change modes of others'
# files; without this right it is as any user.
PLAIN_USER = ["setpriv", "--bounding-set=-fowner"] if os.geteuid() == 0 else []
THROUGH = [*PLAIN_USER, "sh", "-c", 'umask 077; exec "$@"', "sshd"]


@pytest.fixture(scope="module")
def strict_sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    with Sshd(tmp_path_factory.mktemp("sshd"), through=THROUGH) as server:
        yield server


@pytest.fixture
def strict_site(rabbit: Rabbit, strict_sshd: Sshd, tmp_path: Path) -> Site:
    return Site(rabbit, strict_sshd, tmp_path / "site")


def mode(path: Path) -> str:
    return f"{stat.S_IMODE(path.stat().st_mode):o}"


def post_tree(site: Site, *, directory_mode: int = 0o755) -> None:
    """Post a directory with a file in it."""
    (site.source / "d").mkdir(exist_ok=True)
    (site.source / "d").chmod(directory_mode)
    (site.source / "d" / "f").write_text("x")
    site.run("sr_post", site.source / "d")


@pytest.mark.parametrize("option", [[], ["--perm-dir-default", "750"]])
def test_directories_made_in_passing_have_the_mode_permDirDefault(
    strict_site: Site, option: list[str]
) -> None:
    (strict_site.source / "f").write_text("x")
    strict_site.run("sr_post", strict_site.source / "f")
    strict_site.drain("--directory", strict_site.dest / "a/b", *option)
    wanted = option[-1] if option else "775"
    assert (strict_site.dest / "a/b/f").exists()
    assert [mode(strict_site.dest / name) for name in ("a", "a/b")] == [wanted, wanted]


def test_announced_directories_have_the_announced_mode_and_inherit_S_ISGID(
    strict_site: Site,
) -> None:
    strict_site.dest.chmod(0o2777)
    post_tree(strict_site, directory_mode=0o775)
    strict_site.drain()
    assert mode(strict_site.dest / "d") == "2775"
    strict_site.run("sr_post", strict_site.source / "d" / "f")
    strict_site.drain("--directory", strict_site.dest / "other")
    assert [mode(strict_site.dest / name) for name in ("other", "other/d")] == ["2775", "2775"]


def test_an_existing_directory_keeps_its_mode_and_the_report_says_so(strict_site: Site) -> None:
    (strict_site.dest / "d").mkdir()
    (strict_site.dest / "d").chmod(0o2775)
    post_tree(strict_site)
    strict_site.drain()
    assert mode(strict_site.dest / "d") == "2775"
    [report] = [one for one in strict_site.reports() if one["relPath"] == "d"]
    assert report["code"] == 304
    assert report["message"] == "directory is there and keeps its mode 2775"


def test_a_directory_made_in_passing_gets_the_mode_announced_later(strict_site: Site) -> None:
    """As when one of several senders has a file before another one has its directory."""
    post_tree(strict_site, directory_mode=0o750)
    with strict_site.rabbit.channel() as channel:
        _, _, of_directory = channel.basic_get(strict_site.queue, auto_ack=True)
    strict_site.drain()
    assert mode(strict_site.dest / "d") == "775"
    with strict_site.rabbit.channel() as channel:
        channel.basic_publish("", strict_site.queue, of_directory or b"")
    strict_site.drain()
    assert mode(strict_site.dest / "d") == "750"


def test_a_directory_made_in_passing_that_was_changed_keeps_its_mode(strict_site: Site) -> None:
    post_tree(strict_site)
    with strict_site.rabbit.channel() as channel:
        channel.basic_get(strict_site.queue, auto_ack=True)
    strict_site.drain()
    (strict_site.dest / "d").chmod(0o770)
    strict_site.run("sr_post", strict_site.source / "d")
    strict_site.drain()
    assert mode(strict_site.dest / "d") == "770"


def test_permDirCopy_sets_the_mode_of_an_existing_directory_but_keeps_S_ISGID(
    strict_site: Site,
) -> None:
    (strict_site.dest / "d").mkdir()
    (strict_site.dest / "d").chmod(0o2775)
    post_tree(strict_site, directory_mode=0o700)
    strict_site.drain("--perm-dir-copy")
    assert mode(strict_site.dest / "d") == "2700"
    assert strict_site.codes() == {"d": [201], "d/f": [201]}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives directories away")
def test_a_directory_that_the_user_may_write_but_does_not_own_is_filled(strict_site: Site) -> None:
    for name in (".", "d"):
        (strict_site.dest / name).mkdir(exist_ok=True)
        (strict_site.dest / name).chmod(0o777)
        os.chown(strict_site.dest / name, NOBODY, NOBODY)
    post_tree(strict_site)
    strict_site.drain()
    assert (strict_site.dest / "d" / "f").read_text() == "x"
    assert strict_site.codes() == {"d": [304], "d/f": [201]}


@pytest.mark.parametrize("target", ["no/where", "d"])
def test_a_link_to_nothing_in_place_of_a_directory_is_in_the_way(
    strict_site: Site, target: str
) -> None:
    (strict_site.dest / "d").symlink_to(target)
    post_tree(strict_site)
    strict_site.drain(status=1)
    assert strict_site.codes() == {"d": [409], "d/f": [409]}
    assert all("d is in the way" in one["message"] for one in strict_site.reports())
