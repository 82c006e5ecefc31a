// The map: markers on countries, on an outline map from a package instead of tiles from the network.
import { DataFrame, Field, formattedValueToString, getDisplayProcessor, GrafanaTheme2 } from '@grafana/data';
import { useTheme2 } from '@grafana/ui';
import { geoCentroid, geoNaturalEarth1, geoPath } from 'd3-geo';
import type { Feature, Geometry } from 'geojson';
import iso from 'i18n-iso-countries';
import { feature } from 'topojson-client';
import world from 'world-atlas/countries-110m.json';
import { NoData } from './panels';
import type { Props } from './register';

const countries = (feature(world as never, (world as any).objects.countries) as unknown as { features: Array<Feature<Geometry>> }).features; // eslint-disable-line
const byNumber = new Map(countries.map((country) => [Number(country.id), country]));

const text = (field: Field, value: number, theme: GrafanaTheme2) => formattedValueToString((field.display ?? getDisplayProcessor({ field, theme }))(value));
const named = (frame: DataFrame | undefined, name?: string) => frame?.fields.find((field) => field.name === name);

/** Where a country's circle goes: a centroid, except where far-away parts pull it off the land that people know. */
const PLACES: Record<string, [number, number]> = { US: [-98, 39], FR: [2.5, 46.7], NO: [9, 61], RU: [60, 58] };

export function WorldMap(p: Props) {
  const theme = useTheme2();
  const layer = p.options.layers?.[0];
  const frame = p.data.series[0];
  const place = named(frame, layer?.location?.lookup);
  const size = named(frame, layer?.config?.style?.size?.field);
  if (!frame?.length || !place || !size) return <NoData panel={p} />;
  const projection = geoNaturalEarth1().fitSize([p.width, p.height], { type: 'Sphere' });
  const path = geoPath(projection);
  const { min = 2, max = 15 } = layer.config.style.size;
  const largest = Math.max(1, ...(size.values as number[]));
  return (
    <svg width={p.width} height={p.height} role="img">
      {countries.map((country, n) => <path key={n} d={path(country) ?? ''} fill={theme.colors.background.secondary} stroke={theme.colors.border.medium} />)}
      {(place.values as string[]).map((code, row) => {
        const country = byNumber.get(Number(iso.alpha2ToNumeric(code)));
        const at = PLACES[code] ?? (country && geoCentroid(country));
        const xy = at && projection(at);
        if (!xy) return null;
        const value = size.values[row] as number;
        const radius = min + (max - min) * Math.sqrt(value / largest);
        return (
          <g key={code}>
            <circle cx={xy[0]} cy={xy[1]} r={radius} fill={theme.visualization.getColorByName('blue')} fillOpacity={0.5} stroke={theme.colors.text.primary} strokeOpacity={0.5}>
              <title>{`${code}: ${text(size, value, theme)}`}</title>
            </circle>
            {value / largest > 0.02 && <text x={xy[0]} y={xy[1]} dy="0.35em" textAnchor="middle" fontSize={10} fill={theme.colors.text.primary}>{code}</text>}
          </g>
        );
      })}
    </svg>
  );
}
