{{- define "agent.name" -}}
fleetcast-agent
{{- end -}}

{{/* Labels that a selector may use: they never change. */}}
{{- define "agent.selector" -}}
app.kubernetes.io/name: fleetcast-agent
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "agent.labels" -}}
{{ include "agent.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end -}}
