// The macros as the plugin's documentation and source have them (grafana/clickhouse-datasource 4.20, pkg/macros).
import assert from 'node:assert/strict';
import path from 'node:path';
import { test } from 'node:test';
import esbuild from 'esbuild';

const source = path.join(import.meta.dirname, '../src/macros.ts');
const built = await esbuild.build({ entryPoints: [source], bundle: true, format: 'esm', write: false });
const { macroArguments, replaceConditionalAll, replacePromMacros, replaceTimeMacros } = await import(`data:text/javascript;base64,${Buffer.from(built.outputFiles[0].text).toString('base64')}`);
const hour = { fromMs: 1_000_000, toMs: 4_600_000, intervalMs: 15_500 };

test('arguments end at the closing parenthesis, whatever quotes hold', () => {
  assert.deepEqual(macroArguments("f(a, g(b, c), ')')x", 1), { args: ['a', 'g(b, c)', "')'"], end: 18 });
  assert.throws(() => macroArguments('f(a', 1), /closing parenthesis/);
});

test('conditionalAll is 1=1 for All and the empty text, and its condition otherwise', () => {
  const sql = 'WHERE $__conditionalAll(a IN (${a:csv}), $a) AND $__conditionalAll(b = f(1, 2), ${b})';
  assert.equal(replaceConditionalAll(sql, (name) => name === 'a'), 'WHERE 1=1 AND b = f(1, 2)');
});

test('one conditionalAll may be inside another', () => {
  const sql = '$__conditionalAll(x IN (SELECT y WHERE $__conditionalAll(z = 1, $z)), $x)';
  assert.equal(replaceConditionalAll(sql, (name) => name === 'z'), 'x IN (SELECT y WHERE 1=1)');
});

test('macros of time have whole seconds', () => {
  assert.equal(replaceTimeMacros('$__timeFilter(t)', hour), 't >= toDateTime(1000) AND t <= toDateTime(4600)');
  assert.equal(replaceTimeMacros('$__fromTime $__toTime $__interval_s', hour), 'toDateTime(1000) toDateTime(4600) 15');
  assert.equal(replaceTimeMacros('$__fromTime_ms', hour), 'fromUnixTimestamp64Milli(1000000)');
  assert.equal(replaceTimeMacros('$__timeInterval(t)', hour), 'toStartOfInterval(toDateTime(t), INTERVAL 15 second)');
  assert.equal(replaceTimeMacros('$__interval_s', { ...hour, intervalMs: 10 }), '1');
});

test('macros of PromQL', () => {
  assert.equal(replacePromMacros('rate(x[$__rate_interval]) * $__range_s + y[${__range}]', hour, 15), 'rate(x[60s]) * 3600 + y[3600s]');
  assert.equal(replacePromMacros('$device $__unknown', hour, 15), '$device $__unknown');
});
