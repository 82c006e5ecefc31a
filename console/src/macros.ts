// Macros of version 4 of Grafana's ClickHouse plugin. No imports, so that they are tested without a browser.

export interface Between {
  /** Unix milliseconds. */
  fromMs: number;
  toMs: number;
  intervalMs: number;
}

/** Arguments of a macro whose parenthesis opens at `open`, and the index behind the closing one. */
export function macroArguments(sql: string, open: number): { args: string[]; end: number } {
  const args: string[] = [];
  let depth = 0;
  let start = open + 1;
  let quote = '';
  for (let at = open; at < sql.length; at++) {
    const c = sql[at];
    if (quote) {
      if (c === '\\') at++;
      else if (c === quote) quote = '';
    } else if (c === "'" || c === '"' || c === '`') quote = c;
    else if (c === '(') depth++;
    else if (c === ')' && --depth === 0) {
      args.push(sql.slice(start, at));
      return { args: args.map((arg) => arg.trim()), end: at + 1 };
    } else if (c === ',' && depth === 1) {
      args.push(sql.slice(start, at));
      start = at + 1;
    }
  }
  throw new Error(`a macro has no closing parenthesis: ${sql.slice(Math.max(0, open - 30), open + 30)}`);
}

/** Innermost first, as the plugin does: a macro may be an argument of another one. */
function replaceMacro(sql: string, name: string, make: (args: string[]) => string): string {
  for (;;) {
    const at = sql.lastIndexOf(`${name}(`);
    if (at < 0) return sql;
    const { args, end } = macroArguments(sql, at + name.length);
    sql = sql.slice(0, at) + make(args) + sql.slice(end);
  }
}

/** `isUnset(variable)` is true for 'All' and the empty text. It is done before variables are replaced. */
export function replaceConditionalAll(sql: string, isUnset: (variable: string) => boolean): string {
  return replaceMacro(sql, '$__conditionalAll', ([condition, variable]) => (isUnset(variable.replace(/[${}]/g, '')) ? '1=1' : condition));
}

/** Macros of time, done after variables are replaced. */
export function replaceTimeMacros(sql: string, { fromMs, toMs, intervalMs }: Between): string {
  const seconds = (ms: number) => `toDateTime(${Math.floor(ms / 1000)})`;
  const milliseconds = (ms: number) => `fromUnixTimestamp64Milli(${ms})`;
  const step = Math.max(1, Math.floor(intervalMs / 1000));
  const within = (literal: (ms: number) => string) => ([column]: string[]) => `${column} >= ${literal(fromMs)} AND ${column} <= ${literal(toMs)}`;
  sql = replaceMacro(sql, '$__timeFilter_ms', within(milliseconds));
  sql = replaceMacro(sql, '$__timeFilter', within(seconds));
  sql = replaceMacro(sql, '$__timeInterval', ([column]) => `toStartOfInterval(toDateTime(${column}), INTERVAL ${step} second)`);
  return sql
    .replaceAll('$__fromTime_ms', () => milliseconds(fromMs))
    .replaceAll('$__toTime_ms', () => milliseconds(toMs))
    .replaceAll('$__fromTime', () => seconds(fromMs))
    .replaceAll('$__toTime', () => seconds(toMs))
    .replaceAll('$__interval_s', () => String(step));
}

/** `$__range`, `$__rate_interval` and `$__interval` of PromQL. */
export function replacePromMacros(expr: string, { fromMs, toMs, intervalMs }: Between, scrapeSeconds: number): string {
  const range = Math.max(1, Math.round((toMs - fromMs) / 1000));
  const step = Math.max(1, Math.round(intervalMs / 1000));
  const named: Record<string, string> = {
    __range_s: String(range),
    __range: `${range}s`,
    __rate_interval: `${Math.max(step + scrapeSeconds, 4 * scrapeSeconds)}s`,
    __interval: `${step}s`,
  };
  return expr.replace(/\$(?:\{(__\w+)\}|(__\w+))/g, (text, braced?: string, bare?: string) => named[braced ?? bare ?? ''] ?? text);
}
