// In place of @grafana/plugin-compat/datasources, which imports names that @grafana/runtime 13.2 does not export.
import { getDataSourceSrv } from '@grafana/runtime';
import type { ScopedVars } from '@grafana/data';
import type { DataSourceRef } from '@grafana/schema';

type Ref = DataSourceRef | string | null;

export const getDataSourceInstance = (ref: Ref, scopedVars?: ScopedVars) => getDataSourceSrv().get(ref, scopedVars as never);
export const getDataSourceInstanceList = async (filters?: object) => getDataSourceSrv().getList(filters);
export const getDataSourceInstanceSettings = async (ref: Ref) => getDataSourceSrv().getInstanceSettings(ref);
export const getDefaultDataSourceInstanceListItem = async <T extends { isDefault?: boolean }>(items: T[]) => items.find((item) => item.isDefault) ?? items[0];
export const registerRuntimeDataSourceInstance = () => {};
