{{- /* Time for the process to exit once its drain is over. */}}
{{- define "weir.dataPlane.exitSeconds" -}}5{{- end }}

{{- /* Grace period that holds all of the drain. */}}
{{- define "weir.dataPlane.gracePeriod" -}}
{{- $drain := .Values.dataPlane.drain }}
{{- $exit := include "weir.dataPlane.exitSeconds" . }}
{{- $needed := add $drain.preStopSeconds $drain.delaySeconds $drain.timeoutSeconds $exit | int }}
{{- $given := $drain.terminationGracePeriodSeconds }}
{{- if and $given (lt (int $given) $needed) }}
{{- fail (printf "dataPlane.drain.terminationGracePeriodSeconds: %d is too short: preStopSeconds, delaySeconds, timeoutSeconds and %s s to exit need %d; leave it null for just that" (int $given) $exit $needed) }}
{{- end }}
{{- default $needed $given | int }}
{{- end }}

{{- /* Values that do not go together. */}}
{{- define "weir.dataPlane.check" -}}
{{- $plane := .Values.dataPlane }}
{{- if and $plane.autoscaling.enabled (ne $plane.kind "Deployment") }}
{{- fail "dataPlane.autoscaling.enabled: goes with dataPlane.kind Deployment only; a DaemonSet has one pod per node" }}
{{- end }}
{{- if and $plane.autoscaling.enabled (gt (int $plane.autoscaling.minReplicas) (int $plane.autoscaling.maxReplicas)) }}
{{- fail "dataPlane.autoscaling.minReplicas: is more than maxReplicas" }}
{{- end }}
{{- if and $plane.namespaces (not .Values.tls.enabled) }}
{{- fail "dataPlane.namespaces: needs tls.enabled, since it is their certificate that limits proxies to namespaces" }}
{{- end }}
{{- if not $plane.listeners }}
{{- fail "dataPlane.listeners: a proxy needs at least one" }}
{{- end }}
{{- $names := dict }}
{{- $ports := dict "9900" "its admin port" }}
{{- range $plane.listeners }}
{{- $port := toString (int .port) }}
{{- if hasKey $names .name }}
{{- fail (printf "dataPlane.listeners: %s is there twice" .name) }}
{{- end }}
{{- if hasKey $ports $port }}
{{- fail (printf "dataPlane.listeners: port %s of %s is taken by %s" $port .name (get $ports $port)) }}
{{- end }}
{{- $_ := set $names .name true }}
{{- $_ := set $ports $port .name }}
{{- end }}
{{- end }}

{{- /* URIs of its certificate: the namespaces that it may read. */}}
{{- define "weir.dataPlane.uris" -}}
{{- range default (list "*") .Values.dataPlane.namespaces }}
- weir://namespaces/{{ . }}
{{- end }}
{{- end }}
