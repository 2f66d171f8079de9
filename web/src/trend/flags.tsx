// Flags at the upper edge of a lane: the text of annotations for a pointer, a finger and a keyboard. Tab comes to the flags of a lane, arrow keys go
// along them; a click shows the row of the list.
import { useEffect, useRef, useState } from 'preact/hooks';
import type { Annotation } from '../api/annotations';
import { periodText } from '../annotations/table';
import { useStore } from '../model/store';
import type { TrendController } from './controller';
import type { Lane } from './lane';
import { flagsOf, type Flag } from './marks';

const TEXTS_MAX = 5;

export function Flags({ controller, lane, width }: { readonly controller: TrendController; readonly lane: Lane; readonly width: number }) {
  const annotations = useStore(controller.annotations);
  const range = useStore(controller.range);
  const { hidden } = useStore(controller.view);
  const [shown, setShown] = useState<string | null>(null);
  const host = useRef<HTMLDivElement>(null);
  const pens = lane.pens.map((pen) => pen.name).filter((name) => !hidden.includes(name));
  const flags = flagsOf(annotations, pens, range, width);
  const open = flags.find((flag) => keyOf(flag) === shown);
  useEffect(() => {
    if (!open) return;
    const close = (event: KeyboardEvent) => event.key === 'Escape' && setShown(null);
    addEventListener('keydown', close);
    return () => removeEventListener('keydown', close);
  }, [open !== undefined]);
  if (flags.length === 0) return null;
  const walk = (event: KeyboardEvent) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (step === undefined) return;
    event.preventDefault();
    const buttons = [...(host.current?.querySelectorAll<HTMLElement>('button') ?? [])];
    buttons[buttons.indexOf(document.activeElement as HTMLElement) + step]?.focus();
  };
  return (
    <div class="flags" ref={host} role="group" aria-label="Annotations" onKeyDown={walk}>
      {flags.map((flag, at) => {
        const key = keyOf(flag);
        return (
          <button
            key={key}
            type="button"
            class="flag"
            style={{ left: `${flag.at * 100}%` }}
            tabIndex={at === 0 ? 0 : -1}
            aria-label={labelOf(flag, controller.zone)}
            data-annotations={key}
            onMouseEnter={() => setShown(key)}
            onMouseLeave={() => setShown(null)}
            onFocus={() => setShown(key)}
            onBlur={() => setShown(null)}
            onClick={() => {
              setShown(key);
              controller.chosenAnnotation.set(flag.annotations[0]?.id ?? null);
            }}
          >
            {flag.annotations.length > 1 ? flag.annotations.length : '✎'}
          </button>
        );
      })}
      {open && <Card flag={open} zone={controller.zone} />}
    </div>
  );
}

function keyOf({ annotations }: Flag): string {
  return annotations.map(({ id }) => id).join(' ');
}

function labelOf({ annotations }: Flag, zone: string): string {
  const texts = annotations.slice(0, TEXTS_MAX).map((annotation) => `${periodText(annotation, zone)}: ${annotation.text}`).join('; ');
  return annotations.length > 1 ? `${annotations.length} annotations: ${texts}` : texts;
}

function Card({ flag, zone }: { readonly flag: Flag; readonly zone: string }) {
  const texts = flag.annotations.slice(0, TEXTS_MAX);
  const side = flag.at > 0.6 ? { right: `${(1 - flag.at) * 100}%` } : { left: `${flag.at * 100}%` };
  return (
    <div class="flag-card" role="tooltip" style={side}>
      {texts.map((annotation: Annotation) => (
        <p key={annotation.id}>
          <span class="soft">{periodText(annotation, zone)}{annotation.author && ` · ${annotation.author}`}</span>
          <span class="remark">{annotation.text}</span>
          <span class="soft">{annotation.tags.join(', ')}</span>
        </p>
      ))}
      {flag.annotations.length > TEXTS_MAX && <p class="soft">and {flag.annotations.length - TEXTS_MAX} others</p>}
    </div>
  );
}
