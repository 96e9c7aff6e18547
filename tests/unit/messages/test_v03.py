"""The v03 format: what is written can be read, and nothing that is read can do harm."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sarra_lite import units
from sarra_lite.errors import MessageError
from sarra_lite.messages import blocks, v03
from sarra_lite.messages.v03 import Announcement, Blocks, Identity, Report

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

LARGEST = 2**63 - 1
MINIMAL = {"pubTime": "20261123T222859.5", "baseUrl": "file:/", "relPath": "d/f"}
FIELDS = (
    *("pubTime", "baseUrl", "relPath", "size", "mtime", "atime", "mode", "identity", "blocks"),
    *("fileOp", "source", "contentType", "report"),
)


def announced(**fields: Any) -> Announcement:
    """What is read from the least that sr3 takes for a message, with more fields."""
    return v03.decode(json.dumps({**MINIMAL, **fields}).encode())


def optional(strategy: SearchStrategy[Any]) -> SearchStrategy[Any]:
    return st.none() | strategy


# Any bytes but NUL may be in a name on disk.
NAMES = (
    st.binary(min_size=1, max_size=300)
    .map(lambda raw: raw.replace(b"\0", b"0").lstrip(b"/") or b"f")
    .map(lambda raw: raw.decode(errors="surrogateescape"))
)
TIMES = st.integers(0, 4_000_000_000 * 10**9).map(units.time_string)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
TEXTS = st.text(max_size=30)
JSON: SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=10,
)
IDENTITIES = st.builds(Identity, TEXTS, TEXTS)
REPORTS = st.builds(
    Report,
    code=st.integers(100, 599),
    message=TEXTS,
    time_completed=TIMES,
    host=optional(TEXTS),
    user=optional(TEXTS),
    instance=optional(TEXTS),
    bytes=optional(st.integers(0, LARGEST)),
    seconds=optional(NUMBERS),
    rate=optional(NUMBERS),
    block=optional(st.integers(0, 10**9)),
    identity=optional(IDENTITIES),
    attempt=optional(st.integers(1, 1000)),
    will_retry=optional(NUMBERS),
    rejected=optional(TEXTS),
)


@st.composite
def pieces(draw: st.DrawFn) -> Blocks:
    size = draw(st.integers(1, 2**31))
    count = draw(st.integers(1, 2**31))
    remainder = draw(st.integers(0, size - 1))
    number = draw(optional(st.integers(0, count - 1)))
    return Blocks(size, count, remainder, number, finish=draw(st.booleans()))


@st.composite
def announcements(draw: st.DrawFn) -> Announcement:
    piece = draw(optional(pieces()))
    return Announcement(
        pub_time=draw(TIMES),
        base_url=draw(TEXTS.filter(lambda text: "\0" not in text)),
        rel_path=draw(NAMES),
        size=piece.file_size if piece else draw(optional(st.integers(0, LARGEST))),
        mtime=draw(optional(TIMES)),
        atime=draw(optional(TIMES)),
        mode=draw(optional(st.integers(0, 0o7777))),
        identity=draw(optional(IDENTITIES)),
        blocks=piece,
        file_op=draw(optional(st.dictionaries(TEXTS, NAMES, max_size=3))),
        source=draw(optional(TEXTS)),
        content_type=draw(optional(TEXTS)),
        report=draw(optional(REPORTS)),
        extra=draw(st.dictionaries(TEXTS.filter(lambda k: k not in FIELDS), JSON, max_size=4)),
    )


@given(announcements())
def test_what_is_written_is_read_as_it_was_unknown_fields_included(made: Announcement) -> None:
    assert v03.decode(v03.encode(made)) == made


@given(announcements())
def test_what_is_written_is_plain_ascii_json_in_one_line(made: Announcement) -> None:
    body = v03.encode(made)
    assert body.isascii()
    assert b"\n" not in body
    json.loads(body, parse_constant=pytest.fail)


@given(NAMES, NAMES)
def test_names_of_any_bytes_arrive_byte_for_byte(name: str, other: str) -> None:
    made = Announcement("20261123T222859", "file:/", name, file_op={"rename": other})
    found = v03.decode(v03.encode(made))
    assert found.rel_path.encode(errors="surrogateescape") == name.encode(errors="surrogateescape")
    assert found.file_op == {"rename": other}


def used(found: Announcement) -> None:
    """Do with a message all that is done with messages."""
    assert v03.decode(v03.encode(found)) == found
    assert len(v03.topic("v03.post", found.rel_path).encode()) <= 255
    assert len(found.version) == 8
    assert found.mtime_ns is None or isinstance(found.mtime_ns, int)
    assert isinstance(found.key, tuple)
    units.printable(f"{found.source} {found.base_url} {found.rel_path}")
    if found.report is not None:
        units.printable(f"{found.report.message} {found.report.host}")
        units.show_size(found.report.bytes or 0)
    units.show_size(found.size or 0)


@given(st.binary(max_size=200))
@example(b"")
@example(b"\xff\xfe{\0}\0")
@example(b"[" * 100_000)
@example(b'{"a":' * 100_000)
@example(b"null")
@example(b'"text"')
@example(b"1" * 10_000)
def test_any_bytes_are_a_message_or_a_message_error(body: bytes) -> None:
    with pytest.raises(MessageError) as told:
        used(v03.decode(body))
    assert told.value.code == 417
    assert str(told.value).isprintable()


INNER = (
    *("size", "count", "remainder", "number", "manifest", "method", "finish", "0", "1"),
    *("code", "message", "timeCompleted", "host", "bytes", "seconds", "rate", "willRetry"),
    *("resultCode", "elapsedTime", "identity", "value", "link", "rename", "remove"),
)
VALUES = JSON | TIMES | st.integers(0, 9) | st.integers(0, 9).map(str) | st.just("inplace")
ALMOST: SearchStrategy[Any] = st.recursive(
    VALUES, lambda inner: st.dictionaries(st.sampled_from(INNER), inner, max_size=8), max_leaves=20
)


@given(st.dictionaries(st.sampled_from(FIELDS), ALMOST), st.dictionaries(TEXTS, JSON, max_size=2))
@example({"source": "\ud800"}, {})
@example({"baseUrl": "\ud800"}, {})
@example({"relPath": "\udfff"}, {})
@example({"relPath": "a\0b"}, {})
@example({"fileOp": {"link": "a\0b"}}, {})
@example({"size": 10**400}, {})
@example({"mode": "-644"}, {})
@example({"report": {"code": 201, "bytes": 10**400}}, {})
@example({"report": {"code": 201, "seconds": "nan"}}, {})
@example({"report": {"code": 201, "host": "\ud800"}}, {})
@example({"report": {"code": 201, "timeCompleted": None}}, {})
@example({"blocks": {"size": 0, "manifest": {"0": {"size": 0}}}}, {})
@example({"blocks": {"size": 1, "manifest": {}}}, {})
def test_any_json_in_any_field_is_a_message_or_a_message_error(
    fields: dict[str, Any], more: dict[str, Any]
) -> None:
    try:
        found = v03.decode(json.dumps({**MINIMAL, **more, **fields}).encode())
    except MessageError as error:
        told = str(error)
    else:
        used(found)
        told = ""
    assert told.isprintable()


WRONG: dict[str, list[Any]] = {
    "pubTime": [None, 5, "yesterday", "20261399T000000", "", []],
    "baseUrl": [None, 5, {}],
    "relPath": [None, 5, ["d/f"], "a\0b", "\ud800"],
    "size": ["many", -1, 1.5, [], 2**63, 10**4000],
    "mtime": [5, "2026", "20261123T222859.x"],
    "mode": ["rwx", "9", "-644", [], 1.5],
    "identity": ["sha512", {"method": "sha512"}, {"method": 1, "value": 2}],
    "blocks": [
        "1,10,1,0,0",
        {},
        {"size": 10, "count": 0, "number": 0},
        {"size": 0, "count": 1, "number": 0},
        {"size": 10, "count": 3, "number": 3},
        {"size": 10, "count": 3, "number": -1},
        {"size": 10, "count": 3, "number": 0, "remainder": 10},
        {"size": "ten", "count": 3, "number": 0},
        {"size": 10, "number": 0, "manifest": {"7": {"size": 10}}},
        {"size": 10, "count": 3, "number": 0, "method": "partitioned"},
        {"size": 2**62, "count": 2**62, "number": 0},
    ],
    "fileOp": ["remove", ["remove"], {"link": 5}, {"rename": "a\0b"}],
    "source": [5, {}, "\ud800"],
    "report": ["201", {}, {"code": "fine"}, {"code": 201, "timeCompleted": "later"}],
}


@pytest.mark.parametrize(("field", "value"), [(f, v) for f, vs in WRONG.items() for v in vs])
def test_a_field_of_a_wrong_kind_makes_the_message_unusable(field: str, value: Any) -> None:
    with pytest.raises(MessageError, match=r"^unusable announcement: .") as told:
        announced(**{field: value})
    assert str(told.value).isprintable()


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "9" * 5000])
def test_numbers_that_could_not_be_written_again_are_refused(number: str) -> None:
    body = json.dumps({**MINIMAL, "x": 0}).replace(": 0", f": {number}")
    with pytest.raises(MessageError, match=r"^not JSON"):
        v03.decode(body.encode())


def test_unknown_fields_may_be_nested_but_not_without_end() -> None:
    assert announced(x=[[[["deep"]]]]).extra == {"x": [[[["deep"]]]]}
    body = json.dumps({**MINIMAL, "x": 0}).replace(": 0", ": " + "[" * 300 + "]" * 300)
    with pytest.raises(MessageError, match="nested too deeply"):
        v03.decode(body.encode())


def test_a_body_larger_than_any_of_sr3_is_not_even_parsed() -> None:
    with pytest.raises(MessageError, match=r"^body of 8388609 bytes"):
        v03.decode(b" " * (8 * 1024 * 1024 + 1))


def test_v02_is_refused_by_its_content_type() -> None:
    with pytest.raises(MessageError, match=r"^v02 is not spoken here"):
        v03.decode(json.dumps(MINIMAL).encode(), "text/plain")


def test_the_least_that_sr3_writes_is_enough() -> None:
    found = announced()
    assert (found.rel_path, found.size, found.mode, found.extra) == ("d/f", None, None, {})


def test_absent_and_null_are_the_same() -> None:
    assert announced(size=None, mode=None, blocks=None, report=None) == announced()


def test_numbers_may_be_texts_as_sr3_cpost_writes_them() -> None:
    found = announced(
        size="10485760",
        blocks={
            "method": "inplace",
            "size": "10485760",
            "count": "3",
            "remainder": "4028480",
            "number": "2",
        },
    )
    assert found.size == 25_000_000
    assert found.blocks == Blocks(10_485_760, 3, 4_028_480, 2)


def test_both_shapes_of_blocks_mean_the_same() -> None:
    manifest = {str(n): {"size": size, "identity": "x"} for n, size in enumerate([10, 10, 4])}
    python = {"method": "inplace", "size": 10, "number": 1, "manifest": manifest}
    c = {"method": "inplace", "size": 10, "number": 1, "count": 3, "remainder": 4}
    assert announced(blocks=python, size=10) == announced(blocks=c, size=10)
    assert announced(blocks=c).size == 24


def test_a_last_block_as_long_as_the_others_leaves_no_remainder() -> None:
    manifest = {str(n): {"size": 10} for n in range(3)}
    found = announced(blocks={"size": 10, "number": 2, "manifest": manifest})
    assert found.blocks == Blocks(10, 3, 0, 2)
    assert found.blocks.length == 10
    assert found.size == 30


@given(pieces())
def test_blocks_cover_the_file_without_gap_or_overlap(piece: Blocks) -> None:
    last = msgspec.structs.replace(piece, number=piece.count - 1)
    assert last.offset + last.length == last.file_size
    if piece.number is not None and piece.number < piece.count - 1:
        following = msgspec.structs.replace(piece, number=piece.number + 1)
        assert piece.offset + piece.length == following.offset


def test_the_finish_of_a_file_is_the_blocks_without_a_number() -> None:
    assert announced(blocks={"size": 10, "count": 3, "remainder": 4}).is_finish
    assert not announced(blocks={"size": 10, "count": 3, "remainder": 4, "number": 0}).is_finish
    assert not announced().is_finish


def test_announcements_of_blocks_are_small_however_many_there_are() -> None:
    """sr3 repeats the identities of all blocks in each."""
    whole = announced(
        relPath="some/directories/on/the/way/to/a file.nc",
        size=100_000 * blocks.LEAST,
        mtime="20261123T222859.512931347",
        mode="644",
        source="uearnest",
    )
    made = list(blocks.split(whole, blocks.LEAST))
    sizes = {len(v03.encode(one)) for one in (made[0], made[50_000], made[-2], made[-1])}
    assert len(made) == 100_001
    assert max(sizes) < 1024
    assert max(sizes) - min(sizes) < 100


def test_mode_is_octal_with_or_without_a_leading_zero_and_only_permissions_count() -> None:
    assert announced(mode="644").mode == announced(mode="0644").mode == 0o644
    assert announced(mode="100644").mode == 0o644
    assert json.loads(v03.encode(announced(mode="0644")))["mode"] == "644"


def test_a_leading_slash_of_a_path_is_dropped() -> None:
    assert announced(relPath="/d/f").rel_path == "d/f"


@pytest.mark.parametrize("path", ["..", "../f", "d/../../f", "d/..", "/etc/passwd", "//f", ""])
def test_a_path_that_leaves_its_base_is_refused(path: str) -> None:
    with pytest.raises(MessageError, match="leaves its base directory"):
        v03.check_path(path)


@pytest.mark.parametrize("path", ["f", "d/f", "..f", "f..", "d/..f/...", " ", "d/\udcff"])
def test_a_path_that_stays_below_its_base_is_returned(path: str) -> None:
    assert v03.check_path(path) == path


def test_a_topic_is_the_prefix_and_the_directories() -> None:
    assert v03.topic("v03.post", "a/b/f.txt") == "v03.post.a.b"
    assert v03.topic("v03", "f.txt") == "v03"
    assert v03.topic("v03", "with blank/1.5/f") == "v03.with blank.1.5"


def test_a_topic_escapes_what_binding_keys_give_a_meaning_as_sr3_does() -> None:
    assert v03.topic("v03", "a#1/b*2/f") == "v03.a%231.b%222"


def test_bytes_of_a_directory_that_are_no_utf8_are_percent_encoded_in_its_topic() -> None:
    assert v03.topic("v03", "a\udcff\udc80b/f") == "v03.a%FF%80b"


def test_a_long_topic_is_cut_between_characters() -> None:
    assert v03.topic("v03", "é" * 200 + "/f") == "v03." + "é" * 125
    assert len(v03.topic("v03", "x" * 300 + "/f")) == 255


@given(st.sampled_from(["v03", "v03.post"]), NAMES)
def test_a_topic_fits_into_255_bytes_and_is_utf8(prefix: str, path: str) -> None:
    made = v03.topic(prefix, path)
    assert len(made.encode()) <= 255
    assert made == prefix or made.startswith(f"{prefix}.")
    assert not {"#", "*"} & set(made)


SIZES = st.none() | st.integers(0, LARGEST)


@given(NAMES, SIZES, SIZES, TIMES, TIMES)
def test_a_file_of_another_size_or_time_is_another_version(
    path: str, size: int | None, other_size: int | None, mtime: str, other_mtime: str
) -> None:
    made = Announcement("20261123T222859", "file:/", path, size=size, mtime=mtime)
    other = msgspec.structs.replace(made, size=other_size, mtime=other_mtime)
    assert (made.version == other.version) == ((size, mtime) == (other_size, other_mtime))


def test_blocks_finish_and_whole_of_a_file_are_one_version_announced_at_any_time() -> None:
    whole = announced(size=25, mtime="20261123T222859")
    versions = {one.version for one in blocks.split(whole, 10)} | {
        whole.version,
        announced(pubTime="20261124T000000", size=25, mtime="20261123T222859").version,
    }
    assert len(versions) == 1


def test_a_report_as_sr3_documents_it_is_understood_too() -> None:
    report = announced(
        report={"elapsedTime": 1.5, "resultCode": 201, "host": "h", "user": "u"}
    ).report
    assert report is not None
    assert (report.code, report.seconds, report.host, report.user) == (201, 1.5, "h", "u")


@pytest.mark.parametrize(
    ("code", "arrived"), [(201, True), (206, True), (304, True), (404, False), (507, False)]
)
def test_a_report_tells_whether_the_file_is_there(code: int, *, arrived: bool) -> None:
    assert Report(code, "", "20261123T222859").arrived is arrived


def test_a_report_that_tells_of_another_attempt_is_not_final() -> None:
    assert not Report(507, "full", "20261123T222859", will_retry=15.0).final
    assert Report(507, "full", "20261123T222859").final


def test_a_report_is_the_announcement_with_what_became_of_it() -> None:
    made = announced(size=6, project="ocean")
    reported = made.reported(Report(201, "file sent", v03.now()))
    assert reported.key == made.key
    assert reported.extra == {"project": "ocean"}
    assert msgspec.structs.replace(reported, report=None) == made


@pytest.mark.parametrize("fraction", [".00271606e-05", "e-05", ".38418579e-07"])
def test_a_time_of_which_sr3_lost_a_digit_is_the_whole_second(fraction: str) -> None:
    whole = announced(mtime="20261130T005320").mtime_ns
    assert announced(mtime=f"20261130T005320{fraction}").mtime_ns == whole
