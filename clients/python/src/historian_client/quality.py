"""Qualities: an OPC UA status code is kept whole as uint32; its top two bits say Good, Uncertain or Bad."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

GOOD = 0
UNCERTAIN = 1
BAD = 2

# Names of OPC 10000-6, without info bits: those that the historian and its collectors give.
NAMES = {
    0x00000000: "Good",
    0x00960000: "GoodLocalOverride",
    0x40000000: "Uncertain",
    0x408F0000: "UncertainNoCommunicationLastUsableValue",
    0x40900000: "UncertainLastUsableValue",
    0x40910000: "UncertainSubstituteValue",
    0x40920000: "UncertainInitialValue",
    0x40930000: "UncertainSensorNotAccurate",
    0x40940000: "UncertainEngineeringUnitsExceeded",
    0x40950000: "UncertainSubNormal",
    0x40A40000: "UncertainDataSubNormal",
    0x80000000: "Bad",
    0x80010000: "BadUnexpectedError",
    0x80020000: "BadInternalError",
    0x80050000: "BadCommunicationError",
    0x80070000: "BadDecodingError",
    0x80080000: "BadEncodingLimitsExceeded",
    0x800A0000: "BadTimeout",
    0x800C0000: "BadShutdown",
    0x800D0000: "BadServerNotConnected",
    0x801F0000: "BadUserAccessDenied",
    0x80310000: "BadNoCommunication",
    0x80320000: "BadWaitingForInitialData",
    0x80340000: "BadNodeIdUnknown",
    0x80350000: "BadAttributeIdInvalid",
    0x803A0000: "BadNotReadable",
    0x803C0000: "BadOutOfRange",
    0x803D0000: "BadNotSupported",
    0x803E0000: "BadNotFound",
    0x80740000: "BadTypeMismatch",
    0x80890000: "BadConfigurationError",
    0x808A0000: "BadNotConnected",
    0x808B0000: "BadDeviceFailure",
    0x808C0000: "BadSensorFailure",
    0x808D0000: "BadOutOfService",
    0x809B0000: "BadNoData",
    0x809D0000: "BadDataLost",
    0x809E0000: "BadDataUnavailable",
    0x80AE0000: "BadConnectionClosed",
    0x80D70000: "BadBoundNotFound",
}
# By which the historian says that it was not there to collect.
ABSENT = frozenset((0x809B0000, 0x809D0000, 0x808A0000))


def name(quality: int) -> str:
    """A status code in a word, such as BadSensorFailure; its digits where it has none here."""
    code = quality & 0xFFFF0000
    return NAMES.get(code, f"0x{code:08X}")


def is_absent(quality: int) -> bool:
    """True for a Bad code that tells of samples that nobody collected, rather than of the tag."""
    return quality & 0xFFFF0000 in ABSENT


def is_interpolated(quality: int) -> bool:
    """True for a value at an edge, which is no sample."""
    return quality & 0x0C03 == 0x0402


def severity(quality: pa.Array | pa.ChunkedArray | pa.Scalar) -> pa.Array | pa.ChunkedArray | pa.Scalar:
    """GOOD, UNCERTAIN or BAD for each status code."""
    top = pc.shift_right(quality, pa.scalar(30, pa.uint32()))
    return pc.min_element_wise(top, pa.scalar(BAD, pa.uint32()))


def only_good(table: pa.Table, column: str = "quality") -> pa.Table:
    """The rows whose quality is Good."""
    return table.filter(pc.equal(severity(table[column]), GOOD))


def not_bad(table: pa.Table, column: str = "quality") -> pa.Table:
    """The rows whose quality is Good or Uncertain."""
    return table.filter(pc.less(severity(table[column]), BAD))
