// Small pieces that several screens show alike.
import type { ComponentChildren } from 'preact';
import { formatCivil, formatDuration, NS_PER_MS } from '../model/time';
import { browserZone } from '../model/zone';

/** A problem above content that stays. */
export function Problem({ text }: { readonly text: string }) {
  return text ? <p class="problem" role="alert">{text}</p> : null;
}

/** A moment in the browser's zone, in UTC on hover; 0 is never. */
export function Moment({ ns }: { readonly ns: string | number | bigint | undefined }) {
  const time = BigInt(ns ?? 0);
  if (time === 0n) return <span class="soft">never</span>;
  return <time dateTime={formatCivil(time, 'UTC')} title={`${formatCivil(time, 'UTC')} UTC`}>{formatCivil(time, browserZone, 0)}</time>;
}

/** How long ago, in words. */
export function ageText(ns: string | bigint | undefined, nowMs: number): string {
  const time = BigInt(ns ?? 0);
  if (time === 0n) return 'never';
  const age = BigInt(Math.round(nowMs)) * NS_PER_MS - time;
  return age < 1_000_000_000n ? 'now' : formatDuration((age / 1_000_000_000n) * 1_000_000_000n);
}

export function agoText(ns: string | undefined, nowMs: number): string {
  const age = ageText(ns, nowMs);
  return age === 'now' || age === 'never' ? age : `${age} ago`;
}

export function Card({ title, children, note, wide = false }: {
  readonly title: string; readonly children: ComponentChildren; readonly note?: ComponentChildren; readonly wide?: boolean;
}) {
  return (
    <section class={wide ? 'card wide' : 'card'}>
      <h2>{title}{note && <span class="card-note">{note}</span>}</h2>
      {children}
    </section>
  );
}

/** Names and values. */
export function Facts({ rows }: { readonly rows: readonly (readonly [name: string, value: ComponentChildren])[] }) {
  return (
    <dl class="facts">
      {rows.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}
