// Bundles src/ into dist/: `node build.mjs`.
import esbuild from 'esbuild';
import fs from 'node:fs';
import path from 'node:path';

const here = import.meta.dirname;

/** The code editor is not needed (4 MB), and one package imports names that @grafana/runtime does not export. */
const replaced = {
  name: 'replaced',
  setup(build) {
    build.onResolve({ filter: /^(monaco-editor|@monaco-editor\/react)(\/|$)/ }, (a) => ({ path: a.path, namespace: 'empty' }));
    build.onLoad({ filter: /.*/, namespace: 'empty' }, () => ({ contents: 'module.exports = {}' }));
    build.onResolve({ filter: /^@grafana\/plugin-compat\/datasources$/ }, () => ({ path: path.join(here, 'src/compat.ts') }));
  },
};

fs.rmSync(path.join(here, 'dist'), { recursive: true, force: true });
await esbuild.build({
  absWorkingDir: here,
  entryPoints: ['src/main.tsx'],
  bundle: true,
  format: 'esm',
  splitting: true,
  outdir: 'dist',
  minify: true,
  target: 'es2022',
  jsx: 'automatic',
  define: { 'process.env.NODE_ENV': '"production"', global: 'globalThis' },
  loader: { '.svg': 'dataurl', '.ttf': 'file' },
  external: ['/public/*'],
  plugins: [replaced],
  alias: { 'moment-timezone': 'moment-timezone/builds/moment-timezone-with-data-10-year-range.js' },
  legalComments: 'linked',
  logLevel: 'warning',
});
fs.writeFileSync(
  path.join(here, 'dist/index.html'),
  '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Helios</title><base href="/"><link rel="stylesheet" href="/main.css"></head>' +
    '<body><div id="root"></div><script type="module" src="/main.js"></script></body></html>\n'
);
