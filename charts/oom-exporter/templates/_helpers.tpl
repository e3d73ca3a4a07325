{{/* SPDX-License-Identifier: Apache-2.0 */}}

{{- define "oom-exporter.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "oom-exporter.fullname" -}}
{{- $name := include "oom-exporter.name" . }}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" }}
{{- else if contains $name .Release.Name }}
{{- .Release.Name | trunc 63 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | trunc 63 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "oom-exporter.selectorLabels" -}}
app.kubernetes.io/name: {{ include "oom-exporter.name" . | toYaml }}
app.kubernetes.io/instance: {{ .Release.Name | toYaml }}
{{- end }}

{{/* Labels or annotations: the chart's own, a text, and those of the values in the place of what has the same key. Of the
     values' maps the later ones win. */}}
{{- define "oom-exporter.keys" -}}
{{- $over := dict }}
{{- range .over }}
{{- $over = mergeOverwrite $over (deepCopy (default dict .)) }}
{{- end }}
{{- $lines := list }}
{{- range splitList "\n" .own }}
{{- if not (hasKey $over (splitList ": " . | first)) }}
{{- $lines = append $lines . }}
{{- end }}
{{- end }}
{{- if $over }}
{{- $lines = append $lines (toYaml $over) }}
{{- end }}
{{- join "\n" $lines }}
{{- end }}

{{- define "oom-exporter.ownLabels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "oom-exporter.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/component: metrics
app.kubernetes.io/part-of: oom-exporter
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "oom-exporter.labels" -}}
{{- include "oom-exporter.keys" (dict "own" (include "oom-exporter.ownLabels" .) "over" (list .Values.commonLabels)) }}
{{- end }}

{{- define "oom-exporter.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "oom-exporter.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "oom-exporter.noImage" }}
  {{ . }}.repository is not set, and no public registry has the image. Make it (`make release` leaves an archive for all
  architectures in dist/, `make image` builds it by docker), bring it to where your nodes find it, and say where that is:
    --set {{ . }}.repository=registry.example.com/team/oom-exporter{{ if eq . "guard.image" }} (of oom-guard, that is){{ end }}
{{- end }}

{{/* The address of an image of the values, whose path in them is the name. */}}
{{- define "oom-exporter.imageOf" -}}
{{- $global := default dict .root.Values.global }}
{{- with default .image.registry $global.imageRegistry }}{{ trimSuffix "/" . }}/{{ end }}
{{- required (include "oom-exporter.noImage" .name) .image.repository }}
{{- if .image.digest }}@{{ .image.digest }}{{ else }}:{{ default .root.Chart.AppVersion .image.tag }}{{ end }}
{{- end }}

{{- define "oom-exporter.image" -}}
{{- include "oom-exporter.imageOf" (dict "root" . "name" "image" "image" .Values.image) }}
{{- end }}

{{/* The name of an argument's flag, which a switch also has behind "no-". */}}
{{- define "oom-exporter.flagName" -}}
{{- trimPrefix "--" . | splitList "=" | first | trimPrefix "no-" }}
{{- end }}

{{/* The arguments of a program: the chart's own, then extraArgs. The programs refuse a flag that is given twice, so one of
     extraArgs takes the place of the chart's, and of an earlier one of extraArgs. An item without dashes is the value of the
     flag before it. What no program can take is refused, and so is an address that the probes, which ask the port, don't reach. */}}
{{- define "oom-exporter.args" -}}
{{- $repeatable := list "web.listen-address" "podman.root" "podman.rootless-root" }}
{{- $last := dict }}
{{- $addresses := list }}
{{- $open := "" }}
{{- range $i, $arg := .extra }}
{{- $name := include "oom-exporter.flagName" $arg }}
{{- if and (hasPrefix "--" $arg) (regexMatch "^[a-z0-9][a-z0-9.-]*$" $name) }}
{{- $_ := set $last $name $i }}
{{- $open = ternary "" $name (contains "=" $arg) }}
{{- if and (eq $name "web.listen-address") (not $open) }}
{{- $addresses = append $addresses $arg }}
{{- end }}
{{- else if or (hasPrefix "--" $arg) (not $open) }}
{{- fail (printf "%s: %q is no flag; flags begin with --, and a value comes after its flag or a =" $.name $arg) }}
{{- else }}
{{- if eq $open "web.listen-address" }}
{{- $addresses = append $addresses $arg }}
{{- end }}
{{- $open = "" }}
{{- end }}
{{- end }}
{{- if and $addresses (not (regexMatch (printf ":%d( |$)" (int .port)) (join " " $addresses))) }}
{{- fail (printf "%s: nothing listens at port %d, which probes and monitors ask: set %s" .name (int .port) .portName) }}
{{- end }}
{{- $args := list }}
{{- range .own }}
{{- if not (hasKey $last (include "oom-exporter.flagName" .)) }}
{{- $args = append $args . }}
{{- end }}
{{- end }}
{{- $keep := true }}
{{- range $i, $arg := .extra }}
{{- if hasPrefix "--" $arg }}
{{- $name := include "oom-exporter.flagName" $arg }}
{{- $keep = or (has $name $repeatable) (eq (get $last $name) $i) }}
{{- end }}
{{- if $keep }}
{{- $args = append $args $arg }}
{{- end }}
{{- end }}
{{- toYaml $args }}
{{- end }}

{{/* The arguments that the values stand for; what is null is left to the program. */}}
{{- define "oom-exporter.ownArgs" -}}
- --web.listen-address=:{{ .Values.web.port }}
{{- if .Values.web.configSecret }}
- --web.config.file=/etc/oom_exporter/web/web-config.yml
{{- end }}
- --events.kmsg={{ ternary "off" "require" (default false .Values.unprivileged) }}
{{- if (default dict .Values.bpf).enabled }}
- --source.bpf={{ default "auto" .Values.bpf.mode }}
{{- end }}
{{- if not .Values.hostPID }}
- --no-collector.process
- --no-collector.predict
{{- end }}
{{- if .Values.state.enabled }}
- --state.file=/run/oom_exporter/state.json
{{- end }}
{{- with .Values.names.criSocket }}
- {{ printf "--cri.socket=%s" . | toYaml }}
{{- end }}
{{- if not (kindIs "invalid" .Values.processTop) }}
- --process.top={{ .Values.processTop | int }}
{{- end }}
{{- with .Values.evictionThreshold }}
- --eviction.threshold={{ if kindIs "string" . }}{{ . }}{{ else }}{{ int64 . }}{{ end }}
{{- end }}
{{- with .Values.metricsEnable }}
- {{ printf "--metrics.enable=%s" . | quote }}
{{- end }}
{{- with .Values.metricsDisable }}
- {{ printf "--metrics.disable=%s" . | quote }}
{{- end }}
{{- include "oom-exporter.logArgs" . }}
{{- end }}

{{- define "oom-exporter.logArgs" -}}
{{- with .Values.log.level }}
- --log.level={{ . }}
{{- end }}
{{- with .Values.log.format }}
- --log.format={{ . }}
{{- end }}
{{- end }}

{{- define "oom-exporter.podSecurity" -}}
{{- if .Values.unprivileged }}
runAsNonRoot: true
runAsUser: 65534
runAsGroup: 65534
fsGroup: 65534
{{- else }}
runAsNonRoot: false
runAsUser: 0
runAsGroup: 0
{{- end }}
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "oom-exporter.containerSecurity" -}}
privileged: false
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
  {{- if not .Values.unprivileged }}
  add: [SYSLOG{{ if (default dict .Values.bpf).enabled }}, BPF, PERFMON{{ end }}]
  {{- end }}
{{- with .Values.seLinuxOptions }}
seLinuxOptions:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- if and .Values.appArmorProfile (include "oom-exporter.appArmorField" .) }}
appArmorProfile:
  {{- toYaml .Values.appArmorProfile | nindent 2 }}
{{- end }}
{{- end }}

{{/* The chart's map (base) with that of the values over it; what is null there is left out. */}}
{{- define "oom-exporter.over" -}}
{{- include "oom-exporter.withoutNulls" (mergeOverwrite (deepCopy .base) (deepCopy (default dict .over))) }}
{{- end }}

{{- define "oom-exporter.withoutNulls" -}}
{{- $kept := dict }}
{{- range $key, $value := . }}
{{- if kindIs "map" $value }}
{{- $_ := set $kept $key (include "oom-exporter.withoutNulls" $value | fromYaml) }}
{{- else if not (kindIs "invalid" $value) }}
{{- $_ := set $kept $key $value }}
{{- end }}
{{- end }}
{{- toYaml $kept }}
{{- end }}

{{/* Affinity: the values', and in any case not on nodes that are no machines, where a DaemonSet's pod stays pending. */}}
{{- define "oom-exporter.affinity" -}}
{{- $real := list
  (dict "key" "eks.amazonaws.com/compute-type" "operator" "NotIn" "values" (list "fargate"))
  (dict "key" "type" "operator" "NotIn" "values" (list "virtual-kubelet")) }}
{{- $affinity := deepCopy (default dict .) }}
{{- $node := default dict $affinity.nodeAffinity }}
{{- $required := default dict $node.requiredDuringSchedulingIgnoredDuringExecution }}
{{- $terms := list }}
{{- range default (list dict) $required.nodeSelectorTerms }}
{{- $terms = append $terms (set . "matchExpressions" (concat (default list .matchExpressions) $real)) }}
{{- end }}
{{- $_ := set $required "nodeSelectorTerms" $terms }}
{{- $_ := set $node "requiredDuringSchedulingIgnoredDuringExecution" $required }}
{{- $_ := set $affinity "nodeAffinity" $node }}
{{- toYaml $affinity }}
{{- end }}

{{/* Whether the exporter has a web configuration, and may want TLS or a password: plain HTTP gets no answer then. */}}
{{- define "oom-exporter.webConfig" -}}
{{- $file := .Values.web.configSecret }}
{{- range .Values.extraArgs }}
{{- $file = or $file (eq (include "oom-exporter.flagName" .) "web.config.file") }}
{{- end }}
{{- if $file }}true{{ end }}
{{- end }}

{{/* A probe: the values', with a way of asking unless they have one. */}}
{{- define "oom-exporter.probe" -}}
{{- $probe := deepCopy .probe }}
{{- range list $probe.httpGet $probe.tcpSocket }}
{{- if and . (not .port) }}
{{- $_ := set . "port" "metrics" }}
{{- end }}
{{- end }}
{{- if not (or $probe.httpGet $probe.tcpSocket $probe.exec $probe.grpc) }}
{{- if .secured }}
{{- $_ := set $probe "tcpSocket" (dict "port" "metrics") }}
{{- else }}
{{- $_ := set $probe "httpGet" (dict "path" .path "port" "metrics") }}
{{- end }}
{{- end }}
{{- toYaml $probe }}
{{- end }}

{{/* Whether the cluster knows the field appArmorProfile; before it was an annotation. */}}
{{- define "oom-exporter.appArmorField" -}}
{{- if semverCompare ">=1.30-0" .Capabilities.KubeVersion.Version }}true{{ end }}
{{- end }}

{{- define "oom-exporter.appArmorAnnotation" -}}
container.apparmor.security.beta.kubernetes.io/{{ .container }}: {{ get (dict "RuntimeDefault" "runtime/default" "Unconfined" "unconfined" "Localhost" (printf "localhost/%s" (default "" .profile.localhostProfile))) .profile.type }}
{{- end }}

{{- define "oom-exporter.podAnnotations" -}}
kubectl.kubernetes.io/default-container: oom-exporter
{{- if and .Values.appArmorProfile (not (include "oom-exporter.appArmorField" .)) }}
{{ include "oom-exporter.appArmorAnnotation" (dict "container" "oom-exporter" "profile" .Values.appArmorProfile) }}
{{- end }}
{{- end }}

{{/* A read-only mount, also for what is mounted below it where the cluster knows how. */}}
{{- define "oom-exporter.readOnly" -}}
readOnly: true
{{- $recursive := default "Disabled" .Values.cgroup.recursiveReadOnly }}
{{- if and (semverCompare ">=1.30-0" .Capabilities.KubeVersion.Version) (ne $recursive "Disabled") }}
recursiveReadOnly: {{ $recursive }}
{{- end }}
{{- end }}

{{/* The labels of a target: the node's name as instance, so that a rollout does not start new series; and none of
     the exporter's own pod, which would stand in for the empty ones of the metrics. */}}
{{- define "oom-exporter.relabelings" -}}
- sourceLabels: [__meta_kubernetes_pod_node_name]
  targetLabel: instance
- sourceLabels: [__meta_kubernetes_pod_node_name]
  targetLabel: node
- action: labeldrop
  regex: (namespace|pod|container|endpoint|service)
{{- end }}

{{/* What an endpoint of a monitor has besides its port. */}}
{{- define "oom-exporter.endpoint" -}}
honorLabels: true
path: /metrics
{{- if and .monitor.basicAuth .monitor.authorization }}
{{- fail "podMonitor, serviceMonitor: basicAuth and authorization exclude each other" }}
{{- end }}
{{- with .monitor.scheme }}
scheme: {{ . }}
{{- end }}
{{- with .monitor.interval }}
interval: {{ . }}
{{- end }}
{{- with .monitor.scrapeTimeout }}
scrapeTimeout: {{ . }}
{{- end }}
{{- with .monitor.tlsConfig }}
tlsConfig:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .monitor.basicAuth }}
basicAuth:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .monitor.authorization }}
authorization:
  {{- toYaml . | nindent 2 }}
{{- end }}
relabelings:
  {{- include "oom-exporter.relabelings" . | nindent 2 }}
  {{- with .monitor.relabelings }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with .monitor.metricRelabelings }}
metricRelabelings:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* oom_guard is a program of its own, and so are its objects: none of the exporter's selectors finds its pods. */}}
{{- define "oom-exporter.guardFullname" -}}
{{- printf "%s-guard" (include "oom-exporter.fullname" . | trunc 57 | trimSuffix "-") }}
{{- end }}

{{- /* Of what has no namespace: releases of one name in two namespaces must not share it. */ -}}
{{- define "oom-exporter.guardClusterName" -}}
{{- printf "%s-%s" (include "oom-exporter.guardFullname" .) .Release.Namespace }}
{{- end }}

{{- define "oom-exporter.guardSelectorLabels" -}}
app.kubernetes.io/name: {{ printf "%s-guard" (include "oom-exporter.name" . | trunc 57 | trimSuffix "-") }}
app.kubernetes.io/instance: {{ .Release.Name | toYaml }}
{{- end }}

{{- define "oom-exporter.ownGuardLabels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "oom-exporter.guardSelectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/component: guard
app.kubernetes.io/part-of: oom-exporter
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "oom-exporter.guardLabels" -}}
{{- include "oom-exporter.keys" (dict "own" (include "oom-exporter.ownGuardLabels" .) "over" (list .Values.commonLabels)) }}
{{- end }}

{{- define "oom-exporter.guardServiceAccountName" -}}
{{- if .Values.guard.serviceAccount.create }}
{{- default (include "oom-exporter.guardFullname" .) .Values.guard.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.guard.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "oom-exporter.guardImage" -}}
{{- include "oom-exporter.imageOf" (dict "root" . "name" "guard.image" "image" .Values.guard.image) }}
{{- end }}

{{- define "oom-exporter.guardArgs" -}}
{{- with .Values.guard }}
- --web.listen-address=:{{ .port }}
{{- with .policy }}
- --policy={{ . }}
{{- end }}
{{- if not (kindIs "invalid" .killsPerMinute) }}
- --kills-per-minute={{ .killsPerMinute | int }}
{{- end }}
- --kill-switch=/run/oom_guard/off
{{- if .kubernetesEvents }}
- --kubernetes-events
{{- end }}
{{- with .criSocket }}
- {{ printf "--cri.socket=%s" . | toYaml }}
{{- end }}
{{- end }}
{{- include "oom-exporter.logArgs" . }}
{{- end }}

{{- define "oom-exporter.testName" -}}
{{- printf "%s-test" (include "oom-exporter.fullname" . | trunc 58 | trimSuffix "-") }}
{{- end }}

{{/* The test's pod is none of the exporter's: its name is another. */}}
{{- define "oom-exporter.testSelectorLabels" -}}
app.kubernetes.io/name: {{ printf "%s-test" (include "oom-exporter.name" . | trunc 58 | trimSuffix "-") }}
app.kubernetes.io/instance: {{ .Release.Name | toYaml }}
{{- end }}

{{- define "oom-exporter.ownTestLabels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "oom-exporter.testSelectorLabels" . }}
app.kubernetes.io/component: test
app.kubernetes.io/part-of: oom-exporter
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "oom-exporter.testLabels" -}}
{{- include "oom-exporter.keys" (dict "own" (include "oom-exporter.ownTestLabels" .) "over" (list .Values.commonLabels)) }}
{{- end }}

{{- /* Who may scrape, in a NetworkPolicy's spec; with test, the pod of `helm test` too. */ -}}
{{- define "oom-exporter.scrapeIngress" -}}
ingress:
  - ports:
      - port: metrics
        protocol: TCP
    {{- with .root.Values.networkPolicy.from }}
    from:
      {{- toYaml . | nindent 6 }}
      {{- if and $.test $.root.Values.helmTest.enabled }}
      - podSelector:
          matchLabels:
            {{- include "oom-exporter.testSelectorLabels" $.root | nindent 12 }}
      {{- end }}
    {{- end }}
{{- end }}
