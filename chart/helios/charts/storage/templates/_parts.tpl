{{/* The fields of a pod that the Prometheus Operator's resources have under the same names. Argument: a pod's fields. */}}
{{- define "storage.crPod" -}}
{{ pick . "imagePullSecrets" "nodeSelector" "tolerations" "affinity" "priorityClassName" "securityContext" "topologySpreadConstraints" | toYaml }}
{{- end }}

{{/* Nine tenths of a size such as 1.5Ti or 50G, in MiB as Prometheus writes it. */}}
{{- define "storage.ninetyPercent" -}}
{{ divf (mulf (include "helios.octets" . | float64) 0.9) 1048576 | floor | int64 }}MB
{{- end }}

{{/* A duration such as 1m30s in seconds. */}}
{{- define "storage.seconds" -}}
{{- $sum := 0 }}
{{- range regexFindAll "[0-9]+(ms|[smhdwy])" . -1 }}
{{- $unit := regexFind "[a-z]+$" . }}
{{- $sum = add $sum (mul (trimSuffix $unit . | int) (get (dict "s" 1 "m" 60 "h" 3600 "d" 86400 "w" 604800 "y" 31536000 "ms" 0) $unit | int)) }}
{{- end }}
{{- $sum }}
{{- end }}

{{/* A scrape of an exporter that is asked about devices: the list's address becomes the parameter `target`. Argument: dict
"root" $ "kind" of the list, "path" of the exporter, "exporter" its address, "interval". */}}
{{- define "storage.scrape" -}}
apiVersion: monitoring.coreos.com/v1alpha1
kind: ScrapeConfig
metadata:
  name: helios-{{ .kind }}
  namespace: {{ .root.Values.global.namespaces.storage }}
  labels: {{- include "helios.labels" (dict "root" .root "name" "prometheus") | nindent 4 }}
spec:
  jobName: helios-{{ .kind }}
  metricsPath: {{ .path }}
  scrapeInterval: {{ .interval }}
  # Longer than the interval would be refused.
  scrapeTimeout: {{ div (mul (include "storage.seconds" .interval | int) 5) 6 | max 1 }}s
  fileSDConfigs: [{files: ["/etc/prometheus/targets/{{ .kind }}/*.json"], refreshInterval: 1m}]
  # The API server writes the default action down: without it here, Argo CD would find the object changed, for ever.
  relabelings:
    - {action: replace, sourceLabels: [__address__], targetLabel: __param_target}
    - {action: replace, sourceLabels: [__param_target], targetLabel: instance}
    # The operator splits targets over shards by __tmp_hash, or else by __address__, which is the exporter's for all of them.
    - {action: replace, sourceLabels: [__param_target], targetLabel: __tmp_hash}
    - {action: replace, targetLabel: __address__, replacement: "{{ .exporter }}"}
{{- end }}

{{/* A container of Thanos. Argument: dict "root" $ "args" "resources" "mounts" "grpc" (whether it has the port). */}}
{{- define "storage.thanosContainer" -}}
name: thanos
image: {{ include "helios.image" (dict "root" .root "image" .root.Values.thanos.image) }}
args: {{- toYaml .args | nindent 2 }}
ports:
  - {name: metrics, containerPort: 10902}
  {{- if .grpc }}
  - {name: grpc, containerPort: 10901}
  {{- end }}
readinessProbe: {httpGet: {path: /-/ready, port: metrics}}
livenessProbe: {httpGet: {path: /-/healthy, port: metrics}, periodSeconds: 30, failureThreshold: 4}
resources: {{- include "helios.resources" .resources | nindent 2 }}
securityContext: {{ include "helios.containerSecurity" . }}
volumeMounts: {{ toJson .mounts }}
{{- end }}

{{/* A part of Thanos: its workload, Service and PodDisruptionBudget. Argument: dict "root" $ "name" "args" "resources", optional
"replicas" (1), "grpc", "volume" (size: a StatefulSet with /var/thanos), "objects" (mounts the bucket's configuration),
"tls" (name of a Secret, mounted as /etc/thanos/tls), "pod" (as helios.pod has it). */}}
{{- define "storage.thanos" -}}
{{- $root := .root }}
{{- $n := $root.Values.global.namespaces.storage }}
{{- $mounts := list }}
{{- $volumes := list }}
{{- $replicas := .replicas | default 1 }}
{{- if .volume }}{{ $mounts = append $mounts (dict "name" "data" "mountPath" "/var/thanos") }}{{ end }}
{{- if .objects }}
{{- $mounts = append $mounts (dict "name" "objects" "mountPath" "/etc/thanos/objects" "readOnly" true) }}
{{- $volumes = append $volumes (dict "name" "objects" "secret" (dict "secretName" $root.Values.objectStorage.existingSecret "defaultMode" 288)) }}
{{- end }}
{{- with .tls }}
{{- $mounts = append $mounts (dict "name" "tls" "mountPath" "/etc/thanos/tls" "readOnly" true) }}
{{- $volumes = append $volumes (dict "name" "tls" "secret" (dict "secretName" . "defaultMode" 288)) }}
{{- end }}
---
apiVersion: v1
kind: Service
metadata:
  name: {{ .name }}
  namespace: {{ $n }}
  labels: {{- include "helios.labels" . | nindent 4 }}
spec:
  {{- if .grpc }}
  # Each pod is asked, not one of them.
  clusterIP: None
  {{- end }}
  selector: {{- include "helios.selector" . | nindent 4 }}
  ports:
    - {name: http, port: 9090, targetPort: metrics}
    {{- if .grpc }}
    - {name: grpc, port: 10901, targetPort: grpc}
    {{- end }}
---
apiVersion: apps/v1
kind: {{ not (empty .volume) | ternary "StatefulSet" "Deployment" }}
metadata:
  name: {{ .name }}
  namespace: {{ $n }}
  labels: {{- include "helios.labels" . | nindent 4 }}
spec:
  replicas: {{ $replicas }}
  {{- if .volume }}
  serviceName: {{ .name }}
  podManagementPolicy: Parallel
  {{- end }}
  selector: {matchLabels: {{ include "helios.selector" . | fromYaml | toJson }}}
  template:
    metadata:
      labels: {{- include "helios.selector" . | nindent 8 }}
    spec:
      {{- include "helios.pod" (dict "root" $root "name" .name "account" "thanos" "user" 1001 "pod" .pod) | nindent 6 }}
      containers:
        - {{- include "storage.thanosContainer" (merge (dict "mounts" $mounts) .) | nindent 10 }}
      volumes: {{ toJson $volumes }}
  {{- if .volume }}
  volumeClaimTemplates:
    - {{- include "helios.claim" (dict "root" $root "name" "data" "size" .volume "set" .name "namespace" $n) | nindent 6 }}
  {{- end }}
{{- include "helios.budget" (dict "root" $root "name" .name "namespace" $n "replicas" $replicas) }}
{{- end }}

{{/* Pod of the Job that creates the bucket. Argument: dict "root" $ "image" "namespace" "bucket" "pod" (as helios.pod has it). */}}
{{- define "storage.bucket" -}}
metadata:
  labels: {{- include "helios.selector" (dict "root" .root "name" "seaweedfs-bucket") | nindent 4 }}
spec:
  {{- include "helios.pod" (dict "root" .root "name" "seaweedfs-bucket" "pod" .pod) | nindent 2 }}
  restartPolicy: OnFailure
  containers:
    - name: weed
      image: {{ .image }}
      command: [sh, -c]
      # An existing bucket is no error. The server may still be starting.
      args:
        - |
          weed() { echo "$1" | command weed shell -master=seaweedfs.{{ .namespace }}.svc:9333; }
          until weed s3.bucket.list | grep -qE '(^|[[:space:]]){{ .bucket }}([[:space:]]|$)'; do
            weed 's3.bucket.create -name {{ .bucket }}'
            sleep 2
          done
      resources: {requests: {cpu: 10m, memory: 64Mi}, limits: {memory: 256Mi}}
      securityContext: {{ include "helios.containerSecurity" . }}
      volumeMounts: [{name: tmp, mountPath: /tmp}]
  volumes: [{name: tmp, emptyDir: {}}]
{{- end }}
