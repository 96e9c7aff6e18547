"""Options of sr3 without an equivalent: the reason, or what to do instead, for the user."""

from __future__ import annotations

import re
from typing import Final

# Each explanation is followed by the options that it is of, which are indented.  Without these,
# what is sent stays the same:
_HARMLESS: Final = """
a file that fails is reported at once; while the destination does not answer, the sender tries again
until it does
    attempts at retry_refilter retryEmptyBeforeExit retryCountMax retry_driver
nothing to do: connections are kept
    batch reconnect housekeeping heartbeat sleep
nothing to do: files get their name when they are complete
    inflight lock
nothing to do: the size of reads and writes follows from the SFTP host
    bufSize accelThreshold accelScpCommand accelCpCommand accelWgetCommand
nothing to do: messages are v03
    post_format
nothing to do: one process announces as fast as the broker takes it
    instances
nothing to do: queue, exchange and bindings are declared, and are durable
    durable persistent queueDeclare queueBind exchangeDeclare auto_delete
nothing to do: reports are always posted on the user's exchange
    report report_broker report_exchange report_daemons
nothing to do: obsolete
    cluster cluster_aliases from_cluster to to_clusters pump pump_flag parts save restore
    retry_mode statehost set_passwords xattr_disable windows_run users hostname vip
nothing to do: log lines go to the journal, which keeps and rotates them
    logRotateCount logRotateInterval logFormat logJson logStdout logEvents logReject logMetrics
    logDuplicates permLog chmod_log default_log_mode metrics_writeInterval messageDebugDump
nothing to do: a sender posts no announcements of what it sent; read its reports instead
    post_broker post_exchange post_exchangeSuffix post_exchangeSplit post_baseUrl
    post_topicPrefix post_topic header
not kept: the queue lives, with its messages, until somebody deletes it. First delete sr3's queue,
which still has these limits
    expire expiry
only senders say where files go
    directory mirror strip flatten
the rate of announcements is not limited here
    messageRateMax post_rate_limit messageRateMin
a post sends no files; limit is an option of senders
    limit
a file that is at its destination already is reported 304 and not sent again
    nodupe_ttl cache caching nd no_duplicates sd suppress_duplicates nodupe_basis nodupe_driver
    overwrite o
certificates are always checked; tlsCaFile names your own authority
    tlsRigour tls_rigour
the source of an announcement is the broker user, which sr_src2log verifies
    source sourceFromExchange source_from_exchange sourceFromMessage
messages never contain files
    inline inlineByteMax inlineEncoding inlineOnly
accounts are made by whoever runs the broker
    admin feeder manager role
"""
# without these it may not:
_OTHERS: Final = """
not kept: the queue lives, with its messages, until somebody deletes it. First delete sr3's queue,
which still has these limits
    messageAgeMax message_ttl message-ttl post_messageAgeMax
plugins are not run here; sr_log --follow --json tells other programs what was sent
    callback cb flow_callback flowcb fcb flowCallback callback_prepend cbp flow_callback_prepend
    flowcb_prepend fcbp flowCallbackPrepend set setting import plugin destfn_script do_send
    do_put do_download do_get do_poll do_task on_message on_msg on_file on_post on_part
    on_report on_start on_stop on_watch on_heartbeat on_housekeeping on_data on_line
    on_html_page flowMain action
the source's file is left alone; remove it when sr_post --wait says that it arrived
    delete discard
files keep their name; directory, strip and flatten choose where they go
    filename rename rn baseUrl_relPath sundew_compat_regex_first_match_is_zero
each user has one exchange; senders that share a queue share the work
    exchangeSplit exchange_split post_exchangeSplit post_exchange_split queueShare
files are taken whatever their age and size; rules choose by name
    fileAgeMax file_time_limit nodupe_fileAgeMax fileAgeMin nodupe_fileAgeMin fileSizeMax
    acceptSizeWrong
sr_post --watch announces every change of its events
    force_polling follow_symlinks realpathPost realpath_post realpath
    realpathFilter recursive post_on_start
"""


def _explanations(table: str) -> dict[str, str]:
    return {
        option: " ".join(explanation.split())
        for explanation, options in re.findall(r"((?:^\S.*\n)+)((?:^ .*\n)+)", table, re.MULTILINE)
        for option in options.split()
    }


_HARMLESS_EXPLANATIONS: Final = _explanations(_HARMLESS)
EXPLANATIONS: Final = _HARMLESS_EXPLANATIONS | _explanations(_OTHERS)


class Harmless(ValueError):
    """A line is left out, but what is sent stays the same; the text is the note on it."""


def left_out(option: str) -> ValueError:
    """Return the error for an option without an equivalent."""
    text = EXPLANATIONS.get(option, "has no equivalent here")
    return (Harmless if option in _HARMLESS_EXPLANATIONS else ValueError)(text)
