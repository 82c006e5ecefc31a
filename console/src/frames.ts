// Answers of the two servers as Grafana's data frames.
import { createDataFrame, DataFrame, Field, FieldType } from '@grafana/data';

export interface ClickHouseAnswer {
  meta: Array<{ name: string; type: string }>;
  data: unknown[][];
}

/** The type inside LowCardinality, Nullable and SimpleAggregateFunction. */
function plainType(type: string): string {
  const inner = /^(?:LowCardinality|Nullable)\((.*)\)$/.exec(type) ?? /^SimpleAggregateFunction\(\w+, (.*)\)$/.exec(type);
  return inner ? plainType(inner[1]) : type;
}

function fieldType(type: string): FieldType {
  if (/^Date/.test(type)) return FieldType.time;
  if (/^(U?Int|Float|Decimal|BFloat)/.test(type)) return FieldType.number;
  return type === 'Bool' ? FieldType.boolean : FieldType.string;
}

export function clickHouseFrame(answer: ClickHouseAnswer, refId: string, executedQueryString: string): DataFrame {
  const fields = answer.meta.map(({ name, type }, column) => {
    const plain = plainType(type);
    const kind = fieldType(plain);
    const convert = (value: unknown) => {
      if (value == null) return null;
      if (kind === FieldType.time) return /^Date(32)?$/.test(plain) ? Date.parse(String(value)) : Number(value) * 1000;
      if (kind === FieldType.number) return Number(value);
      return typeof value === 'object' ? JSON.stringify(value) : value;
    };
    return { name, type: kind, config: {}, values: answer.data.map((row) => convert(row[column])) };
  });
  return createDataFrame({ refId, fields, meta: { executedQueryString } });
}

/** Rows of time, labels and values to a field for each set of labels, as the plugin does for graphs. */
export function longToWide(frame: DataFrame): DataFrame {
  const time = frame.fields.find((field) => field.type === FieldType.time);
  const labels = frame.fields.filter((field) => field.type === FieldType.string || field.type === FieldType.boolean);
  const numbers = frame.fields.filter((field) => field.type === FieldType.number);
  if (!time || !labels.length || !numbers.length) return frame;
  const times = [...new Set(time.values as number[])].sort((a, b) => a - b);
  const at = new Map(times.map((value, index) => [value, index]));
  const series = new Map<string, Field>();
  for (let row = 0; row < frame.length; row++) {
    const set = Object.fromEntries(labels.map((label) => [label.name, String(label.values[row])]));
    for (const number of numbers) {
      const key = number.name + JSON.stringify(set);
      let field = series.get(key);
      if (!field) {
        field = { name: number.name, type: FieldType.number, labels: set, config: {}, values: new Array(times.length).fill(null) };
        series.set(key, field);
      }
      field.values[at.get(time.values[row])!] = number.values[row];
    }
  }
  const sorted = [...series.keys()].sort().map((key) => series.get(key)!);
  return { ...frame, length: times.length, fields: [{ ...time, values: times }, ...sorted] };
}

export interface PrometheusSeries {
  metric: Record<string, string>;
  value?: [number, string];
  values?: Array<[number, string]>;
}

const number = (text: string) => Number(text.replace('Inf', 'Infinity'));
const points = (series: PrometheusSeries) => series.values ?? (series.value ? [series.value] : []);

/** Series as one table with a column for each label; `valueName` is `Value` or, where there are several queries, `Value #A`. */
export function tableFrame(result: PrometheusSeries[], refId: string, valueName: string, executedQueryString: string): DataFrame {
  const labels = [...new Set(result.flatMap((series) => Object.keys(series.metric)))].sort();
  const rows = result.flatMap((series) => points(series).map((point) => ({ metric: series.metric, point })));
  return createDataFrame({
    refId,
    meta: { executedQueryString },
    fields: [
      { name: 'Time', type: FieldType.time, values: rows.map((row) => row.point[0] * 1000) },
      ...labels.map((label) => ({ name: label, type: FieldType.string, values: rows.map((row) => row.metric[label] ?? '') })),
      { name: valueName, type: FieldType.number, values: rows.map((row) => number(row.point[1])) },
    ],
  });
}

export function seriesFrame(series: PrometheusSeries, refId: string, legend: string, executedQueryString: string): DataFrame {
  const named = legend && legend !== '__auto' ? legend.replace(/\{\{\s*(.+?)\s*\}\}/g, (_, label: string) => series.metric[label] ?? '') : undefined;
  return createDataFrame({
    refId,
    meta: { executedQueryString },
    fields: [
      { name: 'Time', type: FieldType.time, values: points(series).map((point) => point[0] * 1000) },
      {
        name: series.metric.__name__ ?? 'Value',
        type: FieldType.number,
        labels: series.metric,
        config: { displayNameFromDS: named },
        values: points(series).map((point) => number(point[1])),
      },
    ],
  });
}
