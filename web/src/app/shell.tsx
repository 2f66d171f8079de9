// What is around every screen: where one can go, whether the historian answers, who one is.
import type { ComponentType } from 'preact';
import { useEffect } from 'preact/hooks';
import { connection, signInNeeded, token } from '../api/request';
import { DevicePage } from '../collectors/device_page';
import { CollectorsScreen } from '../collectors/screen';
import { FindingsScreen } from '../findings/screen';
import { useStore } from '../model/store';
import { SystemScreen } from '../system/screen';
import { TagPage } from '../tags/tag_page';
import { TagsScreen } from '../tags/screen';
import { TrendScreen } from '../trend/screen';
import { notice } from '../ui/notice';
import { lastTrend, location$ } from './route';
import { SignIn } from './sign_in';
import { switchTheme, theme } from './theme';

interface Screen {
  readonly path: string;
  readonly name: string;
  readonly component: ComponentType;
}

const SCREENS: readonly Screen[] = [
  { path: '/', name: 'Trend', component: TrendScreen },
  { path: '/tags', name: 'Tags', component: TagsScreen },
  { path: '/collectors', name: 'Collectors', component: CollectorsScreen },
  { path: '/findings', name: 'Findings', component: FindingsScreen },
  { path: '/system', name: 'System', component: SystemScreen },
];

export function Shell() {
  const { path, search } = useStore(location$);
  const chartOnly = path === '/' && new URLSearchParams(search).get('chart') === '1';
  const tagName = path.startsWith('/tags/') ? decodedPath(path.slice('/tags/'.length)) : null;
  const deviceName = path.startsWith('/collectors/') ? decodedPath(path.slice('/collectors/'.length)) : null;
  const screen = SCREENS.find((candidate) => candidate.path === path);
  const Component = screen?.component;
  useEffect(() => {
    document.title = `${tagName ?? deviceName ?? screen?.name ?? 'Not found'} – historian`;
  }, [tagName, deviceName, screen]);
  return (
    <>
      {!chartOnly && <Header path={path} />}
      <Disconnected />
      {tagName ? <TagPage key={tagName} name={tagName} />
        : deviceName ? <DevicePage key={deviceName} name={deviceName} />
          : Component ? <Component /> : <NotFound path={path} />}
      <SignIn />
      <Notice />
    </>
  );
}

function decodedPath(path: string): string {
  try {
    return decodeURIComponent(path);
  } catch {
    return path;
  }
}

function Header({ path }: { readonly path: string }) {
  const dark = useStore(theme) === 'dark';
  return (
    <header class="top">
      <a href="/" class="brand"><img src="/icon.svg" alt="" width="22" height="22" />historian</a>
      <nav aria-label="Screens">
        {SCREENS.map((screen) => {
          const here = screen.path === path || (screen.path !== '/' && path.startsWith(`${screen.path}/`));
          return <a key={screen.path} href={screen.path === '/' && path !== '/' ? lastTrend() : screen.path} aria-current={here ? 'page' : undefined}>{screen.name}</a>;
        })}
      </nav>
      <span class="top-right">
        <button type="button" class="plain" onClick={() => signInNeeded.set(true)}>{token() ? 'Token ✓' : 'Sign in'}</button>
        <button type="button" class="plain" onClick={switchTheme} aria-label={dark ? 'Light theme' : 'Dark theme'} title={dark ? 'Light theme' : 'Dark theme'}>{dark ? '☀' : '☾'}</button>
      </span>
    </header>
  );
}

function Disconnected() {
  const { disconnectedSince } = useStore(connection);
  if (disconnectedSince === null) return null;
  const time = new Date(disconnectedSince).toLocaleTimeString([], { hourCycle: 'h23' });
  return <p class="disconnected" role="alert" data-testid="disconnected">Disconnected since {time}. What is shown is as of then; the page goes on by itself when the historian is back.</p>;
}

function Notice() {
  const text = useStore(notice);
  return <p class={`notice${text ? '' : ' invisible'}`} role="status">{text}</p>;
}

function NotFound({ path }: { readonly path: string }) {
  return (
    <main class="page">
      <h1>Not found</h1>
      <p>There is no screen <code>{path}</code>.</p>
    </main>
  );
}
