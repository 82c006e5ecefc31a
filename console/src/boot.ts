// Imported before anything of @grafana/*: their configuration reads window.grafanaBootData when it is evaluated.
const theme = new URLSearchParams(location.search).get('theme') === 'light' ? 'light' : 'dark';

Object.assign(window, {
  __grafana_public_path__: '/public/',
  grafanaBootData: {
    assets: { dark: '', light: '' },
    navTree: [],
    user: { theme, id: 1, orgId: 1, orgName: 'Helios', login: 'console', timezone: 'browser', weekStart: '', language: 'en-US' },
    settings: {
      buildInfo: { version: '13.2.3', env: 'production', commit: '' },
      featureToggles: {},
      appSubUrl: '',
      minRefreshInterval: '5s',
      namespace: 'default',
    },
  },
});

export {};
