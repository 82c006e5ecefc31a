// The two data sources: they expand macros and variables as Grafana and its plugins do, and ask through the console's server.
import { DataQueryRequest, DataQueryResponse, getDefaultTimeRange, MetricFindValue, ScopedVars, TimeRange } from '@grafana/data';
import { RuntimeDataSource, sceneGraph, SceneObject } from '@grafana/scenes';
import type { DataQuery } from '@grafana/schema';
import { from, Observable } from 'rxjs';
import { clickHouseFrame, ClickHouseAnswer, longToWide, PrometheusSeries, seriesFrame, tableFrame } from './frames';
import { Between, replaceConditionalAll, replacePromMacros, replaceTimeMacros } from './macros';

export const SCRAPE_SECONDS = 15;

interface SqlQuery extends DataQuery {
  rawSql?: string;
  format?: number;
}
interface PromQuery extends DataQuery {
  expr?: string;
  legendFormat?: string;
  format?: string;
  instant?: boolean;
  range?: boolean;
}
interface FindOptions {
  scopedVars?: ScopedVars;
  range?: TimeRange;
}

const sceneOf = (scopedVars?: ScopedVars): SceneObject => scopedVars?.__sceneObject?.value.valueOf() as SceneObject;
const between = (range: TimeRange, intervalMs: number): Between => ({ fromMs: range.from.valueOf(), toMs: range.to.valueOf(), intervalMs });

export class ClickHouse extends RuntimeDataSource<SqlQuery> {
  constructor(uid: string) {
    super('grafana-clickhouse-datasource', uid);
  }

  private expand(rawSql: string, scopedVars: ScopedVars | undefined, range: Between): string {
    const scene = sceneOf(scopedVars);
    const unset = (name: string) => {
      const value = sceneGraph.lookupVariable(name, scene)?.getValue();
      const state = sceneGraph.lookupVariable(name, scene)?.state as { value?: unknown } | undefined;
      return [value, state?.value].some((v) => ['', '$__all'].includes(String(v ?? '')));
    };
    const quoted = (value: unknown) => (Array.isArray(value) ? value.map((v) => `'${v}'`).join(',') : String(value));
    const sql = sceneGraph.interpolate(scene, replaceConditionalAll(rawSql, unset), scopedVars, quoted as never);
    return replaceTimeMacros(sql, range);
  }

  private async ask(sql: string): Promise<ClickHouseAnswer> {
    const answer = await fetch('/clickhouse', { method: 'POST', body: sql });
    const text = await answer.text();
    if (!answer.ok) throw new Error(text.slice(0, 600));
    return JSON.parse(text);
  }

  query(request: DataQueryRequest<SqlQuery>): Observable<DataQueryResponse> {
    const one = async (target: SqlQuery) => {
      const sql = this.expand(target.rawSql!, request.scopedVars, between(request.range, request.intervalMs));
      const frame = clickHouseFrame(await this.ask(sql), target.refId, sql);
      return target.format === 0 ? longToWide(frame) : frame;
    };
    return from(Promise.all(request.targets.filter((t) => !t.hide && t.rawSql).map(one)).then((data) => ({ data })));
  }

  async metricFindQuery(query: unknown, options?: FindOptions): Promise<MetricFindValue[]> {
    const sql = typeof query === 'string' ? query : (query as SqlQuery).rawSql!;
    const range = between(options?.range ?? getDefaultTimeRange(), 1000);
    const { data } = await this.ask(this.expand(sql, options?.scopedVars, range));
    return data.map((row) => ({ value: String(row[0]), text: String(row[1] ?? row[0]) }));
  }
}

export class Prometheus extends RuntimeDataSource<PromQuery> {
  constructor(uid: string) {
    super('prometheus', uid);
  }

  private expand(text: string, scopedVars: ScopedVars | undefined, range: Between): string {
    // As a regular expression within the quotes of a matcher.
    const escaped = (value: unknown) =>
      String(value).replaceAll('\\', '\\\\\\\\').replace(/[$^*{}[\]+?.()|]/g, '\\\\$&').replaceAll('"', '\\"');
    const joined = (value: unknown) => {
      if (!Array.isArray(value)) return String(value);
      return value.length === 1 ? escaped(value[0]) : `(${value.map(escaped).join('|')})`;
    };
    return sceneGraph.interpolate(sceneOf(scopedVars), replacePromMacros(text, range, SCRAPE_SECONDS), scopedVars, joined as never);
  }

  private async ask(path: string, parameters: Record<string, string>) {
    const answer = await fetch(`/prometheus/api/v1/${path}`, { method: 'POST', body: new URLSearchParams(parameters) });
    const text = await answer.text();
    if (!answer.ok && !text.startsWith('{')) throw new Error(text.slice(0, 600));
    const body = JSON.parse(text);
    if (body.status !== 'success') throw new Error(body.error);
    return body.data;
  }

  query(request: DataQueryRequest<PromQuery>): Observable<DataQueryResponse> {
    const targets = request.targets.filter((target) => !target.hide && target.expr);
    const tables = targets.filter((target) => target.format === 'table').length;
    const fromS = request.range.from.valueOf() / 1000;
    const toS = request.range.to.valueOf() / 1000;
    const one = async (target: PromQuery) => {
      const step = Math.max(SCRAPE_SECONDS, Math.ceil((request.intervalMs || 1) / 1000 / 5) * 5);
      const expr = this.expand(target.expr!, request.scopedVars, { ...between(request.range, step * 1000) });
      const data = target.instant
        ? await this.ask('query', { query: expr, time: String(toS) })
        : await this.ask('query_range', { query: expr, start: String(Math.floor(fromS / step) * step), end: String(toS), step: String(step) });
      const result: PrometheusSeries[] = data.resultType === 'scalar' ? [{ metric: {}, value: data.result }] : data.result;
      if (target.format === 'table') return [tableFrame(result, target.refId, tables > 1 ? `Value #${target.refId}` : 'Value', expr)];
      return result.map((series) => seriesFrame(series, target.refId, target.legendFormat ?? '', expr));
    };
    return from(Promise.all(targets.map(one)).then((frames) => ({ data: frames.flat() })));
  }

  async metricFindQuery(query: unknown, options?: FindOptions): Promise<MetricFindValue[]> {
    const range = options?.range ?? getDefaultTimeRange();
    const text = typeof query === 'string' ? query : (query as { query: string }).query;
    const call = /^label_values\((?:(.*),\s*)?(\w+)\)$/.exec(this.expand(text, options?.scopedVars, between(range, 1000)));
    if (!call) throw new Error(`only label_values() is drawn here: ${text}`);
    const [start, end] = [range.from, range.to].map((time) => String(time.valueOf() / 1000));
    const parameters = new URLSearchParams({ start, end, ...(call[1] ? { 'match[]': call[1] } : {}) });
    const answer = await fetch(`/prometheus/api/v1/label/${call[2]}/values?${parameters}`);
    const body = await answer.json();
    if (body.status !== 'success') throw new Error(body.error);
    return (body.data as string[]).map((value) => ({ text: value, value }));
  }
}
