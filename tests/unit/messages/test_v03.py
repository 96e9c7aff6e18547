"""Messages survive encoding and decoding; no input makes decoding fail with another error."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sarra_lite import units
from sarra_lite.errors import MessageError
from sarra_lite.messages import blocks, limits, v03
from sarra_lite.messages.v03 import Announcement, Blocks, Identity, Report

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

LARGEST = 2**63 - 1
MINIMAL = {"pubTime": "20261123T222859.5", "baseUrl": "file:/", "relPath": "d/f"}
FIELDS = sorted({field.encode_name for field in msgspec.structs.fields(Announcement)} - {"extra"})


def announced(**fields: Any) -> Announcement:
    """Decode the smallest message that sr3 accepts, with more fields."""
    return v03.decode(json.dumps({**MINIMAL, **fields}).encode())


def optional(strategy: SearchStrategy[Any]) -> SearchStrategy[Any]:
    return st.none() | strategy


# Names on disk may contain any byte except NUL.
NAMES = (
    st.binary(min_size=1, max_size=255)
    .map(lambda raw: raw.replace(b"\0", b"0").lstrip(b"/") or b"f")
    .map(lambda raw: raw.decode(errors="surrogateescape"))
)
TIMES = st.integers(0, 4_000_000_000 * 10**9).map(units.time_string)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
TEXTS = st.text(max_size=30)
WORDS = TEXTS.filter(str.isprintable)  # what is a name or a text for people
JSON: SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=10,
)
IDENTITIES = st.builds(Identity, WORDS, WORDS)
SECONDS = st.floats(0, 1e9)
REPORTS = st.builds(
    Report,
    code=st.integers(100, 599),
    message=WORDS,
    time_completed=TIMES,
    bytes=optional(st.integers(0, LARGEST)),
    block=optional(st.integers(0, 10**9)),
    identity=optional(IDENTITIES),
    attempt=optional(st.integers(1, 1000)),
    **dict.fromkeys(("host", "user", "instance", "rejected"), optional(WORDS)),
    **dict.fromkeys(("seconds", "will_retry"), optional(SECONDS)),
    rate=optional(NUMBERS),
)


@st.composite
def any_blocks(draw: st.DrawFn) -> Blocks:
    size = draw(st.integers(1, 2**31))
    count = draw(st.integers(1, limits.MAX_BLOCKS))
    remainder = draw(st.integers(0, size - 1))
    number = draw(optional(st.integers(0, count - 1)))
    return Blocks(size, count, remainder, number, finish=draw(st.booleans()))


@st.composite
def any_announcement(draw: st.DrawFn) -> Announcement:
    division = draw(optional(any_blocks()))
    return Announcement(
        pub_time=draw(TIMES),
        base_url=draw(WORDS),
        rel_path=draw(NAMES),
        size=division.file_size if division else draw(optional(st.integers(0, LARGEST))),
        mtime=draw(optional(TIMES)),
        atime=draw(optional(TIMES)),
        mode=draw(optional(st.integers(0, 0o7777))),
        identity=draw(optional(IDENTITIES)),
        blocks=division,
        file_op=draw(optional(st.dictionaries(TEXTS, NAMES, max_size=3))),
        source=draw(optional(WORDS)),
        content_type=draw(optional(WORDS)),
        report=draw(optional(REPORTS)),
        extra=draw(st.dictionaries(TEXTS.filter(lambda k: k not in FIELDS), JSON, max_size=4)),
    )


@given(any_announcement())
def test_an_encoded_message_is_decoded_unchanged(announcement: Announcement) -> None:
    assert v03.decode(v03.encode(announcement)) == announcement


@given(any_announcement())
def test_an_encoded_message_is_ascii_json_on_one_line(announcement: Announcement) -> None:
    body = v03.encode(announcement)
    assert body.isascii()
    assert b"\n" not in body
    json.loads(body, parse_constant=pytest.fail)


@given(NAMES, NAMES)
def test_names_of_any_bytes_are_decoded_byte_for_byte(name: str, other: str) -> None:
    announcement = Announcement("20261123T222859", "file:/", name, file_op={"rename": other})
    decoded = v03.decode(v03.encode(announcement))
    assert decoded.rel_path.encode(errors="surrogateescape") == name.encode(
        errors="surrogateescape"
    )
    assert decoded.file_op == {"rename": other}


def use(decoded: Announcement) -> None:
    """Do everything with a message that the programs do with it."""
    assert v03.decode(v03.encode(decoded)) == decoded
    assert len(v03.topic("v03.post", decoded.rel_path).encode()) <= 255
    assert len(decoded.version) == 8
    assert decoded.mtime_ns is None or isinstance(decoded.mtime_ns, int)
    assert isinstance(decoded.key, tuple)
    units.printable(f"{decoded.source} {decoded.base_url} {decoded.rel_path}")
    if decoded.report is not None:
        units.printable(f"{decoded.report.message} {decoded.report.host}")
        units.show_size(decoded.report.bytes or 0)
    units.show_size(decoded.size or 0)


@given(st.binary(max_size=200))
@example(b"")
@example(b"\xff\xfe{\0}\0")
@example(b"[" * 100_000)
@example(b'{"a":' * 100_000)
@example(b"null")
@example(b'"text"')
@example(b"1" * 10_000)
def test_any_bytes_are_decoded_or_raise_message_error(body: bytes) -> None:
    with pytest.raises(MessageError) as raised:
        use(v03.decode(body))
    assert raised.value.code == 417
    assert str(raised.value).isprintable()


INNER_FIELDS = (
    *("size", "count", "remainder", "number", "manifest", "method", "finish", "0", "1"),
    *("code", "message", "timeCompleted", "host", "bytes", "seconds", "rate", "willRetry"),
    *("resultCode", "elapsedTime", "identity", "value", "link", "rename", "remove"),
)
VALUES = JSON | TIMES | st.integers(0, 9) | st.integers(0, 9).map(str) | st.just("inplace")
NEARLY_VALID: SearchStrategy[Any] = st.recursive(
    VALUES,
    lambda inner: st.dictionaries(st.sampled_from(INNER_FIELDS), inner, max_size=8),
    max_leaves=20,
)


@given(
    st.dictionaries(st.sampled_from(FIELDS), NEARLY_VALID), st.dictionaries(TEXTS, JSON, max_size=2)
)
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
def test_any_json_in_any_field_is_decoded_or_raises_message_error(
    fields: dict[str, Any], more: dict[str, Any]
) -> None:
    try:
        decoded = v03.decode(json.dumps({**MINIMAL, **more, **fields}).encode())
    except MessageError as error:
        text = str(error)
    else:
        use(decoded)
        text = ""
    assert text.isprintable()


INVALID: dict[str, list[Any]] = {
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


@pytest.mark.parametrize(("field", "value"), [(f, v) for f, vs in INVALID.items() for v in vs])
def test_an_invalid_field_makes_the_message_unusable(field: str, value: Any) -> None:
    with pytest.raises(MessageError, match=r"^unusable announcement: .") as raised:
        announced(**{field: value})
    assert str(raised.value).isprintable()


NAME = "n" * 255
TOO_MUCH: dict[str, list[Any]] = {
    "relPath": ["n" * 256, "/".join([NAME] * 17), "/".join(["a"] * 257), "é" * 128, "\udcff" * 256],
    "fileOp": [{"link": "n" * 256}, {"rename": f"/{'/'.join(['a'] * 300)}"}, {"x": "y" * 5000}],
    "baseUrl": ["file:/" + "x" * 4096, "file:/\x1b[2J", "file:/\n"],
    "source": ["u" * 256, "\x1b]0;", "a\nb", "a\0b", "a\x9bb"],
    "contentType": ["t" * 256, "\r"],
    "identity": [{"method": "m" * 256, "value": ""}, {"method": "md5", "value": "\t"}],
    "mtime": [f"20261123T222859.{'0' * 300}e-05"],
    "atime": ["never"],
    "pubTime": ["00010101T000000", "19691231T235959.9"],
    "blocks": [{"size": 1, "count": 2**31 + 1}],
    "report": [
        {"code": 201, "timeCompleted": "00010101T000000"},
        {"code": 201, "timeCompleted": "19691231T235959"},
        *({"code": code} for code in (99, -1, 1000, 10**100)),
        *({"code": 201, field: 10**30} for field in ("block", "attempt", "seconds", "willRetry")),
        {"code": 507, "willRetry": -1},
    ],
}


@pytest.mark.parametrize(("field", "value"), [(f, v) for f, vs in TOO_MUCH.items() for v in vs])
def test_what_no_file_or_clock_has_makes_the_message_unusable(field: str, value: Any) -> None:
    with pytest.raises(MessageError) as raised:
        announced(**{field: value})
    assert str(raised.value).isprintable()
    assert len(str(raised.value)) < 1100


@pytest.mark.parametrize("path", ["/".join([NAME] * 16), "/".join(["a"] * 256), "é" * 127])
def test_the_longest_path_that_a_file_has_is_decoded(path: str) -> None:
    assert announced(relPath=path).rel_path == path


@pytest.mark.parametrize("text", ['"é"', "9e15", '"\U0001f40b"', "[9e15,9e15]"])
def test_a_message_that_would_be_written_larger_than_any_is_read_is_refused(text: str) -> None:
    """Other kinds of growth are found by the size that is written, not by what it consists of."""
    many = ",".join([text] * (7_000_000 // (len(text.encode()) + 1)))
    body = json.dumps({**MINIMAL, "x": 0}).replace(": 0", f": [{many}]").encode()
    assert len(body) < 8_000_000
    with pytest.raises(MessageError, match=r"^it would be written as [0-9]+ bytes; at most"):
        v03.decode(body)


def test_a_report_on_the_largest_announcement_can_be_read() -> None:
    padding = "x" * (8 * 1024 * 1024 - 64 * 1024 - len(v03.encode(announced(x=""))))
    largest = announced(x=padding)
    texts: dict[str, Any] = dict.fromkeys(
        ("message", "host", "user", "instance", "rejected"), "é" * 5000
    )
    report = limits.clean(Report(code=500, time_completed=v03.now(), **texts))
    reported = msgspec.structs.replace(largest, report=report)
    small = msgspec.structs.replace(reported, extra={})
    assert v03.decode(v03.encode(reported)) == small


@pytest.mark.parametrize("field", ["message", "host", "user", "instance", "rejected"])
@pytest.mark.parametrize("text", ["\x1b]0;x\x07", "a\nb", "\x9b2J", "\u202etxt", "\udcff", "\0"])
def test_the_texts_of_a_report_are_printable_once_it_is_read(field: str, text: str) -> None:
    report = announced(report={"code": 201, field: text}).report
    assert getattr(report, field).isprintable()
    assert announced(report=msgspec.to_builtins(report)).report == report


def test_a_long_text_of_a_report_is_cut() -> None:
    report = announced(report={"code": 201, "message": "x" * 5_000_000}).report
    assert report is not None
    assert len(report.message) == limits.MAX_TEXT


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "9" * 5000])
def test_numbers_that_json_cannot_express_are_refused(number: str) -> None:
    body = json.dumps({**MINIMAL, "x": 0}).replace(": 0", f": {number}")
    with pytest.raises(MessageError, match=r"^not JSON"):
        v03.decode(body.encode())


def test_unknown_fields_may_be_nested_up_to_a_limit() -> None:
    assert announced(x=[[[["deep"]]]]).extra == {"x": [[[["deep"]]]]}
    body = json.dumps({**MINIMAL, "x": 0}).replace(": 0", ": " + "[" * 300 + "]" * 300)
    with pytest.raises(MessageError, match="nested too deeply"):
        v03.decode(body.encode())


def test_a_body_larger_than_any_of_sr3_is_refused_without_parsing() -> None:
    with pytest.raises(MessageError, match=r"^body of 8388609 bytes"):
        v03.decode(b" " * (8 * 1024 * 1024 + 1))


def test_v02_is_refused_by_its_content_type() -> None:
    with pytest.raises(MessageError, match=r"^v02 is not spoken here"):
        v03.decode(json.dumps(MINIMAL).encode(), "text/plain")


def test_the_error_of_an_unusable_message_names_its_file() -> None:
    for path, told in (("d/f", "d/f"), ("a\0b", ""), ("\ud800", ""), (7, "")):
        with pytest.raises(MessageError) as raised:
            announced(relPath=path, mode="nonsense")
        assert raised.value.rel_path == told


def test_the_three_required_fields_are_enough() -> None:
    decoded = announced()
    assert (decoded.rel_path, decoded.size, decoded.mode, decoded.extra) == ("d/f", None, None, {})


def test_a_null_field_is_the_same_as_an_absent_one() -> None:
    assert announced(size=None, mode=None, blocks=None, report=None) == announced()


def test_numbers_may_be_strings_as_sr3_cpost_writes_them() -> None:
    piece = {"size": "10485760", "count": "3", "remainder": "4028480", "number": "2"}
    decoded = announced(size="10485760", blocks={"method": "inplace", **piece})
    assert decoded.size == 25_000_000
    assert decoded.blocks == Blocks(10_485_760, 3, 4_028_480, 2)


def test_both_shapes_of_blocks_are_decoded_alike() -> None:
    manifest = {str(n): {"size": size, "identity": "x"} for n, size in enumerate([10, 10, 4])}
    python = {"method": "inplace", "size": 10, "number": 1, "manifest": manifest}
    c = {"method": "inplace", "size": 10, "number": 1, "count": 3, "remainder": 4}
    assert announced(blocks=python, size=10) == announced(blocks=c, size=10)
    assert announced(blocks=c).size == 24


def test_a_last_block_of_full_length_gives_remainder_0() -> None:
    manifest = {str(n): {"size": 10} for n in range(3)}
    decoded = announced(blocks={"size": 10, "number": 2, "manifest": manifest})
    assert decoded.blocks == Blocks(10, 3, 0, 2)
    assert decoded.blocks.length == 10
    assert decoded.size == 30


@given(any_blocks())
def test_blocks_cover_the_file_without_gap_or_overlap(piece: Blocks) -> None:
    last = msgspec.structs.replace(piece, number=piece.count - 1)
    assert last.offset + last.length == last.file_size
    if piece.number is not None and piece.number < piece.count - 1:
        following = msgspec.structs.replace(piece, number=piece.number + 1)
        assert piece.offset + piece.length == following.offset


def test_blocks_without_a_number_are_the_finish() -> None:
    assert announced(blocks={"size": 10, "count": 3, "remainder": 4}).is_finish
    assert not announced(blocks={"size": 10, "count": 3, "remainder": 4, "number": 0}).is_finish
    assert not announced().is_finish


def test_the_announcement_of_a_block_is_small_whatever_the_number_of_blocks() -> None:
    """In sr3, each contains the identities of all blocks."""
    whole = announced(
        relPath="some/directories/on/the/way/to/a file.nc",
        size=100_000 * blocks.MIN_SIZE,
        mtime="20261123T222859.512931347",
        mode="644",
        source="uearnest",
    )
    every = list(blocks.split(whole, blocks.MIN_SIZE))
    sizes = {len(v03.encode(one)) for one in (every[0], every[50_000], every[-2], every[-1])}
    assert len(every) == 100_001
    assert max(sizes) < 1024
    assert max(sizes) - min(sizes) < 100


def test_mode_is_octal_and_reduced_to_its_permission_bits() -> None:
    assert announced(mode="644").mode == announced(mode="0644").mode == 0o644
    assert announced(mode="100644").mode == 0o644
    assert json.loads(v03.encode(announced(mode="0644")))["mode"] == "644"


def test_a_leading_slash_of_a_path_is_removed() -> None:
    assert announced(relPath="/d/f").rel_path == "d/f"


@pytest.mark.parametrize("path", ["..", "../f", "d/../../f", "d/..", "/etc/passwd", "//f", ""])
def test_a_path_that_leaves_its_base_is_refused(path: str) -> None:
    with pytest.raises(MessageError, match="leaves its base directory"):
        v03.check_path(path)


@pytest.mark.parametrize("path", ["f", "d/f", "..f", "f..", "d/..f/...", " ", "d/\udcff"])
def test_a_path_that_stays_below_its_base_is_returned(path: str) -> None:
    assert v03.check_path(path) == path


def test_a_topic_is_the_prefix_and_the_directories_of_the_path() -> None:
    assert v03.topic("v03.post", "a/b/f.txt") == "v03.post.a.b"
    assert v03.topic("v03", "f.txt") == "v03"
    assert v03.topic("v03", "with blank/1.5/f") == "v03.with blank.1.5"


def test_a_topic_escapes_the_wildcards_of_binding_keys_as_sr3_does() -> None:
    assert v03.topic("v03", "a#1/b*2/f") == "v03.a%231.b%222"


def test_bytes_that_are_not_utf8_are_percent_encoded_in_a_topic() -> None:
    assert v03.topic("v03", "a\udcff\udc80b/f") == "v03.a%FF%80b"


def test_a_long_topic_is_cut_between_characters() -> None:
    assert v03.topic("v03", "é" * 200 + "/f") == "v03." + "é" * 125
    assert len(v03.topic("v03", "x" * 300 + "/f")) == 255


@given(st.sampled_from(["v03", "v03.post"]), NAMES)
def test_a_topic_fits_into_255_bytes_and_is_utf8(prefix: str, path: str) -> None:
    topic = v03.topic(prefix, path)
    assert len(topic.encode()) <= 255
    assert topic == prefix or topic.startswith(f"{prefix}.")
    assert not {"#", "*"} & set(topic)


SIZES = st.none() | st.integers(0, LARGEST)


@given(NAMES, SIZES, SIZES, TIMES, TIMES)
def test_another_size_or_mtime_is_another_version(
    path: str, size: int | None, other_size: int | None, mtime: str, other_mtime: str
) -> None:
    announcement = Announcement("20261123T222859", "file:/", path, size=size, mtime=mtime)
    other = msgspec.structs.replace(announcement, size=other_size, mtime=other_mtime)
    assert (announcement.version == other.version) == ((size, mtime) == (other_size, other_mtime))


def test_file_blocks_and_finish_have_the_same_version_whenever_they_are_announced() -> None:
    whole = announced(size=25, mtime="20261123T222859")
    later = msgspec.structs.replace(whole, pub_time="20261124T000000")
    assert len({one.version for one in (whole, later, *blocks.split(whole, 10))}) == 1


def test_a_report_in_the_form_that_sr3_documents_is_decoded() -> None:
    documented = {"elapsedTime": 1.5, "resultCode": 201, "host": "h", "user": "u"}
    report = announced(report=documented).report
    assert report is not None
    assert (report.code, report.seconds, report.host, report.user) == (201, 1.5, "h", "u")


@pytest.mark.parametrize(
    ("code", "arrived"), [(201, True), (206, True), (304, True), (404, False), (507, False)]
)
def test_the_code_of_a_report_decides_whether_the_file_arrived(code: int, *, arrived: bool) -> None:
    assert Report(code, "", "20261123T222859").arrived is arrived


def test_a_report_that_announces_another_attempt_is_not_final() -> None:
    assert not Report(507, "full", "20261123T222859", will_retry=15.0).final
    assert Report(507, "full", "20261123T222859").final


def test_a_report_message_is_the_announcement_with_a_report_added() -> None:
    announcement = announced(size=6, project="ocean")
    reported = msgspec.structs.replace(announcement, report=Report(201, "file sent", v03.now()))
    assert reported.key == announcement.key
    assert reported.extra == {"project": "ocean"}
    assert msgspec.structs.replace(reported, report=None) == announcement


@pytest.mark.parametrize("fraction", [".00271606e-05", "e-05", ".38418579e-07"])
def test_a_time_to_which_sr3_wrote_an_exponent_is_the_whole_second(fraction: str) -> None:
    whole = announced(mtime="20261130T005320").mtime_ns
    assert announced(mtime=f"20261130T005320{fraction}").mtime_ns == whole


def test_a_report_on_progress_is_neither_final_nor_an_arrival() -> None:
    report = Report(102, "being sent", "20261123T222859", bytes=5)
    assert (report.under_way, report.final, report.arrived) == (True, False, False)


def test_what_limits_a_transfer_is_cleaned_of_what_strangers_write() -> None:
    report = {"code": 102, "limitedBy": "\x1b[2J", "why": "\n" * 2000, "connections": "\u202e"}
    one = {"pubTime": "20261123T222859", "baseUrl": "file:/", "relPath": "f", "report": report}
    found = v03.decode(json.dumps(one).encode()).report
    assert found is not None
    assert (found.limited_by, found.connections) == ("\\x1b[2J", "\\u202e")
    assert len(found.why or "") == 1000
    with pytest.raises(MessageError, match="unusable"):
        v03.decode(json.dumps(one | {"report": report | {"why": 5}}).encode())
