// Reasons of the ledger of gaps, in words.
const WORDS: Readonly<Record<string, string>> = {
  collector_down: 'the historian did not run', device_down: 'the device did not answer', refused: 'the device refuses the address', not_configured: 'not collected',
  spool_overflow: 'samples did not fit the spool', rejected: 'samples were rejected', data_loss: 'stored samples were damaged', source_bad: 'source bad',
  backfilled: 'filled from the history of the device',
};

/** Not a gap: it says that one was filled. */
export function isFilling(reason: string | undefined): boolean {
  return reason === 'backfilled';
}

export function gapReason(reason: string | undefined): string {
  return WORDS[reason ?? ''] ?? (reason || 'no reason recorded');
}
