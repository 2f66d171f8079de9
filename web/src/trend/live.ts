// Following the clock: samples of the change feed are put behind those that a plot answered.
import { follow, type FeedSample } from '../api/feed';
import type { Points } from '../api/plot';
import { Store } from '../model/store';
import { isInterpolated, severity } from '../model/quality';

export type FeedState = 'off' | 'open' | 'waiting';

export class LiveFeed {
  readonly state = new Store<FeedState>('off');
  private following: AbortController | null = null;
  private tags = '';

  constructor(
    private readonly onSamples: (samples: readonly FeedSample[]) => void,
    /** The feed begins here, or begins anew: what came before is to be read. */
    private readonly onBegin: () => void,
  ) {}

  start(tags: readonly string[]): void {
    const key = JSON.stringify(tags);
    if (this.following && key === this.tags) return;
    this.stop();
    if (tags.length === 0) return;
    this.tags = key;
    const following = new AbortController();
    this.following = following;
    let begun = false;
    const begin = () => {
      begun = true;
      this.onBegin();
    };
    void follow(tags, {
      samples: (samples) => {
        if (!following.signal.aborted) this.onSamples(samples);
      },
      gone: begin,
      state: (state) => {
        if (following.signal.aborted) return;
        this.state.set(state);
        if (state === 'open' && !begun) begin();
      },
    }, following.signal).finally(() => {
      if (this.following === following) this.following = null;
    });
  }

  stop(): void {
    this.following?.abort();
    this.following = null;
    this.state.set('off');
  }
}

/** Points with the newer ones of these samples behind them. The interpolated value at the old right edge gives way. */
export function withSamples(points: Points, samples: readonly FeedSample[], ofText: boolean): Points {
  let count = points.times.length;
  if (count > 0 && isInterpolated(points.qualities[count - 1] ?? 0)) count -= 1;
  const last = count > 0 ? (points.times[count - 1] ?? 0n) : -(2n ** 62n);
  const newer = samples.filter((sample, at) => sample.time > last && (at === 0 || sample.time > (samples[at - 1]?.time ?? last)));
  if (newer.length === 0) return points;
  const length = count + newer.length;
  const times = new BigInt64Array(length);
  const values = new Float64Array(length);
  const qualities = new Uint32Array(length);
  times.set(points.times.subarray(0, count));
  values.set(points.values.subarray(0, count));
  qualities.set(points.qualities.subarray(0, count));
  const texts: (string | null)[] | null = ofText ? [...(points.texts ?? Array.from({ length: count }, () => null)).slice(0, count)] : null;
  newer.forEach((sample, at) => {
    const bad = severity(sample.quality) === 'bad';
    times[count + at] = sample.time;
    qualities[count + at] = sample.quality;
    values[count + at] = bad || ofText || sample.value === null ? Number.NaN : Number(sample.value);
    if (texts) texts.push(bad || sample.value === null ? null : String(sample.value));
  });
  return { times, values, qualities, texts };
}
