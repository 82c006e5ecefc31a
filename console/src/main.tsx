import './boot';
import { createTheme } from '@grafana/data';
import { initPluginTranslations } from '@grafana/i18n';
import { LocationServiceProvider, locationService } from '@grafana/runtime';
import { EmbeddedScene, UrlSyncContextProvider } from '@grafana/scenes';
import { GlobalStyles, PortalContainer, ThemeContext } from '@grafana/ui';
import { ReactNode, useLayoutEffect, useMemo, useState } from 'react';
import { createRoot } from 'react-dom/client';
import { Router } from 'react-router-dom';
import { ClickHouse, Prometheus } from './datasources';
import type { DashboardModel, Listed } from './model';
import { Navigation } from './navigation';
import { registerPanels } from './panels/panels';
import { initGrafana } from './runtime';
import { toScene } from './scene';

declare global {
  interface Window {
    /** For tests: what is drawn. */
    scene?: EmbeddedScene;
  }
}

const HOME = 'helios-network-overview';
const themeOf = () => (new URLSearchParams(location.search).get('theme') === 'light' ? 'light' : 'dark');
const uidOf = (pathname: string) => /^\/d\/([\w-]+)/.exec(pathname)?.[1] ?? HOME;

/** The router follows Grafana's history, which scenes write to. */
function useLocation() {
  const history = locationService.getHistory();
  const [at, set] = useState({ location: history.location, action: history.action });
  useLayoutEffect(() => history.listen((next: typeof history.location, action: typeof history.action) => set({ location: next, action })), [history]);
  return at;
}

function App({ boards, models }: { boards: Listed[]; models: Map<string, DashboardModel> }) {
  const { location: at, action } = useLocation();
  const uid = uidOf(at.pathname);
  const model = models.get(uid);
  return (
    <Router navigator={locationService.getHistory() as never} location={at as never} navigationType={action as never}>
      <PortalContainer />
      <Navigation boards={boards} uid={uid} />
      {model ? <Board key={uid} model={model} /> : <p style={{ padding: 16 }}>There is no dashboard {uid}.</p>}
    </Router>
  );
}

function Board({ model }: { model: DashboardModel }) {
  const scene = useMemo(() => toScene(model), [model]);
  window.scene = scene;
  document.title = `${model.title} - Helios`;
  return (
    <main style={{ padding: '0 16px 16px', display: 'flex', flexDirection: 'column', flexGrow: 1 }}>
      <UrlSyncContextProvider scene={scene}>
        <scene.Component model={scene} />
      </UrlSyncContextProvider>
    </main>
  );
}

function Themed({ children }: { children: ReactNode }) {
  const theme = createTheme({ colors: { mode: themeOf() } });
  return (
    <ThemeContext.Provider value={theme}>
      <GlobalStyles />
      <LocationServiceProvider service={locationService}>{children}</LocationServiceProvider>
    </ThemeContext.Provider>
  );
}

const json = async <T,>(url: string): Promise<T> => {
  const answer = await fetch(url);
  if (!answer.ok) throw new Error(`${url}: ${answer.status} ${await answer.text()}`);
  return answer.json();
};

async function main() {
  await initPluginTranslations('helios');
  initGrafana([
    { uid: 'helios-clickhouse', name: 'Helios flows', type: 'grafana-clickhouse-datasource', api: new ClickHouse('helios-clickhouse') as never },
    { uid: 'helios-prometheus', name: 'Helios metrics', type: 'prometheus', api: new Prometheus('helios-prometheus') as never },
  ]);
  registerPanels();
  const boards = await json<Listed[]>('/api/dashboards');
  const models = await Promise.all(boards.map((board) => json<DashboardModel>(`/api/dashboards/${board.uid}`)));
  const root = createRoot(document.getElementById('root')!);
  root.render(<Themed><App boards={boards} models={new Map(models.map((model) => [model.uid, model]))} /></Themed>);
}

main().catch((error: unknown) => {
  document.body.textContent = `The console cannot start: ${error instanceof Error ? error.message : error}`;
  throw error;
});
