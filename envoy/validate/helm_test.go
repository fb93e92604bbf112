package validate_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	"sigs.k8s.io/yaml"

	"github.com/stepward/stepward/pkg/config"
	"github.com/stepward/stepward/pkg/run/snapshot"
)

// render is the chart with values, as Helm renders it.
func render(t *testing.T, values string) (string, error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "values.yaml")
	if err := os.WriteFile(file, []byte(values), 0o600); err != nil {
		t.Fatal(err)
	}
	return template(t, "gate", "stepward", "--values", file)
}

// helm is Helm's own command, built once.
var helm = sync.OnceValues(func() (string, error) {
	out, err := exec.Command("go", "-C", "helm", "tool", "-n", "helm").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return strings.TrimSpace(string(out)), nil
})

// template is what Helm renders with flags.
func template(t *testing.T, release, namespace string, flags ...string) (string, error) {
	t.Helper()
	chart, err := filepath.Abs("../helm/stepward")
	if err != nil {
		t.Fatal(err)
	}
	path, err := helm()
	if err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	cmd := exec.Command(path, append([]string{"template", release, chart, "--namespace", namespace}, flags...)...)
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
			"Deployment": &appsv1.Deployment{}, "ConfigMap": &corev1.ConfigMap{}, "Service": &corev1.Service{},
			"ServiceAccount":          &corev1.ServiceAccount{},
			"PodDisruptionBudget":     &policyv1.PodDisruptionBudget{},
			"HorizontalPodAutoscaler": &autoscalingv2.HorizontalPodAutoscaler{},
			"NetworkPolicy":           &networkingv1.NetworkPolicy{}, "ServiceMonitor": &object{},
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
	for _, name := range []string{"tls.crt", "tls.key", "ca.crt", "client"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("secret"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	text = strings.NewReplacer("/etc/stepward/policies", dir, "/etc/stepward/tls", dir, "/etc/stepward/client-ca", dir,
		"/etc/stepward/secrets", dir, "/var/cache/stepward", dir, "/run/stepward", dir).Replace(text)
	c, err := config.Parse(filepath.Join(dir, "stepward.yaml"), []byte(text), config.Options{
		InsecurePlaintextListener: plaintext, Getenv: func(name string) string {
			return map[string]string{"PREFIX": "x-mine-"}[name]
		}})
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	c.TLS = config.TLS{} // there are no certificates here
	if _, err := snapshot.New(t.Context(), c, snapshot.Options{Observe: snapshot.Unobserved}); err != nil {
		t.Errorf("%v\n%s", err, text)
	}
}

// base is what the chart has no default for.
const base = `
image: { repository: registry.example.com/stepward }
config: { issuers: [ { name: corp, issuer: "https://idp.example.com", audiences: [api] } ], levels: [ { name: mfa, acr: ["2"] } ] }
policies: { policy.rego: "package stepward.policy\n\nimport rego.v2\n\nrequire contains {\"level\": \"authenticated\"}\n" }
`

func TestChart(t *testing.T) {
	for name, v := range map[string]struct {
		values    string
		plaintext bool
		want      []string
	}{
		"plain text in a mesh": {base + "insecurePlaintextListener: true\n", true, nil},
		"mutual TLS": {
			base + "tls: { secretName: cert, clientCASecretName: ca, clientIDs: [\"spiffe://example.com/envoy\"] }\n",
			false, nil},
		"everything": {`
image: { repository: registry.example.com/stepward, digest: "sha256:` + strings.Repeat("a", 64) + `" }
tls: { secretName: cert }
autoscaling: { enabled: true }
serviceMonitor: { enabled: true, labels: { team: edge } }
networkPolicy: { from: [ { namespaceSelector: { matchLabels: { kubernetes.io/metadata.name: gateways } } } ] }
extraEnv: [ { name: OTEL_EXPORTER_OTLP_ENDPOINT, value: "http://collector:4318" } ]
config: { policy: { default: true }, issuers: [ { name: corp, issuer: "https://idp.example.com", audiences: [api] } ], limits: { deadline: 100ms }, levels: [ { name: mfa, acr: ["2"] }, { name: phishing-resistant, acr: [phr] } ] }
`, false, []string{"HorizontalPodAutoscaler gate-stepward", "ServiceMonitor gate-stepward"}},
	} {
		t.Run(name, func(t *testing.T) {
			text, err := render(t, v.values)
			if err != nil {
				t.Fatal(text)
			}
			all := resources(t, text)
			for _, want := range append(v.want, "Deployment gate-stepward", "Service gate-stepward",
				"ServiceAccount gate-stepward", "PodDisruptionBudget gate-stepward", "NetworkPolicy gate-stepward",
				"ConfigMap gate-stepward") {
				if all[want] == nil {
					t.Errorf("no %s", want)
				}
			}
			loads(t, all, v.plaintext)
			pod := all["Deployment gate-stepward"].(*appsv1.Deployment).Spec.Template.Spec
			c := pod.Containers[0]
			if !*pod.SecurityContext.RunAsNonRoot || !*c.SecurityContext.ReadOnlyRootFilesystem ||
				*c.SecurityContext.AllowPrivilegeEscalation || *pod.AutomountServiceAccountToken ||
				c.SecurityContext.Capabilities.Drop[0] != "ALL" {
				t.Error("the container may do more than it needs")
			}
			if *pod.TerminationGracePeriodSeconds != 50 || len(pod.TopologySpreadConstraints) != 2 {
				t.Errorf("%d s of grace, %d spreads", *pod.TerminationGracePeriodSeconds,
					len(pod.TopologySpreadConstraints))
			}
			if got := strings.Contains(strings.Join(c.Args, " "), "--insecure"); got != v.plaintext {
				t.Errorf("%v", c.Args)
			}
		})
	}
}

// What would run open, or not at all, is not rendered. Each has a twin that is.
func TestChartRefuses(t *testing.T) {
	const mesh = base + "insecurePlaintextListener: true\n"
	const issuers = `config: { issuers: [ { name: corp, issuer: "https://idp.example.com", audiences: [api] } ] }`
	if text, err := render(t, "{}"); err == nil || strings.Count(text, "\n- ") != 4 {
		t.Errorf("nothing given: %v %s", err, text)
	}
	for name, v := range map[string]struct{ good, bad, says string }{
		"no image": {mesh, strings.Replace(mesh, "image:", "imagePullSecrets: []\n#", 1),
			"image.repository: where your cluster pulls"},
		"no issuers": {mesh, mesh + "config: { limits: { deadline: 100ms } }\n",
			"config.issuers: whose tokens"},
		"empty issuers": {mesh + "config: { issuers: [] }\nextraArgs: [--insecure-no-issuers]",
			mesh + "config: { issuers: [] }\n", "config.issuers: whose tokens"},
		"no policy": {strings.Replace(mesh, "policies:", "podLabels: {}\n#", 1) + strings.Replace(
			issuers, "{ ", "{ policy: { default: true }, ", 1), strings.Replace(mesh, "policies:", "podLabels: {}\n#",
			1), "config.policy.default: true"},
		"two policies": {mesh, mesh + strings.Replace(issuers, "{ ", "{ policy: { default: true }, ", 1),
			"not both"},
		"no TLS and no mesh": {base + "tls: { secretName: a }", base,
			"tls.secretName; or insecurePlaintextListener: true"},
		"TLS and plain text": {mesh, mesh + "tls: { secretName: a }", "not both"},
		"IDs without a CA": {base +
			"tls: { secretName: a, clientCASecretName: b, clientIDs: [\"spiffe://x/y\"] }",
			base + "tls: { secretName: a, clientIDs: [\"spiffe://x/y\"] }", "clientCASecretName"},
		"a misspelt value": {mesh, base + "insecurePlaintextListner: true", "insecurePlaintextListner"},
		"a listener":       {mesh, mesh + strings.Replace(issuers, "{ ", "{ listen: \":1\", ", 1), "listen"},
		"a control socket": {mesh + "control: false", mesh + strings.Replace(issuers, "{ ",
			"{ control: \"unix:///tmp/a\", ", 1), "control"},
		"a policy of no kind": {mesh, mesh + "policies: { readme.txt: x }", "readme.txt"},
		"a digest": {mesh + "image: { repository: a, digest: \"sha256:" + strings.Repeat("0", 64) +
			"\" }", mesh + "image: { repository: a, digest: latest }", "digest"},
		"another configuration": {mesh + "extraArgs: [--insecure-bundles]",
			mesh + "extraArgs: [--config=/etc/other.yaml]", "extraArgs"},
		"plain text by a flag": {mesh,
			base + "tls: { secretName: a }\nextraArgs: [--insecure-plaintext-listener]", "extraArgs"},
		"another configuration, env": {mesh + "extraEnv: [ { name: A, value: b } ]",
			mesh + "extraEnv: [ { name: STEPWARD_CONFIG, value: b } ]", "extraEnv"},
		"a volume of ours": {mesh + "extraVolumes: [ { name: mine, emptyDir: {} } ]",
			mesh + "extraVolumes: [ { name: policies, emptyDir: {} } ]", "extraVolumes"},
		"over our files": {mesh + "extraVolumeMounts: [ { name: mine, mountPath: /etc/stepward/keys } ]",
			mesh + "extraVolumeMounts: [ { name: mine, mountPath: /etc/stepward/policies/ } ]", "extraVolumeMounts"},
		"another Service's pods": {mesh + "podLabels: { a: b }", mesh + "podLabels: { app.kubernetes.io/name: b }",
			"app.kubernetes.io/name"},
	} {
		if text, err := render(t, merged(t, v.good)); err != nil {
			t.Errorf("the twin of %s: %s", name, text)
		}
		if text, err := render(t, merged(t, v.bad)); err == nil || !strings.Contains(text, v.says) {
			t.Errorf("%s: %v %s", name, err, text)
		}
	}
}

// merged is a document in which what stands twice is there once, as it stands last.
func merged(t *testing.T, text string) string {
	t.Helper()
	var lines []string
	at := map[string]int{}
	for line := range strings.SplitSeq(strings.TrimSpace(text), "\n") {
		key, _, _ := strings.Cut(line, ":")
		if i, twice := at[key]; twice {
			lines[i] = line
			continue
		}
		at[key] = len(lines)
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
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
	// what is not there cannot be verified
	unit := strings.ReplaceAll(string(text), "/usr/local/bin/stepward", "/bin/true")
	if err := os.WriteFile(file, []byte(unit), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(analyze, "verify", "--man=no", file).CombinedOutput(); err != nil || bytes.Contains(
		out, []byte("Unknown")) {
		t.Errorf("%v %s", err, out)
	}
}
