{{- define "voxelstream.name" -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- define "voxelstream.selector" -}}
app.kubernetes.io/name: voxelstream
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "voxelstream.labels" -}}
{{ include "voxelstream.selector" . }}
app.kubernetes.io/version: {{ .Values.image.tag | default .Chart.Version | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "voxelstream.podSecurity" -}}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  fsGroup: 65532
  seccompProfile:
    type: RuntimeDefault
{{- end -}}

{{- define "voxelstream.container" -}}
image: "{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.Version }}"
imagePullPolicy: {{ .Values.image.pullPolicy }}
ports:
  - name: http
    containerPort: 8080
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
# The process is healthy once its listener answers, and ready once it has joined its consumer group.
startupProbe:
  httpGet: {path: /healthz, port: http}
  periodSeconds: 2
  failureThreshold: 60
livenessProbe:
  httpGet: {path: /healthz, port: http}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 3
readinessProbe:
  httpGet: {path: /readyz, port: http}
  periodSeconds: 5
  timeoutSeconds: 5
{{- end -}}

{{- define "voxelstream.env" -}}
- name: VOXELSTREAM_CONFIG
  value: /etc/voxelstream/config/config.yaml
- name: VOXELSTREAM_HTTP_LISTEN
  value: 0.0.0.0:8080
{{- with .Values.secret }}
{{- if .kafkaPasswordKey }}
- name: VOXELSTREAM_KAFKA_SASL_PASSWORD_FILE
  value: /etc/voxelstream/secret/{{ .kafkaPasswordKey }}
{{- end }}
{{- if .httpTokenKey }}
- name: VOXELSTREAM_HTTP_TOKEN_FILE
  value: /etc/voxelstream/secret/{{ .httpTokenKey }}
{{- end }}
{{- if .caKey }}
- name: VOXELSTREAM_KAFKA_TLS_CA_FILE
  value: /etc/voxelstream/secret/{{ .caKey }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "voxelstream.mounts" -}}
- {name: config, mountPath: /etc/voxelstream/config, readOnly: true}
- {name: data, mountPath: /data}
- {name: tmp, mountPath: /tmp}
{{- if .Values.secret.name }}
- {name: secret, mountPath: /etc/voxelstream/secret, readOnly: true}
{{- end }}
{{- end -}}

{{- define "voxelstream.volumes" -}}
- name: config
  configMap:
    name: {{ include "voxelstream.name" . }}
- name: tmp
  emptyDir: {}
{{- if .Values.secret.name }}
- name: secret
  secret:
    secretName: {{ .Values.secret.name }}
    defaultMode: 0440
{{- end }}
{{- end -}}
