// The only place that talks to the historian: sends requests with the token, turns problem documents into errors, and notices when the
// historian is gone. Screens keep what they show; `epoch` tells them when to ask again.
import { Store } from '../model/store';

const TOKEN_KEY = 'historian.token';
const PROBE_MS = 2_000;
const HEARTBEAT_MS = 5_000;
const LOG_MAX = 500;
const BUSY_ATTEMPTS = 3;
const BUSY_WAIT_S_MAX = 5;

/** A problem document of RFC 9457, or a failure to reach the historian at all (status 0). */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    message: string,
    readonly code = '',
    readonly reason = '',
  ) {
    super(message);
    this.name = 'ApiError';
  }
}

export interface Connection {
  /** Milliseconds since 1970, or null while the historian answers. */
  readonly disconnectedSince: number | null;
  /** Counts returns of the historian, and sign-ins. */
  readonly epoch: number;
}

export interface RequestRecord {
  readonly method: string;
  readonly path: string;
  status: number | null;
  aborted: boolean;
}

export const connection = new Store<Connection>({ disconnectedSince: null, epoch: 0 });
export const signInNeeded = new Store<boolean>(false);
export const requestLog: RequestRecord[] = [];
/** How far the clock of the historian is ahead of that of the browser, in milliseconds. */
export const clockAheadMs = new Store<number>(0);

export function token(): string | null {
  return sessionStorage.getItem(TOKEN_KEY);
}

export function signIn(secret: string): void {
  if (secret) sessionStorage.setItem(TOKEN_KEY, secret);
  else sessionStorage.removeItem(TOKEN_KEY);
  signInNeeded.set(false);
  connection.update((state) => ({ ...state, epoch: state.epoch + 1 }));
}

export interface RequestOptions {
  readonly body?: unknown;
  readonly accept?: string;
  readonly signal?: AbortSignal | undefined;
  readonly headers?: Readonly<Record<string, string>>;
}

/** Sends a request under `/api/v1/`. Throws an `ApiError`, or the `AbortError` of the signal. */
export async function request(path: string, options: RequestOptions = {}): Promise<Response> {
  const method = options.body === undefined ? 'GET' : 'POST';
  const record: RequestRecord = { method, path, status: null, aborted: false };
  requestLog.push(record);
  if (requestLog.length > LOG_MAX) requestLog.shift();
  const headers: Record<string, string> = { accept: options.accept ?? 'application/json', ...options.headers };
  const secret = token();
  if (secret) headers['authorization'] = `Bearer ${secret}`;
  const init: RequestInit = { method, headers, cache: 'no-store', signal: options.signal ?? null };
  if (options.body !== undefined) {
    headers['content-type'] = 'application/json';
    init.body = JSON.stringify(options.body);
  }
  let response: Response;
  try {
    response = await patientFetch(`/api/v1/${path}`, init);
  } catch (error) {
    if (isAbort(error)) {
      record.aborted = true;
      throw error;
    }
    record.status = 0;
    lost();
    throw new ApiError(0, 'The historian does not answer.');
  }
  record.status = response.status;
  noteClock(response);
  if (response.ok) return response;
  // An answer to an earlier token says nothing of the present one.
  if (response.status === 401 && secret === token()) signInNeeded.set(true);
  throw await problemOf(response);
}

/** Waits as a historian that is busy asks one to, a few times. */
async function patientFetch(address: string, init: RequestInit): Promise<Response> {
  for (let attempt = 1; ; attempt++) {
    const response = await fetch(address, init);
    const waitS = Number(response.headers.get('retry-after') ?? Number.NaN);
    if (response.status !== 429 || attempt >= BUSY_ATTEMPTS || !(waitS <= BUSY_WAIT_S_MAX)) return response;
    await new Promise((done) => setTimeout(done, waitS * 1000));
  }
}

export async function requestJson<T>(path: string, options: RequestOptions = {}): Promise<T> {
  const response = await request(path, options);
  return readBody(() => response.json() as Promise<T>);
}

/** Reads a body; a connection cut in the middle counts as a historian that is gone. */
export async function readBody<T>(read: () => Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (error) {
    if (isAbort(error)) throw error;
    lost();
    throw new ApiError(0, 'The answer ended before it was complete.');
  }
}

export function isAbort(error: unknown): boolean {
  return error instanceof DOMException && error.name === 'AbortError';
}

/** What to say of a failure, in words. */
export function errorText(error: unknown): string {
  if (error instanceof ApiError && error.status === 403) return `This needs a right that you do not have: ${error.message}`;
  return error instanceof Error ? error.message : String(error);
}

async function problemOf(response: Response): Promise<ApiError> {
  let detail = response.statusText || `status ${response.status}`;
  let code = '';
  let reason = '';
  try {
    const problem = (await response.json()) as { detail?: string; title?: string; code?: string; reason?: string };
    detail = problem.detail ?? problem.title ?? detail;
    code = problem.code ?? '';
    reason = problem.reason ?? '';
  } catch {
    // Not a problem document: a proxy, or a body that was cut. The status says enough.
  }
  if (response.status === 502 || response.status === 503) lost();
  return new ApiError(response.status, detail, code, reason);
}

function noteClock(response: Response): void {
  const date = Date.parse(response.headers.get('date') ?? '');
  if (Number.isNaN(date)) return;
  const ahead = date + 500 - Date.now();
  // The header counts seconds; what is smaller than that is no difference of clocks.
  clockAheadMs.set(Math.abs(ahead) > 2_000 ? ahead : 0);
}

let probing = false;

function lost(): void {
  if (connection.value.disconnectedSince === null) {
    connection.update((state) => ({ ...state, disconnectedSince: Date.now() }));
  }
  if (!probing) {
    probing = true;
    setTimeout(probe, PROBE_MS);
  }
}

async function probe(): Promise<void> {
  if (await answers()) {
    probing = false;
    connection.update((state) => ({ disconnectedSince: null, epoch: state.epoch + 1 }));
  } else {
    setTimeout(probe, PROBE_MS);
  }
}

async function answers(): Promise<boolean> {
  try {
    return (await fetch('/readyz', { cache: 'no-store' })).ok;
  } catch {
    return false;
  }
}

/** Notices within seconds that the historian is gone, also on a screen that asks for nothing. */
export function startHeartbeat(): void {
  setInterval(async () => {
    if (document.visibilityState === 'hidden' || probing) return;
    if (!(await answers())) lost();
  }, HEARTBEAT_MS);
}
