{{/* The configuration of `helios run`: what follows from the values, and flows.config on top. */}}
{{- define "flows.config" -}}
{{- $g := .Values.global }}
{{- $c := $g.clickhouse }}
{{- $listen := list }}
{{- range .Values.ports }}{{ $listen = append $listen (printf "[::]:%d" (int .port)) }}{{ end }}
{{- $clickhouse := dict "url" (include "helios.clickhouse.url" .) "database" $c.database "user" "helios" "password_file" "/etc/helios/clickhouse/helios"
    "retention_days" .Values.retentionDays "spool" (dict "max_bytes" (int64 .Values.spool.maxBytes)) }}
{{- if $c.tlsSecret }}{{ $_ := set $clickhouse "ca_file" "/etc/helios/clickhouse-tls/ca.crt" }}{{ end }}
{{- if eq $c.mode "external" }}
{{- if $c.cluster }}{{ $_ := set $clickhouse "cluster" (dict "name" $c.cluster) }}{{ end }}
{{- else if gt (int (mul .Values.clickhouse.shards .Values.clickhouse.replicas)) 1 }}
{{- $shards := list }}
{{- range $shard := until (int .Values.clickhouse.shards) }}
{{- $urls := list }}
{{- range $replica := until (int $.Values.clickhouse.replicas) }}
{{- $urls = append $urls (printf "%s://chi-helios-main-%d-%d.%s.svc:%s" (not (empty $c.tlsSecret) | ternary "https" "http") $shard $replica $g.namespaces.flows (include "helios.clickhouse.port" $)) }}
{{- end }}
{{- $shards = append $shards $urls }}
{{- end }}
{{- $_ := set $clickhouse "cluster" (dict "name" "main" "shards" $shards) }}
{{- end }}
{{- $config := dict "collector" (dict "listen" $listen "state_dir" "/var/lib/helios") "clickhouse" $clickhouse
    "pipeline" (dict "shutdown_timeout_ms" (int .Values.shutdownTimeoutMs)) "log" (dict "format" "json") }}
{{- if $g.netbox.url }}
{{- $netbox := dict "url" $g.netbox.url "token_file" "/etc/helios/netbox/token" }}
{{- if $g.netbox.ca }}{{ $_ := set $netbox "ca_file" "/etc/helios/netbox/ca.crt" }}{{ end }}
{{- $_ := set $config "netbox" $netbox }}
{{- end }}
{{- toYaml (mergeOverwrite $config (deepCopy .Values.config)) }}
{{- end }}
