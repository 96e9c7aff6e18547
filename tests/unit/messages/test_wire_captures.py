"""Decoding of messages in wire/, which metpx-sr3 3.3.1 published, captured from its exchange.

Files: ``post`` a directory tree, ``blocks`` a file of 25,000,000 bytes in blocks of 10 MiB,
``inline`` content in the message, ``opts`` identity cod and a field that an option adds, ``watch``
changes, ``report`` reports of a sender.  All are in v03, some also in v02.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote

import pytest

from sarra_lite.errors import MessageError
from sarra_lite.messages import v03

if TYPE_CHECKING:
    from sarra_lite.messages.v03 import Announcement


class Captured(NamedTuple):
    file: str
    topic: str
    content_type: str
    body: bytes

    @property
    def fields(self) -> dict[str, Any]:
        fields: dict[str, Any] = json.loads(self.body)
        return fields

    def decode(self) -> Announcement:
        return v03.decode(self.body, self.content_type)


def captured() -> list[Captured]:
    messages = []
    for file in sorted((Path(__file__).parent / "wire").glob("*.jsonl")):
        for line in file.read_text().splitlines():
            fields = json.loads(line)
            content_type = fields["properties"]["content_type"]
            body = fields["body"].encode()
            messages.append(Captured(file.stem, fields["routing_key"], content_type, body))
    return messages


ALL = captured()
V02 = [message for message in ALL if "v02" in message.topic]
V03 = [message for message in ALL if "v02" not in message.topic]


def decoded(file: str) -> list[Announcement]:
    return [message.decode() for message in V03 if message.file == file]


def name(message: Captured) -> str:
    return f"{message.file}-{ALL.index(message)}"


def test_messages_of_both_formats_were_captured() -> None:
    assert (len(V03), len(V02)) == (27, 15)


@pytest.mark.parametrize("message", V03, ids=name)
def test_a_message_of_sr3_is_decoded(message: Captured) -> None:
    announcement, fields = message.decode(), message.fields
    assert announcement.pub_time == fields["pubTime"]
    assert announcement.base_url == fields["baseUrl"]
    assert v03.check_path(announcement.rel_path) == fields["relPath"]
    assert announcement.source == "uearnest"
    assert announcement.file_op == fields.get("fileOp")
    assert announcement.content_type == fields.get("contentType")
    assert announcement.mode == (int(fields["mode"], 8) if "mode" in fields else None)
    assert announcement.mtime == fields.get("mtime")
    if "blocks" not in fields:
        assert announcement.size == fields.get("size")
    if "identity" in fields:
        assert announcement.identity == v03.Identity(**fields["identity"])


@pytest.mark.parametrize("message", V03, ids=name)
def test_an_encoded_message_of_sr3_is_the_same_with_its_unknown_fields(message: Captured) -> None:
    encoded = json.loads(v03.encode(message.decode()))
    changed = {"blocks", "size"} if "blocks" in message.fields else set()
    assert {k: v for k, v in encoded.items() if k not in changed} == {
        k: v for k, v in message.fields.items() if k not in changed
    }
    assert v03.decode(v03.encode(message.decode())) == message.decode()


@pytest.mark.parametrize("message", V03, ids=name)
def test_the_topic_of_a_message_is_that_of_sr3(message: Captured) -> None:
    assert v03.topic("v03", message.fields["relPath"]) == message.topic


@pytest.mark.parametrize("message", V02, ids=name)
def test_v02_is_refused_with_the_name_of_its_file_and_the_remedy(message: Captured) -> None:
    with pytest.raises(
        MessageError, match=r"^v02 is not spoken here: set post_format v03"
    ) as raised:
        message.decode()
    assert raised.value.code == 417
    assert raised.value.rel_path == unquote(message.body.decode().split(" ")[2])
    with pytest.raises(MessageError, match="v02 is not spoken here"):
        v03.decode(message.body, None)  # recognised by its body


def test_a_tree_is_announced_as_directories_files_and_links_in_order() -> None:
    assert [(one.rel_path, one.file_op or one.size) for one in decoded("post_v03")] == [
        ("data/src", {"directory": ""}),
        ("data/src/a", {"directory": ""}),
        ("data/src/a/b", {"directory": ""}),
        ("data/src/a/b/sp ace#1.bin", 3000),
        ("data/src/a/b/hello.txt", 6),
        ("data/src/a/b/link.txt", {"link": "hello.txt"}),
        ("data/src/a/empty", {"directory": ""}),
    ]


def test_the_size_of_a_block_announcement_is_that_of_the_whole_file() -> None:
    """In the message of sr3 it is the length of the block."""
    blocks = decoded("blocks_v03")
    assert [one.block for one in blocks] == [0, 1, 2]
    for one in blocks:
        assert one.size == 25_000_000
        assert one.blocks is not None
        assert (one.blocks.count, one.blocks.finish) == (3, False)
    assert [(one.blocks.offset, one.blocks.length) for one in blocks if one.blocks] == [
        (0, 10_485_760),
        (10_485_760, 10_485_760),
        (20_971_520, 4_028_480),
    ]


def test_blocks_of_one_file_have_different_keys_and_one_version() -> None:
    blocks = decoded("blocks_v03")
    assert len({one.key for one in blocks}) == 3
    assert len({one.version for one in blocks}) == 1


def test_changes_that_sr3_announces_are_decoded() -> None:
    file, renamed, link, directory, removed, removed_directory = decoded("watch_w")
    assert file.file_op is None
    assert renamed.file_op == {"rename": "/data/src/w/f1"}
    assert (renamed.size, renamed.identity) == (file.size, file.identity)
    assert link.file_op == {"link": "f2"}
    assert directory.file_op == {"directory": ""}
    assert removed.file_op == {"remove": ""}
    assert removed_directory.file_op == {"remove": "", "directory": ""}


def test_inline_content_and_fields_of_options_are_unknown_fields() -> None:
    assert decoded("inline_v03")[0].extra == {"content": {"encoding": "utf-8", "value": "hello\n"}}
    (with_options,) = decoded("opts_v03")
    assert with_options.extra == {"foo": "bar"}
    assert with_options.identity == v03.Identity("cod", "sha512")


def test_reports_of_sr3_differ_from_its_announcements_of_sent_files() -> None:
    *again, first, second, third, link = decoded("report_c")
    assert [one.report for one in again] == [None] * 4
    for one in (first, second, third, link):
        assert one.report is not None
        assert (one.report.code, one.report.arrived, one.report.final) == (201, True, True)
    assert [one.report.message for one in (first, link) if one.report] == [
        "file sent",
        "file linked",
    ]
    assert first.report is not None
    assert first.report.rate == pytest.approx(16.07042)
    assert first.report.time_completed == "20261123T224801.907777786"


def test_the_report_on_a_rejected_file_is_final_and_a_failure() -> None:
    (rejected,) = decoded("report_fail")
    assert rejected.report is not None
    assert (rejected.report.code, rejected.report.arrived) == (404, False)
    assert rejected.report.final
