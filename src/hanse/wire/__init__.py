"""Typed messages, their codec, and the channel that protocols speak through."""

from hanse.wire.channel import Channel, PatientChannel
from hanse.wire.codec import canonical, digest, encode, parse_document
from hanse.wire.hall import Hall, HallChannel, Tap
from hanse.wire.inbox import Inbox
from hanse.wire.message import Array, Frame, Kind

__all__ = [
    "Array",
    "Channel",
    "Frame",
    "Hall",
    "HallChannel",
    "Inbox",
    "Kind",
    "PatientChannel",
    "Tap",
    "canonical",
    "digest",
    "encode",
    "parse_document",
]
