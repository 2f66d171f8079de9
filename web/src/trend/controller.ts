// What the Trend screen knows and does. The view (the address) is the only input; ranges, pens, traces and readings follow from it. Every
// request belongs to one settled view and is aborted when the next one supersedes it.
import { getTag, listGaps } from '../api/catalog';
import { listCorrections } from '../api/corrections';
import type { FeedSample } from '../api/feed';
import { fetchFindings, inRange, type Finding } from '../api/findings';
import { neighbours, valuesAt, type Instant } from '../api/instant';
import { valueType, type Gap, type Tag } from '../api/messages';
import { fetchPlot, NO_POINTS, type Points } from '../api/plot';
import { clockAheadMs, connection, errorText, isAbort } from '../api/request';
import { surroundingsOf, type Surroundings } from '../api/spacing';
import { statisticsOf, type Statistics } from '../api/statistics';
import type { DialogState, DialogStore, Period } from '../annotations/dialog';
import { location$, navigate } from '../app/route';
import { may, mayOn, who } from '../app/who';
import { Store } from '../model/store';
import { beforeNow, isRelative, NS_PER_MS, type Range } from '../model/time';
import { resolveZone } from '../model/zone';
import { Annotations } from './annotations';
import { Answer } from './answer';
import { comparedRange, moveForward } from './compare';
import { laneScale } from './draw';
import { lanesOf, penOf, type Lane, type Pen } from './lane';
import { LiveFeed, withSamples } from './live';
import { marksOf } from './marks';
import { isSparse, NEVER_SILENT, silenceOf } from './silence';
import { gapsOf, readTrace, traceOf, type Trace } from './trace';
import { atRange, clampRange, DEFAULT_VIEW, parseView, resolveRange, viewSearch, type Scale, type View } from './view';

export interface LaneState {
  readonly loading: boolean;
  readonly error: string;
}

export interface Pins {
  readonly a: ReadonlyMap<string, Instant> | null;
  readonly b: ReadonlyMap<string, Instant> | null;
}

/** Rows asked per pixel of a lane: first, last, smallest and largest of each. */
const POINTS_PER_PIXEL = 4;
const POINTS_MAX = 11_000;
const SETTLE_MS = 250;
const STATISTICS_MS = 150;
const LIVE_TICK_MS = 1_000;
const LIVE_STATISTICS_MS = 10_000;
const GAPS_MS = 30_000;
const PENS_MAX = 100;

export class TrendController {
  readonly view = new Store<View>(DEFAULT_VIEW);
  readonly range = new Store<Range>({ start: 0n, end: 1n });
  readonly problem = new Store<string>('');
  readonly lanes = new Store<readonly Lane[]>([]);
  readonly laneStates = new Store<ReadonlyMap<string, LaneState>>(new Map());
  readonly missing = new Store<readonly string[]>([]);
  readonly traces = new Store<ReadonlyMap<string, Trace>>(new Map());
  readonly compared = new Store<ReadonlyMap<string, Trace>>(new Map());
  readonly cursor = new Store<bigint | null>(null);
  readonly pins = new Answer<Pins>({ a: null, b: null }, (error) => this.problem.set(errorText(error)));
  readonly statistics = new Answer<ReadonlyMap<string, Statistics>>(new Map());
  /** Times of corrected samples, by tag. */
  readonly corrections = new Answer<ReadonlyMap<string, readonly bigint[]>>(new Map());
  readonly findings = new Answer<readonly Finding[]>([], (error) => this.problem.set(errorText(error)));
  readonly annotations = new Annotations(() => ({ tags: this.pens().map((pen) => pen.name), range: this.shownRange() }));
  /** The row of the list that a flag has asked for. */
  readonly chosenAnnotation = new Store<string | null>(null);
  readonly dialog: DialogStore = new Store<DialogState | null>(null);
  /** The start of the live view that a zoom has paused. */
  readonly paused = new Store<string | null>(null);
  readonly feed = new LiveFeed((samples) => this.take(samples), () => this.loadAnew());

  private readonly tags = new Map<string, Tag | null>();
  private readonly points = new Map<string, Points>();
  private readonly comparedPoints = new Map<string, Points>();
  private readonly surroundings = new Map<string, Surroundings>();
  private readonly laneRequests = new Map<string, { signature: string; abort: AbortController }>();
  private stepping = new AbortController();
  private readonly ledger = new Answer<readonly Gap[]>([]);
  private ledgerTime = 0;
  private loadedRange: Range = { start: 0n, end: 1n };
  private width = 0;
  private settling: ReturnType<typeof setTimeout> | undefined;
  private ticking: ReturnType<typeof setInterval> | undefined;
  private isolatedFrom: readonly string[] | null = null;
  private epoch = 0;
  private statisticsTime = 0;

  start(): () => void {
    const stops = [
      location$.subscribe(({ path, search }) => {
        if (path === '/') void this.apply(parseView(search));
      }),
      connection.subscribe(({ epoch }) => {
        if (epoch !== this.epoch) {
          this.epoch = epoch;
          for (const [name, tag] of this.tags) if (!tag) this.tags.delete(name);
          void this.apply(this.view.value, true);
        }
      }),
      this.ledger.subscribe(() => this.trace(this.pens())),
    ];
    this.annotations.start();
    this.epoch = connection.value.epoch;
    void this.apply(parseView(location$.value.search));
    return () => {
      for (const stop of stops) stop();
      this.feed.stop();
      clearInterval(this.ticking);
      clearTimeout(this.settling);
      for (const answer of [this.pins, this.statistics, this.findings, this.corrections, this.ledger, this.annotations]) answer.stop();
      for (const { abort } of [{ abort: this.stepping }, ...this.laneRequests.values()]) abort.abort();
    };
  }

  /** Milliseconds of the historian's clock, as nanoseconds. */
  now(): bigint {
    return BigInt(Date.now() + clockAheadMs.value) * NS_PER_MS;
  }

  get zone(): string {
    return resolveZone(this.view.value.zone);
  }

  pens(): Pen[] {
    return this.lanes.value.flatMap((lane) => [...lane.pens]).sort((left, right) => left.index - right.index);
  }

  // The view and how it changes

  change(change: Partial<View>, how: 'push' | 'replace' = 'push'): void {
    navigate(`/${viewSearch({ ...this.view.value, ...change })}`, how);
  }

  add(tag: Tag): void {
    this.tags.set(tag.name, tag);
    const { tags } = this.view.value;
    if (!tags.includes(tag.name) && tags.length < PENS_MAX) this.change({ tags: [...tags, tag.name] });
  }

  remove(name: string): void {
    const { tags, hidden } = this.view.value;
    this.change({ tags: tags.filter((tag) => tag !== name), hidden: hidden.filter((tag) => tag !== name) });
  }

  toggle(name: string): void {
    const { hidden } = this.view.value;
    this.isolatedFrom = null;
    this.change({ hidden: hidden.includes(name) ? hidden.filter((tag) => tag !== name) : [...hidden, name] }, 'replace');
  }

  /** Only this pen, or again those that were there before. */
  isolate(name: string): void {
    const { tags, hidden } = this.view.value;
    const others = tags.filter((tag) => tag !== name);
    const isolated = others.length > 0 && others.every((tag) => hidden.includes(tag)) && !hidden.includes(name);
    if (isolated) {
      this.change({ hidden: this.isolatedFrom ?? [] }, 'replace');
      this.isolatedFrom = null;
    } else {
      this.isolatedFrom = hidden;
      this.change({ hidden: others }, 'replace');
    }
  }

  /** Keeps the scale that the lane has now, or lets it follow its pens again. */
  keepScale(lane: Lane): void {
    const { [lane.code]: kept, ...others } = this.view.value.scales;
    this.change({ scales: kept ? others : { ...others, [lane.code]: this.scaleOf(lane) } }, 'replace');
  }

  scaleOf(lane: Lane): Scale {
    const [minimum, maximum] = laneScale({
      lane, range: this.range.value, traces: this.traces.value, compared: this.compared.value, findings: [], corrections: new Map(), annotations: [],
      hidden: this.view.value.hidden, scale: this.view.value.scales[lane.code] ?? null, theme: 'light',
    });
    return [Number(minimum.toPrecision(6)), Number(maximum.toPrecision(6))];
  }

  /** Draws another range at once and asks for it when nothing has moved for a moment. */
  preview(range: Range, settle: 'soon' | 'later' = 'soon'): void {
    this.range.set(clampRange(range));
    clearTimeout(this.settling);
    if (settle === 'soon') this.settling = setTimeout(() => this.settle(), SETTLE_MS);
  }

  /** Makes the range that is drawn the view: one entry of the history. */
  settle(): void {
    clearTimeout(this.settling);
    this.settling = undefined;
    const { view } = this;
    if (view.value.live) this.paused.set(view.value.start);
    navigate(`/${viewSearch(atRange(view.value, this.range.value))}`);
  }

  zoomTo(range: Range): void {
    this.preview(range, 'later');
    this.settle();
  }

  /** Earlier (−1) or later (1) by whole periods. */
  step(periods: number): void {
    const { start, end } = this.range.value;
    const distance = (end - start) * BigInt(periods);
    this.zoomTo({ start: start + distance, end: end + distance });
  }

  setLive(live: boolean): void {
    if (!live) {
      this.change({ ...atRange(this.view.value, this.range.value) });
      return;
    }
    const { start, end } = this.range.value;
    const relative = isRelative(this.view.value.start) ? this.view.value.start : beforeNow(end - start);
    const from = this.paused.value ?? relative;
    this.paused.set(null);
    this.change({ start: from, end: '*', live: true });
  }

  pin(time: bigint): void {
    const { a, b } = this.view.value;
    if (a === null || b !== null) this.change({ a: time, b: null }, 'replace');
    else this.change({ b: time }, 'replace');
  }

  clearPins(): void {
    this.change({ a: null, b: null }, 'replace');
  }

  // Annotations

  /** What a text can be about, the likeliest first: what is pinned, the moment under the cursor, all of the view. */
  periods(): Period[] {
    const { a, b } = this.view.value;
    const cursor = this.cursor.value;
    const moment = (name: string, time: bigint): Period => ({ name, start: time, end: time });
    return [
      ...(a !== null && b !== null && a !== b ? [{ name: 'A to B', ...this.selection() }] : []),
      ...(a !== null ? [moment('A', a)] : []),
      ...(b !== null ? [moment('B', b)] : []),
      ...(cursor !== null ? [moment('Cursor', cursor)] : []),
      { name: 'View', ...this.range.value },
    ];
  }

  /** Begins an annotation of the pens that are drawn, as far as the caller may write on them. */
  annotate(): void {
    const [period] = this.periods();
    if (!period || this.view.value.chartOnly || !may(who.value, 'write')) return;
    const shown = this.pens().map((pen) => pen.name).filter((name) => !this.view.value.hidden.includes(name));
    this.dialog.set({ kind: 'write', draft: { start: period.start, end: period.end, text: '', tags: shown.filter((name) => mayOn(who.value, 'write', name)) } });
  }

  /** Moves the cursor to the sample before or after it. */
  async stepSample(name: string, direction: -1 | 1): Promise<void> {
    const { start, end } = this.range.value;
    const at = this.cursor.value ?? (direction > 0 ? start : end);
    this.stepping.abort();
    this.stepping = new AbortController();
    try {
      const [before, after] = await neighbours(name, at, this.stepping.signal);
      const time = direction < 0 ? before : after;
      if (time !== null) this.cursor.set(time);
    } catch (error) {
      if (!isAbort(error)) this.problem.set(errorText(error));
    }
  }

  /** The width of a lane in pixels decides how much is asked for. */
  setWidth(width: number): void {
    const before = this.width;
    this.width = width;
    if (before === 0 || width > before * 1.25) this.loadLanes();
  }

  // What follows from the view

  private async apply(view: View, force = false): Promise<void> {
    const before = this.view.value;
    this.view.set(view);
    const range = resolveRange(view, this.now());
    if (typeof range === 'string') {
      this.problem.set(range);
      return;
    }
    this.problem.set('');
    if (!view.live) {
      clearInterval(this.ticking);
      this.ticking = undefined;
      this.feed.stop();
      if (view.end === '*') this.paused.set(null);
    } else {
      this.paused.set(null);
    }
    const moved = force || view.start !== before.start || view.end !== before.end || view.live !== before.live
      || view.zone !== before.zone || this.loadedRange.end === 1n;
    if (moved) {
      this.range.set(range);
      this.loadedRange = range;
    }
    await this.readTags(view.tags);
    if (this.view.value !== view) return;
    if (force) this.laneRequests.clear();
    this.loadLanes();
    this.readPins(force);
    this.readStatistics(force);
    this.readFindings(force);
    this.readCorrections(force);
    this.annotations.follow(force);
    if (view.live) this.goLive();
  }

  private async readTags(names: readonly string[]): Promise<void> {
    const unknown = names.filter((name) => !this.tags.has(name));
    if (unknown.length > 0) {
      const { epoch } = this;
      await Promise.all(unknown.map(async (name) => {
        try {
          this.tags.set(name, await getTag(name));
        } catch (error) {
          // What was refused before a sign-in says nothing of now.
          if (epoch === this.epoch) this.problem.set(errorText(error));
        }
      }));
    }
    const current = this.view.value.tags;
    const pens = current.flatMap((name, index) => {
      const tag = this.tags.get(name);
      return tag ? [penOf(tag, index)] : [];
    });
    this.missing.set(current.filter((name) => this.tags.get(name) === null));
    this.lanes.set(lanesOf(pens));
  }

  private loadAnew(): void {
    if (this.view.value.live) {
      const range = resolveRange(this.view.value, this.now());
      if (typeof range !== 'string') this.loadedRange = range;
    }
    for (const request of this.laneRequests.values()) request.abort.abort();
    this.laneRequests.clear();
    this.loadLanes();
  }

  private loadLanes(): void {
    if (this.width === 0) return;
    const lanes = this.lanes.value;
    for (const [key, { abort }] of this.laneRequests) {
      if (!lanes.some((lane) => lane.key === key)) {
        abort.abort();
        this.laneRequests.delete(key);
      }
    }
    for (const lane of lanes) void this.loadLane(lane);
    this.readGaps(false);
  }

  /** How many points a plot is asked for: some per pixel of a lane. */
  pointsAsked(): number {
    return Math.min(POINTS_MAX, Math.max(5, Math.round(this.width) * POINTS_PER_PIXEL));
  }

  private async loadLane(lane: Lane): Promise<void> {
    const range = this.loadedRange;
    const { compareDays } = this.view.value;
    const tags = lane.pens.map((pen) => pen.tag);
    const names = tags.map((tag) => tag.name);
    const signature = JSON.stringify([names, String(range.start), String(range.end), compareDays, this.zone]);
    const earlier = this.laneRequests.get(lane.key);
    if (earlier?.signature === signature) return;
    earlier?.abort.abort();
    const abort = new AbortController();
    this.laneRequests.set(lane.key, { signature, abort });
    this.setLane(lane.key, { loading: true, error: '' });
    const points = this.pointsAsked();
    try {
      const earlierRange = compareDays > 0 ? comparedRange(range, this.zone, compareDays) : null;
      const [answer, compared] = await Promise.all([
        fetchPlot(tags, range, points, abort.signal),
        earlierRange ? fetchPlot(tags, earlierRange, points, abort.signal) : null,
      ]);
      for (const name of names) {
        this.points.set(name, answer.get(name) ?? NO_POINTS);
        const other = compared?.get(name);
        if (other && earlierRange) this.comparedPoints.set(name, moveForward(other, earlierRange, range, this.zone, compareDays));
        else this.comparedPoints.delete(name);
      }
      await this.readSurroundings(lane, range, abort.signal);
      this.trace(lane.pens);
      this.setLane(lane.key, { loading: false, error: '' });
    } catch (error) {
      if (isAbort(error)) return;
      this.laneRequests.delete(lane.key);
      this.setLane(lane.key, { loading: false, error: errorText(error) });
    }
  }

  /** Of sloped pens with few samples in the view: whether these are few for them. */
  private async readSurroundings(lane: Lane, range: Range, signal: AbortSignal): Promise<void> {
    const sparse = lane.pens.filter((pen) => !pen.stepped && isSparse(this.points.get(pen.name) ?? NO_POINTS));
    const found = sparse.length > 0 ? await surroundingsOf(sparse.map((pen) => pen.name), range, signal) : new Map<string, Surroundings>();
    for (const { name } of lane.pens) {
      const around = found.get(name);
      if (around) this.surroundings.set(name, around);
      else this.surroundings.delete(name);
    }
  }

  private setLane(key: string, state: LaneState): void {
    this.laneStates.update((states) => new Map(states).set(key, state));
  }

  private trace(pens: readonly Pen[]): void {
    const traces = new Map(this.traces.value);
    const compared = new Map(this.compared.value);
    for (const pen of pens) {
      const end = this.view.value.live ? this.range.value.end : this.loadedRange.end;
      const options = { stepped: pen.stepped, discrete: pen.discrete, end, gaps: gapsOf(this.ledger.value, pen.name) };
      const points = this.points.get(pen.name);
      if (points) {
        const silence = pen.stepped ? NEVER_SILENT : silenceOf(points, this.surroundings.get(pen.name));
        traces.set(pen.name, traceOf(points, { ...options, silence }));
      }
      const other = this.comparedPoints.get(pen.name);
      if (other) compared.set(pen.name, traceOf(other, { ...options, gaps: [], silence: silenceOf(other, undefined) }));
      else compared.delete(pen.name);
    }
    this.traces.set(traces);
    this.compared.set(compared);
  }

  /** Of the pens, over the view and the pinned cursors; without the right to read the ledger, gaps stay blank and have no reason. */
  private readGaps(again: boolean): void {
    const names = this.pens().map((pen) => pen.name);
    if (names.length === 0) return;
    const { start, end } = this.shownRange();
    const { a, b } = this.view.value;
    const times = [start, end, ...(a === null ? [] : [a, a + 1n]), ...(b === null ? [] : [b, b + 1n])];
    const range = { start: times.reduce((one, other) => (other < one ? other : one)), end: times.reduce((one, other) => (other > one ? other : one)) };
    this.ledgerTime = Date.now();
    this.ledger.ask([names, range], (signal) => listGaps(names, range, signal), { again });
  }

  // Readings

  private readPins(again: boolean): void {
    const { a, b } = this.view.value;
    const names = this.pens().map((pen) => pen.name);
    if ((a === null && b === null) || names.length === 0) {
      this.pins.clear();
      return;
    }
    this.pins.ask([names, a, b], async (signal) => {
      const [valuesA, valuesB] = await Promise.all([a, b].map((time) => (time === null ? null : valuesAt(names, time, signal))));
      return { a: valuesA ?? null, b: valuesB ?? null };
    }, { again });
  }

  /** Why a tag has no number at a moment although samples lie before it: a recorded gap. */
  gapAt(name: string, time: bigint, sampled: bigint | null): string | null {
    const gap = gapsOf(this.ledger.value, name).find(({ start, end }) => start <= time && (end === null || time < end) && (sampled === null || sampled <= start));
    return gap ? gap.reason : null;
  }

  /** For how long nothing was reported around a moment that lies on the line over a silence, in nanoseconds; otherwise 0. */
  silentNs(name: string, time: bigint): number {
    const trace = this.traces.value.get(name);
    return trace ? readTrace(trace, Number(time - trace.origin)).silentNs : 0;
  }

  /** The range of the view, which a gesture may be about to leave. */
  shownRange(): Range {
    return this.view.value.live ? this.range.value : this.loadedRange;
  }

  /** Between the cursors where both are pinned, otherwise all of the view. */
  selection(): Range {
    const { a, b } = this.view.value;
    if (a === null || b === null || a === b) return this.shownRange();
    return a < b ? { start: a, end: b } : { start: b, end: a };
  }

  private readStatistics(again: boolean): void {
    const selection = this.selection();
    const steps = new Map(this.pens().map((pen): [string, boolean] => [pen.name, pen.stepped]));
    if (steps.size === 0) return;
    this.statistics.ask([[...steps.keys()], selection], (signal) => statisticsOf(steps, selection, signal), { again, delayMs: STATISTICS_MS });
  }

  private readFindings(again: boolean): void {
    const { detector } = this.view.value;
    const range = this.loadedRange;
    // Text and most states cannot be scored; a tag that is named and cannot be is refused.
    const names = this.pens().filter((pen) => !pen.discrete).map((pen) => pen.name);
    if (!detector || names.length === 0) this.findings.clear();
    else this.findings.ask([detector, names, range], (signal) => fetchFindings(inRange(detector, names, range), signal), { again });
  }

  private readCorrections(again: boolean): void {
    const range = this.loadedRange;
    const names = this.pens().map((pen) => pen.name);
    if (names.length > 0) this.corrections.ask([names, range], (signal) => listCorrections(names, range, signal), { again });
  }

  // Live

  private goLive(): void {
    this.feed.start(this.pens().map((pen) => pen.name));
    if (this.ticking !== undefined) return;
    this.ticking = setInterval(() => this.tick(), LIVE_TICK_MS);
  }

  private tick(): void {
    const range = resolveRange(this.view.value, this.now());
    if (typeof range === 'string' || !this.view.value.live || this.settling !== undefined) return;
    this.range.set(range);
    this.trace(this.pens());
    const span = range.end - range.start;
    const behind = range.end - this.loadedRange.end;
    // What was reduced for one window is read again before the window has moved far.
    if (behind * 20n > span && behind > 10_000_000_000n && connection.value.disconnectedSince === null) this.loadAnew();
    if (Date.now() - this.ledgerTime > GAPS_MS) this.readGaps(true);
    if (Date.now() - this.statisticsTime > LIVE_STATISTICS_MS) {
      this.statisticsTime = Date.now();
      this.readStatistics(true);
      this.readFindings(false);
    }
  }

  private take(samples: readonly FeedSample[]): void {
    const own = new Map<string, FeedSample[]>();
    for (const sample of samples) own.set(sample.tag, [...(own.get(sample.tag) ?? []), sample]);
    for (const pen of this.pens()) {
      const newer = own.get(pen.name);
      if (newer) this.points.set(pen.name, withSamples(this.points.get(pen.name) ?? NO_POINTS, newer, valueType(pen.tag) === 'string'));
    }
  }

  /** What the answers for the pens that are drawn consist of. */
  drawnPoints(): Map<string, Points> {
    const shown = this.pens().filter((pen) => !this.view.value.hidden.includes(pen.name));
    return new Map(shown.map((pen) => [pen.name, this.points.get(pen.name) ?? NO_POINTS]));
  }

  // What tests and scripts read

  snapshot(): unknown {
    const view = this.view.value;
    const { start, end } = this.range.value;
    const text = (time: bigint | null) => time?.toString() ?? null;
    const instants = (values: ReadonlyMap<string, Instant> | null) =>
      values && Object.fromEntries([...values].map(([tag, { value, quality, sampled }]) => [tag, { value, quality, sampled: text(sampled) }]));
    return {
      view: { ...view, a: text(view.a), b: text(view.b) },
      range: { start: text(start), end: text(end) },
      loading: [...this.laneStates.value].some(([key, state]) => state.loading && this.lanes.value.some((lane) => lane.key === key)),
      live: { state: this.feed.state.value, paused: this.paused.value },
      problem: this.problem.value,
      missing: this.missing.value,
      cursor: text(this.cursor.value),
      pins: { a: instants(this.pins.value.a), b: instants(this.pins.value.b) },
      selection: { start: text(this.selection().start), end: text(this.selection().end) },
      statistics: Object.fromEntries(this.statistics.value),
      corrections: Object.fromEntries([...this.corrections.value].map(([tag, times]) => [tag, times.map(text)])),
      findings: this.findings.value.map(({ tag, start: from, end: to, score }) => ({ tag, start: text(from), end: text(to), score })),
      annotations: this.annotations.value.map(({ start: from, end: to, time, removed: _, ...annotation }) => ({ ...annotation, start: text(from), end: text(to), time: text(time) })),
      lanes: this.lanes.value.map((lane) => ({ key: lane.key, unit: lane.unit, scale: this.scaleOf(lane), pens: lane.pens.map((pen) => pen.name), ...this.laneStates.value.get(lane.key) })),
      pens: this.pens().map((pen) => {
        const points = this.points.get(pen.name) ?? NO_POINTS;
        const trace = this.traces.value.get(pen.name);
        const compared = this.compared.value.get(pen.name);
        return {
          name: pen.name, unit: pen.tag.unit ?? '', stepped: pen.stepped, hidden: view.hidden.includes(pen.name),
          points: {
            count: points.times.length,
            times: Array.from(points.times, String),
            values: points.texts ?? Array.from(points.values, (value) => (Number.isNaN(value) ? null : value)),
            qualities: [...points.qualities],
          },
          drawn: trace && { origin: text(trace.origin), runs: trace.runs, bands: trace.bands, stretches: trace.stretches },
          annotations: marksOf(this.annotations.value, pen.name, trace).map(({ annotation: { id, start: from, end: to }, kind, value }) => ({ id, kind, start: text(from), end: text(to), value })),
          compared: compared && { origin: text(compared.origin), runs: compared.runs },
        };
      }),
    };
  }
}
