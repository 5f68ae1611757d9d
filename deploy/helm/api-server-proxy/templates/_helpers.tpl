{{/* Full name, as `helm create` makes it; short enough for a "-metrics" behind it. */}}
{{- define "api-server-proxy.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 55 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 55 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 55 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/*
Liqo deletes the Service that has the name of an `IP` in its namespace: `api-server-proxy`, which
the proxy's must have, and `api-server`. With this ending no full name leads to either.
*/}}
{{- define "api-server-proxy.serviceName" -}}
{{- include "api-server-proxy.fullname" . -}}-http
{{- end -}}

{{/*
Pods are selected by these. Liqo finds the proxy by the name label: in its namespace exactly one
Service may have it.
*/}}
{{- define "api-server-proxy.selectorLabels" -}}
app.kubernetes.io/name: proxy
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end -}}

{{/* What every resource has but the name label. */}}
{{- define "api-server-proxy.commonLabels" -}}
app.kubernetes.io/component: networking
app.kubernetes.io/version: {{ .Values.image.version | default .Chart.AppVersion | regexFind "^[^@]*" | trunc 63 | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- end -}}

{{- define "api-server-proxy.labels" -}}
{{ include "api-server-proxy.selectorLabels" . }}
{{ include "api-server-proxy.commonLabels" . }}
{{- end -}}

{{- define "api-server-proxy.serviceAccountName" -}}
{{- $own := ternary (include "api-server-proxy.fullname" .) "default" .Values.serviceAccount.create -}}
{{- .Values.serviceAccount.name | default $own -}}
{{- end -}}

{{/* A duration such as 1m30s in whole seconds, rounded up. */}}
{{- define "api-server-proxy.seconds" -}}
{{- $units := dict "ms" 0.001 "s" 1.0 "m" 60.0 "h" 3600.0 -}}
{{- $total := 0.0 -}}
{{- range regexFindAll "[0-9.]+(ms|s|m|h)" . -1 -}}
{{- $unit := regexFind "[a-z]+" . -}}
{{- $total = addf $total (mulf (float64 (trimSuffix $unit .)) (get $units $unit)) -}}
{{- end -}}
{{- ceil $total | int -}}
{{- end -}}

{{/*
The Service's address, when it is known: as given, or, where Liqo is, what the cluster has chosen
at the last install or upgrade.
*/}}
{{- define "api-server-proxy.clusterIP" -}}
{{- if .Values.service.clusterIP -}}
{{- .Values.service.clusterIP -}}
{{- else if .Capabilities.APIVersions.Has "ipam.liqo.io/v1alpha1" -}}
{{- $live := lookup "v1" "Service" .Release.Namespace (include "api-server-proxy.serviceName" .) -}}
{{- dig "spec" "clusterIP" "" $live -}}
{{- end -}}
{{- end -}}
