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
{{- if .Values.control }}{{ $_ := set $own "control" "unix:///run/stepward/control.sock" }}{{ end -}}
{{- if .Values.policies }}{{ $_ := set $own "policy" (dict "paths" (list "/etc/stepward/policies")) }}{{ end -}}
{{- if .Values.tls.secretName -}}
{{- $tls := dict "cert_file" "/etc/stepward/tls/tls.crt" "key_file" "/etc/stepward/tls/tls.key" -}}
{{- if .Values.tls.clientCASecretName }}{{ $_ := set $tls "client_ca_file" "/etc/stepward/client-ca/ca.crt" }}{{ end -}}
{{- if .Values.tls.clientIDs }}{{ $_ := set $tls "client_ids" .Values.tls.clientIDs }}{{ end -}}
{{- $_ := set $own "tls" $tls -}}
{{- end -}}
{{- mergeOverwrite (deepCopy .Values.config) $own | toYaml -}}
{{- end }}

{{- define "stepward.missing" -}}
{{- if not .Values.image.repository }}
- image.repository: where your cluster pulls Stepward's image from. Nobody publishes one for you; envoy/helm/README.md says how to build and push it
{{- end }}
{{- if not (or .Values.config.issuers (has "--insecure-no-issuers" .Values.extraArgs)) }}
- config.issuers: whose tokens are valid; see docs/reference/configuration.md
{{- end }}
{{- if not (or .Values.policies .Values.config.policy .Values.config.bundles) }}
- policies: what requests require, such as policies."policy.rego"; or config.policy.default: true for the shipped one, or config.bundles
{{- end }}
{{- if not (or .Values.tls.secretName .Values.insecurePlaintextListener) }}
- tls.secretName; or insecurePlaintextListener: true, where a sidecar or ztunnel of a mesh ends the TLS
{{- end }}
{{- end }}
