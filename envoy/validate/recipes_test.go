package validate_test

import (
	"fmt"
	"os"
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

// walked is what the commands of a README would make of a cluster.
type walked struct {
	chart     []string // flags of helm install
	namespace string
	rendered  string
	applied   []string          // documents of the files that kubectl applies
	made      map[string]object // what kubectl creates, by kind, namespace and name
	requests  []asked
	stepward  [][]string // commands in the pod
	manifests string     // mesh configuration of Helm charts of others
}

// asked is a curl, and what the comment behind it says of the answer.
type asked struct {
	url    string
	token  bool
	status int
	says   string
}

var fence = regexp.MustCompile("(?ms)^```(\\w+)\n(.*?)^```")

// blocks are the fenced blocks of a README in one language.
func blocks(t *testing.T, file, language string) []string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, m := range fence.FindAllStringSubmatch(string(text), -1) {
		if m[1] == language {
			all = append(all, m[2])
		}
	}
	return all
}

// words splits a command as a shell does that knows double quotes alone.
func words(line string) []string {
	var all []string
	quoted := false
	for _, part := range strings.FieldsFunc(line, func(r rune) bool {
		if r == '"' {
			quoted = !quoted
		}
		return r == ' ' && !quoted
	}) {
		all = append(all, strings.ReplaceAll(part, `"`, ""))
	}
	return all
}

// flag is the value of --name, which may stand behind a blank or an equals sign.
func flag(args []string, name string) string {
	for i, a := range args {
		if value, ok := strings.CutPrefix(a, name+"="); ok {
			return value
		}
		if a == name && i+1 < len(args) {
			return args[i+1]
		}
	}
	return ""
}

// walk does what the commands of a README do, as far as a machine without a cluster can.
// A command that it does not know is an error: it would go untested.
func walk(t *testing.T, readme string) walked {
	t.Helper()
	w := walked{made: map[string]object{}}
	for _, block := range blocks(t, readme, "sh") {
		for line := range strings.Lines(block) {
			command, comment, _ := strings.Cut(strings.TrimSpace(line), "  # ")
			command = strings.TrimPrefix(command, "# ")
			if command == "" {
				continue
			}
			if !w.run(t, words(command), comment) {
				t.Errorf("%s: nobody walks %q", readme, command)
			}
		}
	}
	return w
}

func (w *walked) run(t *testing.T, args []string, comment string) bool {
	t.Helper()
	switch strings.Join(args[:min(2, len(args))], " ") {
	case "helm install":
		return w.helm(t, args)
	case "kubectl apply":
		return w.apply(t, args)
	case "kubectl create":
		return w.create(args)
	case "kubectl exec":
		return w.exec(args)
	case "kubectl wait", "kubectl port-forward", "kubectl get", "helm repo", "docker build", "docker push", "kind load", "minikube image", "crane push", "make release":
		return true
	}
	switch {
	case args[0] == "{": // what the cluster holds, looked over by the Stepward in it
		return w.exec(args[slices.Index(args, "|")+1:])
	case args[0] == "openssl":
		return strings.Contains(strings.Join(args, " "), "subjectAltName=DNS:stepward.stepward.svc.cluster.local") || flag(args, "-out") == "app.crt"
	case args[0] == "curl":
		a := asked{token: slices.Contains(args, "Authorization: Bearer $TOKEN")}
		for _, arg := range args {
			if strings.HasPrefix(arg, "http") {
				a.url = arg
			}
		}
		_, err := fmt.Sscanf(comment, "%d", &a.status)
		_, a.says, _ = strings.Cut(comment, ": ")
		w.requests = append(w.requests, a)
		return err == nil && a.url != ""
	}
	return args[0] == "export" || strings.HasPrefix(args[0], "TOKEN=") || strings.HasPrefix(args[0], "LAYOUT=")
}

func (w *walked) helm(t *testing.T, args []string) bool {
	t.Helper()
	if args[3] != "envoy/helm/stepward" { // a chart of others, which may be given values of ours
		if file := flag(args, "--values"); file != "" {
			w.manifests = read(t, "../../"+file)
		}
		return true
	}
	if args[2] != "stepward" {
		t.Errorf("the recipes call the release stepward, and not %s", args[2])
	}
	for i := 4; i < len(args); i++ {
		switch args[i] {
		case "--values":
			file := args[i+1]
			if strings.Contains(file, "/") {
				file, _ = filepath.Abs("../../" + file)
			}
			w.chart = append(w.chart, "--values", file)
			i++
		case "--set", "--set-string":
			w.chart = append(w.chart, args[i], strings.ReplaceAll(args[i+1], "$IMAGE", "registry.example.com/stepward"))
			i++
		case "--namespace":
			w.namespace = args[i+1]
			i++
		case "--wait":
		default:
			return false
		}
	}
	return true
}

func (w *walked) apply(t *testing.T, args []string) bool {
	t.Helper()
	for i, a := range args {
		if a != "-f" || strings.HasPrefix(args[i+1], "https://") {
			continue
		}
		for _, doc := range documents(t, []byte(read(t, "../../"+args[i+1]))) {
			w.applied = append(w.applied, string(doc))
		}
	}
	return true
}

func (w *walked) create(args []string) bool {
	kind, name := args[2], args[3]
	if kind == "secret" {
		name = args[4]
	}
	keys := object{}
	if kind == "secret" && args[3] == "tls" {
		keys["tls.crt"], keys["tls.key"] = true, true
	}
	for _, a := range args {
		if from, ok := strings.CutPrefix(a, "--from-file="); ok {
			key, _, _ := strings.Cut(from, "=")
			keys[key] = true
		}
	}
	w.made[kind+" "+flag(args, "--namespace")+"/"+name] = keys
	return slices.Contains([]string{"namespace", "secret", "configmap"}, kind)
}

func (w *walked) exec(args []string) bool {
	i := slices.Index(args, "--")
	if i < 0 || args[i+1] != "/stepward" || flag(args, "--namespace") != "stepward" || flag(args, "--container") != "stepward" {
		return false
	}
	w.stepward = append(w.stepward, args[i+2:])
	return true
}

// install renders the chart as the README's command does, with more flags.
func (w walked) install(t *testing.T, more ...string) (string, error) {
	t.Helper()
	return template(t, "stepward", w.namespace, append(slices.Clone(w.chart), more...)...)
}

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
			if len(w.requests) != 3 || w.requests[0].token || w.requests[0].status != 401 || w.requests[1].status != 200 {
				t.Errorf("not from a refused to an allowed request: %+v", w.requests)
			}
			if len(w.stepward) != 1 || w.stepward[0][0] != "validate" || slices.Contains(w.stepward[0], "--insecure-plaintext-listener") == service.TLS {
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
		into := map[string]any{"Namespace": &corev1.Namespace{}, "Service": &corev1.Service{}, "ServiceAccount": &corev1.ServiceAccount{}, "Deployment": &appsv1.Deployment{}}[meta.Kind]
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
	for _, m := range regexp.MustCompile(`(?m)namespace: (\S+)$`).FindAllStringSubmatch(everything+"\n  namespace: "+w.namespace, -1) {
		if w.made["namespace /"+m[1]] == nil && !regexp.MustCompile(`(?m)^kind: Namespace\nmetadata:\n  name: `+m[1]+`$`).MatchString(everything) {
			t.Errorf("the recipe makes no namespace %s", m[1])
		}
	}
	for pattern, kind := range map[string]string{`kind: ConfigMap\n      name: (\S+)`: "configmap", `caSecret: (\S+)`: "secret"} {
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
		"istio": {"service: stepward.stepward.svc.cluster.local\n      port: 9191\n"}, "istio/ambient": {"service: stepward.stepward.svc.cluster.local\n      port: 9191\n"},
		"gateway":     {"name: stepward\n        namespace: stepward\n        port: 9191\n", "hostname: stepward.stepward.svc.cluster.local\n"},
		"gateway-api": {"name: stepward\n          namespace: stepward\n          port: 9191\n", "hostname: stepward.stepward.svc.cluster.local\n"},
		"contour":     {"- name: stepward\n    port: 9191\n", "subjectName: stepward.stepward.svc.cluster.local\n"},
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
	plain := slices.Contains(chart["Deployment stepward"].(*appsv1.Deployment).Spec.Template.Spec.Containers[0].Args, "--insecure-plaintext-listener")
	if plain == (c.TLS.Cert != "") {
		t.Errorf("plain text is permitted: %t, and TLS is by %q", plain, c.TLS.Cert)
	}
	return proxy.Service{Listen: c.Listen, TLS: c.TLS.Cert != "", ClientCertificate: c.TLS.CA != "", HeaderPrefix: "x-stepward-"}, err
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
	return append(slices.DeleteFunc(findings, func(f finding.Finding) bool { return f.Code == "nothing_asks" && f.File == "chart" }), warnings...)
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
			"no BackendTLSPolicy": {"kind: BackendTLSPolicy", "kind: ConfigMap"}, "another Service": {"kind: Service, name: stepward", "kind: Service, name: steward"},
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
	finds("no labels", "hop_unknown", w.look(out.Replace(w.rendered), s, "istio-injection: enabled", "a: b", "istio.io/dataplane-mode: ambient", "a: b"))
}

// Every YAML block of a README is one that a cluster or the chart takes.
func TestReadmeBlocks(t *testing.T) {
	all := crds(t)
	files, err := filepath.Glob("../*/README.md")
	if err != nil {
		t.Fatal(err)
	}
	checked := 0
	for _, file := range append(files, "../istio/ambient/README.md") {
		for _, block := range blocks(t, file, "yaml") {
			checked++
			var o object
			if err := yaml.UnmarshalStrict([]byte(block), &o); err != nil {
				t.Errorf("%s: %v", file, err)
				continue
			}
			var err error
			switch {
			case o["apiVersion"] != nil:
				err = check(all, []byte(block))
			case o["metadata"] != nil: // what is added to a route
				err = check(all, []byte("apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\n"+block+"  name: a\nspec: {}\n"))
			default: // values of the chart
				var text string
				values := "image: { repository: a }\n" + block
				if o["tls"] == nil {
					values += "tls: { secretName: a }\n"
				}
				if o["policies"] == nil {
					values += "policies: { policy.rego: \"package stepward.policy\\n\\nimport rego.v2\\n\\nrequire contains {\\\"level\\\": \\\"authenticated\\\"}\\n\" }\n"
				}
				if text, err = render(t, values); err == nil {
					loads(t, resources(t, text), false)
				} else {
					err = fmt.Errorf("%w: %s", err, text)
				}
			}
			if err != nil {
				t.Errorf("%s: %v\n%s", file, err, block)
			}
		}
	}
	if checked < 4 {
		t.Errorf("only %d blocks", checked)
	}
	walk(t, "../helm/README.md")
}
