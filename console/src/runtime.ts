// What Grafana's application does when it starts, as far as scenes need it: registries, services, how queries are run.
import {
  DataFrame, DataQueryRequest, DataQueryResponse, DataSourceApi, DataSourceRef, DataTopic, displayNameOverrideProcessor, EventBusSrv, FieldColorModeId,
  FieldConfigPropertyItem, dataLinksOverrideProcessor, identityOverrideProcessor, LoadingState, numberOverrideProcessor, PanelData,
  setTimeZoneResolver, standardEditorsRegistry, standardFieldConfigEditorRegistry, standardTransformers, standardTransformersRegistry,
  stringOverrideProcessor, ThresholdsMode, thresholdsOverrideProcessor, toDataFrame, unitOverrideProcessor, valueMappingsOverrideProcessor,
} from '@grafana/data';
import {
  setAppEvents, setBackendSrv, setDataSourceSrv, setEchoSrv, setPluginImportUtils, setRunRequest, setTemplateSrv, toDataQueryError,
} from '@grafana/runtime';
import { RuntimeDataSource, sceneUtils } from '@grafana/scenes';
import { catchError, from, isObservable, map, Observable, of } from 'rxjs';

type Process = FieldConfigPropertyItem['process'];

function option(id: string, process: unknown, more: Partial<FieldConfigPropertyItem> = {}): FieldConfigPropertyItem {
  const nothing = () => null;
  const shouldApply = () => true;
  return {
    id, path: id, name: id, description: '', editor: nothing, override: nothing, process: process as Process, settings: {}, shouldApply,
    category: ['Standard options'], ...more,
  } as unknown as FieldConfigPropertyItem;
}

/** The standard options of a field. An option that is missing here is ignored in overrides, without a word. */
function standardOptions(): FieldConfigPropertyItem[] {
  const steps = [{ value: -Infinity, color: 'green' }, { value: 80, color: 'red' }];
  return [
    option('displayName', displayNameOverrideProcessor, { settings: { expandTemplateVars: true } }),
    option('unit', unitOverrideProcessor),
    option('min', numberOverrideProcessor),
    option('max', numberOverrideProcessor),
    option('fieldMinMax', identityOverrideProcessor),
    option('decimals', numberOverrideProcessor),
    option('noValue', stringOverrideProcessor),
    option('color', identityOverrideProcessor, { defaultValue: { mode: FieldColorModeId.Thresholds } }),
    option('thresholds', thresholdsOverrideProcessor, { defaultValue: { mode: ThresholdsMode.Absolute, steps } }),
    option('mappings', valueMappingsOverrideProcessor, { defaultValue: [], settings: { icon: false } }),
    option('links', dataLinksOverrideProcessor),
    option('actions', dataLinksOverrideProcessor),
    option('filterable', identityOverrideProcessor),
    option('description', identityOverrideProcessor),
  ];
}

function transformers() {
  const known = new Map(Object.values(standardTransformers).map((transformation) => [transformation.id, transformation]));
  return [...known.values()].map((transformation) => ({
    id: transformation.id, name: transformation.name, transformation: async () => transformation, editor: () => null, imageDark: '', imageLight: '',
  }));
}

export interface Source {
  uid: string;
  name: string;
  type: string;
  api: RuntimeDataSource<any>; // eslint-disable-line -- queries of both types
}

/** The two data sources, as the service that scenes ask for them. */
function dataSourceService(sources: Source[]) {
  const listed = sources.map(({ uid, name, type }, index) => ({
    id: index + 1, uid, name, type, isDefault: index === 0, readOnly: true, access: 'proxy', jsonData: {},
    meta: { id: type, name, type: 'datasource', metrics: true, module: '', baseUrl: '', info: { logos: { small: '', large: '' } } },
  }));
  const find = (ref?: DataSourceRef | string | null) => {
    const uid = typeof ref === 'string' ? ref : ref?.uid;
    const type = typeof ref === 'string' ? undefined : ref?.type;
    return listed.find((source) => source.uid === uid || source.name === uid) ?? listed.find((source) => source.type === type);
  };
  return {
    getList: (filter: { pluginId?: string; type?: string } = {}) => listed.filter((source) => [filter.pluginId ?? source.type, filter.type ?? source.type].every((type) => type === source.type)),
    getInstanceSettings: find,
    get: async (ref?: DataSourceRef | string | null) => {
      const found = find(ref);
      if (!found) throw new Error(`there is no data source ${JSON.stringify(ref)}`);
      return sources[listed.indexOf(found)].api as unknown as DataSourceApi;
    },
    reload() {},
    registerRuntimeDataSource() {},
  };
}

/** Targets of several sources in one panel: each source answers its own. */
class Mixed extends RuntimeDataSource {
  constructor(private sources: ReturnType<typeof dataSourceService>) {
    super('mixed', '-- Mixed --');
    // Otherwise the runner puts this source into every target.
    Object.assign(this.meta, { mixed: true });
  }

  query(request: DataQueryRequest): Observable<DataQueryResponse> {
    const uids = [...new Set(request.targets.map((target) => target.datasource?.uid ?? ''))];
    const ask = async (uid: string) => {
      const targets = request.targets.filter((target) => (target.datasource?.uid ?? '') === uid);
      // `${datasource}` stands for the source that the variable names; here there is one of each type.
      const source = await this.sources.get({ type: targets[0].datasource?.type });
      const answer = source.query({ ...request, targets });
      return isObservable(answer) ? new Promise<DataQueryResponse>((resolve, reject) => answer.subscribe({ next: resolve, error: reject })) : answer;
    };
    return from(Promise.all(uids.map(ask)).then((answers) => ({ data: answers.flatMap((answer) => answer.data) })));
  }
}

export function initGrafana(sources: Source[]) {
  setTimeZoneResolver(() => 'browser');
  standardEditorsRegistry.setInit(() => []);
  standardFieldConfigEditorRegistry.setInit(standardOptions);
  standardTransformersRegistry.setInit(() => transformers() as never);
  setAppEvents(new EventBusSrv());
  setEchoSrv({ addEvent() {}, flush() {}, addBackend() {} } as never);
  setBackendSrv({ get: async () => ({}), fetch: () => of({ data: {} }), datasourceRequest: async () => ({}) } as never);
  setTemplateSrv({ getVariables: () => [], replace: (text: string) => text, containsTemplate: () => false, updateTimeRange() {} } as never);
  const importPanelPlugin = async (id: string) => {
    throw new Error(`this console does not draw panels of type ${id}`);
  };
  setPluginImportUtils({ getPanelPluginFromCache: () => undefined, importPanelPlugin } as never);
  const service = dataSourceService(sources);
  setDataSourceSrv(service as never);
  for (const { api } of sources) sceneUtils.registerRuntimeDataSource({ dataSource: api });
  sceneUtils.registerRuntimeDataSource({ dataSource: new Mixed(service) });
  setRunRequest(runRequest as never);
}

type Query = (request: DataQueryRequest) => Observable<DataQueryResponse> | Promise<DataQueryResponse>;

function runRequest(source: DataSourceApi, request: DataQueryRequest, query?: Query): Observable<PanelData> {
  const loading: PanelData = { state: LoadingState.Loading, series: [], request, timeRange: request.range };
  const failed = (error: unknown) => ({ ...loading, state: LoadingState.Error, error: toDataQueryError(error as Error), errors: [toDataQueryError(error as Error)] });
  const done = (answer: DataQueryResponse): PanelData => {
    const frames: DataFrame[] = answer.data.map((frame) => toDataFrame(frame));
    if (answer.errors?.length) return { ...loading, state: LoadingState.Error, error: answer.errors[0], errors: answer.errors };
    return { ...loading, state: answer.state ?? LoadingState.Done, series: frames.filter((frame) => frame.meta?.dataTopic !== DataTopic.Annotations) };
  };
  return new Observable<PanelData>((out) => {
    out.next(loading);
    const answer = query ? query(request) : source.query(request);
    const answers = isObservable(answer) ? answer : from(answer);
    const running = answers.pipe(map(done), catchError((error) => of(failed(error)))).subscribe(out);
    return () => running.unsubscribe();
  });
}

