{{/* Who connects to whom: the one list that every NetworkPolicy follows from, on both sides. `part/name` is the pod with that
app.kubernetes.io/name in the part's namespace; `devices`, `services` and `api` are outside; `cluster` is any pod. */}}
{{- define "helios.connections" -}}
{{- $g := .Values.global }}
{{- $operated := eq $g.clickhouse.mode "operator" }}
{{- $clickhouse := $operated | ternary "flows/clickhouse" "services" }}
{{- $clickhousePort := include "helios.clickhouse.port" . | int }}
{{- $objects := eq .Values.storage.objectStorage.provider "bundled" | ternary "storage/seaweedfs" "services" }}
{{- $objectsPort := eq .Values.storage.objectStorage.provider "bundled" | ternary 8333 (include "helios.objectsPort" . | int) }}
{{- $flows := eq .Values.flows.mode "daemonset" | ternary (list) (list "flows/helios") }}
{{- $udp := list }}
{{- range .Values.flows.ports }}{{ $udp = append $udp (printf "%d/UDP" (int .port)) }}{{ end }}
# Flows. In daemonset mode pods have the node's network, which no policy covers.
{{- range $flows }}
- {from: devices, to: {{ . }}, ports: {{ toJson $udp }}}
- {from: {{ . }}, to: {{ $clickhouse }}, ports: [{{ $clickhousePort }}]}
- {from: storage/prometheus, to: {{ . }}, ports: [8080]}
{{- end }}
{{- if $operated }}
- {from: flows/clickhouse, to: flows/clickhouse, ports: [{{ $clickhousePort }}, 9000, 9009]}
# The operator asks a server's port without TLS as long as it has one.
- {from: cluster/altinity-clickhouse-operator, to: flows/clickhouse, ports: {{ list 8123 $clickhousePort | uniq | toJson }}}
- {from: storage/prometheus, to: flows/clickhouse, ports: [9363]}
{{- if not $flows }}
- {from: nodes, to: flows/clickhouse, ports: [{{ $clickhousePort }}]}
{{- end }}
{{- if gt (int .Values.flows.clickhouse.keeper.replicas) 0 }}
- {from: flows/clickhouse, to: flows/keeper, ports: [2181]}
- {from: flows/keeper, to: flows/keeper, ports: [9444]}
- {from: cluster/altinity-clickhouse-operator, to: flows/keeper, ports: [2181]}
- {from: storage/prometheus, to: flows/keeper, ports: [9363]}
{{- end }}
{{- end }}
# Collectors.
- {from: collection/gnmic, to: devices, ports: {{ toJson .Values.collection.gnmic.ports }}}
- {from: collection/snmp-exporter, to: devices, ports: [161/UDP]}
# Echo requests have no port, and a profile may probe any: no ports means all.
- {from: collection/blackbox-exporter, to: devices, ports: []}
- {from: storage/prometheus, to: collection/gnmic, ports: [7890, 9804, 9805]}
- {from: storage/prometheus, to: collection/snmp-exporter, ports: [9116]}
- {from: storage/prometheus, to: collection/blackbox-exporter, ports: [9115]}
# Prometheus and Thanos.
- {from: storage/prometheus, to: api, ports: {{ toJson $g.network.apiServerPorts }}}
- {from: storage/prometheus, to: visualization/alertmanager, ports: [9093, 8080]}
- {from: storage/prometheus, to: visualization/grafana, ports: [3000]}
{{- if .Values.storage.prometheus.kubeStateMetrics }}
- {from: storage/prometheus, to: cluster/kube-state-metrics, ports: [{{ include "helios.urlPort" .Values.storage.prometheus.kubeStateMetrics | int }}]}
{{- end }}
- {from: storage/prometheus, to: storage/prometheus, ports: [9090, 8080, 10902]}
{{- $global := .Values.storage.thanos.globalQuery }}
{{- range concat (list "thanos-query") ($global.enabled | ternary (list "thanos-query-global") (list)) }}
- {from: storage/{{ . }}, to: storage/prometheus, ports: [10901]}
- {from: storage/{{ . }}, to: storage/thanos-store, ports: [10901]}
{{- if $.Values.storage.ruler.enabled }}
- {from: storage/{{ . }}, to: storage/thanos-ruler, ports: [10901]}
{{- end }}
{{- end }}
- {from: storage/thanos-query-frontend, to: storage/thanos-query, ports: [10902]}
{{- range $name := list "prometheus" "thanos-store" "thanos-compact" }}
- {from: storage/{{ $name }}, to: {{ $objects }}, ports: [{{ $objectsPort }}]}
{{- end }}
{{- if .Values.storage.ruler.enabled }}
- {from: storage/thanos-ruler, to: storage/thanos-query, ports: [10902]}
- {from: storage/thanos-ruler, to: visualization/alertmanager, ports: [9093]}
- {from: storage/thanos-ruler, to: {{ $objects }}, ports: [{{ $objectsPort }}]}
- {from: storage/prometheus, to: storage/thanos-ruler, ports: [10902]}
{{- end }}
{{- range $name := list "thanos-query" "thanos-query-frontend" "thanos-store" "thanos-compact" }}
- {from: storage/prometheus, to: storage/{{ $name }}, ports: [10902]}
{{- end }}
{{- if .Values.storage.thanos.query.externalServiceType }}
- {from: services, to: storage/thanos-query, ports: [10901]}
{{- end }}
{{- if $global.enabled }}
{{- $ports := list }}
{{- range $global.endpoints }}{{ $ports = append $ports (include "helios.urlPort" . | int) }}{{ end }}
{{- with uniq $ports }}
- {from: storage/thanos-query-global, to: services, ports: {{ toJson . }}}
{{- end }}
- {from: storage/thanos-query-frontend, to: storage/thanos-query-global, ports: [10902]}
- {from: storage/prometheus, to: storage/thanos-query-global, ports: [10902]}
{{- end }}
{{- if .Values.storage.thanos.replicate.enabled }}
- {from: storage/thanos-replicate, to: {{ $objects }}, ports: [{{ $objectsPort }}]}
- {from: storage/thanos-replicate, to: services, ports: [443, 8333, 9000]}
- {from: storage/prometheus, to: storage/thanos-replicate, ports: [10902]}
{{- end }}
{{- if eq .Values.storage.objectStorage.provider "bundled" }}
- {from: storage/seaweedfs-bucket, to: storage/seaweedfs, ports: [9333, 19333, 8888, 18888]}
- {from: storage/prometheus, to: storage/seaweedfs, ports: [9327]}
{{- end }}
# Grafana and Alertmanager. Grafana fetches its plugin from the network once.
- {from: cluster, to: visualization/grafana, ports: [3000]}
{{- /* A controller with the nodes' network is in no namespace. */}}
{{- if or .Values.visualization.grafana.ingress.enabled .Values.visualization.grafana.route.enabled }}
- {from: nodes, to: visualization/grafana, ports: [3000]}
{{- end }}
- {from: visualization/grafana, to: storage/thanos-query-frontend, ports: [10902]}
- {from: visualization/grafana, to: {{ $clickhouse }}, ports: [{{ $clickhousePort }}]}
- {from: visualization/grafana, to: visualization/alertmanager, ports: [9093]}
- {from: visualization/grafana, to: services, ports: [443]}
- {from: visualization/alertmanager, to: visualization/alertmanager, ports: [9094, 9094/UDP]}
- {from: visualization/alertmanager, to: services, ports: [443, 25, 465, 587]}
# NetBox, the API server, runbooks.
{{- if $g.netbox.url }}
{{- range append $flows "integration/targets" }}
- {from: {{ . }}, to: services, ports: [{{ include "helios.urlPort" $g.netbox.url }}]}
{{- end }}
{{- end }}
- {from: integration/targets, to: api, ports: {{ toJson $g.network.apiServerPorts }}}
{{- if .Values.automation.enabled }}
- {from: storage/prometheus, to: automation/helios-operator, ports: [8080]}
- {from: visualization/alertmanager, to: automation/helios-operator, ports: [8080]}
{{- range $name := list "helios-operator" "helios-executor" }}
- {from: automation/{{ $name }}, to: api, ports: {{ toJson $g.network.apiServerPorts }}}
{{- if $g.clickhouse.runbooks }}
- {from: automation/{{ $name }}, to: {{ $clickhouse }}, ports: [{{ $clickhousePort }}]}
{{- end }}
{{- end }}
- {from: automation/helios-executor, to: devices, ports: {{ toJson .Values.collection.gnmic.ports }}}
- {from: automation/helios-executor, to: storage/thanos-query-frontend, ports: [10902]}
- {from: automation/helios-executor, to: visualization/alertmanager, ports: [9093]}
# Webhooks and mail servers of notifications, and what steps of type http-request may ask.
{{- $ports := list 443 25 465 587 }}
{{- range .Values.automation.httpHosts }}{{ $ports = append $ports (include "helios.urlPort" . | int) }}{{ end }}
- {from: automation/helios-executor, to: services, ports: {{ toJson (uniq $ports) }}}
{{- if .Values.automation.scriptImages }}
- {from: automation/helios-script, to: devices, ports: []}
{{- end }}
{{- end }}
{{- range $g.network.connections }}
- {{ toJson . }}
{{- end }}
{{- end }}

{{/* The port of an object storage outside of the cluster: Thanos writes its endpoint without https://, and people do it here. */}}
{{- define "helios.objectsPort" -}}
{{- $endpoint := .Values.storage.objectStorage.endpoint -}}
{{ include "helios.urlPort" (contains "://" $endpoint | ternary $endpoint (printf "https://%s" $endpoint)) }}
{{- end }}

{{/* The other end of a connection, as a policy names it. Argument: dict "root" $ "end". */}}
{{- define "helios.peer" -}}
{{- $g := .root.Values.global }}
{{- $cidrs := dict "devices" $g.network.deviceCidrs "services" $g.network.serviceCidrs "api" (list "0.0.0.0/0" "::/0") "nodes" $g.network.nodeCidrs }}
{{- if hasKey $cidrs .end }}
{{- range index $cidrs .end }}
- {ipBlock: {cidr: "{{ . }}"}}
{{- end }}
{{- else if eq .end "cluster" }}
- {namespaceSelector: {}}
{{- else if hasPrefix "cluster/" .end }}
- {namespaceSelector: {}, podSelector: {matchLabels: {app.kubernetes.io/name: {{ base .end }}}}}
{{- else }}
- {namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: {{ index $g.namespaces (dir .end) }}}}, podSelector: {matchLabels: {app.kubernetes.io/name: {{ base .end }}}}}
{{- end }}
{{- end }}

{{/* `9116` or `161/UDP` as a policy's port. */}}
{{- define "helios.port" -}}
{{- $parts := toString . | splitList "/" }}
{port: {{ first $parts }}, protocol: {{ len $parts | eq 2 | ternary (last $parts) "TCP" }}}
{{- end }}

{{/* One side of the connections of a pod. Argument: dict "root" $ "pod" "connections" "mine" (to: ingress, from: egress). */}}
{{- define "helios.holes" -}}
{{- $theirs := eq .mine "to" | ternary "from" "to" }}
{{- range .connections }}
{{- if eq (index . $.mine) $.pod }}
- {{ $theirs }}: {{- include "helios.peer" (dict "root" $.root "end" (index . $theirs)) | nindent 4 }}
  {{- if .ports }}
  ports: [{{ range $i, $port := .ports }}{{ if $i }}, {{ end }}{{ include "helios.port" $port | trim }}{{ end }}]
  {{- end }}
{{- end }}
{{- end }}
{{- end }}
