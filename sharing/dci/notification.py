"""A notice as a message of the standard: of whom something else would be told now, and no value."""

from typing import Any

from hub.settings import Settings
from sharing.dci import record, reply
from sharing.dci.models import Event, EventData, NotifyRequest


def message(settings: Settings, subscription: Any, notice: Any) -> bytes:
    """A notice on its way, signed. Its ``message_id`` is the same on every try.

    Args:
        settings: whose hub.
        subscription: its row.
        notice: the notice's row, with the receipt it leaves under.
    """
    found = record.candidate(notice["subject_id"], notice["receipt_id"])
    beside = {"subscription_code": subscription["subscription_id"], "cursor": str(notice["sequence"])}
    found["additional_attributes"] += [{"name": name, "value": value} for name, value in beside.items()]
    event = Event(
        reference_id=notice["ref"] or notice["notice_id"],
        timestamp=notice["made_at"],
        data=EventData(reg_record_type="Member", reg_records=found),
    )
    header = reply.header(settings, "notify", receiver_id=subscription["sender_id"], total=1, completed=1, message_id=notice["notice_id"])
    return reply.signed(settings, header, NotifyRequest(transaction_id=subscription["subscription_id"], notify_event=[event]))
