{{- /* Which objects the policies are about: every kind of Weir, in the namespaces of this release. Subresources such as
status are not among `*`. Takes root and operations. */}}
{{- define "weir.policies.match" -}}
{{- with .root.Values.watchNamespaces }}
namespaceSelector:
  matchExpressions:
  - {key: kubernetes.io/metadata.name, operator: In, values: [{{ join ", " . }}]}
{{- end }}
resourceRules:
- apiGroups: [weir.dev]
  apiVersions: ["*"]
  resources: ["*"]
  scope: Namespaced
  operations: [{{ join ", " .operations }}]
{{- end }}

{{- /* Takes name and labels. */}}
{{- define "weir.policies.binding" -}}
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata:
  name: {{ .name }}
  labels:
    {{- .labels | nindent 4 }}
spec:
  policyName: {{ .name }}
  validationActions: [Deny]
{{- end }}
