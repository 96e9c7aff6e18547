"""Options of sr3 that have no equivalent here: why, or what to do instead."""

from __future__ import annotations

from typing import Final

_NOT_NEEDED: Final = {
    "what is not sent is reported at once, or tried again until the destination answers": (
        "attempts retry_refilter retryEmptyBeforeExit retryCountMax retry_driver"
    ),
    "nothing to do: connections are kept": "batch reconnect housekeeping sleep",
    "nothing to do: files get their name when they are complete": "inflight",
    "nothing to do: the size of reads and writes follows from the SFTP host": (
        "bufSize accelThreshold accelScpCommand accelCpCommand accelWgetCommand"
    ),
    "nothing to do: messages are v03": "post_format",
    "nothing to do: queue, exchange and bindings are declared, and are durable": (
        "durable persistent queueDeclare queueBind exchangeDeclare auto_delete"
    ),
    "nothing to do: reports are always posted on the user's exchange": (
        "report report_broker report_exchange report_daemons"
    ),
    "nothing to do: obsolete": (
        "cluster cluster_aliases from_cluster to to_clusters pump pump_flag parts save restore"
        " retry_mode statehost set_passwords xattr_disable windows_run users hostname vip"
    ),
    "nothing to do: what is logged goes to the journal, which keeps and rotates it": (
        "logRotateCount logRotateInterval logFormat logJson logStdout logEvents logReject"
        " logMetrics logDuplicates permLog metrics_writeInterval messageDebugDump"
    ),
    "nothing to do: a sender posts no announcements of what it sent; its reports tell": (
        "post_broker post_exchange post_exchangeSuffix post_exchangeSplit post_baseUrl"
        " post_topicPrefix post_topic header"
    ),
}
_INSTEAD: Final = {
    "not kept: the queue lives, with all that is in it, until someone deletes it. Delete the one"
    " that sr3 made first: it was declared with other arguments": "expire messageAgeMax",
    "the rate of announcements is not limited here": "messageRateMax messageRateMin",
    "a post sends no files; limit is an option of senders": "byteRateMax",
    "plugins are not run here; sr_log --follow --json tells other programs what was sent": (
        "callback set setting import plugin destfn_script do_send do_put do_download do_get do_poll"
        " do_task on_message on_msg on_file on_post on_part on_report on_start on_stop on_watch"
        " on_heartbeat on_housekeeping on_data on_line on_html_page flowMain action"
    ),
    "a file that is at its destination already is reported 304 and not sent again": (
        "nodupe_ttl nodupe_basis nodupe_driver nodupe_fileAgeMax overwrite"
    ),
    "the source's file is left alone; remove it when sr_post --wait says that it arrived": (
        "delete discard"
    ),
    "files keep their name; directory, strip and flatten choose where they go": (
        "filename rename baseUrl_relPath sundew_compat_regex_first_match_is_zero"
    ),
    "one exchange a user; senders that share its queue share the work": (
        "exchangeSplit post_exchangeSplit queueShare"
    ),
    "files are taken whatever their age and size; rules choose by name": (
        "fileAgeMax fileAgeMin fileSizeMax acceptSizeWrong"
    ),
    "certificates are always checked; tlsCaFile names an authority of your own": "tlsRigour",
    "sr_post --watch announces all that happens": (
        "fileEvents force_polling follow_symlinks realpathPost realpathFilter recursive"
        " post_on_start"
    ),
    "the announcement has the broker user as its source, which src2log proves": (
        "source sourceFromExchange sourceFromMessage"
    ),
    "nothing is sent within messages": "inline inlineByteMax inlineEncoding inlineOnly",
    "accounts are made by whoever runs the broker": "admin feeder manager role",
}

GAPS: Final = {
    name: text
    for table in (_NOT_NEEDED, _INSTEAD)
    for text, names in table.items()
    for name in names.split()
}
UNKNOWN: Final = "has no equivalent here"
