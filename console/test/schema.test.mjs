// dashboards/ has the form that Grafana's own types give it (@grafana/schema): the names and types of all fields, the words of all
// enumerations, and the options and field configuration of each panel type. The TypeScript compiler compares.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import ts from 'typescript';

const root = path.join(import.meta.dirname, '../..');
const types = fs.realpathSync(path.join(import.meta.dirname, '../node_modules/@grafana/schema/dist/types'));
const below = (folder, ending) => fs.readdirSync(folder, { recursive: true }).filter((name) => name.endsWith(ending)).map((name) => path.join(folder, name)).sort();
const files = below(path.join(root, 'dashboards'), '.json');

// JSON has the value of an enumeration's member, which TypeScript does not take for the member: enumerations become unions of values.
const members = {};
for (const file of below(types, '.d.ts')) {
  for (const [, name, body] of fs.readFileSync(file, 'utf8').matchAll(/enum (\w+) \{(.*?)\}/gs)) {
    for (const [, member, value] of body.matchAll(/(\w+) = ("[^"]*"|-?\d+)/g)) {
      (members[name] ??= {})[member] = value;
    }
  }
}
const asUnions = (text) => text
  .replace(/export declare enum (\w+) \{.*?\}/gs, (_, name) => `export type ${name} = ${Object.values(members[name] ?? { never: 'never' }).join(' | ')};`)
  .replace(/\b(\w+)\.(\w+)\b/g, (whole, name, member) => members[name]?.[member] ?? whole);

/** What the compiler says about `declarations`, text by text. */
function complaints(declarations) {
  const panel = (type) => `import type * as ${type} from '${types}/raw/composable/${type}/panelcfg/x/types.gen';`;
  const text = [
    `import type * as raw from '${types}/raw/dashboard/x/types.gen';`,
    ...['stat', 'timeseries', 'table', 'bargauge', 'geomap'].map(panel),
    // Of a query variable, which the general type of variables leaves out.
    'type Variable = Omit<raw.VariableModel, "current"> & { current?: raw.VariableOption | Record<string, never>, definition?: string };',
    'type Dashboard = Omit<raw.Dashboard, "templating"> & { templating: { list: Variable[] } };',
    ...declarations,
  ].join('\n');
  const options = { strict: true, noEmit: true, skipLibCheck: true, types: [], target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.ESNext, moduleResolution: ts.ModuleResolutionKind.Bundler };
  const host = ts.createCompilerHost(options);
  const main = path.join(types, 'dashboards.ts');
  const { readFile } = host;
  host.fileExists = (file) => file === main || ts.sys.fileExists(file);
  host.getSourceFile = (file, version) => {
    const content = file === main ? text : file.startsWith(types) ? asUnions(readFile(file)) : readFile(file);
    return content === undefined ? undefined : ts.createSourceFile(file, content, version);
  };
  // The package's name leads to the same files.
  options.paths = { '@grafana/schema': [path.join(types, 'index')] };
  const program = ts.createProgram([main], options, host);
  return ts.getPreEmitDiagnostics(program).map((d) => `${d.file?.fileName === main ? '' : `${d.file?.fileName}: `}${ts.flattenDiagnosticMessageText(d.messageText, ' ')}`.slice(0, 400));
}

/** A dashboard, and the parts of its panels that depend on their type, as declarations. Panels may leave out what has a default. */
function declarations(dashboard, number) {
  const found = [`export const d${number}: Dashboard = ${JSON.stringify(dashboard)};`];
  for (const { id, type, options, fieldConfig } of dashboard.panels.filter((panel) => panel.type !== 'row')) {
    found.push(`export const o${number}_${id}: Partial<${type}.Options> = ${JSON.stringify(options)};`);
    if (type === 'timeseries' || type === 'table') {
      found.push(`export const f${number}_${id}: Partial<${type}.FieldConfig> = ${JSON.stringify(fieldConfig.defaults.custom)};`);
    }
  }
  return found;
}

const read = (file) => JSON.parse(fs.readFileSync(file, 'utf8'));

test('every dashboard, panel and variable has the form of Grafana\'s types', () => {
  assert.equal(files.length, 14);
  assert.deepEqual(complaints(files.flatMap((file, number) => declarations(read(file), number))), []);
});

test('a misspelt field, an unknown word and a wrong type are found', () => {
  for (const [spoil, said] of [
    [(board) => { board.panels.find((p) => p.type === 'timeseries').options.legend.displayMode = 'tabel'; }, /tabel/],
    [(board) => { board.panels.find((p) => p.type === 'timeseries').fieldConfig.defaults.custom.lineWith = 1; }, /lineWith/],
    [(board) => { board.panels[1].gridPos.w = '8'; }, /string.*number/],
    [(board) => { board.templating.list[0].hide = 7; }, /7/],
  ]) {
    const board = read(path.join(root, 'dashboards/metrics/network-overview.json'));
    spoil(board);
    assert.match(complaints(declarations(board, 0)).join('\n'), said);
  }
});
