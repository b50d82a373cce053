{{- define "kohort.name" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 40 | trimSuffix "-" }}{{ else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 40 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "kohort.labels" -}}
app.kubernetes.io/name: kohort
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{/* Takes a list: the root, a component. Never changes: a Deployment's selector cannot. */}}
{{- define "kohort.selector" -}}
app.kubernetes.io/name: kohort
app.kubernetes.io/instance: {{ (index . 0).Release.Name }}
{{- with index . 1 }}
app.kubernetes.io/component: {{ . }}
{{- end }}
{{- end }}

{{/* Takes a list: the root, a flavour. */}}
{{- define "kohort.image" -}}
{{- $root := index . 0 -}}
{{ $root.Values.image.repository }}:{{ $root.Values.image.tag | default $root.Chart.AppVersion }}-{{ index . 1 }}
{{- end }}

{{- define "kohort.serviceAccount" -}}
{{ .Values.serviceAccount.name | default (include "kohort.name" .) }}
{{- end }}

{{/* The name of a secret: the one that exists, else the chart's own. Takes a list: the root, the values, a suffix. */}}
{{- define "kohort.secret" -}}
{{- (index . 1).existingSecret | default (printf "%s-%s" (include "kohort.name" (index . 0)) (index . 2)) -}}
{{- end }}

{{/* Whole numbers as such: Helm reads all numbers as floating point. */}}
{{- define "kohort.number" -}}
{{- if and (kindIs "float64" .) (eq (floor .) .) }}{{ int64 . }}{{ else }}{{ . }}{{ end -}}
{{- end }}

{{/* What a drain may take, as docs/operations.md adds it up, and some seconds. */}}
{{- define "kohort.serverGrace" -}}
{{- $s := .Values.settings -}}
{{- add (ceil ($s.drain_delay_seconds | default 0)) (ceil ($s.drain_grace_seconds | default 30)) (ceil ($s.cancel_grace_seconds | default 10)) (ceil ($s.terminate_grace_seconds | default 5)) 15 -}}
{{- end }}

{{- define "kohort.workerGrace" -}}
{{- $s := .Values.settings -}}
{{- add (ceil ($s.cancel_grace_seconds | default 10)) (ceil ($s.terminate_grace_seconds | default 5)) 30 -}}
{{- end }}

{{/* Of the restricted profile of the Pod Security Standards. */}}
{{- define "kohort.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "kohort.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{- define "kohort.health" -}}
exec:
  command: {{ concat (list "python" "-m" "server" "health" "--timeout" "5") .Values.probes.arguments | toJson }}
timeoutSeconds: 10
{{- end }}

{{/* Settings, database, bucket and keys: of servers and workers alike. */}}
{{- define "kohort.commonEnv" -}}
{{- range $name, $value := .Values.settings }}
- {name: KOHORT_{{ upper $name }}, value: {{ include "kohort.number" $value | quote }}}
{{- end }}
{{- if not .Values.singleNode.enabled }}
- name: KOHORT_DATABASE_URL
  valueFrom: {secretKeyRef: {name: {{ include "kohort.secret" (list . .Values.database "database") }}, key: url}}
- {name: KOHORT_BLOB_URL, value: {{ .Values.blobs.url | quote }}}
{{- with .Values.blobs.endpoint }}
- {name: KOHORT_BLOB_ENDPOINT, value: {{ . | quote }}}
{{- end }}
{{- with .Values.blobs.region }}
- {name: KOHORT_BLOB_REGION, value: {{ . | quote }}}
{{- end }}
{{- if or .Values.blobs.existingSecret .Values.blobs.credentials }}
- {name: KOHORT_BLOB_CREDENTIALS_FILE, value: /run/kohort/blobs/credentials}
{{- end }}
{{- if .Values.blobs.caSecret }}
- {name: KOHORT_BLOB_CA_FILE, value: /run/kohort/blobs-ca/ca.crt}
{{- end }}
{{- end }}
{{- if .Values.keys.existingSecret }}
- {name: KOHORT_SIGNING_KEY_FILE, value: /run/kohort/keys/signing.pem}
- {name: KOHORT_PATIENT_KEY_FILE, value: /run/kohort/keys/patients}
{{- end }}
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "kohort.commonMounts" -}}
- {name: data, mountPath: /var/lib/kohort}
- {name: tmp, mountPath: /tmp}
{{- with .Values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- if .Values.keys.existingSecret }}
- {name: keys, mountPath: /run/kohort/keys, readOnly: true}
{{- end }}
{{- if not .Values.singleNode.enabled }}
{{- if or .Values.blobs.existingSecret .Values.blobs.credentials }}
- {name: blobs, mountPath: /run/kohort/blobs, readOnly: true}
{{- end }}
{{- if .Values.blobs.caSecret }}
- {name: blobs-ca, mountPath: /run/kohort/blobs-ca, readOnly: true}
{{- end }}
{{- end }}
{{- end }}

{{/* Secrets alone; data and tmp differ. 0440: the pod's own group reads them, nobody else. */}}
{{- define "kohort.commonVolumes" -}}
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- if .Values.keys.existingSecret }}
- {name: keys, secret: {secretName: {{ .Values.keys.existingSecret }}, defaultMode: 0440}}
{{- end }}
{{- if not .Values.singleNode.enabled }}
{{- if or .Values.blobs.existingSecret .Values.blobs.credentials }}
- {name: blobs, secret: {secretName: {{ include "kohort.secret" (list . .Values.blobs "blobs") }}, defaultMode: 0440}}
{{- end }}
{{- if .Values.blobs.caSecret }}
- {name: blobs-ca, secret: {secretName: {{ .Values.blobs.caSecret }}, defaultMode: 0440}}
{{- end }}
{{- end }}
{{- end }}

{{/* One node's copies apart, where there are several nodes. Takes a list: the root, a component. */}}
{{- define "kohort.spread" -}}
- maxSkew: 1
  topologyKey: kubernetes.io/hostname
  whenUnsatisfiable: ScheduleAnyway
  labelSelector:
    matchLabels:
      {{- include "kohort.selector" . | nindent 6 }}
{{- end }}

{{/* Where values contradict each other, nothing is rendered. */}}
{{- define "kohort.check" -}}
{{- $v := .Values -}}
{{- if not $v.tls.existingSecret }}{{ fail "tls.existingSecret: a pod's port is not loopback, so Kohort asks for TLS" }}{{ end }}
{{- if not (or $v.identities.existingSecret $v.identities.tokens) }}{{ fail "identities: name a secret with tokens.json or identities.json, or give tokens" }}{{ end }}
{{- if and (has "identities.json" $v.identities.files) (not $v.tls.demandClientCertificates) }}{{ fail "identities.files: identities.json needs tls.demandClientCertificates" }}{{ end }}
{{- if and $v.identities.tokens (not $v.identities.existingSecret) (ne (toJson $v.identities.files) "[\"tokens.json\"]") }}{{ fail "identities.files: from identities.tokens comes tokens.json alone" }}{{ end }}
{{- if $v.singleNode.enabled }}
{{- range $name, $worker := $v.workers }}{{ if $worker.enabled }}{{ fail (printf "workers.%s.enabled: with singleNode the workers are singleNode.devices" $name) }}{{ end }}{{ end }}
{{- if or $v.database.url $v.database.existingSecret $v.blobs.url }}{{ fail "singleNode keeps all on its volume: leave database and blobs out" }}{{ end }}
{{- if $v.server.autoscaling.enabled }}{{ fail "singleNode is one pod: leave server.autoscaling off" }}{{ end }}
{{- else }}
{{- if not (or $v.database.url $v.database.existingSecret) }}{{ fail "database: several machines need PostgreSQL (or set singleNode.enabled)" }}{{ end }}
{{- if not $v.blobs.url }}{{ fail "blobs.url: several machines need a bucket (or set singleNode.enabled)" }}{{ end }}
{{- if not $v.keys.existingSecret }}{{ fail "keys.existingSecret: several machines need the same keys" }}{{ end }}
{{- end }}
{{- end }}
