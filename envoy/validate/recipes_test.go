package validate_test

import (
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/stepward/stepward/pkg/author/proxy"
	"github.com/stepward/stepward/pkg/finding"
)

// recipes are the folders whose README leads from an empty cluster to a refused and an
// allowed request.
var recipes = []string{"istio", "istio/ambient", "gateway", "gateway-api", "contour"}

// asked is a curl, and what the comment behind it says of the answer.
type asked struct {
	url    string
	token  bool
	status int
	says   string
}

var fence = regexp.MustCompile("(?ms)^```(\\w+)\n(.*?)^```")

// Every recipe is whole: what it names is there, what it applies is what a cluster takes,
// and the chart, the manifests and the certificates agree on names, namespaces, ports
// and TLS. Each agreement is broken once, and then is refused.
func TestRecipes(t *testing.T) {
	all := crds(t)
	for _, dir := range recipes {
		t.Run(dir, func(t *testing.T) {
			w := walk(t, filepath.Join("..", dir, "README.md"))
			text, err := w.install(t)
			if err != nil {
				t.Fatal(text)
			}
			w.rendered = text
			chart := resources(t, text)
			w.takes(t, all)
			w.finds(t, chart)
			w.leads(t, chart)
			service, err := served(t, chart)
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range w.look(text, service) {
				t.Errorf("%s", f)
			}
			w.broken(t, service)
			if len(w.requests) != 3 || w.requests[0].token || w.requests[0].status != 401 ||
				w.requests[1].status != 200 {
				t.Errorf("not from a refused to an allowed request: %+v", w.requests)
			}
			if len(w.stepward) != 1 || w.stepward[0][0] != "validate" || slices.Contains(w.stepward[0],
				"--insecure-plaintext-listener") == service.TLS {
				t.Errorf("%q does not look over this configuration", w.stepward)
			}
		})
	}
}

// takes holds what is applied against the CRDs, or the cluster's own types.
func (w walked) takes(t *testing.T, all map[kind]checker) {
	t.Helper()
	if len(w.applied) < 5 {
		t.Errorf("only %d objects are applied", len(w.applied))
	}
	for _, doc := range w.applied {
		var meta struct {
			APIVersion string `json:"apiVersion"`
			Kind       string
		}
		if err := yaml.Unmarshal([]byte(doc), &meta); err != nil {
			t.Fatal(err)
		}
		into := map[string]any{"Namespace": &corev1.Namespace{}, "Service": &corev1.Service{},
			"ServiceAccount": &corev1.ServiceAccount{}, "Deployment": &appsv1.Deployment{}}[meta.Kind]
		if into == nil {
			if err := check(all, []byte(doc)); err != nil {
				t.Errorf("%v\n%s", err, doc)
			}
		} else if err := yaml.UnmarshalStrict([]byte(doc), into); err != nil {
			t.Errorf("%v\n%s", err, doc)
		}
	}
}

// finds sees that the pod's volumes are made by the recipe, in the pod's namespace, and
// that the namespaces are.
func (w walked) finds(t *testing.T, chart map[string]any) {
	t.Helper()
	for _, v := range chart["Deployment stepward"].(*appsv1.Deployment).Spec.Template.Spec.Volumes {
		name := ""
		switch {
		case v.Secret != nil:
			name = "secret " + w.namespace + "/" + v.Secret.SecretName
		case v.ConfigMap != nil && chart["ConfigMap "+v.ConfigMap.Name] == nil:
			name = "configmap " + w.namespace + "/" + v.ConfigMap.Name
		}
		if name != "" && w.made[name] == nil {
			t.Errorf("the recipe makes no %s for the pod: %v", name, w.made)
		}
	}
	everything := strings.Join(w.applied, "\n---\n")
	for _, m := range regexp.MustCompile(`(?m)namespace: (\S+)$`).FindAllStringSubmatch(
		everything+"\n  namespace: "+w.namespace, -1) {
		if w.made["namespace /"+m[1]] == nil && !regexp.MustCompile(`(?m)^kind: Namespace\nmetadata:\n  name: `+m[1]+
			`$`).MatchString(everything) {
			t.Errorf("the recipe makes no namespace %s", m[1])
		}
	}
	for pattern, kind := range map[string]string{`kind: ConfigMap\n      name: (\S+)`: "configmap",
		`caSecret: (\S+)`: "secret"} {
		for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(everything, -1) {
			if w.made[kind+" stepward/"+m[1]]["ca.crt"] == nil {
				t.Errorf("the recipe makes no %s %s with ca.crt", kind, m[1])
			}
		}
	}
}

// leads sees that the manifests ask the chart's Service at its port.
func (w walked) leads(t *testing.T, chart map[string]any) {
	t.Helper()
	s, ok := chart["Service stepward"].(*corev1.Service)
	if !ok || s.Spec.ClusterIP == "None" || s.Spec.Ports[0].Port != 9191 || w.namespace != "stepward" {
		t.Fatalf("the chart's Service is another: %+v", s)
	}
	everything := w.manifests + strings.Join(w.applied, "\n---\n")
	for _, want := range map[string][]string{
		"istio": {"service: stepward.stepward.svc.cluster.local\n      port: 9191\n"}, "istio/ambient": {
			"service: stepward.stepward.svc.cluster.local\n      port: 9191\n"},
		"gateway": {"name: stepward\n        namespace: stepward\n        port: 9191\n",
			"hostname: stepward.stepward.svc.cluster.local\n"},
		"gateway-api": {"name: stepward\n          namespace: stepward\n          port: 9191\n",
			"hostname: stepward.stepward.svc.cluster.local\n"},
		"contour": {"- name: stepward\n    port: 9191\n", "subjectName: stepward.stepward.svc.cluster.local\n"},
	}[strings.TrimPrefix(t.Name(), "TestRecipes/")] {
		if !strings.Contains(everything, want) {
			t.Errorf("nothing says %q", want)
		}
	}
}

// served is what the chart's ConfigMap makes of the listener. TestRecipesServe has the
// configuration loaded.
func served(t *testing.T, chart map[string]any) (proxy.Service, error) {
	t.Helper()
	var c struct {
		Listen string
		TLS    struct {
			Cert string `json:"cert_file"`
			CA   string `json:"client_ca_file"`
		}
	}
	err := yaml.Unmarshal([]byte(chart["ConfigMap stepward"].(*corev1.ConfigMap).Data["stepward.yaml"]), &c)
	plain := slices.Contains(chart["Deployment stepward"].(*appsv1.Deployment).Spec.Template.Spec.Containers[0].Args,
		"--insecure-plaintext-listener")
	if plain == (c.TLS.Cert != "") {
		t.Errorf("plain text is permitted: %t, and TLS is by %q", plain, c.TLS.Cert)
	}
	return proxy.Service{Listen: c.Listen, TLS: c.TLS.Cert != "", ClientCertificate: c.TLS.CA != "",
		HeaderPrefix: "x-stepward-"}, err
}

// look is what `stepward validate --envoy` says of the manifests beside the chart.
func (w walked) look(rendered string, s proxy.Service, edits ...string) finding.List {
	edit := strings.NewReplacer(edits...)
	files := []proxy.File{
		{Name: "chart", Text: []byte(rendered)},
		{Name: "applied", Text: []byte(edit.Replace(strings.Join(w.applied, "\n---\n")))},
	}
	if w.manifests != "" {
		files = append(files, proxy.File{Name: "mesh", Text: []byte(w.manifests)})
	}
	findings, warnings := proxy.Check(files, s)
	return append(slices.DeleteFunc(findings, func(f finding.Finding) bool {
		return f.Code == "nothing_asks" &&
			f.File == "chart"
	}), warnings...)
}

// broken turns the chart to the other kind of listener, and takes the manifests' side
// away: each is found.
func (w walked) broken(t *testing.T, s proxy.Service) {
	t.Helper()
	more := []string{"--set", "tls.secretName=stepward-tls,insecurePlaintextListener=false"}
	if s.TLS {
		more = []string{"--set", "tls.secretName=,insecurePlaintextListener=true"}
	}
	text, err := w.install(t, more...)
	if err != nil {
		t.Fatal(text)
	}
	other, err := served(t, resources(t, text))
	if err != nil || other.TLS == s.TLS {
		t.Fatalf("%v: the listener is as it was", err)
	}
	finds := func(what, code string, list finding.List) {
		t.Helper()
		if !slices.ContainsFunc(list, func(f finding.Finding) bool { return f.Code == code }) {
			t.Errorf("%s: no %s among %v", what, code, list)
		}
	}
	finds("another listener", "hop_tls", w.look(text, other))
	if s.TLS {
		for what, edits := range map[string][]string{
			"no BackendTLSPolicy": {"kind: BackendTLSPolicy", "kind: ConfigMap"}, "another Service": {
				"kind: Service, name: stepward", "kind: Service, name: steward"},
			"h2c": {"protocol: h2\n", "protocol: h2c\n"},
		} {
			if strings.Contains(strings.Join(w.applied, ""), edits[0]) {
				finds(what, "hop_tls", w.look(w.rendered, s, edits...))
			}
		}
		return
	}
	headless, err := w.install(t, "--set", "service.headless=true")
	if err != nil {
		t.Fatal(headless)
	}
	if strings.Contains(t.Name(), "ambient") { // the gateway of the other recipe is no sidecar
		finds("a headless Service", "headless", w.look(headless, s))
	}
	out := strings.NewReplacer(`sidecar.istio.io/inject: "true"`, "a: b", "istio.io/dataplane-mode: ambient", "a: b")
	finds("no labels", "hop_unknown", w.look(out.Replace(w.rendered), s, "istio-injection: enabled", "a: b",
		"istio.io/dataplane-mode: ambient", "a: b"))
}
