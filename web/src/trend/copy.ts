// The view in other people's tools: what "Copy as" puts on the clipboard.
import { token } from '../api/request';
import { formatRfc3339, type Range } from '../model/time';
import type { View } from './view';
import { pinned, viewSearch } from './view';

const GRPC_PORT = 8815;

export interface CopyForm {
  readonly name: string;
  readonly text: string;
}

export function copyForms(view: View, range: Range): CopyForm[] {
  const start = formatRfc3339(range.start);
  const end = formatRfc3339(range.end);
  const { protocol, hostname, origin } = window.location;
  const server = `${protocol === 'https:' ? 'grpc+tls' : 'grpc'}://${hostname}:${GRPC_PORT}`;
  const names = JSON.stringify(view.tags);
  const sqlNames = view.tags.map((tag) => `'${tag.replaceAll("'", "''")}'`).join(', ');
  const header = token() ? ` -H "authorization: Bearer $HISTORIAN_TOKEN"` : '';
  return [
    { name: 'Link to this view', text: `${origin}/${viewSearch(view)}` },
    { name: 'Link to these times', text: `${origin}/${viewSearch(pinned(view, range))}` },
    { name: 'curl', text: `curl -sS${header} ${shellQuoted(`${origin}/api/v1/${rangePath(view.tags, range, 'csv')}`)}` },
    {
      name: 'Python',
      text: `import historian_client\n\nwith historian_client.connect("${server}") as plant:\n    table = plant.range(${names}, "${start}", "${end}")\nframe = table.to_pandas()\n`,
    },
    {
      name: 'Python, pyarrow only',
      text: `import json\nimport pyarrow.flight as flight\n\nclient = flight.connect("${server}")\n`
        + `command = {"range": {"tags": ${names}, "start": "${start}", "end": "${end}"}}\n`
        + 'table = client.do_get(flight.Ticket(json.dumps(command).encode())).read_all()\n',
    },
    {
      name: 'SQL',
      text: `SELECT tag, timestamp, value, quality\nFROM samples\nWHERE tag IN (${sqlNames})\n  AND timestamp >= '${start}' AND timestamp < '${end}'\nORDER BY tag, timestamp`,
    },
  ];
}

/** The samples of the view, from the API. */
export function rangePath(tags: readonly string[], range: Range, format: string): string {
  return pathOf('range', tags, range, { format });
}

/** Its points as they are drawn. */
export function plotPath(tags: readonly string[], range: Range, points: number, format: string): string {
  return pathOf('plot', tags, range, { points: String(points), format });
}

function pathOf(kind: string, tags: readonly string[], { start, end }: Range, others: Readonly<Record<string, string>>): string {
  return `${kind}?${new URLSearchParams([...tags.map((tag) => ['tag', tag]), ['start', formatRfc3339(start)], ['end', formatRfc3339(end)], ...Object.entries(others)])}`;
}

function shellQuoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
