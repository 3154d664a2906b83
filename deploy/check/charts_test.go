// Package check checks the files in deploy with the tools that they are written for. It is a separate module, so that
// these tools are not dependencies of the program.
package check

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	"helm.sh/helm/v3/pkg/lint"
	"helm.sh/helm/v3/pkg/lint/support"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

const chartDir = "../helm/voxelstream"

// everything turns on all parts of the chart.
const everything = `
secret: {name: voxelstream, kafkaPasswordKey: password, httpTokenKey: token, caKey: ca.crt}
config:
  kafka:
    brokers: ["kafka-1:9093", "kafka-2:9093"]
    tls: {enabled: true}
    sasl: {mechanism: scram-sha-512, user: voxelstream}
classify:
  args: ["--out", "/data/c.jsonl"]
  persistence: {size: 1Gi, storageClass: fast}
  nodeSelector: {disk: ssd}
  tolerations: [{operator: Exists}]
  affinity: {podAntiAffinity: {}}
  env: [{name: GOMAXPROCS, value: "2"}]
ingest:
  enabled: true
  inputs: ["watch:///scans"]
  volumes: [{name: scans, persistentVolumeClaim: {claimName: scans}}]
  volumeMounts: [{name: scans, mountPath: /scans}]
networkPolicy:
  from: [{namespaceSelector: {matchLabels: {name: monitoring}}}]
  egress: [{ports: [{port: 5432}]}]
serviceMonitor: {enabled: true, labels: {release: prometheus}}
prometheusRule: {enabled: true}
keda: {enabled: true, metadata: {tls: enable, sasl: scram_sha512}, authenticationRef: kafka}
serviceAccount: {annotations: {a: b}}
podAnnotations: {c: d}
imagePullSecrets: [{name: registry}]
`

func TestLint(t *testing.T) {
	for name, values := range map[string]string{"defaults": "", "everything": everything} {
		for _, m := range lint.AllWithKubeVersion(chartDir, parse(t, values), "default", nil).Messages {
			if m.Severity >= support.WarningSev {
				t.Errorf("%s: %v", name, m)
			}
		}
	}
}

func parse(t *testing.T, text string) map[string]any {
	t.Helper()
	values := map[string]any{}
	if err := yaml.Unmarshal([]byte(text), &values); err != nil {
		t.Fatal(err)
	}
	return values
}

// render renders the chart and returns its objects by "kind name".
func render(t *testing.T, values string) (map[string][]byte, error) {
	t.Helper()
	c, err := loader.Load(chartDir)
	if err != nil {
		t.Fatal(err)
	}
	all, err := chartutil.ToRenderValues(c, parse(t, values), chartutil.ReleaseOptions{
		Name: "prod", Namespace: "sensors", IsInstall: true,
	}, nil)
	if err != nil {
		return nil, err
	}
	files, err := engine.Render(c, all)
	if err != nil {
		return nil, err
	}
	out := map[string][]byte{}
	for path, text := range files {
		if strings.HasSuffix(path, "NOTES.txt") {
			continue
		}
		for doc := range strings.SplitSeq(text, "\n---\n") {
			var head struct {
				Kind     string
				Metadata struct{ Name string }
			}
			if err := yaml.Unmarshal([]byte(doc), &head); err != nil {
				return nil, fmt.Errorf("%s: %w\n%s", path, err, doc)
			}
			if head.Kind != "" {
				out[head.Kind+" "+head.Metadata.Name] = []byte(doc)
			}
		}
	}
	return out, nil
}

// scaledObject has the fields of KEDA's ScaledObject that the chart uses.
type scaledObject struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`
	Spec              struct {
		ScaleTargetRef struct {
			APIVersion string `json:"apiVersion"`
			Kind       string `json:"kind"`
			Name       string `json:"name"`
		} `json:"scaleTargetRef"`
		MinReplicaCount *int32 `json:"minReplicaCount"`
		MaxReplicaCount *int32 `json:"maxReplicaCount"`
		CooldownPeriod  *int32 `json:"cooldownPeriod"`
		Triggers        []struct {
			Type              string            `json:"type"`
			Metadata          map[string]string `json:"metadata"`
			AuthenticationRef *struct {
				Name string `json:"name"`
			} `json:"authenticationRef"`
		} `json:"triggers"`
	} `json:"spec"`
}

// TestObjects decodes each object into the type of its API, which refuses unknown fields and wrong types.
func TestObjects(t *testing.T) {
	kinds := map[string]func() any{
		"StatefulSet": func() any { return &appsv1.StatefulSet{} }, "Deployment": func() any { return &appsv1.Deployment{} },
		"ConfigMap": func() any { return &corev1.ConfigMap{} }, "Service": func() any { return &corev1.Service{} },
		"ServiceAccount":      func() any { return &corev1.ServiceAccount{} },
		"NetworkPolicy":       func() any { return &networkingv1.NetworkPolicy{} },
		"PodDisruptionBudget": func() any { return &policyv1.PodDisruptionBudget{} },
		"ServiceMonitor":      func() any { return &monitoring.ServiceMonitor{} },
		"PrometheusRule":      func() any { return &monitoring.PrometheusRule{} },
		"ScaledObject":        func() any { return &scaledObject{} },
	}
	for name, c := range map[string]struct {
		values string
		want   []string
	}{
		"defaults": {"", []string{
			"ConfigMap prod", "NetworkPolicy prod", "PodDisruptionBudget prod-classify", "Service prod",
			"ServiceAccount prod", "StatefulSet prod-classify",
		}},
		"everything": {everything, []string{
			"ConfigMap prod", "Deployment prod-ingest", "NetworkPolicy prod", "PodDisruptionBudget prod-classify",
			"PrometheusRule prod", "ScaledObject prod-classify", "Service prod", "ServiceAccount prod",
			"ServiceMonitor prod", "StatefulSet prod-classify",
		}},
	} {
		objects, err := render(t, c.values)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got := slices.Sorted(maps.Keys(objects)); !slices.Equal(got, c.want) {
			t.Errorf("%s: found %q, want %q", name, got, c.want)
		}
		for object, doc := range objects {
			kind, _, _ := strings.Cut(object, " ")
			if err := yaml.UnmarshalStrict(doc, kinds[kind]()); err != nil {
				t.Errorf("%s: %s: %v\n%s", name, object, err, doc)
			}
		}
		pods(t, objects)
		if name == "everything" {
			wired(t, objects)
		}
	}
}

// pods checks what every pod must have.
func pods(t *testing.T, objects map[string][]byte) {
	t.Helper()
	for object, doc := range objects {
		var o struct {
			Spec struct{ Template corev1.PodTemplateSpec }
		}
		if err := yaml.Unmarshal(doc, &o); err != nil {
			t.Fatal(err)
		}
		for _, c := range o.Spec.Template.Spec.Containers {
			s, pod := c.SecurityContext, o.Spec.Template.Spec.SecurityContext
			if !*s.ReadOnlyRootFilesystem || *s.AllowPrivilegeEscalation || !*pod.RunAsNonRoot ||
				pod.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault || s.Capabilities.Drop[0] != "ALL" {
				t.Errorf("%s: the container has too many rights: %+v, %+v", object, s, pod)
			}
			if c.LivenessProbe.HTTPGet.Path != "/healthz" || c.ReadinessProbe.HTTPGet.Path != "/readyz" ||
				c.Resources.Requests.Memory().IsZero() || c.Resources.Limits.Memory().IsZero() {
				t.Errorf("%s: probes or resources are missing", object)
			}
			volumes := map[string]bool{"data": true} // may be a claim
			for _, v := range o.Spec.Template.Spec.Volumes {
				volumes[v.Name] = true
			}
			for _, m := range c.VolumeMounts {
				if !volumes[m.Name] {
					t.Errorf("%s: no volume for the mount %s", object, m.Name)
				}
			}
		}
	}
}

// wired checks references between parts of the chart.
func wired(t *testing.T, objects map[string][]byte) {
	t.Helper()
	var set appsv1.StatefulSet
	var so scaledObject
	var rule monitoring.PrometheusRule
	for object, into := range map[string]any{
		"StatefulSet prod-classify": &set, "ScaledObject prod-classify": &so, "PrometheusRule prod": &rule,
	} {
		if err := yaml.Unmarshal(objects[object], into); err != nil {
			t.Fatal(err)
		}
	}
	if set.Spec.Replicas != nil {
		t.Error("the StatefulSet sets the number of replicas that KEDA sets")
	}
	if so.Spec.ScaleTargetRef.Name != set.Name || so.Spec.Triggers[0].Metadata["bootstrapServers"] !=
		"kafka-1:9093,kafka-2:9093" || so.Spec.Triggers[0].Metadata["topic"] != "volumes" {
		t.Errorf("found %+v", so.Spec)
	}
	i := slices.IndexFunc(set.Spec.Template.Spec.Containers[0].Env, func(e corev1.EnvVar) bool {
		return e.Name == "VOXELSTREAM_KAFKA_INSTANCE_ID" && e.ValueFrom.FieldRef.FieldPath == "metadata.name"
	})
	if i < 0 {
		t.Error("the instance ID is not the name of the pod")
	}
	if len(rule.Spec.Groups) != 1 || len(rule.Spec.Groups[0].Rules) == 0 {
		t.Errorf("found %+v", rule.Spec)
	}
	rules, err := os.ReadFile("../prometheus/rules.yml")
	if err != nil {
		t.Fatal(err)
	}
	if copied, err := os.ReadFile(filepath.Join(chartDir, "rules.yml")); err != nil || string(copied) != string(rules) {
		t.Errorf("the chart's rules.yml is not a copy of prometheus/rules.yml (%v)", err)
	}
}

// TestValues: what the schema and the templates refuse.
func TestValues(t *testing.T) {
	for want, values := range map[string]string{
		"replica":              "classify: {replica: 3}",
		"brokers":              "config: {kafka: {brokers: []}}",
		"lagThreshold":         "keda: {lagThreshold: 0}",
		"name at least one":    "ingest: {enabled: true}",
		"secret.httpTokenKey":  "serviceMonitor: {enabled: true}",
		"secret.name is empty": "secret: {kafkaPasswordKey: password}",
	} {
		if _, err := render(t, values); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: found %v, want an error with %q", values, err, want)
		}
	}
	c, err := loader.Load(chartDir)
	if err != nil {
		t.Fatal(err)
	}
	documented(t, c)
}

// documented checks that each value of the schema has a default, so that values.yaml shows all of them.
func documented(t *testing.T, c *chart.Chart) {
	t.Helper()
	var schema struct {
		Properties map[string]struct{ Properties map[string]any }
	}
	if err := yaml.Unmarshal(c.Schema, &schema); err != nil {
		t.Fatal(err)
	}
	for name, p := range schema.Properties {
		if name == "global" || name == "config" {
			continue
		}
		section, _ := c.Values[name].(map[string]any)
		if _, ok := c.Values[name]; !ok {
			t.Errorf("values.yaml does not have %s", name)
		}
		for key := range p.Properties {
			if _, ok := section[key]; !ok {
				t.Errorf("values.yaml does not have %s.%s", name, key)
			}
		}
	}
}

// TestConfig: the program accepts the configuration files that the chart and the units use.
func TestConfig(t *testing.T) {
	objects, err := render(t, everything)
	if err != nil {
		t.Fatal(err)
	}
	var m corev1.ConfigMap
	if err := yaml.Unmarshal(objects["ConfigMap prod"], &m); err != nil {
		t.Fatal(err)
	}
	unit, err := os.ReadFile("../systemd/config.yaml")
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(t.TempDir(), "voxelstream")
	build := exec.Command("go", "build", "-o", program, "./cmd/voxelstream")
	build.Dir = "../.."
	build.Env = append(os.Environ(), "CGO_ENABLED=0") // as go install without a C compiler
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	for name, text := range map[string]string{"ConfigMap": m.Data["config.yaml"], "systemd/config.yaml": string(unit)} {
		path := filepath.Join(t.TempDir(), "config.yaml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		lint := exec.Command(program, "config", "lint", "--config", path)
		lint.Env = append(os.Environ(), "VOXELSTREAM_KAFKA_SASL_PASSWORD=secret")
		if out, err := lint.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s\n%s", name, err, out, text)
		}
	}
}
