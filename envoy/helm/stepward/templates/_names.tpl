{{- define "stepward.name" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 50 | trimSuffix "-" }}{{ else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 50 | trimSuffix "-" }}{{ end -}}
{{- end }}

{{- define "stepward.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "stepward.labels" -}}
{{ include "stepward.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "stepward.config" -}}
{{- $own := dict "listen" ":9191" "admin" ":9192" "drain" .Values.drain "log" (dict "level" .Values.logLevel) -}}
{{- if .Values.policies }}{{ $_ := set $own "policy" (dict "paths" (list "/etc/stepward/policies")) }}{{ end -}}
{{- if .Values.tls.secretName -}}
{{- $tls := dict "cert_file" "/etc/stepward/tls/tls.crt" "key_file" "/etc/stepward/tls/tls.key" -}}
{{- if .Values.tls.clientCASecretName }}{{ $_ := set $tls "client_ca_file" "/etc/stepward/client-ca/ca.crt" }}{{ end -}}
{{- if .Values.tls.clientIDs }}{{ $_ := set $tls "client_ids" .Values.tls.clientIDs }}{{ end -}}
{{- $_ := set $own "tls" $tls -}}
{{- end -}}
{{- mergeOverwrite (deepCopy .Values.config) $own | toYaml -}}
{{- end }}
