{{- /* The issuer talks to the API server and nobody else. Takes root, name, and annotations or nothing. */}}
{{- define "weir.certificates.networkPolicy" -}}
{{- $labels := include "weir.labels" (dict "root" .root "component" "certificates") }}
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: {{ .name }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- $labels | nindent 4 }}
  {{- with .annotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  podSelector:
    matchLabels:
      {{- include "weir.selector" (dict "root" .root "component" "certificates") | nindent 6 }}
  policyTypes: [Ingress, Egress]
  egress:
  {{- include "weir.networkPolicy.apiServer" .root | nindent 2 }}
  {{- include "weir.networkPolicy.dns" .root | nindent 2 }}
{{- end }}
