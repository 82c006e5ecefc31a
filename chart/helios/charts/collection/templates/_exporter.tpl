{{/* Deployment and Service of an exporter that Prometheus asks about devices. Argument: dict "root" $ "name" "port" "values"
"args" "more" (YAML that goes into the pod: init containers, volumes) "mounts" "checksum". */}}
{{- define "collection.exporter" -}}
{{- $n := .root.Values.global.namespaces.collection }}
apiVersion: v1
kind: Service
metadata:
  name: {{ .name }}
  namespace: {{ $n }}
  labels: {{- include "helios.labels" . | nindent 4 }}
spec:
  selector: {{- include "helios.selector" . | nindent 4 }}
  ports: [{name: metrics, port: {{ .port }}, targetPort: metrics}]
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ .name }}
  namespace: {{ $n }}
  labels: {{- include "helios.labels" . | nindent 4 }}
spec:
  replicas: {{ .values.replicas }}
  strategy: {type: RollingUpdate, rollingUpdate: {maxSurge: 1, maxUnavailable: 0}}
  selector: {matchLabels: {{ include "helios.selector" . | fromYaml | toJson }}}
  template:
    metadata:
      labels: {{- include "helios.selector" . | nindent 8 }}
      annotations: {checksum/config: {{ .checksum }}}
    spec:
      {{- $pod := include "helios.pod" (dict "root" .root "name" .name "pod" .values.pod) | fromYaml }}
      {{- with .sysctls }}{{ $_ := set $pod.securityContext "sysctls" . }}{{ end }}
      {{- toYaml $pod | nindent 6 }}
      {{- .more | nindent 6 }}
      containers:
        - name: {{ .name }}
          image: {{ include "helios.image" (dict "root" .root "image" .values.image) }}
          args: {{ toJson .args }}
          {{- with .envFrom }}
          envFrom: {{ toJson . }}
          {{- end }}
          ports: [{name: metrics, containerPort: {{ .port }}}]
          readinessProbe: {httpGet: {path: /-/healthy, port: metrics}}
          livenessProbe: {httpGet: {path: /-/healthy, port: metrics}, periodSeconds: 30}
          resources: {{- include "helios.resources" .values.resources | nindent 12 }}
          securityContext: {{ include "helios.containerSecurity" . }}
          volumeMounts: {{ toJson .mounts }}
{{- include "helios.budget" (dict "root" .root "name" .name "namespace" $n "replicas" .values.replicas) }}
{{- end }}
