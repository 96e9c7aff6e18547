"""Mail that the scope sends to the machine of a lab."""

from __future__ import annotations

import email
import email.policy
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from email.message import EmailMessage

    from aiosmtpd.smtp import SMTP, Envelope, Session


class Mailbox:
    """An SMTP server's received mail, by address."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.mail: list[tuple[str, EmailMessage]] = []

    async def handle_DATA(self, _: SMTP, __: Session, envelope: Envelope) -> str:
        assert isinstance(envelope.content, bytes)
        message = email.message_from_bytes(envelope.content, policy=email.policy.default)
        self.mail += [(address, message) for address in envelope.rcpt_tos]
        return "250 OK"

    def texts(self, address: str) -> str:
        """Return the subjects and texts of all mail to an address."""
        mails = [
            (mail["Subject"], mail.get_body(("plain",))) for to, mail in self.mail if to == address
        ]
        lines = [f"{subject}\n{body.get_content()}" for subject, body in mails if body]
        return "\n".join(lines).replace("\r\n", "\n")
