"""Grants on the wire."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sarra_lite.errors import MessageError
from sarra_lite.messages import grants
from sarra_lite.messages.grants import Grant


@given(st.builds(Grant, bytes=st.integers(0, 2**40), reason=st.text(max_size=255)))
def test_what_is_written_is_read(grant: Grant) -> None:
    assert grants.decode(grants.encode(grant)) == grant


@pytest.mark.parametrize("body", [b"", b"x", b"{}", b'{"bytes":-1}', b'{"bytes":1.5}', b"\xff"])
def test_anything_else_is_no_grant(body: bytes) -> None:
    with pytest.raises(MessageError, match="no grant"):
        grants.decode(body)
