// The panel types of the dashboards, drawn by Grafana's own components where @grafana/ui has them.
import {
  cacheFieldDisplayNames, DisplayValueAlignmentFactors, FieldColorModeId, FieldConfigProperty, FieldDisplay, getDisplayValueAlignmentFactors, getFieldDisplayValues,
  VizOrientation,
} from '@grafana/data';
import { BarGaugeDisplayMode, BigValueColorMode, BigValueGraphMode, BigValueJustifyMode, BigValueTextMode, LegendDisplayMode, TableCellHeight, TooltipDisplayMode } from '@grafana/schema';
import { BarGauge, BigValue, DataLinksContextMenu, TimeSeries, TooltipPlugin, usePanelContext, useTheme2, VizRepeater, VizRepeaterRenderValueProps, ZoomPlugin } from '@grafana/ui';
import { TableNG } from '@grafana/ui/unstable';
import { WorldMap } from './map';
import { custom, Props, register } from './register';

/** Grafana shows the text of `noValue` where a panel has no data. */
export function NoData({ panel }: { panel: Props }) {
  const text = panel.fieldConfig.defaults.noValue ?? 'No data';
  return <div data-testid="no-data" style={{ display: 'grid', placeItems: 'center', height: '100%', textAlign: 'center', opacity: 0.7 }}>{text}</div>;
}

const isEmpty = (p: Props) => !p.data.series.some((frame) => frame.length > 0);

function useDisplayValues(p: Props, sparkline = false) {
  const theme = useTheme2();
  return (): FieldDisplay[] =>
    getFieldDisplayValues({
      fieldConfig: p.fieldConfig, reduceOptions: p.options.reduceOptions, replaceVariables: p.replaceVariables, theme, data: p.data.series, sparkline, timeZone: p.timeZone,
    });
}

type Rendered = VizRepeaterRenderValueProps<FieldDisplay, DisplayValueAlignmentFactors>;

/** A value that has links opens them by a click, as in Grafana. */
function withLinks(value: FieldDisplay, draw: (onClick?: React.MouseEventHandler<HTMLElement>, className?: string) => React.ReactElement) {
  if (!value.hasLinks || !value.getLinks) return draw();
  return <DataLinksContextMenu links={value.getLinks} style={{ height: '100%' }}>{(api) => draw(api.openMenu, api.targetClassName)}</DataLinksContextMenu>;
}

function Stat(p: Props) {
  const theme = useTheme2();
  const o = p.options;
  const values = useDisplayValues(p, o.graphMode !== BigValueGraphMode.None);
  const renderValue = ({ value, alignmentFactors, width, height, count }: Rendered) => {
    if (value.sparkline) value.sparkline.timeRange = p.timeRange;
    return withLinks(value, (onClick, className) => (
      <BigValue value={value.display} count={count} sparkline={value.sparkline} colorMode={o.colorMode} graphMode={o.graphMode} justifyMode={o.justifyMode}
        textMode={o.textMode} alignmentFactors={alignmentFactors} width={width} height={height} theme={theme} onClick={onClick} className={className} />
    ));
  };
  return <VizRepeater getValues={values} getAlignmentFactors={getDisplayValueAlignmentFactors as never} width={p.width} height={p.height} source={p.data}
    renderCounter={p.renderCounter} autoGrid itemSpacing={3} orientation={o.orientation} renderValue={renderValue as never} />;
}

function Bars(p: Props) {
  const theme = useTheme2();
  const o = p.options;
  const values = useDisplayValues(p);
  if (isEmpty(p)) return <NoData panel={p} />;
  const renderValue = ({ value, alignmentFactors, width, height, orientation }: Rendered) =>
    withLinks(value, (onClick, className) => (
      <BarGauge value={value.display} field={value.field} display={value.view?.getFieldDisplayProcessor(value.colIndex!)} width={width} height={height} orientation={orientation}
        theme={theme} displayMode={o.displayMode} showUnfilled={o.showUnfilled} valueDisplayMode={o.valueMode} namePlacement={o.namePlacement}
        alignmentFactors={alignmentFactors} itemSpacing={10} onClick={onClick} className={className} />
    ));
  return <VizRepeater getValues={values} getAlignmentFactors={getDisplayValueAlignmentFactors as never} width={p.width} height={p.height} source={p.data}
    renderCounter={p.renderCounter} itemSpacing={10} orientation={o.orientation} minVizWidth={o.minVizWidth} minVizHeight={o.minVizHeight} maxVizHeight={o.maxVizHeight}
    renderValue={renderValue as never} />;
}

function Graph(p: Props) {
  const o = p.options;
  const { sync } = usePanelContext();
  if (isEmpty(p)) return <NoData panel={p} />;
  return (
    <TimeSeries frames={p.data.series} structureRev={p.data.structureRev} timeRange={p.timeRange} timeZone={p.timeZone} width={p.width} height={p.height} legend={o.legend} options={o}>
      {(config, aligned) => (
        <>
          <ZoomPlugin config={config} onZoom={(range) => p.onChangeTimeRange({ from: range.from, to: range.to } as never)} />
          <TooltipPlugin frames={p.data.series} data={aligned} config={config} mode={o.tooltip.mode} sortOrder={o.tooltip.sort} timeZone={p.timeZone} sync={sync} />
        </>
      )}
    </TimeSeries>
  );
}

function Table(p: Props) {
  const o = p.options;
  const frame = p.data.series[o.frameIndex ?? 0];
  if (!frame?.fields.length || !frame.length) return <NoData panel={p} />;
  cacheFieldDisplayNames(p.data.series); // the headers of TableNG read the cached names
  return <TableNG data={frame} width={p.width} height={p.height} noHeader={!o.showHeader} sortBy={o.sortBy} cellHeight={o.cellHeight} structureRev={p.data.structureRev}
    timeRange={p.timeRange} fieldConfig={p.fieldConfig} onSortByChange={(sortBy) => p.onOptionsChange({ ...o, sortBy })} />;
}

const hideFrom = { tooltip: false, viz: false, legend: false };
const byThresholds = { [FieldConfigProperty.Color]: { defaultValue: { mode: FieldColorModeId.Thresholds } } };
const byPalette = { [FieldConfigProperty.Color]: { settings: { byValueSupport: true }, defaultValue: { mode: FieldColorModeId.PaletteClassic } } };
const reduced = { reduceOptions: { values: false, calcs: ['lastNotNull'], fields: '' }, orientation: VizOrientation.Auto };
const GRAPH_OPTIONS = {
  drawStyle: 'line', lineInterpolation: 'linear', barAlignment: 0, barWidthFactor: 0.6, lineWidth: 1, fillOpacity: 0, gradientMode: 'none', spanNulls: false,
  insertNulls: false, showPoints: 'auto', pointSize: 5, stacking: { mode: 'none', group: 'A' }, axisPlacement: 'auto', axisLabel: '', axisColorMode: 'text',
  axisBorderShow: false, scaleDistribution: { type: 'linear' }, axisCenteredZero: false, thresholdsStyle: { mode: 'off' }, lineStyle: undefined, fillBelowTo: undefined,
  transform: undefined, axisWidth: undefined, axisSoftMin: undefined, axisSoftMax: undefined, axisGridShow: undefined, lineColor: undefined, hideFrom,
};
const CELL_OPTIONS = {
  align: 'auto', cellOptions: { type: 'auto' }, inspect: false, width: undefined, minWidth: undefined, filterable: undefined, hidden: undefined, hideHeader: undefined,
  wrapHeaderText: undefined, footer: undefined, hideFrom,
};

export function registerPanels() {
  const legend = { showLegend: true, displayMode: LegendDisplayMode.List, placement: 'bottom', calcs: [] };
  register(
    'stat', Stat,
    { ...reduced, graphMode: BigValueGraphMode.Area, colorMode: BigValueColorMode.Value, justifyMode: BigValueJustifyMode.Auto, textMode: BigValueTextMode.Auto },
    { standardOptions: byThresholds }
  );
  register(
    'bargauge', Bars,
    { ...reduced, displayMode: BarGaugeDisplayMode.Gradient, showUnfilled: true, valueMode: 'color', namePlacement: 'auto', minVizWidth: 8, minVizHeight: 16, maxVizHeight: 300 },
    { standardOptions: byThresholds }
  );
  register('timeseries', Graph, { legend, tooltip: { mode: TooltipDisplayMode.Single, sort: 'none' } }, { standardOptions: byPalette, useCustomConfig: custom(GRAPH_OPTIONS) });
  register('table', Table, { showHeader: true, cellHeight: TableCellHeight.Sm, frameIndex: 0 }, { standardOptions: byThresholds, useCustomConfig: custom(CELL_OPTIONS) });
  register('geomap', WorldMap, {}, { standardOptions: byThresholds, useCustomConfig: custom({ hideFrom }) });
}
