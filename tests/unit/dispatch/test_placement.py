"""From an announcement to a job: may we, which file here, which name there."""

from typing import Any

import pytest

from sarra_lite.broker.client import Delivery
from sarra_lite.config.commands import SenderConfig
from sarra_lite.config.credentials import parse_url
from sarra_lite.config.rules import Rule
from sarra_lite.config.shared import EVENTS
from sarra_lite.delivery.job import Job
from sarra_lite.dispatch.placement import make_job
from sarra_lite.errors import MessageError, TransferError
from sarra_lite.messages.v03 import Announcement


def place(announcement: Announcement, *, author: str | None = "uearnest", **options: Any) -> Job:
    config = SenderConfig(
        broker=parse_url("amqp://uearnest@h/", ["amqp", "amqps"]),
        sendTo=parse_url("sftp://e@h/", ["sftp"]),
        directory="in",
        **options,
    )
    delivery = Delivery(b"", None, author, "xac_earnest", redelivered=False, offset=None)
    return make_job(config, announcement, delivery)


def announced(path: str = "d/f", base: str = "file:/home/earnest", **fields: Any) -> Announcement:
    return Announcement("20260101T000000", base, path, **fields)


def test_a_file_is_found_below_its_base_url_and_goes_below_the_directory() -> None:
    job = place(announced())
    assert (job.source, job.path) == ("/home/earnest/d/f", "in/d/f")


def test_base_dir_says_where_the_files_of_another_url_are() -> None:
    assert place(announced(base="https://h/x"), baseDir="/data").source == "/data/d/f"
    with pytest.raises(MessageError, match="set baseDir"):
        place(announced(base="https://h/x"))


@pytest.mark.parametrize("path", ["../f", "d/../../f", "/etc/passwd", "", "d/.."])
def test_no_path_leaves_its_base(path: str) -> None:
    with pytest.raises(MessageError, match="leaves its base"):
        place(announced(path))


@pytest.mark.parametrize(
    ("old", "base_dir"),
    [("/old/name", None), ("/home/earnest/old/name", None), ("/data/old/name", "/data")],
)
def test_the_old_name_of_a_rename_is_understood_as_sr3_and_we_write_it(
    old: str, base_dir: str | None
) -> None:
    job = place(announced(file_op={"rename": old}), baseDir=base_dir, events=EVENTS)
    assert job.old_path == "in/old/name"


def test_without_the_event_rename_the_old_name_stays_at_the_destination() -> None:
    assert place(announced(file_op={"rename": "/home/earnest/old"})).old_path is None


@pytest.mark.parametrize(
    ("operation", "event"),
    [
        ({"remove": ""}, "remove"),
        ({"remove": "", "directory": ""}, "remove"),
        ({"remove": "", "rename": "/old"}, "remove"),
        ({"directory": ""}, "mkdir"),
        ({"link": "target"}, "link"),
        (None, "create"),
    ],
)
def test_nothing_is_done_that_is_not_among_the_events(
    operation: dict[str, str] | None, event: str
) -> None:
    announcement = announced(file_op=operation)
    place(announcement, events=[event])
    others = set(EVENTS) - {event} - (set() if operation else {"modify", "attributes"})
    with pytest.raises(TransferError, match="not in events of configuration default") as refused:
        place(announcement, events=sorted(others))
    assert refused.value.code == 403


def test_by_default_nothing_is_removed() -> None:
    for operation in ({"remove": ""}, {"remove": "", "directory": ""}):
        with pytest.raises(TransferError, match="remove: not in events"):
            place(announced(file_op=operation))


def test_a_rename_cannot_take_what_is_outside() -> None:
    with pytest.raises(MessageError):
        place(announced(file_op={"rename": "/../f"}))


@pytest.mark.parametrize(
    ("author", "options", "allowed"),
    [
        ("uearnest", {}, True),
        (None, {}, True),
        (None, {"requireUserId": True}, False),
        ("mallory", {}, False),
        ("colleague", {"acceptUsers": ["colleague"], "baseDir": "/data"}, True),
        ("uearnest", {"acceptUsers": ["colleague"], "baseDir": "/data"}, True),
        (None, {"acceptUsers": ["colleague"], "baseDir": "/data"}, False),
    ],
)
def test_only_those_whom_the_configuration_names_are_acted_for(
    author: str | None, options: dict[str, Any], *, allowed: bool
) -> None:
    if allowed:
        place(announced(), author=author, **options)
    else:
        with pytest.raises(TransferError) as refused:
            place(announced(), author=author, **options)
        assert refused.value.code == 403


@pytest.mark.parametrize("options", [{}, {"baseDir": "/data"}])
def test_a_base_url_that_is_none_is_refused(options: dict[str, str]) -> None:
    with pytest.raises(MessageError, match="baseUrl"):
        place(announced(base="file://["), **options)


@pytest.mark.parametrize(
    ("announcement", "options"),
    [
        (announced(base="file:/a%00b"), {}),
        (announced(base="file:/" + "x" * 256), {}),
        (announced("/".join(["a" * 200] * 20)), {"baseDir": "/b" * 100}),
        (announced("a" * 200 + "/" + "b" * 200), {"flatten": "-"}),
        (announced(file_op={"rename": "a" * 200 + "/" + "b" * 200}), {"flatten": "-"}),
        (
            announced("d/" + "x" * 251),
            {"rules": [Rule(accept=".*/(x+)", directory="user-${0}", mirror=False)]},
        ),
    ],
)
def test_a_path_that_no_file_has_is_refused_before_anything_is_opened(
    announcement: Announcement, options: dict[str, Any]
) -> None:
    with pytest.raises(MessageError, match=r"^the (old )?path at the (source|destination) has"):
        place(announcement, **options)


@pytest.mark.parametrize("time", ["19700101T000000", "99991231T235959.999999999"])
def test_the_date_of_the_first_and_last_announcement_can_be_in_the_directory(time: str) -> None:
    rules = [Rule(accept=".*", directory="${%Y%m%d}")]
    announcement = Announcement(time, "file:/home/earnest", "f")
    assert place(announcement, rules=rules).path == f"{time[:8]}/f"


OTHERS: dict[str, Any] = {"acceptUsers": ["colleague"], "baseDir": "/data"}


@pytest.mark.parametrize(
    ("author", "options", "source"),
    [("colleague", OTHERS, "colleague"), ("uearnest", OTHERS, "uearnest"), (None, {}, "uearnest")],
)
def test_the_source_of_a_directory_is_the_proven_author_whatever_the_announcement_says(
    author: str | None, options: dict[str, Any], source: str
) -> None:
    rules = [Rule(accept=".*", directory="in/${source}")]
    job = place(announced(source="mallory"), author=author, rules=rules, **options)
    assert job.path == f"in/{source}/d/f"
    assert job.announcement.source == source


@pytest.mark.parametrize(
    ("directory", "root"),
    [
        ("", ""),
        ("/", "/"),
        ("/in/${source}/x", "/in/colleague/x"),
        ("in/${%Y}", "in/2026"),
        ("in/${0}/x", "in"),
        ("/${0}", "/"),
        ("a${1}b/c", ""),
    ],
)
def test_others_have_to_stay_in_the_part_of_the_directory_that_they_cannot_choose(
    directory: str, root: str
) -> None:
    rules = [Rule(accept=".*/(d)/(f)", directory=directory)]
    job = place(announced(), author="colleague", rules=rules, **OTHERS)
    assert (job.root, job.source_root) == (root, "/data")
    own = place(announced(), author="uearnest", rules=rules, **OTHERS)
    assert (own.root, own.source_root) == (None, None)


@pytest.mark.parametrize(
    ("announcement", "options"),
    [
        (announced(".ssh/id_ed25519"), {}),
        (announced("home/.GnuPG/private-keys-v1.d/key"), {}),
        (announced("d/.netrc"), {}),
        (announced("id_ed25519", base="file:/home/earnest/.ssh"), {}),
        (announced("keys/f"), {"rules": [Rule(accept=".*/keys/", directory=".ssh")]}),
        (announced("f", file_op={"rename": "/home/earnest/.ssh/f"}), {"events": EVENTS}),
        (announced("d", file_op={"link": "../.ssh"}), {}),
        (announced(".ssh", file_op={"directory": ""}), {}),
        (announced(".ssh/known_hosts", file_op={"remove": ""}), {"events": EVENTS}),
    ],
)
def test_keys_and_passwords_need_a_word_of_their_own(
    announcement: Announcement, options: dict[str, Any]
) -> None:
    with pytest.raises(TransferError, match="holds keys or passwords: set privateFiles") as refused:
        place(announcement, **options)
    assert refused.value.code == 403
    place(announcement, privateFiles=True, **options)


@pytest.mark.parametrize(
    ("time", "nearest"),
    [
        ("19691231T235959", 0),
        ("00010101T000000", 0),
        ("21060207T062816", 2**32 - 1),
        ("99991231T235959", 2**32 - 1),
    ],
)
def test_a_time_that_sftp_does_not_have_becomes_the_nearest_and_the_report_says_so(
    time: str, nearest: int
) -> None:
    job = place(announced(mtime=time))
    assert job.attributes.mtime == nearest
    assert "SFTP has no such modification time" in job.remark
    job = place(announced(mtime=time), timeCopy=False)
    assert (job.attributes.mtime, job.remark) == (None, "")


@pytest.mark.parametrize(
    ("time", "seconds"), [("19700101T000000", 0), ("21060207T062815", 2**32 - 1)]
)
def test_the_first_and_last_time_of_sftp_is_set(time: str, seconds: int) -> None:
    job = place(announced(mtime=time))
    assert (job.attributes.mtime, job.remark) == (seconds, "")
