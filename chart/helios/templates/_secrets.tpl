{{/* The secrets that the values need: lists of namespace, name, keys, and the command that makes one. Also what README.md lists. */}}
{{- define "helios.secrets" -}}
{{- $g := .Values.global }}
{{- $n := $g.namespaces }}
{{- $tls := list "tls.crt" "tls.key" "ca.crt" }}
{{- $makeTls := "--from-file=tls.crt=FILE --from-file=tls.key=FILE --from-file=ca.crt=FILE" }}
{{- $clickhouseTls := $g.clickhouse.tlsSecret }}
{{- $password := "\"$(openssl rand -hex 24)\"" }}
{{- if .Values.flows.enabled }}
- {namespace: {{ $n.flows }}, name: {{ $g.clickhouse.existingSecret }}, keys: [helios, grafana{{ if $g.clickhouse.runbooks }}, runbooks{{ end }}], make: '--from-literal=helios={{ $password }} --from-literal=grafana={{ $password }}{{ if $g.clickhouse.runbooks }} --from-literal=runbooks={{ $password }}{{ end }}'}
{{- if $g.netbox.url }}
- {namespace: {{ $n.flows }}, name: {{ $g.netbox.existingSecret }}, keys: [token{{ if $g.netbox.ca }}, ca.crt{{ end }}], make: '--from-file=token=FILE{{ if $g.netbox.ca }} --from-file=ca.crt=FILE{{ end }}'}
{{- end }}
{{- end }}
{{- if and .Values.flows.enabled $clickhouseTls }}
{{- if eq $g.clickhouse.mode "operator" }}
- {namespace: {{ $n.flows }}, name: {{ $clickhouseTls }}, keys: {{ toJson $tls }}, make: '{{ $makeTls }}'}
{{- else }}
- {namespace: {{ $n.flows }}, name: {{ $clickhouseTls }}, keys: [ca.crt], make: '--from-file=ca.crt=FILE'}
{{- end }}
{{- end }}
{{- if and .Values.integration.enabled (eq .Values.integration.source "netbox") }}
- {namespace: {{ $n.integration }}, name: {{ $g.netbox.existingSecret }}, keys: [token{{ if $g.netbox.ca }}, ca.crt{{ end }}], make: '--from-file=token=FILE{{ if $g.netbox.ca }} --from-file=ca.crt=FILE{{ end }}'}
{{- end }}
{{- if .Values.collection.enabled }}
- {namespace: {{ $n.collection }}, name: {{ .Values.collection.gnmic.existingSecret }}, keys: [username, password], make: '--from-literal=username=USER --from-literal=password=PASSWORD'}
- {namespace: {{ $n.collection }}, name: {{ .Values.collection.snmpExporter.existingSecret }}, keys: [auths.yml], or: community, make: '--from-file=auths.yml=FILE (or --from-literal=community=COMMUNITY)'}
{{- end }}
{{- if and .Values.collection.enabled .Values.collection.gnmic.caSecret }}
- {namespace: {{ $n.collection }}, name: {{ .Values.collection.gnmic.caSecret }}, keys: [ca.crt], make: '--from-file=ca.crt=FILE'}
{{- end }}
{{- if .Values.storage.enabled }}
{{- $t := .Values.storage.thanos }}
{{- range compact (list $t.query.tlsSecret ($t.globalQuery.enabled | ternary $t.globalQuery.tlsSecret "")) | uniq }}
- {namespace: {{ $n.storage }}, name: {{ . }}, keys: {{ toJson $tls }}, make: '{{ $makeTls }}'}
{{- end }}
{{- $o := .Values.storage.objectStorage }}
{{- $keys := list "objstore.yml" }}
{{- if eq $o.provider "bundled" }}{{ $keys = append $keys "s3.json" }}{{ end }}
{{- if .Values.storage.thanos.replicate.enabled }}{{ $keys = append $keys "replica.yml" }}{{ end }}
- {namespace: {{ $n.storage }}, name: {{ $o.existingSecret }}, keys: {{ toJson $keys }}, make: '{{ range $keys }}--from-file={{ . }} {{ end }}(docs/kubernetes.md has these files)'}
{{- end }}
{{- if and .Values.visualization.enabled .Values.visualization.grafana.enabled }}
- {namespace: {{ $n.visualization }}, name: {{ .Values.visualization.grafana.existingSecret }}, keys: [admin-user, admin-password], make: '--from-literal=admin-user=admin --from-literal=admin-password={{ $password }}'}
- {namespace: {{ $n.visualization }}, name: {{ $g.clickhouse.existingSecret }}, keys: [grafana], make: '--from-literal=grafana=PASSWORD (the one of namespace {{ $n.flows }})'}
{{- end }}
{{- if and .Values.visualization.enabled .Values.visualization.grafana.enabled .Values.visualization.grafana.envSecret }}
- {namespace: {{ $n.visualization }}, name: {{ .Values.visualization.grafana.envSecret }}, keys: [], make: '--from-literal=GF_NAME=VALUE'}
{{- end }}
{{- if and .Values.visualization.enabled .Values.visualization.grafana.enabled $clickhouseTls }}
- {namespace: {{ $n.visualization }}, name: {{ $clickhouseTls }}, keys: [ca.crt], make: '--from-file=ca.crt=FILE'}
{{- end }}
{{- if and .Values.visualization.enabled .Values.visualization.alertmanager.enabled .Values.visualization.alertmanager.existingSecret }}
- {namespace: {{ $n.visualization }}, name: {{ .Values.visualization.alertmanager.existingSecret }}, keys: [alertmanager.yaml], make: '--from-file=alertmanager.yaml=FILE (deploy/alertmanager has one), and a file for each key that it names'}
{{- end }}
{{- if .Values.automation.enabled }}
{{- $keys := list }}
{{- $make := "" }}
{{- if include "helios.serversCa" . }}
{{- $keys = list "ca.crt" }}
{{- $make = "--from-file=ca.crt=FILE " }}
{{- end }}
{{- if $g.clickhouse.runbooks }}
{{- $keys = concat (list "clickhouse-user" "clickhouse-password") $keys }}
{{- $make = printf "--from-literal=clickhouse-user=runbooks %s--from-literal=clickhouse-password=PASSWORD (key runbooks of %s in %s)" $make $g.clickhouse.existingSecret $n.flows }}
{{- end }}
{{- if $keys }}
- {namespace: {{ $n.automation }}, name: {{ .Values.automation.serversSecret }}, keys: {{ toJson $keys }}, make: '{{ $make }}'}
{{- end }}
{{- end }}
{{- end }}

{{- define "helios.checkSecrets" -}}
{{- $missing := list }}
{{- range include "helios.secrets" . | fromYamlArray }}
{{- $secret := lookup "v1" "Secret" .namespace .name }}
{{- $data := $secret.data | default dict }}
{{- $absent := list }}
{{- if and (not .keys) (not $secret) }}{{ $absent = list "its keys" }}{{ end }}
{{- $or := .or | default "" }}
{{- range .keys }}
{{- if not (or (hasKey $data .) (and $or (hasKey $data $or))) }}{{ $absent = append $absent . }}{{ end }}
{{- end }}
{{- if $absent }}
{{- $missing = append $missing (printf "  # %s in %s lacks %s\n  kubectl create secret generic %s -n %s %s" .name .namespace (join ", " $absent) .name .namespace .make) }}
{{- end }}
{{- end }}
{{- if $missing }}
{{- fail (printf "\n\nSecrets are missing. Create them, after their namespaces (helm template %s CHART -n %s --show-only templates/namespaces.yaml | kubectl apply --server-side --field-manager helm -f -):\n\n%s\n" .Release.Name .Release.Namespace (join "\n" $missing)) }}
{{- end }}
{{- end }}
