// How a panel type becomes known: its component, and every option with the default that Grafana gives it.
import { ComponentType } from 'react';
import { identityOverrideProcessor, PanelPlugin, PanelProps } from '@grafana/data';
import { sceneUtils } from '@grafana/scenes';

export type Props = PanelProps<any>; // eslint-disable-line -- the options of each type are its own

type Defaults = Record<string, unknown>;

/** Options of a field below `custom`. One that is not listed is ignored in overrides. */
export const custom = (defaults: Defaults) => (builder: { addCustomEditor: (item: never) => unknown }) => {
  for (const [path, defaultValue] of Object.entries(defaults)) {
    const item = { id: path, path, name: path, editor: () => null, override: () => null, process: identityOverrideProcessor, shouldApply: () => true, defaultValue, settings: {} };
    builder.addCustomEditor(item as never);
  }
};

const panelOptions = (defaults: Defaults) => (builder: { addCustomEditor: (item: never) => unknown }) => {
  for (const [path, defaultValue] of Object.entries(defaults)) builder.addCustomEditor({ id: path, path, name: path, editor: () => null, defaultValue } as never);
};

export function register(id: string, component: ComponentType<Props>, options: Defaults, fieldConfig: object) {
  const plugin = new PanelPlugin<never>(component as never).useFieldConfig(fieldConfig as never).setPanelOptions(panelOptions(options) as never);
  sceneUtils.registerRuntimePanelPlugin({ pluginId: id, plugin: plugin as never });
}
