{{/* Used by every sub-chart: names are in one space, and a sub-chart sees `global` and its own values only. */}}

{{/* Labels of an object. Argument: dict "root" $ "name" what it is, as in app.kubernetes.io/name. */}}
{{- define "helios.labels" -}}
{{ include "helios.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | default "0.1.0" | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ .root.Chart.Name }}-{{ .root.Chart.Version }}
{{- end }}

{{/* Labels that select pods. They never change: a StatefulSet's selector cannot. `instance` where an operator labels the pods: the
name of its resource. */}}
{{- define "helios.selector" -}}
app.kubernetes.io/name: {{ .name }}
app.kubernetes.io/instance: {{ .instance | default .root.Release.Name | quote }}
app.kubernetes.io/part-of: helios
{{- end }}

{{/* Reference of an image. Argument: dict "root" $ "image" (registry, repository, tag, digest). global.imageRegistry replaces
every registry, so that one mirror serves all; a digest takes precedence over the tag. */}}
{{- define "helios.image" -}}
{{- $registry := .root.Values.global.imageRegistry | default .image.registry -}}
{{- printf "%s/%s" $registry .image.repository -}}
{{- if .image.digest }}@{{ .image.digest }}{{ else }}:{{ required (printf "image %s has neither tag nor digest" .image.repository) .image.tag }}{{ end -}}
{{- end }}

{{/* Pull secrets and what every pod of the chart has. Pods that talk to the API server set `token: true`. Argument: dict
"root" $ "name" component, optional "token", "account", "user" (numeric id), "instance" as in helios.selector, "pod" (the component's
value of this name, whose fields replace those of global). */}}
{{- define "helios.pod" -}}
{{- $own := .pod | default dict }}
automountServiceAccountToken: {{ .token | default false }}
{{- with .account }}
serviceAccountName: {{ . }}
{{- end }}
{{- with .root.Values.global.imagePullSecrets }}
imagePullSecrets: {{ toJson . }}
{{- end }}
{{- range $field := list "nodeSelector" "tolerations" "affinity" "priorityClassName" }}
{{- with get $own $field | default (get $.root.Values.global $field) }}
{{ $field }}: {{ toJson . }}
{{- end }}
{{- end }}
# Variables of every Service of the namespace would only crowd the environment.
enableServiceLinks: false
securityContext: {{ include "helios.podSecurity" . | fromYaml | toJson }}
topologySpreadConstraints: {{ $own.topologySpreadConstraints | default (include "helios.spread" . | fromYamlArray) | toJson }}
{{- end }}

{{/* What PodSecurity `restricted` asks of a pod, and a group that owns its volumes. */}}
{{- define "helios.podSecurity" -}}
runAsNonRoot: true
runAsUser: {{ .user | default 65532 }}
runAsGroup: {{ .user | default 65532 }}
fsGroup: {{ .user | default 65532 }}
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "helios.containerSecurity" -}}
{allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {drop: [ALL]}}
{{- end }}

{{/* One pod a node and as even over zones as it goes. ScheduleAnyway: a cluster of one node runs all of it. */}}
{{- define "helios.spread" -}}
{{- range $key := list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
- {maxSkew: 1, topologyKey: {{ $key }}, whenUnsatisfiable: ScheduleAnyway, labelSelector: {matchLabels: {{ omit (include "helios.selector" $ | fromYaml) "app.kubernetes.io/part-of" | toJson }}}}
{{- end }}
{{- end }}

{{/* A claim for a volume. Argument: dict "root" $ "name" "size", and of a StatefulSet that asks for it "set" and "namespace":
Kubernetes refuses another size or class in a StatefulSet that exists, so it keeps what it has. NOTES.txt says how to grow it. */}}
{{- define "helios.claim" -}}
{{- $size := .size }}
{{- $class := .root.Values.global.storageClass }}
{{- if .set }}
{{- range (lookup "apps/v1" "StatefulSet" .namespace .set | default dict | dig "spec" "volumeClaimTemplates" list) }}
{{- if eq .metadata.name $.name }}
{{- $size = .spec.resources.requests.storage }}
{{- $class = .spec.storageClassName }}
{{- end }}
{{- end }}
{{- end }}
metadata: {name: {{ .name }}}
spec:
  accessModes: [ReadWriteOnce]
  {{- with $class }}
  storageClassName: {{ . | quote }}
  {{- end }}
  resources: {requests: {storage: {{ $size }}}}
{{- end }}

{{/* A PodDisruptionBudget where there is more than one pod: with one, it would only keep nodes from being drained. */}}
{{- define "helios.budget" -}}
{{- if gt (int .replicas) 1 }}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ .name }}
  namespace: {{ .namespace }}
  labels: {{- include "helios.labels" . | nindent 4 }}
spec:
  maxUnavailable: 1
  # A pod that is not ready keeps no node from being drained.
  unhealthyPodEvictionPolicy: AlwaysAllow
  selector: {matchLabels: {{ omit (include "helios.selector" . | fromYaml) "app.kubernetes.io/part-of" | toJson }}}
{{- end }}
{{- end }}

{{/* Requests and limits, without those that values took away with null. */}}
{{- define "helios.resources" -}}
{{- $all := dict }}
{{- range $kind, $given := . }}
{{- $kept := dict }}
{{- range $name, $amount := $given }}{{ if ne nil $amount }}{{ $_ := set $kept $name $amount }}{{ end }}{{ end }}
{{- if $kept }}{{ $_ := set $all $kind $kept }}{{ end }}
{{- end }}
{{- toYaml $all }}
{{- end }}

{{/* A size such as 1.5Ti or 50G in octets. */}}
{{- define "helios.octets" -}}
{{- $units := dict "" 1 "m" 1e-3 "k" 1e3 "M" 1e6 "G" 1e9 "T" 1e12 "P" 1e15 "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 "Pi" 1125899906842624 -}}
{{ mulf (regexFind "^[0-9.]+" . | float64) (get $units (regexFind "[A-Za-z]*$" .)) | printf "%.0f" }}
{{- end }}

{{/* Where ClickHouse answers: `url` of the operated one or of yours. */}}
{{- define "helios.clickhouse.url" -}}
{{- $c := .Values.global.clickhouse -}}
{{- if eq $c.mode "external" -}}
{{ required "global.clickhouse.url is not set. With mode external, name your server: --set global.clickhouse.url=https://clickhouse.example.net:8443" $c.url }}
{{- else -}}
{{ not (empty $c.tlsSecret) | ternary "https" "http" }}://clickhouse-helios.{{ .Values.global.namespaces.flows }}.svc:{{ include "helios.clickhouse.port" . }}
{{- end }}
{{- end }}

{{- define "helios.clickhouse.port" -}}
{{- $c := .Values.global.clickhouse -}}
{{- if eq $c.mode "external" -}}
{{- $port := regexFind ":[0-9]+(/|$)" ($c.url | default "") | trimAll ":/" -}}
{{ $port | default (hasPrefix "https:" ($c.url | default "") | ternary "443" "80") }}
{{- else -}}
{{ not (empty $c.tlsSecret) | ternary "8443" "8123" }}
{{- end }}
{{- end }}

{{/* Whether the operator and executors trust ca.crt of automation.serversSecret: because the values say so, or because ClickHouse, which
they ask, has a certificate of an authority of one's own. */}}
{{- define "helios.serversCa" -}}
{{- $c := .Values.global.clickhouse }}
{{- if or .Values.automation.serversCa (and $c.runbooks $c.tlsSecret) }}yes{{ end -}}
{{- end }}

{{/* The port of an URL, for network policies. */}}
{{- define "helios.urlPort" -}}
{{ regexFind ":[0-9]+(/|$)" . | trimAll ":/" | default (hasPrefix "https:" . | ternary "443" "80") }}
{{- end }}

{{/* Whether a cluster answers: with `helm template` and `helm lint`, lookup finds nothing. */}}
{{- define "helios.connected" -}}
{{- if and .Values.global.checks (lookup "v1" "Namespace" "" "kube-system") }}yes{{ end -}}
{{- end }}
