{{- /* Rules for Weir's own kinds and what they refer to, for a ClusterRole or Roles. No Secrets and no ConfigMaps: no
field names one. */}}
{{- define "weir.controlPlane.rules" -}}
- apiGroups: [weir.dev]
  resources: [pools, backends, plugins]
  verbs: [get, list, watch]
- apiGroups: [weir.dev]
  resources: [pools/status, backends/status, plugins/status]
  verbs: [patch]
- apiGroups: [""]
  resources: [services, configmaps, secrets]
  verbs: [get, list, watch]
- apiGroups: [discovery.k8s.io]
  resources: [endpointslices]
  verbs: [get, list, watch]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- end }}

{{- /* Names under which proxies may reach it. */}}
{{- define "weir.controlPlane.dnsNames" -}}
{{- $name := include "weir.controlPlane" . }}
{{- $namespace := .Release.Namespace }}
- {{ $name }}
- {{ $name }}.{{ $namespace }}
- {{ $name }}.{{ $namespace }}.svc
- {{ $name }}.{{ $namespace }}.svc.{{ .Values.clusterDomain }}
{{- end }}

{{- define "weir.controlPlane.url" -}}
{{ ternary "https" "http" .Values.tls.enabled }}://{{ include "weir.controlPlane" . }}.{{ .Release.Namespace }}.svc:9800
{{- end }}
