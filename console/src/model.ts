// The parts of classic dashboard JSON that the dashboards of Helios use.
import type { DataSourceRef, FieldConfigSource } from '@grafana/data';
import type { DataQuery } from '@grafana/schema';

export interface PanelModel {
  id: number;
  type: string;
  title: string;
  description?: string;
  gridPos: { x: number; y: number; w: number; h: number };
  datasource?: DataSourceRef;
  targets?: DataQuery[];
  transformations?: Array<{ id: string; options: unknown }>;
  options?: Record<string, unknown>;
  fieldConfig?: FieldConfigSource;
  interval?: string;
  collapsed?: boolean;
  panels?: PanelModel[];
}

export interface VariableModel {
  type: string;
  name: string;
  label?: string;
  description?: string;
  hide?: number;
  skipUrlSync?: boolean;
  query: unknown;
  datasource?: DataSourceRef;
  regex?: string;
  refresh?: number;
  sort?: number;
  multi?: boolean;
  includeAll?: boolean;
  allValue?: string;
  current?: { value?: string | string[]; text?: string | string[] };
}

export interface DashboardModel {
  uid: string;
  title: string;
  description?: string;
  panels: PanelModel[];
  templating: { list: VariableModel[] };
  time: { from: string; to: string };
  refresh?: string;
  timezone?: string;
  graphTooltip?: number;
}

export interface Listed {
  uid: string;
  title: string;
  description: string;
  folder: string;
}
