// Views of the Trend that people keep by a name.
import type { SavedView } from './messages';
import { requestJson } from './request';

export async function listViews(signal?: AbortSignal): Promise<readonly SavedView[]> {
  return (await requestJson<{ readonly views?: readonly SavedView[] }>('views', { signal })).views ?? [];
}

/** Keeps a view, or makes the next version of the one of this id. */
export async function saveView(view: Pick<SavedView, 'id' | 'version' | 'name' | 'shared' | 'content'>): Promise<SavedView> {
  return (await requestJson<{ readonly view?: SavedView }>('views/save', { body: view })).view ?? {};
}

export async function deleteView(id: string): Promise<void> {
  await requestJson('views/delete', { body: { id } });
}
