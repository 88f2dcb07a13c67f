{{- /* cert-manager, issuer, or nothing: who makes the certificates. */}}
{{- define "weir.certificates.mode" -}}
{{- if .Values.tls.enabled }}
{{- $auto := ternary "cert-manager" "issuer" (.Capabilities.APIVersions.Has "cert-manager.io/v1") }}
{{- ternary $auto .Values.tls.mode (eq .Values.tls.mode "auto") }}
{{- end }}
{{- end }}

{{- /* Annotations of what runs before the release is made or changed. */}}
{{- define "weir.certificates.hook" -}}
helm.sh/hook: pre-install,pre-upgrade,pre-rollback
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end }}

{{- /* What the issuer may do. RBAC cannot limit `create` to names. */}}
{{- define "weir.certificates.rules" -}}
- apiGroups: [""]
  resources: [secrets]
  verbs: [create]
- apiGroups: [""]
  resources: [secrets]
  resourceNames:
  - {{ include "weir.caSecret" . }}
  - {{ include "weir.controlPlaneSecret" . }}
  - {{ include "weir.dataPlaneSecret" . }}
  verbs: [get, update, patch]
{{- end }}

{{- /* ServiceAccount, Role and RoleBinding of one name. Takes root, name, and annotations or nothing. */}}
{{- define "weir.certificates.account" -}}
{{- $metadata := dict "name" .name "namespace" .root.Release.Namespace }}
{{- $_ := set $metadata "labels" (include "weir.labels" (dict "root" .root "component" "certificates") | fromYaml) }}
{{- with .annotations }}
{{- $_ := set $metadata "annotations" . }}
{{- end }}
apiVersion: v1
kind: ServiceAccount
metadata:
  {{- toYaml $metadata | nindent 2 }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  {{- toYaml $metadata | nindent 2 }}
rules:
{{ include "weir.certificates.rules" .root }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  {{- toYaml $metadata | nindent 2 }}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: {{ .name }}}
subjects:
- {kind: ServiceAccount, name: {{ .name }}, namespace: {{ .root.Release.Namespace }}}
{{- end }}

{{- /* A Job's spec that makes or renews what is due. Takes root and name, that of its account. */}}
{{- define "weir.certificates.job" -}}
{{- $root := .root }}
{{- $plane := $root.Values.controlPlane }}
backoffLimit: 3
activeDeadlineSeconds: 300
template:
  metadata:
    labels:
      {{- include "weir.labels" (dict "root" $root "component" "certificates") | nindent 6 }}
  spec:
    restartPolicy: OnFailure
    serviceAccountName: {{ .name }}
    enableServiceLinks: false # variables such as WEIR_..._PORT would be taken for flags
    {{- include "weir.pullSecrets" $root | nindent 4 }}
    securityContext:
      {{- include "weir.podSecurity" $root | nindent 6 }}
    containers:
    - name: issuer
      image: {{ include "weir.image" (dict "root" $root "image" $plane.image) }}
      imagePullPolicy: {{ $root.Values.image.pullPolicy }}
      args:
      - issue-certificates
      - --namespace={{ $root.Release.Namespace }}
      - --control-plane-secret={{ include "weir.controlPlaneSecret" $root }}
      - --data-plane-secret={{ include "weir.dataPlaneSecret" $root }}
      - --ca-secret={{ include "weir.caSecret" $root }}
      {{- range include "weir.controlPlane.dnsNames" $root | fromYamlArray }}
      - --dns-name={{ . }}
      {{- end }}
      {{- range default (list "*") $root.Values.dataPlane.namespaces }}
      - --allow-namespace={{ . }}
      {{- end }}
      - --log-format={{ $root.Values.log.format }}
      env:
      - name: WEIR_LOG
        value: {{ $root.Values.log.filter | quote }}
      resources:
        {{- toYaml $root.Values.tls.issuer.resources | nindent 8 }}
      securityContext:
        {{- include "weir.containerSecurity" $root | nindent 8 }}
    {{- with $plane.nodeSelector }}
    nodeSelector:
      {{- toYaml . | nindent 6 }}
    {{- end }}
    {{- with $plane.tolerations }}
    tolerations:
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end }}
