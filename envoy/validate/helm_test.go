package validate_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	"sigs.k8s.io/yaml"

	"github.com/stepward/stepward/pkg/config"
	"github.com/stepward/stepward/pkg/server"
)

// render is the chart with values, as Helm renders it.
func render(t *testing.T, values string) (string, error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "values.yaml")
	if err := os.WriteFile(file, []byte(values), 0o600); err != nil {
		t.Fatal(err)
	}
	chart, err := filepath.Abs("../helm/stepward")
	if err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	cmd := exec.Command("go", "-C", "helm", "tool", "helm", "template", "gate", chart, "--values", file, "--namespace", "stepward")
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return stderr.String(), err
	}
	return string(out), nil
}

// resources decodes what was rendered strictly into the cluster's own types.
func resources(t *testing.T, text string) map[string]any {
	t.Helper()
	all := map[string]any{}
	for _, doc := range documents(t, []byte(text)) {
		var meta struct {
			Kind     string
			Metadata struct{ Name string }
		}
		if err := yaml.Unmarshal(doc, &meta); err != nil || meta.Kind == "" {
			continue
		}
		into := map[string]any{
			"Deployment": &appsv1.Deployment{}, "ConfigMap": &corev1.ConfigMap{}, "Service": &corev1.Service{}, "ServiceAccount": &corev1.ServiceAccount{},
			"PodDisruptionBudget": &policyv1.PodDisruptionBudget{}, "HorizontalPodAutoscaler": &autoscalingv2.HorizontalPodAutoscaler{},
			"NetworkPolicy": &networkingv1.NetworkPolicy{}, "ServiceMonitor": &object{},
		}[meta.Kind]
		if into == nil {
			t.Fatalf("unexpected %s", meta.Kind)
		}
		if err := yaml.UnmarshalStrict(doc, into); err != nil {
			t.Errorf("%s: %v\n%s", meta.Kind, err, doc)
		}
		all[meta.Kind+" "+meta.Metadata.Name] = into
	}
	return all
}

// loads reports whether the configuration in the chart's ConfigMaps is one that the
// service takes.
func loads(t *testing.T, all map[string]any, plaintext bool) {
	t.Helper()
	text := all["ConfigMap gate-stepward"].(*corev1.ConfigMap).Data["stepward.yaml"]
	dir := t.TempDir()
	if policies, ok := all["ConfigMap gate-stepward-policies"].(*corev1.ConfigMap); ok {
		for name, policy := range policies.Data {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(policy), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, name := range []string{"tls.crt", "tls.key", "ca.crt"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	text = strings.NewReplacer("/etc/stepward/policies", dir, "/etc/stepward/tls", dir, "/etc/stepward/client-ca", dir).Replace(text)
	c, err := config.Parse(filepath.Join(dir, "stepward.yaml"), []byte(text), config.Options{InsecurePlaintextListener: plaintext})
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	c.TLS = config.TLS{} // there are no certificates here
	if _, err := server.NewSnapshot(t.Context(), c, server.SnapshotOptions{}); err != nil {
		t.Errorf("%v\n%s", err, text)
	}
}

func TestChart(t *testing.T) {
	for name, v := range map[string]struct {
		values    string
		plaintext bool
		want      []string
	}{
		"plain text in a mesh": {"insecurePlaintextListener: true\n", true, nil},
		"mutual TLS":           {"tls: { secretName: cert, clientCASecretName: ca, clientIDs: [\"spiffe://example.com/envoy\"] }\n", false, nil},
		"everything": {`
tls: { secretName: cert }
autoscaling: { enabled: true }
serviceMonitor: { enabled: true, labels: { team: edge } }
networkPolicy: { from: [ { namespaceSelector: { matchLabels: { kubernetes.io/metadata.name: gateways } } } ] }
env: [ { name: OTEL_EXPORTER_OTLP_ENDPOINT, value: "http://collector:4318" } ]
policies: {}
config: { policy: { default: true }, limits: { deadline: 100ms }, levels: [ { name: mfa, acr: ["2"] }, { name: phishing-resistant, acr: [phr] } ] }
`, false, []string{"HorizontalPodAutoscaler gate-stepward", "ServiceMonitor gate-stepward"}},
	} {
		t.Run(name, func(t *testing.T) {
			text, err := render(t, v.values)
			if err != nil {
				t.Fatal(text)
			}
			all := resources(t, text)
			for _, want := range append(v.want, "Deployment gate-stepward", "Service gate-stepward", "ServiceAccount gate-stepward", "PodDisruptionBudget gate-stepward", "NetworkPolicy gate-stepward", "ConfigMap gate-stepward") {
				if all[want] == nil {
					t.Errorf("no %s", want)
				}
			}
			loads(t, all, v.plaintext)
			pod := all["Deployment gate-stepward"].(*appsv1.Deployment).Spec.Template.Spec
			c := pod.Containers[0]
			if !*pod.SecurityContext.RunAsNonRoot || !*c.SecurityContext.ReadOnlyRootFilesystem || *c.SecurityContext.AllowPrivilegeEscalation || *pod.AutomountServiceAccountToken || c.SecurityContext.Capabilities.Drop[0] != "ALL" {
				t.Error("the container may do more than it needs")
			}
			if *pod.TerminationGracePeriodSeconds != 50 || len(pod.TopologySpreadConstraints) != 2 {
				t.Errorf("%d s of grace, %d spreads", *pod.TerminationGracePeriodSeconds, len(pod.TopologySpreadConstraints))
			}
			if got := strings.Contains(strings.Join(c.Args, " "), "--insecure"); got != v.plaintext {
				t.Errorf("%v", c.Args)
			}
		})
	}
}

// What would run open, or not at all, is not rendered.
func TestChartRefuses(t *testing.T) {
	for name, v := range map[string]struct{ values, says string }{
		"no TLS and no mesh":  {"{}", "set tls.secretName, or insecurePlaintextListener"},
		"IDs without a CA":    {"tls: { secretName: a, clientIDs: [\"spiffe://x/y\"] }", "clientCASecretName"},
		"a misspelt value":    {"insecurePlaintextListner: true", "insecurePlaintextListner"},
		"a listener":          {"insecurePlaintextListener: true\nconfig: { listen: \":1\" }", "listen"},
		"a policy of no kind": {"insecurePlaintextListener: true\npolicies: { readme.txt: x }", "readme.txt"},
	} {
		if text, err := render(t, v.values); err == nil || !strings.Contains(text, v.says) {
			t.Errorf("%s: %v %s", name, err, text)
		}
	}
}

// The unit is one that systemd takes.
func TestSystemdUnit(t *testing.T) {
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip("no systemd-analyze here")
	}
	text, err := os.ReadFile("../systemd/stepward.service")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Count(string(text), "/usr/local/bin/stepward") < 2 {
		t.Fatal("the unit runs something else")
	}
	file := filepath.Join(t.TempDir(), "stepward.service")
	unit := strings.ReplaceAll(string(text), "/usr/local/bin/stepward", "/bin/true") // what is not there cannot be verified
	if err := os.WriteFile(file, []byte(unit), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(analyze, "verify", "--man=no", file).CombinedOutput(); err != nil || bytes.Contains(out, []byte("Unknown")) {
		t.Errorf("%v %s", err, out)
	}
}
