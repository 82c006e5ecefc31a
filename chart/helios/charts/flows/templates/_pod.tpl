{{/* The pod of `helios run` in every mode. Argument: dict "root" $ "name" "slot" (a or b in a takeover, else empty). */}}
{{- define "flows.pod" -}}
{{- $v := .root.Values }}
{{- $g := $v.global }}
{{- $host := eq $v.mode "daemonset" }}
{{- $port := eq .slot "b" | ternary 8081 8080 }}
{{- $image := deepCopy $v.image }}
{{- with eq .slot "b" | ternary $v.daemonset.tagB $v.daemonset.tagA }}{{ if $host }}{{ $_ := set $image "tag" . }}{{ $_ := set $image "digest" "" }}{{ end }}{{ end }}
metadata:
  labels: {{- include "helios.selector" . | nindent 4 }}
    {{- with .slot }}
    helios.io/slot: {{ . }}
    {{- end }}
  annotations:
    {{- if not .slot }}
    # A changed configuration is a new pod. In a takeover the node's label decides when.
    checksum/config: {{ include "flows.config" .root | sha256sum }}
    {{- end }}
    cluster-autoscaler.kubernetes.io/safe-to-evict: "false"
spec:
  {{- $pod := include "helios.pod" (dict "root" .root "name" .name "pod" $v.pod) | fromYaml }}
  {{- if $host }}
  {{- $_ := set $pod "nodeSelector" (merge (dict (not (empty .slot) | ternary (printf "helios.io/flows-%s" .slot) "helios.io/flows") "run") (get $pod "nodeSelector" | default dict)) }}
  {{- $_ := unset $pod "topologySpreadConstraints" }}
  # The exporters' own addresses, and one group of sockets for both pods of a takeover.
  hostNetwork: true
  dnsPolicy: ClusterFirstWithHostNet
  {{- end }}
  {{- toYaml $pod | nindent 2 }}
  # What ClickHouse does not take until then goes to the spool; 20 s for files, sockets and the runtime.
  terminationGracePeriodSeconds: {{ add (div (int $v.shutdownTimeoutMs) 1000) 20 }}
  {{- if $host }}
  initContainers:
    - name: state
      image: {{ include "helios.image" (dict "root" .root "image" $v.daemonset.initImage) }}
      # The kubelet creates the folder as root.
      command: [chown, "65532:65532", /var/lib/helios]
      securityContext: {runAsNonRoot: false, runAsUser: 0, runAsGroup: 0, allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {drop: [ALL], add: [CHOWN]}}
      resources: {requests: {cpu: 10m, memory: 16Mi}, limits: {memory: 16Mi}}
      volumeMounts: [{name: state, mountPath: /var/lib/helios}]
  {{- end }}
  containers:
    - name: helios
      image: {{ include "helios.image" (dict "root" .root "image" $image) }}
      args: [run, --config, /etc/helios/config/helios.yaml{{ if .slot }}, --takeover{{ end }}]
      env: [{name: HELIOS_ADMIN__LISTEN, value: "[::]:{{ $port }}"}]
      {{- if not .slot }}
      ports:
        {{- range $v.ports }}
        - {name: {{ .name | quote }}, containerPort: {{ .port }}, protocol: UDP}
        {{- end }}
        - {name: metrics, containerPort: {{ $port }}}
      {{- end }}
      # Ready: receives, and the tables are there. A start with the state of 2,000 exporters takes 0.1 s; migrations wait in the background.
      startupProbe: {httpGet: {path: /healthz, port: {{ $port }}}, periodSeconds: 1, failureThreshold: 60}
      readinessProbe: {httpGet: {path: /readyz, port: {{ $port }}}, periodSeconds: 2}
      livenessProbe: {httpGet: {path: /healthz, port: {{ $port }}}, periodSeconds: 10, failureThreshold: 6}
      resources: {{- include "helios.resources" $v.resources | nindent 8 }}
      securityContext: {{ include "helios.containerSecurity" . }}
      volumeMounts:
        - {name: config, mountPath: /etc/helios/config, readOnly: true}
        - {name: clickhouse, mountPath: /etc/helios/clickhouse, readOnly: true}
        {{- if $g.clickhouse.tlsSecret }}
        - {name: clickhouse-tls, mountPath: /etc/helios/clickhouse-tls, readOnly: true}
        {{- end }}
        {{- if $g.netbox.url }}
        - {name: netbox, mountPath: /etc/helios/netbox, readOnly: true}
        {{- end }}
        {{- if $v.data }}
        - {name: data, mountPath: /var/lib/helios-data, readOnly: true}
        {{- end }}
        - {name: state, mountPath: /var/lib/helios}
  volumes:
    - {name: config, configMap: {name: helios}}
    - {name: clickhouse, secret: {secretName: {{ $g.clickhouse.existingSecret | quote }}, items: [{key: helios, path: helios}], defaultMode: 0440}}
    {{- with $g.clickhouse.tlsSecret }}
    - {name: clickhouse-tls, secret: {secretName: {{ . | quote }}, items: [{key: ca.crt, path: ca.crt}]}}
    {{- end }}
    {{- if $g.netbox.url }}
    - {name: netbox, secret: {secretName: {{ $g.netbox.existingSecret | quote }}, defaultMode: 0440}}
    {{- end }}
    {{- with $v.data }}
    - {{ merge (dict "name" "data") . | toJson }}
    {{- end }}
    {{- if $host }}
    # On the node: templates and the spool are the next pod's as well.
    - {name: state, hostPath: {path: {{ $v.daemonset.hostPath | quote }}, type: DirectoryOrCreate}}
    {{- else if eq $v.mode "deployment" }}
    - {name: state, emptyDir: {sizeLimit: {{ $v.spool.size }}}}
    {{- end }}
{{- end }}
