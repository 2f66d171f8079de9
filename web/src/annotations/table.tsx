// Annotations in rows: when, on what, the text, and by whom it is.
import type { ComponentChildren } from 'preact';
import { useEffect, useRef } from 'preact/hooks';
import type { Annotation } from '../api/annotations';
import { formatCivil, formatDuration, SECOND_NS, type Range } from '../model/time';
import type { DialogStore } from './dialog';

const MARGIN_NS_MIN = 60n * SECOND_NS;

/** What to look at for a thing in time: as much again before and behind it. */
export function frameOf({ start, end }: Range): Range {
  const margin = end - start < MARGIN_NS_MIN ? MARGIN_NS_MIN : end - start;
  return { start: start - margin, end: end + margin };
}

/** A moment, or a start and a length. */
export function periodText({ start, end }: Annotation, zone: string): string {
  const from = formatCivil(start, zone, start % SECOND_NS === 0n ? 0 : undefined);
  return start === end ? from : `${from}, ${formatDuration(end - start)}`;
}

interface Props {
  readonly annotations: readonly Annotation[];
  readonly zone: string;
  readonly dialog: DialogStore;
  readonly mayChange: (annotation: Annotation) => boolean;
  readonly chosen?: string | null;
  /** What leads to the frame of an annotation. */
  readonly link: (annotation: Annotation, text: string) => ComponentChildren;
}

export function AnnotationTable({ annotations, zone, dialog, mayChange, chosen = null, link }: Props) {
  const body = useRef<HTMLTableSectionElement>(null);
  useEffect(() => {
    if (chosen !== null) body.current?.querySelector('.chosen')?.scrollIntoView({ block: 'nearest' });
  }, [chosen]);
  return (
    <div class="table-scroll tall" tabIndex={0} role="region" aria-label="Annotations">
      <table class="annotations" data-testid="annotations">
        <thead>
          <tr>
            <th scope="col">Time</th>
            <th scope="col">Tags</th>
            <th scope="col">Text</th>
            <th scope="col">By</th>
            <th scope="col">Version</th>
            <th scope="col"><span class="sr">Change</span></th>
          </tr>
        </thead>
        <tbody ref={body}>
          {annotations.map((annotation) => (
            <tr key={annotation.id} class={annotation.id === chosen ? 'chosen' : ''} data-annotation={annotation.id}>
              <td>{link(annotation, periodText(annotation, zone))}</td>
              <td title={annotation.tags.join('\n')}>{annotation.tags.join(', ')}</td>
              <td class="remark">{annotation.text}</td>
              <td>{annotation.author || '—'}</td>
              <td><button type="button" class="plain link" aria-label={`Version ${annotation.version} of annotation ${annotation.id}, and those before`} onClick={() => dialog.set({ kind: 'versions', annotation })}>{annotation.version}</button></td>
              <td>
                {mayChange(annotation) && (
                  <>
                    <button type="button" class="plain link" aria-label={`Edit annotation ${annotation.id}`} onClick={() => dialog.set({ kind: 'write', draft: { of: annotation, ...annotation } })}>Edit</button>
                    <button type="button" class="plain link" aria-label={`Remove annotation ${annotation.id}`} onClick={() => dialog.set({ kind: 'remove', annotation })}>Remove</button>
                  </>
                )}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
