// What Grafana draws around a dashboard: the list of dashboards, and the theme.
import { useTheme2 } from '@grafana/ui';
import type { Listed } from './model';

const FOLDERS = [['metrics', 'Metrics'], ['flows', 'Flows']] as const;

/** Links keep time range and variables, as the dashboards' own link list does. */
const to = (uid: string) => `/d/${uid}${location.search}`;

function otherTheme(): string {
  const parameters = new URLSearchParams(location.search);
  parameters.set('theme', parameters.get('theme') === 'light' ? 'dark' : 'light');
  return `${location.pathname}?${parameters}`;
}

export function Navigation({ boards, uid }: { boards: Listed[]; uid: string }) {
  const theme = useTheme2();
  const current = boards.find((board) => board.uid === uid);
  return (
    <header style={{ padding: '10px 16px 4px', borderBottom: `1px solid ${theme.colors.border.weak}`, marginBottom: 8 }}>
      <nav style={{ display: 'flex', flexWrap: 'wrap', gap: '2px 14px', fontSize: 12 }} aria-label="Dashboards">
        {FOLDERS.flatMap(([folder, name]) => [
          <strong key={folder}>{name}</strong>,
          ...boards.filter((board) => board.folder === folder).map((board) => (
            <a key={board.uid} href={to(board.uid)} title={board.description} aria-current={board.uid === uid ? 'page' : undefined}
              style={{ color: board.uid === uid ? theme.colors.text.primary : theme.colors.text.link, fontWeight: board.uid === uid ? 500 : 400 }}>
              {board.title}
            </a>
          )),
        ])}
        <a href={otherTheme()} style={{ marginLeft: 'auto', color: theme.colors.text.secondary }}>{theme.isDark ? 'Light' : 'Dark'}</a>
      </nav>
      <h4 style={{ margin: '6px 0 2px' }} title={current?.description}>{current?.title}</h4>
    </header>
  );
}
