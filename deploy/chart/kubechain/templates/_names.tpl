{{- /* The name of every object of the release. */ -}}
{{- define "kubechain.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride -}}
{{- else if contains "kubechain" .Release.Name -}}
{{- .Release.Name | trunc 42 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-kubechain" (.Release.Name | trunc 32) -}}
{{- end -}}
{{- end -}}

{{- /* The ServiceAccount that the operator runs as. */ -}}
{{- define "kubechain.account" -}}
{{- if .Values.serviceAccount.create -}}
{{- .Values.serviceAccount.name | default (include "kubechain.fullname" .) -}}
{{- else -}}
{{- required "serviceAccount.create is false: name an existing one in serviceAccount.name" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "kubechain.selector" -}}
app.kubernetes.io/name: kubechain
app.kubernetes.io/instance: {{ include "kubechain.fullname" . }}
{{- end -}}

{{- define "kubechain.labels" -}}
{{ include "kubechain.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
{{- end -}}

{{- define "kubechain.image" -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion) -}}
{{- end -}}
{{- end -}}
