{{- define "fleetcast.name" -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- define "fleetcast.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}

{{/* Labels that a selector may use: they never change. */}}
{{- define "fleetcast.selector" -}}
app.kubernetes.io/name: fleetcast
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- define "fleetcast.labels" -}}
{{ include "fleetcast.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ .root.Chart.Name }}-{{ .root.Chart.Version }}
{{- end -}}

{{- define "fleetcast.hasHub" -}}
{{- if or .Values.hub.inCluster .Values.hub.kubeconfigSecret -}}yes{{- end -}}
{{- end -}}

{{/* One service: a StatefulSet, so that a pod that comes back leads again and finds its checkpoint. */}}
{{- define "fleetcast.service" -}}
{{- $root := .root -}}
{{- $values := .values -}}
{{- $name := printf "%s-%s" (include "fleetcast.name" $root) .component -}}
apiVersion: apps/v1
kind: StatefulSet
metadata:
  name: {{ $name }}
  namespace: {{ $root.Release.Namespace }}
  labels: {{- include "fleetcast.labels" . | nindent 4 }}
spec:
  replicas: {{ $values.replicas }}
  serviceName: {{ $name }}
  podManagementPolicy: Parallel
  selector:
    matchLabels: {{- include "fleetcast.selector" . | nindent 6 }}
  template:
    metadata:
      labels:
        {{- include "fleetcast.labels" . | nindent 8 }}
        {{- with $root.Values.podLabels }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      {{- if or $root.Values.podAnnotations $root.Values.health.scrape }}
      annotations:
        {{- if $root.Values.health.scrape }}
        prometheus.io/scrape: "true"
        prometheus.io/port: {{ $root.Values.health.port | quote }}
        prometheus.io/path: /metrics
        {{- end }}
        {{- with $root.Values.podAnnotations }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      {{- end }}
    spec:
      serviceAccountName: {{ include "fleetcast.name" $root }}
      automountServiceAccountToken: {{ $root.Values.hub.inCluster }}
      terminationGracePeriodSeconds: 30
      {{- with $root.Values.imagePullSecrets }}
      imagePullSecrets: {{- toYaml . | nindent 6 }}
      {{- end }}
      {{- with $root.Values.priorityClassName }}
      priorityClassName: {{ . }}
      {{- end }}
      securityContext:
        runAsNonRoot: true
        runAsUser: 65532
        runAsGroup: 65532
        fsGroup: 65532
        seccompProfile: {type: RuntimeDefault}
      {{- if $root.Values.spread }}
      topologySpreadConstraints:
      {{- range list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
      - maxSkew: 1
        topologyKey: {{ . }}
        whenUnsatisfiable: ScheduleAnyway
        labelSelector:
          matchLabels: {{- include "fleetcast.selector" $ | nindent 12 }}
      {{- end }}
      {{- end }}
      {{- with $root.Values.nodeSelector }}
      nodeSelector: {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with $root.Values.tolerations }}
      tolerations: {{- toYaml . | nindent 6 }}
      {{- end }}
      {{- with $root.Values.affinity }}
      affinity: {{- toYaml . | nindent 8 }}
      {{- end }}
      containers:
      - name: {{ .component }}
        image: {{ include "fleetcast.image" $root }}
        imagePullPolicy: {{ $root.Values.image.pullPolicy }}
        args:
        - {{ .component }}
        {{- range .args }}
        - {{ . | quote }}
        {{- end }}
        {{- range $values.extraArgs }}
        - {{ . | quote }}
        {{- end }}
        env:
        - {name: FLEETCAST_NATS, value: {{ $root.Values.nats.url | quote }}}
        - {name: FLEETCAST_STATE, value: /data}
        - {name: FLEETCAST_LOG, value: {{ $root.Values.log | quote }}}
        - {name: FLEETCAST_LOG_JSON, value: "true"}
        - {name: FLEETCAST_HEALTH, value: "{{ $root.Values.health.host }}:{{ $root.Values.health.port }}"}
        - {name: FLEETCAST_READY_LAG, value: {{ $root.Values.health.readyLag | int | quote }}}
        {{- with $root.Values.nats }}
        {{- if .allowPlainText }}
        - {name: FLEETCAST_ALLOW_PLAIN_TEXT, value: "true"}
        {{- end }}
        {{- if .tls.secret }}
        - {name: FLEETCAST_TLS_CA, value: /etc/fleetcast/tls/ca.crt}
        {{- end }}
        {{- if .tls.mutual }}
        - {name: FLEETCAST_TLS_CERT, value: /etc/fleetcast/tls/tls.crt}
        - {name: FLEETCAST_TLS_KEY, value: /etc/fleetcast/tls/tls.key}
        {{- end }}
        {{- end }}
        {{- if .credentials }}
        - {name: FLEETCAST_CREDS, value: /etc/fleetcast/bus/creds}
        {{- end }}
        {{- if $root.Values.hub.inCluster }}
        - {name: FLEETCAST_HUB, value: in-cluster}
        {{- else if $root.Values.hub.kubeconfigSecret }}
        - {name: FLEETCAST_HUB, value: /etc/fleetcast/hub/kubeconfig}
        {{- end }}
        {{- if eq .component "ingest" }}
        # A pod that comes back under its name leads again at once.
        - name: FLEETCAST_IDENTITY
          valueFrom: {fieldRef: {fieldPath: metadata.name}}
        {{- end }}
        {{- with $values.sealingKeys }}
        - {name: FLEETCAST_SEALING_KEYS, value: /etc/fleetcast/sealing/sealing.keys}
        {{- end }}
        {{- with $values.http }}
        {{- if .enabled }}
        - {name: FLEETCAST_HTTP, value: "{{ $root.Values.health.host }}:{{ .port }}"}
        - {name: FLEETCAST_HTTP_TOKENS, value: /etc/fleetcast/http/tokens}
        - {name: FLEETCAST_HTTP_RATE, value: {{ .rate | int | quote }}}
        {{- if .tls.secret }}
        - {name: FLEETCAST_HTTP_TLS_CERT, value: /etc/fleetcast/http-tls/tls.crt}
        - {name: FLEETCAST_HTTP_TLS_KEY, value: /etc/fleetcast/http-tls/tls.key}
        {{- end }}
        {{- if .tls.mutual }}
        - {name: FLEETCAST_HTTP_TLS_CLIENT_CA, value: /etc/fleetcast/http-tls/ca.crt}
        {{- end }}
        {{- if .plainText }}
        - {name: FLEETCAST_HTTP_PLAIN_TEXT, value: "true"}
        {{- end }}
        {{- end }}
        {{- end }}
        {{- with $values.extraEnv }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
        ports:
        - {name: health, containerPort: {{ $root.Values.health.port }}}
        {{- if $values.http.enabled }}
        - {name: http, containerPort: {{ $values.http.port }}}
        {{- end }}
        # It answers: a bus or an API server that is away is waited for.
        livenessProbe:
          httpGet: {path: /healthz, port: health}
          periodSeconds: 10
          timeoutSeconds: 5
          failureThreshold: 6
        # It is connected, leads or stands by, and is not far behind.
        readinessProbe:
          httpGet: {path: /readyz, port: health}
          periodSeconds: 3
          timeoutSeconds: 3
          failureThreshold: 2
        securityContext:
          allowPrivilegeEscalation: false
          readOnlyRootFilesystem: true
          capabilities: {drop: [ALL]}
        resources: {{- toYaml $values.resources | nindent 10 }}
        volumeMounts:
        - {name: state, mountPath: /data}
        {{- if .credentials }}
        - {name: bus, mountPath: /etc/fleetcast/bus, readOnly: true}
        {{- end }}
        {{- if $root.Values.nats.tls.secret }}
        - {name: tls, mountPath: /etc/fleetcast/tls, readOnly: true}
        {{- end }}
        {{- if $root.Values.hub.kubeconfigSecret }}
        - {name: hub, mountPath: /etc/fleetcast/hub, readOnly: true}
        {{- end }}
        {{- if $values.sealingKeys }}
        - {name: sealing, mountPath: /etc/fleetcast/sealing, readOnly: true}
        {{- end }}
        {{- if $values.http.enabled }}
        - {name: http, mountPath: /etc/fleetcast/http, readOnly: true}
        {{- if $values.http.tls.secret }}
        - {name: http-tls, mountPath: /etc/fleetcast/http-tls, readOnly: true}
        {{- end }}
        {{- end }}
      volumes:
      {{- if not $values.persistence.enabled }}
      - name: state
        emptyDir: {}
      {{- end }}
      {{- if .credentials }}
      - name: bus
        secret: {secretName: {{ .credentials }}, defaultMode: 0440}
      {{- end }}
      {{- with $root.Values.nats.tls }}
      {{- if .secret }}
      - name: tls
        secret:
          secretName: {{ .secret }}
          defaultMode: 0440
          {{- if not .mutual }}
          items: [{key: ca.crt, path: ca.crt}]
          {{- end }}
      {{- end }}
      {{- end }}
      {{- if $root.Values.hub.kubeconfigSecret }}
      - name: hub
        secret: {secretName: {{ $root.Values.hub.kubeconfigSecret }}, defaultMode: 0440}
      {{- end }}
      {{- with $values.sealingKeys }}
      - name: sealing
        secret: {secretName: {{ . }}, defaultMode: 0440}
      {{- end }}
      {{- with $values.http }}
      {{- if .enabled }}
      - name: http
        secret: {secretName: {{ .tokens }}, defaultMode: 0440}
      {{- if .tls.secret }}
      - name: http-tls
        secret: {secretName: {{ .tls.secret }}, defaultMode: 0440}
      {{- end }}
      {{- end }}
      {{- end }}
  {{- if $values.persistence.enabled }}
  # Goes with the pod's set: what is in it can be made again.
  persistentVolumeClaimRetentionPolicy: {whenDeleted: Delete, whenScaled: Delete}
  volumeClaimTemplates:
  - metadata:
      name: state
    spec:
      accessModes: [ReadWriteOnce]
      {{- with $values.persistence.storageClass }}
      storageClassName: {{ . }}
      {{- end }}
      resources:
        requests:
          storage: {{ $values.persistence.size }}
  {{- end }}
---
# Headless: the set's pods have names, nothing is asked over it.
apiVersion: v1
kind: Service
metadata:
  name: {{ $name }}
  namespace: {{ $root.Release.Namespace }}
  labels: {{- include "fleetcast.labels" . | nindent 4 }}
spec:
  clusterIP: None
  selector: {{- include "fleetcast.selector" . | nindent 4 }}
{{- if $values.http.enabled }}
---
# Any pod that is ready answers.
apiVersion: v1
kind: Service
metadata:
  name: {{ $name }}-http
  namespace: {{ $root.Release.Namespace }}
  labels: {{- include "fleetcast.labels" . | nindent 4 }}
spec:
  selector: {{- include "fleetcast.selector" . | nindent 4 }}
  ports:
  - {name: {{ if $values.http.tls.secret }}https{{ else }}http{{ end }}, port: {{ $values.http.port }}, targetPort: http}
{{- end }}
{{- if $root.Values.podDisruptionBudget.enabled }}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ $name }}
  namespace: {{ $root.Release.Namespace }}
  labels: {{- include "fleetcast.labels" . | nindent 4 }}
spec:
  maxUnavailable: {{ $root.Values.podDisruptionBudget.maxUnavailable }}
  selector:
    matchLabels: {{- include "fleetcast.selector" . | nindent 6 }}
{{- end }}
{{- end -}}
