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

{{/* Everything selects the pods by this label of the chart's own, whoever's Service they serve. */}}
{{- define "api-server-proxy.selectorLabels" -}}
api-server-proxy.liqo.io/release: {{ .Release.Name | quote }}
{{- end -}}

{{/*
Liqo finds the proxy by the name label: in its namespace exactly one Service may have it, or its
controller manager ends.
*/}}
{{- define "api-server-proxy.nameLabels" -}}
app.kubernetes.io/name: proxy
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/component: networking
{{- end -}}

{{/* Of the pods: the one that all select by, and those by which their Service finds them. */}}
{{- define "api-server-proxy.podLabels" -}}
{{ include "api-server-proxy.selectorLabels" . }}
{{- if .Values.service.create }}
{{ include "api-server-proxy.nameLabels" . }}
{{- else }}
{{ toYaml .Values.service.existingSelector }}
{{- end }}
{{ include "api-server-proxy.commonLabels" . }}
{{- end -}}

{{/* Labels of the chart's own that every resource has, beside the name. */}}
{{- define "api-server-proxy.chartLabels" -}}
app.kubernetes.io/version: {{ .Values.image.version | default .Chart.AppVersion | trunc 63 | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- end -}}

{{/* What every resource has but the name label. */}}
{{- define "api-server-proxy.commonLabels" -}}
{{ include "api-server-proxy.chartLabels" . }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "api-server-proxy.labels" -}}
{{ include "api-server-proxy.nameLabels" . }}
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
{{- range regexFindAll "[0-9.]+(ms|s|m|h)" (toString .) -1 -}}
{{- $unit := regexFind "[a-z]+" . -}}
{{- $total = addf $total (mulf (float64 (trimSuffix $unit .)) (get $units $unit)) -}}
{{- end -}}
{{- ceil $total | int -}}
{{- end -}}

{{/* Name, tag and digest. */}}
{{- define "api-server-proxy.image" -}}
{{- $image := .Values.image -}}
{{- printf "%s:%s" $image.name ($image.version | default .Chart.AppVersion) -}}
{{- with $image.digest }}@{{ . }}{{ end -}}
{{- end -}}

{{/* The kubelet takes no sysctl of the network from a pod that has none of its own. */}}
{{- define "api-server-proxy.podSecurityContext" -}}
{{- $context := .Values.podSecurityContext -}}
{{- if and .Values.hostNetwork $context.sysctls -}}
{{- $sysctls := list -}}
{{- range $context.sysctls -}}
{{- if not (hasPrefix "net." .name) -}}{{- $sysctls = append $sysctls . -}}{{- end -}}
{{- end -}}
{{- $context = omit $context "sysctls" -}}
{{- with $sysctls -}}{{- $context = set $context "sysctls" . -}}{{- end -}}
{{- end -}}
{{- with $context -}}{{- toYaml . -}}{{- end -}}
{{- end -}}

{{/* A Service that is reached from outside hides the sources that allowFrom is about, unless Local. */}}
{{- define "api-server-proxy.externalTrafficPolicy" -}}
{{- $service := .Values.service -}}
{{- if $service.externalTrafficPolicy -}}
{{- $service.externalTrafficPolicy -}}
{{- else if and (ne $service.type "ClusterIP") .Values.config.allowFrom -}}
Local
{{- end -}}
{{- end -}}

{{/* HOST:PORT that tunnels go to: upstreams, else allowed hosts; none is the pod's own API server. */}}
{{- define "api-server-proxy.places" -}}
{{- $places := list -}}
{{- range .Values.config.upstreams | default .Values.config.allowedHosts -}}
{{- $place := regexReplaceAll "(?i)^https://([^/]*)/?$" . "${1}" -}}
{{- $hasPort := regexMatch "(^[^:]*|\\]):[0-9]+$" $place -}}
{{- $places = append $places ($hasPort | ternary $place (printf "%s:443" $place)) -}}
{{- end -}}
{{- $places | toJson -}}
{{- end -}}

{{/* The CA of the API servers, as a variable, from the ConfigMap of that name. */}}
{{- define "api-server-proxy.upstreamCA" -}}
{{- $root := index . 0 -}}
- name: API_SERVER_PROXY_UPSTREAM_CA
  valueFrom:
    configMapKeyRef:
      name: {{ index . 1 }}
      key: {{ $root.Values.upstreamCA.key }}
      optional: true
{{ end -}}

{{/* What the proxy takes from a ConfigMap and a Secret, and the variables of the operator. */}}
{{- define "api-server-proxy.env" -}}
{{- $own := .Values.config.upstreams | empty | ternary "kube-root-ca.crt" "" -}}
{{- $configMap := .Values.upstreamCA.configMap | default $own -}}
{{- if and .Values.upstreamCA.enabled $configMap -}}
{{- include "api-server-proxy.upstreamCA" (list . $configMap) -}}
{{- end -}}
{{- with .Values.credentials.existingSecret -}}
- name: API_SERVER_PROXY_CREDENTIALS
  valueFrom:
    secretKeyRef:
      name: {{ . }}
      key: {{ $.Values.credentials.key }}
{{ end -}}
{{- with .Values.extraEnv -}}
{{- toYaml . -}}
{{- end -}}
{{- end -}}

{{/*
The ports that the network policy lets out, comma separated. A policy sees a connection to a Service
as one to a pod or node behind it, at that one's port. Which one the cluster's own API server has
is not known: these are what clusters use. 443 of any address may be that Service.
*/}}
{{- define "api-server-proxy.upstreamPorts" -}}
{{- $ports := .Values.networkPolicy.upstreamPorts -}}
{{- if not $ports -}}
{{- $places := include "api-server-proxy.places" . | fromJsonArray -}}
{{- range $places | default (list "kubernetes.default.svc:443") -}}
{{- $port := regexFind "[0-9]+$" . -}}
{{- $ports = append $ports $port -}}
{{- if eq $port "443" -}}{{- $ports = concat $ports (list "6443" "8443" "16443") -}}{{- end -}}
{{- end -}}
{{- end -}}
{{- $ports | uniq | join "," -}}
{{- end -}}

{{/* Whether the cluster has Liqo's `IP` resources. */}}
{{- define "api-server-proxy.hasLiqo" -}}
{{- if .Capabilities.APIVersions.Has "ipam.liqo.io/v1alpha1" }}yes{{ end -}}
{{- end -}}

{{/* The address in the live `IP` of the proxy, whoever has made it. It cannot be changed. */}}
{{- define "api-server-proxy.liveIP" -}}
{{- if include "api-server-proxy.hasLiqo" . -}}
{{- lookup "ipam.liqo.io/v1alpha1" "IP" .Release.Namespace "api-server-proxy" | dig "spec" "ip" "" -}}
{{- end -}}
{{- end -}}

{{/*
The Service's address, when it is known: as given; where Liqo is, that of the live Service, or the
one that the proxy had which was there before, so that peers keep theirs.
*/}}
{{- define "api-server-proxy.clusterIP" -}}
{{- if .Values.service.clusterIP -}}
{{- .Values.service.clusterIP -}}
{{- else if include "api-server-proxy.hasLiqo" . -}}
{{- $live := lookup "v1" "Service" .Release.Namespace (include "api-server-proxy.serviceName" .) -}}
{{- dig "spec" "clusterIP" "" $live | default (include "api-server-proxy.liveIP" .) -}}
{{- end -}}
{{- end -}}

{{/* Its IPv4 address: Liqo's IP resource takes no IPv6. */}}
{{- define "api-server-proxy.clusterIPv4" -}}
{{- $addresses := list (include "api-server-proxy.clusterIP" .) -}}
{{- if include "api-server-proxy.hasLiqo" . -}}
{{- $live := lookup "v1" "Service" .Release.Namespace (include "api-server-proxy.serviceName" .) -}}
{{- $addresses = dig "spec" "clusterIPs" $addresses $live -}}
{{- end -}}
{{- range $addresses -}}
{{- if not (contains ":" .) -}}{{- . -}}{{- end -}}
{{- end -}}
{{- end -}}

{{/* What would make Liqo's controller manager end, in words. */}}
{{- define "api-server-proxy.checkLiqo" -}}
{{- $service := include "api-server-proxy.serviceName" . -}}
{{- range (lookup "v1" "Service" .Release.Namespace "").items -}}
{{- if and (eq "proxy" (dig "app.kubernetes.io/name" "" (.metadata.labels | default dict))) (ne .metadata.name $service) -}}
{{- fail (printf "Service %s is labelled app.kubernetes.io/name=proxy too: with two of them Liqo's controller manager ends. Give service.create=false to serve behind that Service, or remove it first (proxy.enabled=false in Liqo's chart)" .metadata.name) -}}
{{- end -}}
{{- end -}}
{{- $ip := include "api-server-proxy.clusterIPv4" . -}}
{{- $live := include "api-server-proxy.liveIP" . -}}
{{- if and $ip $live (ne $ip $live) -}}
{{- fail (printf "The Service's address would be %s, but the IP resource api-server-proxy is for %s, and that cannot be changed: give service.clusterIP=%s to keep the address that peers use, or delete that IP" $ip $live $live) -}}
{{- end -}}
{{- end -}}

{{/* Namespace and labels of what Prometheus' operator or Grafana reads. */}}
{{- define "api-server-proxy.monitoringMetadata" -}}
{{- $root := index . 0 -}}
{{- $values := index . 1 -}}
namespace: {{ $values.namespace | default $root.Release.Namespace }}
labels:
  {{- include "api-server-proxy.labels" $root | nindent 2 }}
  {{- with $values.labels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{/* How Prometheus scrapes a pod. */}}
{{- define "api-server-proxy.scrape" -}}
port: admin
path: /metrics
interval: {{ .interval }}
{{- with .scrapeTimeout }}
scrapeTimeout: {{ . }}
{{- end }}
{{- with .relabelings }}
relabelings:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .metricRelabelings }}
metricRelabelings:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* Where name servers listen, as `ports` of a NetworkPolicy. */}}
{{- define "api-server-proxy.dnsPorts" -}}
{{- range .Values.networkPolicy.dnsPorts -}}
- port: {{ . }}
  protocol: UDP
- port: {{ . }}
  protocol: TCP
{{ end -}}
{{- end -}}
