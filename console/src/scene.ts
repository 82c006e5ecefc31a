// A classic dashboard as a scene.
import {
  behaviors, CustomVariable, DataSourceVariable, EmbeddedScene, QueryVariable, SceneControlsSpacer, SceneDataTransformer, SceneGridItem, SceneGridLayout,
  SceneGridRow, SceneQueryRunner, SceneRefreshPicker, SceneTimePicker, SceneTimeRange, SceneVariable, SceneVariableSet, TextBoxVariable,
  VariableValueSelectors, VizPanel,
} from '@grafana/scenes';
import type { DashboardModel, PanelModel, VariableModel } from './model';

function variable(v: VariableModel): SceneVariable {
  const shared = { name: v.name, label: v.label || undefined, description: v.description, hide: v.hide ?? 0, skipUrlSync: v.skipUrlSync };
  const current = { value: v.current?.value ?? (v.includeAll ? '$__all' : ''), text: v.current?.text ?? (v.includeAll ? 'All' : '') };
  const several = { isMulti: !!v.multi, includeAll: !!v.includeAll, allValue: v.allValue, ...current };
  switch (v.type) {
    case 'query':
      return new QueryVariable({ ...shared, ...several, datasource: v.datasource, query: v.query as never, regex: v.regex ?? '', refresh: v.refresh, sort: v.sort });
    case 'custom':
      return new CustomVariable({ ...shared, ...several, query: String(v.query) });
    case 'datasource':
      return new DataSourceVariable({ ...shared, ...several, pluginId: String(v.query), regex: v.regex ?? '' });
    case 'textbox':
      return new TextBoxVariable({ ...shared, value: String(current.value) });
    default:
      throw new Error(`variable ${v.name}: this console has no variables of type ${v.type}`);
  }
}

function panel(p: PanelModel): VizPanel {
  const runner = new SceneQueryRunner({ queries: (p.targets ?? []) as never, datasource: p.datasource, minInterval: p.interval, maxDataPointsFromWidth: true });
  return new VizPanel({
    key: `panel-${p.id}`,
    pluginId: p.type,
    title: p.title,
    description: p.description,
    options: p.options ?? {},
    fieldConfig: p.fieldConfig ?? { defaults: {}, overrides: [] },
    $data: new SceneDataTransformer({ $data: runner, transformations: (p.transformations ?? []) as never }),
  });
}

const item = (p: PanelModel) => new SceneGridItem({ key: `item-${p.id}`, x: p.gridPos.x, y: p.gridPos.y, width: p.gridPos.w, height: p.gridPos.h, body: panel(p) });

function grid(panels: PanelModel[]): Array<SceneGridItem | SceneGridRow> {
  const children: Array<SceneGridItem | SceneGridRow> = [];
  let row: SceneGridRow | undefined;
  for (const p of panels) {
    if (p.type === 'row') {
      row = new SceneGridRow({ key: `row-${p.id}`, title: p.title, isCollapsed: !!p.collapsed, y: p.gridPos.y, children: (p.panels ?? []).map(item) });
      children.push(row);
    } else if (row) row.setState({ children: [...row.state.children, item(p)] });
    else children.push(item(p));
  }
  return children;
}

export function toScene(d: DashboardModel): EmbeddedScene {
  return new EmbeddedScene({
    key: d.uid,
    $timeRange: new SceneTimeRange({ from: d.time.from, to: d.time.to, timeZone: d.timezone || 'browser' }),
    $variables: new SceneVariableSet({ variables: d.templating.list.map(variable) }),
    $behaviors: [new behaviors.CursorSync({ sync: d.graphTooltip ?? 0 }), new behaviors.SceneQueryController()],
    controls: [
      new VariableValueSelectors({}),
      new SceneControlsSpacer(),
      new SceneTimePicker({ isOnCanvas: true }),
      new SceneRefreshPicker({ refresh: d.refresh || '', isOnCanvas: true }),
    ],
    body: new SceneGridLayout({ isLazy: false, isDraggable: false, isResizable: false, children: grid(d.panels) }),
  });
}
