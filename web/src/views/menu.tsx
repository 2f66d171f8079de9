// Views that people keep by a name: a menu that opens them, and a dialog that keeps, renames, shares and deletes them. What is kept is the address
// of the Trend.
import { useEffect, useState } from 'preact/hooks';
import type { SavedView } from '../api/messages';
import { connection, errorText, token } from '../api/request';
import { listViews } from '../api/views';
import { expose } from '../app/probe';
import { navigate } from '../app/route';
import { who } from '../app/who';
import { useStore } from '../model/store';
import type { TrendController } from '../trend/controller';
import { parseView, viewSearch } from '../trend/view';
import { Menu, type MenuItem } from '../ui/menu';
import { ViewsDialog } from './dialog';

export interface Listing {
  readonly views: readonly SavedView[];
  readonly error: string;
  readonly loaded: boolean;
}

export function ViewsMenu({ controller }: { readonly controller: TrendController }) {
  const view = useStore(controller.view);
  const caller = useStore(who);
  const { epoch } = useStore(connection);
  const [listing, setListing] = useState<Listing>({ views: [], error: '', loaded: false });
  const [managing, setManaging] = useState(false);
  useEffect(() => setListing({ views: [], error: '', loaded: false }), [epoch, token()]);
  useEffect(() => expose('views', () => listing), [listing]);

  const refresh = async () => {
    try {
      setListing({ views: await listViews(), error: '', loaded: true });
    } catch (error) {
      setListing((before) => ({ ...before, error: errorText(error), loaded: true }));
    }
  };
  const items: MenuItem[] = [
    { name: view.tags.length > 0 ? 'Save or manage…' : 'Manage…', run: () => setManaging(true) },
    ...listing.views.map((saved): MenuItem => ({
      key: saved.id ?? '', name: saved.name ?? '', note: kindText(saved, caller?.name ?? ''), run: () => openView(saved),
    })),
  ];
  return (
    <>
      <Menu label="Views" items={items} onOpen={() => void refresh()}>Views ▾</Menu>
      {managing && (
        <ViewsDialog
          listing={listing}
          content={view.tags.length > 0 ? viewSearch(view).slice(1) : null}
          onOpen={openView}
          onRefresh={refresh}
          onClose={() => setManaging(false)}
        />
      )}
    </>
  );
}

/** Only what the Trend understands of the address that was kept, whoever wrote it. */
function openView({ content = '' }: SavedView): void {
  navigate(`/${viewSearch(parseView(content))}`);
}

/** Where callers have no names, every view is everybody's. */
export function isOwn({ owner = '' }: SavedView, caller: string): boolean {
  return owner === '' || owner === caller;
}

export function kindText(view: SavedView, caller: string): string {
  if (!view.shared) return 'private';
  return isOwn(view, caller) ? 'shared' : `shared by ${view.owner}`;
}
