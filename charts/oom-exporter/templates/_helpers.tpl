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
app.kubernetes.io/name: {{ include "oom-exporter.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "oom-exporter.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "oom-exporter.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/component: metrics
app.kubernetes.io/part-of: oom-exporter
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
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

{{- define "oom-exporter.image" -}}
{{- with .Values.image }}
{{- with .registry }}{{ . }}/{{ end }}{{ required (include "oom-exporter.noImage" "image") .repository }}
{{- if .digest }}@{{ .digest }}{{ else }}:{{ default $.Chart.AppVersion .tag }}{{ end }}
{{- end }}
{{- end }}

{{/* A read-only mount, also for what is mounted below it where the cluster knows how. */}}
{{- define "oom-exporter.readOnly" -}}
readOnly: true
{{- if and (semverCompare ">=1.30-0" .Capabilities.KubeVersion.Version) (ne .Values.cgroup.recursiveReadOnly "Disabled") }}
recursiveReadOnly: {{ .Values.cgroup.recursiveReadOnly }}
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
scheme: {{ .monitor.scheme }}
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

{{- define "oom-exporter.guardSelectorLabels" -}}
app.kubernetes.io/name: {{ printf "%s-guard" (include "oom-exporter.name" . | trunc 57 | trimSuffix "-") }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "oom-exporter.guardLabels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "oom-exporter.guardSelectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/component: guard
app.kubernetes.io/part-of: oom-exporter
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "oom-exporter.guardServiceAccountName" -}}
{{- if .Values.guard.serviceAccount.create }}
{{- default (include "oom-exporter.guardFullname" .) .Values.guard.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.guard.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "oom-exporter.guardImage" -}}
{{- with .Values.guard.image }}
{{- with .registry }}{{ . }}/{{ end }}{{ required (include "oom-exporter.noImage" "guard.image") .repository }}
{{- if .digest }}@{{ .digest }}{{ else }}:{{ default $.Chart.AppVersion .tag }}{{ end }}
{{- end }}
{{- end }}

{{- /* Who may scrape, in a NetworkPolicy's spec. */ -}}
{{- define "oom-exporter.scrapeIngress" -}}
ingress:
  - ports:
      - port: metrics
        protocol: TCP
    {{- with .Values.networkPolicy.from }}
    from:
      {{- toYaml . | nindent 6 }}
    {{- end }}
{{- end }}
