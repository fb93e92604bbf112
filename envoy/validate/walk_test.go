package validate_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

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
	case "kubectl wait", "kubectl port-forward", "kubectl get", "helm repo", "docker build", "docker push", "kind load",
		"minikube image", "crane push", "make release":
		return true
	}
	switch {
	case args[0] == "{": // what the cluster holds, looked over by the Stepward in it
		return w.exec(args[slices.Index(args, "|")+1:])
	case args[0] == "openssl":
		return strings.Contains(strings.Join(args, " "), "subjectAltName=DNS:stepward.stepward.svc.cluster.local") ||
			flag(args, "-out") == "app.crt"
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
	if i < 0 || args[i+1] != "/stepward" || flag(args, "--namespace") != "stepward" ||
		flag(args, "--container") != "stepward" {
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
				err = check(all, []byte("apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\n"+block+
					"  name: a\nspec: {}\n"))
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
