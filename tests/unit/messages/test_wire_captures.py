"""Every message in wire/ was published by metpx-sr3 3.3.1 and captured from its exchange.

What the files hold: ``post`` a tree announced, ``blocks`` a file of 25,000,000 bytes in blocks of
10 MiB, ``inline`` content in the message, ``opts`` identity cod and a field added by an option,
``watch`` changes, ``report`` what a sender said; each as v03, some as v02, too.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

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
    found = []
    for file in sorted((Path(__file__).parent / "wire").glob("*.jsonl")):
        for line in file.read_text().splitlines():
            told = json.loads(line)
            content_type = told["properties"]["content_type"]
            body = told["body"].encode()
            found.append(Captured(file.stem, told["routing_key"], content_type, body))
    return found


ALL = captured()
V02 = [one for one in ALL if "v02" in one.topic]
V03 = [one for one in ALL if "v02" not in one.topic]


def of(file: str) -> list[Announcement]:
    return [one.decode() for one in V03 if one.file == file]


def name(one: Captured) -> str:
    return f"{one.file}-{ALL.index(one)}"


def test_there_are_messages_of_both_formats() -> None:
    assert (len(V03), len(V02)) == (27, 15)


@pytest.mark.parametrize("one", V03, ids=name)
def test_what_sr3_says_is_understood(one: Captured) -> None:
    found, fields = one.decode(), one.fields
    assert found.pub_time == fields["pubTime"]
    assert found.base_url == fields["baseUrl"]
    assert v03.check_path(found.rel_path) == fields["relPath"]
    assert found.source == "uearnest"
    assert found.file_op == fields.get("fileOp")
    assert found.content_type == fields.get("contentType")
    assert found.mode == (int(fields["mode"], 8) if "mode" in fields else None)
    assert found.mtime == fields.get("mtime")
    if "blocks" not in fields:
        assert found.size == fields.get("size")
    if "identity" in fields:
        assert found.identity == v03.Identity(**fields["identity"])


@pytest.mark.parametrize("one", V03, ids=name)
def test_what_is_passed_on_says_the_same_and_keeps_what_we_do_not_know(one: Captured) -> None:
    passed = json.loads(v03.encode(one.decode()))
    changed = {"blocks", "size"} if "blocks" in one.fields else set()
    assert {k: v for k, v in passed.items() if k not in changed} == {
        k: v for k, v in one.fields.items() if k not in changed
    }
    assert v03.decode(v03.encode(one.decode())) == one.decode()


@pytest.mark.parametrize("one", V03, ids=name)
def test_our_topics_are_those_of_sr3(one: Captured) -> None:
    assert v03.topic("v03", one.fields["relPath"]) == one.topic


@pytest.mark.parametrize("one", V02, ids=name)
def test_v02_is_refused_in_one_line_that_tells_the_remedy(one: Captured) -> None:
    with pytest.raises(MessageError, match=r"^v02 is not spoken here: set post_format v03") as told:
        one.decode()
    assert told.value.code == 417
    with pytest.raises(MessageError, match="v02 is not spoken here"):
        v03.decode(one.body, None)  # known by its looks, too


def test_a_tree_is_directories_files_and_links_in_order() -> None:
    assert [(one.rel_path, one.file_op or one.size) for one in of("post_v03")] == [
        ("data/src", {"directory": ""}),
        ("data/src/a", {"directory": ""}),
        ("data/src/a/b", {"directory": ""}),
        ("data/src/a/b/sp ace#1.bin", 3000),
        ("data/src/a/b/hello.txt", 6),
        ("data/src/a/b/link.txt", {"link": "hello.txt"}),
        ("data/src/a/empty", {"directory": ""}),
    ]


def test_of_a_block_size_is_the_length_of_the_whole_file() -> None:
    """In sr3's message it is that of the block."""
    blocks = of("blocks_v03")
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


def test_blocks_of_one_file_are_different_messages_on_the_same_version() -> None:
    blocks = of("blocks_v03")
    assert len({one.key for one in blocks}) == 3
    assert len({one.version for one in blocks}) == 1


def test_what_sr3_sees_changing_is_a_file_a_rename_a_link_a_directory_and_removals() -> None:
    file, renamed, link, directory, removed, removed_directory = of("watch_w")
    assert file.file_op is None
    assert renamed.file_op == {"rename": "/data/src/w/f1"}
    assert (renamed.size, renamed.identity) == (file.size, file.identity)
    assert link.file_op == {"link": "f2"}
    assert directory.file_op == {"directory": ""}
    assert removed.file_op == {"remove": ""}
    assert removed_directory.file_op == {"remove": "", "directory": ""}


def test_content_in_the_message_and_fields_of_options_are_kept_apart() -> None:
    assert of("inline_v03")[0].extra == {"content": {"encoding": "utf-8", "value": "hello\n"}}
    (with_options,) = of("opts_v03")
    assert with_options.extra == {"foo": "bar"}
    assert with_options.identity == v03.Identity("cod", "sha512")


def test_reports_of_sr3_are_told_from_its_re_announcements() -> None:
    *again, first, second, third, link = of("report_c")
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


def test_a_report_of_what_a_rule_rejected_is_final_and_no_success() -> None:
    (rejected,) = of("report_fail")
    assert rejected.report is not None
    assert (rejected.report.code, rejected.report.arrived) == (404, False)
    assert rejected.report.final
