// Quality of samples: OPC UA StatusCodes, whole. The top two bits are Good, Uncertain or Bad; the low sixteen say how a value was made.
const NAMES: Record<number, string> = {
  0x00000000: 'Good', 0x002f0000: 'GoodOverload', 0x00300000: 'GoodClamped', 0x00960000: 'GoodLocalOverride', 0x00a20000: 'GoodEntryInserted',
  0x00a30000: 'GoodEntryReplaced', 0x00a50000: 'GoodNoData', 0x00a60000: 'GoodMoreData',
  0x40000000: 'Uncertain', 0x408f0000: 'UncertainNoCommunicationLastUsableValue', 0x40900000: 'UncertainLastUsableValue',
  0x40910000: 'UncertainSubstituteValue', 0x40920000: 'UncertainInitialValue', 0x40930000: 'UncertainSensorNotAccurate',
  0x40940000: 'UncertainEngineeringUnitsExceeded', 0x40950000: 'UncertainSubNormal', 0x40a40000: 'UncertainDataSubNormal',
  0x80000000: 'Bad', 0x80010000: 'BadUnexpectedError', 0x80020000: 'BadInternalError', 0x80030000: 'BadOutOfMemory',
  0x80050000: 'BadCommunicationError', 0x80060000: 'BadEncodingError', 0x80070000: 'BadDecodingError', 0x80080000: 'BadEncodingLimitsExceeded',
  0x800a0000: 'BadTimeout', 0x800b0000: 'BadServiceUnsupported', 0x800c0000: 'BadShutdown', 0x800d0000: 'BadServerNotConnected',
  0x801f0000: 'BadUserAccessDenied', 0x80310000: 'BadNoCommunication', 0x80320000: 'BadWaitingForInitialData', 0x80330000: 'BadNodeIdInvalid',
  0x80340000: 'BadNodeIdUnknown', 0x80350000: 'BadAttributeIdInvalid', 0x803a0000: 'BadNotReadable', 0x803b0000: 'BadNotWritable',
  0x803c0000: 'BadOutOfRange', 0x803d0000: 'BadNotSupported', 0x803e0000: 'BadNotFound', 0x80740000: 'BadTypeMismatch',
  0x80890000: 'BadConfigurationError', 0x808a0000: 'BadNotConnected', 0x808b0000: 'BadDeviceFailure', 0x808c0000: 'BadSensorFailure',
  0x808d0000: 'BadOutOfService', 0x809b0000: 'BadNoData', 0x809d0000: 'BadDataLost', 0x809e0000: 'BadDataUnavailable',
  0x80ac0000: 'BadConnectionRejected', 0x80ad0000: 'BadDisconnect', 0x80ae0000: 'BadConnectionClosed', 0x80af0000: 'BadInvalidState',
  0x80d70000: 'BadBoundNotFound',
};

export const BAD_NO_DATA = 0x809b0000;
/** Codes of samples by which the historian says that it was not there to collect. */
const ABSENT = [BAD_NO_DATA, 0x809d0000, 0x808a0000];

export type Severity = 'good' | 'uncertain' | 'bad';

export function severity(quality: number): Severity {
  const top = quality >>> 30;
  return top === 0 ? 'good' : top === 1 ? 'uncertain' : 'bad';
}

/** The historian bits of OPC UA: the value was interpolated, not sampled. */
export function isInterpolated(quality: number): boolean {
  return (quality & 0x0c03) === 0x0402;
}

/** The code, marked as one that no sample has: an edge stays an edge. */
export function asInterpolated(quality: number): number {
  return ((quality & 0xffff0000) | 0x0402) >>> 0;
}

/** Whether a Bad quality tells of samples that nobody collected, rather than of the tag. */
export function isAbsent(quality: number): boolean {
  return ABSENT.includes((quality & 0xffff0000) >>> 0);
}

/** Name of the code, or its hexadecimal digits. */
export function qualityName(quality: number): string {
  const code = (quality & 0xffff0000) >>> 0;
  return NAMES[code] ?? `0x${code.toString(16).toUpperCase().padStart(8, '0')}`;
}

/** The name of the code as words: `Bad: no communication`. */
export function qualityWords(quality: number): string {
  const [, top, rest = ''] = /^(Good|Uncertain|Bad)([A-Z].*)$/.exec(qualityName(quality)) ?? [];
  return top ? `${top}: ${rest.replace(/(?!^)[A-Z]/g, ' $&').toLowerCase()}` : qualityName(quality);
}
