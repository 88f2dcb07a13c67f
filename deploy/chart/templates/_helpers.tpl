{{- /* Names, labels and what the pods of all components have in common. */}}

{{- define "weir.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride }}
{{- $joined := ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) }}
{{- default $joined .Values.fullnameOverride | trunc 40 | trimSuffix "-" }}
{{- end }}

{{- /* Prefix of objects that belong to no namespace. Releases that watch a few namespaces may share a cluster. */}}
{{- define "weir.clusterName" -}}
{{- $name := include "weir.fullname" . }}
{{- ternary (printf "%s-%s" $name .Release.Namespace) $name (not (empty .Values.watchNamespaces)) }}
{{- end }}

{{- define "weir.controlPlane" -}}{{ include "weir.fullname" . }}-control-plane{{- end }}
{{- define "weir.dataPlane" -}}{{ include "weir.fullname" . }}-data-plane{{- end }}
{{- define "weir.certificates" -}}{{ include "weir.fullname" . }}-certificates{{- end }}

{{- /* Secrets of the certificates. */}}
{{- define "weir.controlPlaneSecret" -}}{{ include "weir.controlPlane" . }}-tls{{- end }}
{{- define "weir.dataPlaneSecret" -}}{{ include "weir.dataPlane" . }}-tls{{- end }}
{{- define "weir.caSecret" -}}{{ include "weir.fullname" . }}-ca{{- end }}

{{- /* What never changes in the life of a release. Takes root and component. */}}
{{- define "weir.selector" -}}
app.kubernetes.io/name: {{ .root.Chart.Name }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- /* Takes root and component. */}}
{{- define "weir.labels" -}}
{{ include "weir.selector" . }}
app.kubernetes.io/part-of: weir
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ .root.Chart.Name }}-{{ .root.Chart.Version | replace "+" "_" }}
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- /* Takes root and image. */}}
{{- define "weir.image" -}}
{{- $registry := .root.Values.image.registry | trimSuffix "/" }}
{{- $path := ternary (printf "%s/%s" $registry .image.repository) .image.repository (not (empty $registry)) }}
{{- $tagged := printf "%s:%s" $path (default .root.Chart.AppVersion .image.tag) }}
{{- ternary (printf "%s@%s" $path .image.digest) $tagged (not (empty .image.digest)) }}
{{- end }}

{{- /* Restricted pod security: the pod's half. */}}
{{- define "weir.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- /* Restricted pod security: the container's half. */}}
{{- define "weir.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{- /* Probes of the port `admin`. Takes nothing. */}}
{{- define "weir.probes" -}}
startupProbe:
  httpGet: {path: /healthz, port: admin}
  periodSeconds: 1
  failureThreshold: 60
livenessProbe:
  httpGet: {path: /healthz, port: admin}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 3
readinessProbe:
  httpGet: {path: /readyz, port: admin}
  periodSeconds: 2
  timeoutSeconds: 2
  failureThreshold: 2
{{- end }}

{{- /* Metadata of a pod. Takes root, component and values of the component. */}}
{{- define "weir.podMetadata" -}}
labels:
  {{- include "weir.labels" . | nindent 2 }}
  {{- with .values.podLabels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
annotations:
  kubectl.kubernetes.io/default-container: {{ .component }}
  {{- with .values.podAnnotations }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}

{{- /* Where pods run. Takes root, component and values of the component. */}}
{{- define "weir.scheduling" -}}
{{- with .values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.tolerations }}
tolerations:
{{ toYaml . }}
{{- end }}
{{- with .values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
topologySpreadConstraints:
{{- with .values.topologySpreadConstraints }}
{{ toYaml . }}
{{- else }}
{{- range list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
- topologyKey: {{ . }}
  maxSkew: 1
  whenUnsatisfiable: ScheduleAnyway
  labelSelector:
    matchLabels:
      {{- include "weir.selector" $ | nindent 6 }}
{{- end }}
{{- end }}
{{- with .values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end }}

{{- define "weir.pullSecrets" -}}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
{{ toYaml . }}
{{- end }}
{{- end }}
