{{- define "agent.name" -}}
fleetcast-agent
{{- end -}}

{{/* Labels that a selector may use: they never change, and are those of `fleetcast cluster join`. */}}
{{- define "agent.selector" -}}
app.kubernetes.io/name: fleetcast-agent
{{- end -}}

{{- define "agent.labels" -}}
{{ include "agent.selector" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end -}}
