{{/*
Refuses what the schema cannot judge, or could only refuse with a regular expression: all mistakes
at once, each with the value's name and what it takes.
*/}}
{{- define "api-server-proxy.validate" -}}
{{- $mistakes := list -}}
{{- $config := .Values.config -}}

{{- $authority := "^(\\[[0-9a-fA-F:.]+\\]|[^\\s,:/\\[\\]]+):[0-9]{1,5}$" -}}
{{- $url := "^(?i:https)://(\\[[0-9a-fA-F:.]+\\]|[^\\s,:/\\[\\]]+)(:[0-9]{1,5})?/?$" -}}
{{- $placesOf := dict "upstreams" $config.upstreams "allowedHosts" $config.allowedHosts -}}
{{- range $name, $places := $placesOf -}}
{{- range $i, $place := $places -}}
{{- if not (or (regexMatch $authority $place) (and (eq $name "upstreams") (regexMatch $url $place))) -}}
{{- $mistakes = append $mistakes (printf "config.%s[%d] %q: takes HOST:PORT, an IPv6 address in brackets" $name $i $place) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- $cidr := "^[0-9a-fA-F:.]+/[0-9]{1,3}$" -}}
{{- $cidrsOf := dict "networkPolicy.upstreamCIDRs" .Values.networkPolicy.upstreamCIDRs "service.loadBalancerSourceRanges" .Values.service.loadBalancerSourceRanges -}}
{{- range $name, $cidrs := $cidrsOf -}}
{{- range $i, $one := $cidrs -}}
{{- if not (regexMatch $cidr $one) -}}
{{- $mistakes = append $mistakes (printf "%s[%d] %q: takes a CIDR, such as 10.81.0.0/16 or fd00::/8" $name $i $one) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- range $i, $one := $config.allowFrom -}}
{{- if not (regexMatch "^([^=,\\s]+=)?[0-9a-fA-F:.]+(/[0-9]{1,3})?$" $one) -}}
{{- $mistakes = append $mistakes (printf "config.allowFrom[%d] %q: takes a CIDR or an address, or NAME= and one of them" $i $one) -}}
{{- end -}}
{{- end -}}

{{- $duration := "^(0|([0-9]+(\\.[0-9]+)?(ms|s|m|h))+)$" -}}
{{- $durationOf := dict "serviceMonitor.interval" .Values.serviceMonitor.interval "podMonitor.interval" .Values.podMonitor.interval -}}
{{- range $name := list "headerTimeout" "connectTimeout" "idleTimeout" "halfCloseTimeout" "maxTunnelAge" "shutdownDelay" "drainTimeout" "logOpenAfter" -}}
{{- $_ := set $durationOf (printf "config.%s" $name) (get $config $name) -}}
{{- end -}}
{{- range $name, $value := $durationOf -}}
{{- if not (regexMatch $duration (toString $value)) -}}
{{- $mistakes = append $mistakes (printf "%s %q: takes a duration, such as 500ms, 10s, 1m30s or 1h" $name (toString $value)) -}}
{{- end -}}
{{- end -}}
{{- if not (regexMatch "[1-9]" (toString $config.drainTimeout)) -}}
{{- $mistakes = append $mistakes (printf "config.drainTimeout %q: 0 is no limit, and a pod's grace period needs one" (toString $config.drainTimeout)) -}}
{{- end -}}
{{- range $name := list "serviceMonitor" "podMonitor" -}}
{{- $monitor := get $.Values $name -}}
{{- $interval := include "api-server-proxy.seconds" $monitor.interval | int -}}
{{- $scrape := include "api-server-proxy.seconds" $monitor.scrapeTimeout | int -}}
{{- if gt $scrape $interval -}}
{{- $mistakes = append $mistakes (printf "%s.scrapeTimeout %q: is more than the interval, %v" $name $monitor.scrapeTimeout $monitor.interval) -}}
{{- end -}}
{{- end -}}
{{- if and .Values.serviceMonitor.enabled .Values.podMonitor.enabled -}}
{{- $mistakes = append $mistakes "podMonitor.enabled: every pod would be scraped twice; disable it or serviceMonitor" -}}
{{- end -}}

{{- /* What other resources follow, a flag must not change behind their back. */ -}}
{{- $valueOf := dict "port" "config.listeningPort" "admin-port" "config.adminPort" "upstream" "config.upstreams" "force-host" "config.upstreams" "allowed-hosts" "config.allowedHosts" "allow-from" "config.allowFrom" "credentials" "credentials.existingSecret" "upstream-ca" "upstreamCA" "shutdown-delay" "config.shutdownDelay" "drain-timeout" "config.drainTimeout" -}}
{{- range $i, $arg := .Values.pod.extraArgs -}}
{{- $flag := regexFind "^--[a-z-]+" $arg | trimPrefix "--" -}}
{{- if not $flag -}}
{{- $mistakes = append $mistakes (printf "pod.extraArgs[%d] %q: takes --flag=value" $i $arg) -}}
{{- else if hasKey $valueOf $flag -}}
{{- $mistakes = append $mistakes (printf "pod.extraArgs[%d] %q: give %s, which other resources follow" $i $arg (get $valueOf $flag)) -}}
{{- end -}}
{{- end -}}

{{- $variables := dict -}}
{{- range $i, $variable := .Values.extraEnv -}}
{{- $name := $variable.name -}}
{{- $mistake := "" -}}
{{- if hasKey $variables $name -}}
{{- $mistake = "is given twice" -}}
{{- else if hasPrefix "API_SERVER_PROXY_" $name -}}
{{- $mistake = "stands for a flag: give it in config, or in pod.extraArgs" -}}
{{- else if hasPrefix "DENO_" $name -}}
{{- $mistake = "changes how Deno itself runs, which the image decides" -}}
{{- else if hasPrefix "KUBERNETES_SERVICE_" $name -}}
{{- $mistake = "changes the upstream: give config.upstreams, which the network policy follows" -}}
{{- end -}}
{{- with $mistake -}}
{{- $mistakes = append $mistakes (printf "extraEnv[%d] %q: %s" $i $name .) -}}
{{- end -}}
{{- $_ := set $variables $name true -}}
{{- end -}}

{{- if and .Values.image.digest (not (regexMatch "^sha256:[0-9a-f]{64}$" .Values.image.digest)) -}}
{{- $mistakes = append $mistakes (printf "image.digest %q: takes sha256: and 64 hexadecimal digits" .Values.image.digest) -}}
{{- end -}}
{{- if contains "@" .Values.image.version -}}
{{- $mistakes = append $mistakes (printf "image.version %q: the digest goes into image.digest" .Values.image.version) -}}
{{- end -}}

{{- $service := .Values.service -}}
{{- with $service.clusterIP -}}
{{- if regexMatch "^([0-9]{1,3}\\.){3}[0-9]{1,3}$" . -}}
{{- else if not (regexMatch "^[0-9a-fA-F:]*:[0-9a-fA-F:.]*$" .) -}}
{{- $mistakes = append $mistakes (printf "service.clusterIP %q: takes an address of the Service range, or nothing" .) -}}
{{- else if $.Values.ip.create -}}
{{- $mistakes = append $mistakes (printf "service.clusterIP %q: Liqo's IP resource takes IPv4 alone; give an IPv4 address (of a dual-stack Service that one comes first), or set ip.create to false" .) -}}
{{- end -}}
{{- end -}}
{{- if and (eq $service.type "LoadBalancer") (not $config.allowFrom) (not .Values.credentials.existingSecret) -}}
{{- $mistakes = append $mistakes "service.type \"LoadBalancer\": lets anybody on the network in; give config.allowFrom or credentials.existingSecret too" -}}
{{- end -}}

{{- if and .Values.networkPolicy.enabled (not .Values.hostNetwork) (not .Values.networkPolicy.upstreamPorts) -}}
{{- range $place := include "api-server-proxy.places" . | fromJsonArray -}}
{{- $host := regexReplaceAll "\\.?:[0-9]+$" $place "" -}}
{{- $isService := or (not (regexMatch "[.:]" $host)) (regexMatch "\\.svc(\\.|$)" $host) -}}
{{- if and (regexMatch $authority $place) $isService (not (regexMatch "^kubernetes(\\.default(\\.svc(\\..*)?)?)?$" $host)) -}}
{{- $mistakes = append $mistakes (printf "networkPolicy.upstreamPorts: cannot be derived from %q, a Service; give the ports of the pods behind it" $place) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- /* Of two labels with one key, which one counts would be left to chance. */ -}}
{{- $own := merge (include "api-server-proxy.selectorLabels" . | fromYaml) (include "api-server-proxy.nameLabels" . | fromYaml) (include "api-server-proxy.chartLabels" . | fromYaml) -}}
{{- range $key, $_ := .Values.commonLabels -}}
{{- if hasKey $own $key -}}
{{- $mistakes = append $mistakes (printf "commonLabels %q: the chart sets this label itself" $key) -}}
{{- end -}}
{{- end -}}
{{- $own = merge $own .Values.commonLabels -}}
{{- $labelsOf := dict "pod.labels" .Values.pod.labels "serviceMonitor.labels" .Values.serviceMonitor.labels "podMonitor.labels" .Values.podMonitor.labels "prometheusRule.labels" .Values.prometheusRule.labels "dashboard.labels" .Values.dashboard.labels -}}
{{- range $name, $labels := $labelsOf -}}
{{- range $key, $_ := $labels -}}
{{- if hasKey $own $key -}}
{{- $mistakes = append $mistakes (printf "%s %q: this label is there already, by the chart or by commonLabels" $name $key) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- with $mistakes -}}
{{- fail (printf "invalid values:\n%s" (join "\n" .)) -}}
{{- end -}}
{{- end -}}
