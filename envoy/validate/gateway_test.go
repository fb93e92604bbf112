package validate_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/stepward/stepward/envoy"
	"github.com/stepward/stepward/pkg/config"
	"github.com/stepward/stepward/pkg/run/server"
)

type object = map[string]any

// translate is what Envoy Gateway itself makes of the manifests, resource type by
// resource type.
func translate(t *testing.T, manifests string) map[string][]any {
	t.Helper()
	file := filepath.Join(t.TempDir(), "all.yaml")
	if err := os.WriteFile(file, []byte(manifests), 0o600); err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	cmd := exec.Command("go", "-C", "egctl", "tool", "egctl", "x", "translate", "--from", "gateway-api", "--to", "xds",
		"--type", "all", "-o", "json", "-f", file)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, stderr.String())
	}
	var dump struct {
		XDS map[string]struct{ Configs []object }
	}
	if err := json.Unmarshal(out, &dump); err != nil {
		t.Fatalf("%v: %.300s", err, out)
	}
	all := map[string][]any{}
	for _, x := range dump.XDS {
		for _, c := range x.Configs {
			for key, list := range map[string][2]string{
				"clusters": {"dynamicActiveClusters", "cluster"}, "endpoints": {"dynamicEndpointConfigs",
					"endpointConfig"}, "routes": {"dynamicRouteConfigs", "routeConfig"},
			} {
				for _, x := range items(c[list[0]]) {
					all[key] = append(all[key], x.(object)[list[1]])
				}
			}
			for _, x := range items(c["dynamicListeners"]) {
				all["listeners"] = append(all["listeners"], x.(object)["activeState"].(object)["listener"])
			}
		}
	}
	return all
}

func items(v any) []any { list, _ := v.([]any); return list }

// dig follows names and indices into a document.
func dig(t *testing.T, v any, path ...any) any {
	t.Helper()
	for _, step := range path {
		switch s := step.(type) {
		case string:
			v = v.(object)[s]
		case int:
			v = v.([]any)[s]
		}
		if v == nil {
			t.Fatalf("nothing at %v of %v", step, path)
		}
	}
	return v
}

// certificates puts the CA in place of what would come over xDS as a secret, which the
// translation names and does not hold: the ca.crt of the policy's ConfigMap.
func certificates(t *testing.T, v any, ca string) (secrets []any) {
	t.Helper()
	switch v := v.(type) {
	case []any:
		for _, item := range v {
			secrets = append(secrets, certificates(t, item, ca)...)
		}
	case object:
		if sds, ok := v["validationContextSdsSecretConfig"].(object); ok {
			if name, _ := sds["name"].(string); !strings.Contains(name, "stepward") {
				t.Errorf("the certificates of %q", name)
			}
			delete(sds, "sdsConfig")
			secrets = append(secrets, object{"name": sds["name"], "validationContext": object{
				"trustedCa": object{"inlineString": ca}}})
		}
		for _, value := range v {
			secrets = append(secrets, certificates(t, value, ca)...)
		}
	}
	return secrets
}

// bootstrap makes a static configuration of what would come over xDS: endpoints, routes
// and certificates are put in place, addresses are free ports of loopback.
func bootstrap(t *testing.T, xds map[string][]any, app, stepward, ca string) []byte {
	t.Helper()
	endpoints := map[string]object{}
	for _, e := range xds["endpoints"] {
		e := e.(object)
		delete(e, "@type")
		address := app
		if strings.Contains(e["clusterName"].(string), "securitypolicy") {
			address = stepward
		}
		host, port, err := net.SplitHostPort(address)
		if err != nil {
			t.Fatal(err)
		}
		for _, locality := range items(e["endpoints"]) {
			for _, lb := range items(locality.(object)["lbEndpoints"]) {
				socket := dig(t, lb, "endpoint", "address", "socketAddress").(object)
				socket["address"], socket["portValue"] = host, json.Number(port)
			}
		}
		endpoints[e["clusterName"].(string)] = e
	}
	var clusters []any
	for _, c := range xds["clusters"] {
		c := c.(object)
		load := endpoints[dig(t, c, "edsClusterConfig", "serviceName").(string)]
		delete(c, "@type")
		delete(c, "edsClusterConfig")
		c["type"], c["loadAssignment"] = "STATIC", load
		clusters = append(clusters, c)
	}
	var listener object
	for _, l := range xds["listeners"] {
		if name := l.(object)["name"].(string); !strings.Contains(name, "ready") {
			listener = l.(object)
		}
	}
	delete(listener, "@type")
	socket := dig(t, listener, "address", "socketAddress").(object)
	socket["address"], socket["portValue"] = "127.0.0.1", 0
	manager := dig(t, listener, "defaultFilterChain", "filters", 0, "typedConfig").(object)
	delete(manager, "rds")
	routes := xds["routes"][0].(object)
	delete(routes, "@type")
	manager["routeConfig"] = routes
	out, err := yaml.Marshal(object{
		"admin": object{"address": object{"socketAddress": object{"address": "127.0.0.1", "portValue": 0}}},
		"staticResources": object{"listeners": []any{listener}, "clusters": clusters, "secrets": certificates(
			t, clusters, ca)},
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// annotate puts the annotations of routes where Envoy Gateway's controller puts
// them: into the metadata of each route, without its prefix. The file loader of egctl
// reads no annotations, so that its translation lacks them.
func annotate(t *testing.T, xds map[string][]any, manifests string) {
	t.Helper()
	annotations := map[string]object{}
	for _, doc := range documents(t, []byte(manifests)) {
		var o struct {
			Kind     string
			Metadata struct {
				Name        string
				Annotations map[string]string
			}
		}
		if err := yaml.Unmarshal(doc, &o); err != nil {
			t.Fatal(err)
		}
		if o.Kind == "HTTPRoute" {
			kept := object{}
			for k, v := range o.Metadata.Annotations {
				if name, ours := strings.CutPrefix(k, "gateway.envoyproxy.io/"); ours {
					kept[name] = v
				}
			}
			annotations[o.Metadata.Name] = kept
		}
	}
	for _, route := range items(dig(t, xds["routes"][0], "virtualHosts", 0, "routes")) {
		resource := dig(t, route, "metadata", "filterMetadata", "envoy-gateway", "resources", 0).(object)
		if a := annotations[resource["name"].(string)]; len(a) > 0 {
			resource["annotations"] = a
		}
	}
}

// signer signs tokens of the issuer that stepward.yaml below trusts.
type signer struct{ key *ecdsa.PrivateKey }

func (s signer) token(t *testing.T, acr string, age time.Duration) string {
	t.Helper()
	now := time.Now()
	part := func(v any) string {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return base64.RawURLEncoding.EncodeToString(b)
	}
	text := part(object{"alg": "ES256", "typ": "at+jwt", "kid": "k"}) + "." + part(object{
		"iss": "https://idp.example.com", "aud": "api", "sub": "alice", "client_id": "web", "jti": "1", "acr": acr,
		"iat": now.Unix(), "exp": now.Add(time.Hour).Unix(), "auth_time": now.Add(-age).Unix(),
	})
	digest := sha256.Sum256([]byte(text))
	r, x, err := ecdsa.Sign(rand.Reader, s.key, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	signature := make([]byte, 64)
	r.FillBytes(signature[:32])
	x.FillBytes(signature[32:])
	return text + "." + base64.RawURLEncoding.EncodeToString(signature)
}

// service runs a Stepward whose policy asks for a token and no more, by TLS.
func service(t *testing.T) (sign signer, address, ca string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	public, err := key.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	certificate, private := certify(t, serverName)
	for name, text := range map[string]string{
		"tls.crt": string(certificate), "tls.key": string(private),
		"keys.json": fmt.Sprintf(`{"keys":[{"kty":"EC","crv":"P-256","kid":"k","x":%q,"y":%q}]}`,
			base64.RawURLEncoding.EncodeToString(public[1:33]), base64.RawURLEncoding.EncodeToString(public[33:])),
		"p.rego": "package stepward.policy\n\nimport rego.v2\n\nrequire contains {\"level\": \"authenticated\"}\n",
		"stepward.yaml": `listen: 127.0.0.1:0
admin: 127.0.0.1:0
tls: { cert_file: tls.crt, key_file: tls.key }
issuers: [{ name: corp, issuer: "https://idp.example.com", audiences: [api], jwks_file: keys.json }]
levels: [{ name: password, acr: ["1"] }, { name: mfa, acr: ["2"] }]
policy: { paths: [p.rego], timeout: 2s }
limits: { deadline: 5s }
drain: { delay: 10ms }
`,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c, err := config.Load(filepath.Join(dir, "stepward.yaml"), config.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s, err := server.New(t.Context(), c, server.Options{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	if err := s.WaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	return signer{key}, s.Addr().String(), string(certificate)
}

func read(t *testing.T, files ...string) string {
	t.Helper()
	var all []string
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, string(text))
	}
	return strings.Join(all, "\n---\n")
}

// The example, as Envoy Gateway translates it, in the real Envoy: everything is asked
// about, and the floor of an annotation bites where the policy asks for less.
func TestEnvoyGateway(t *testing.T) {
	manifests := read(t, "../gateway/routes.yaml", "../gateway/stepward.yaml", "testdata/backends.yaml")
	hits := 0
	app, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	upstream := &http.Server{ReadHeaderTimeout: time.Second, Handler: http.HandlerFunc(
		func(w http.ResponseWriter, _ *http.Request) { hits++ })}
	go upstream.Serve(app)
	defer upstream.Close()
	sign, address, ca := service(t)
	manifests += "\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: { name: stepward-ca, namespace: stepward }\ndata:\n  ca.crt: " + strconv.Quote(ca) + "\n"
	path, err := envoy.Get(t.Context(), "", os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	start := func(manifests string) *envoy.Process {
		xds := translate(t, manifests)
		annotate(t, xds, manifests)
		p, err := envoy.Start(t.Context(), path, bootstrap(t, xds, app.Addr().String(), address, ca))
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	ask := func(p *envoy.Process, path, token string) (int, string) {
		var res *http.Response
		for begin := time.Now(); ; time.Sleep(50 * time.Millisecond) { // clock: until the health check has passed
			req, err := http.NewRequest("GET", "http://"+p.Ingress+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			if token != "" {
				req.Header.Set("Authorization", "Bearer "+token)
			}
			if res, err = http.DefaultClient.Do(req); err != nil {
				t.Fatal(err)
			}
			res.Body.Close()
			if res.StatusCode != 503 || res.Header.Get("Content-Type") != "" || time.Since(begin) > 2*time.Minute { // clock: a bound
				return res.StatusCode, res.Header.Get("Www-Authenticate")
			}
		}
	}
	p := start(manifests)
	defer p.Stop()
	for name, v := range map[string]struct {
		path, token string
		status      int
		challenge   string
	}{
		"no token":               {"/x", "", 401, `Bearer realm="api"`},
		"a token":                {"/x", sign.token(t, "1", time.Minute), 200, ""},
		"the floor: level":       {"/payments", sign.token(t, "1", time.Minute), 401, `acr_values="2", max_age="300"`},
		"the floor: age":         {"/payments", sign.token(t, "2", 301*time.Second), 401, `max_age="300"`},
		"the floor is met":       {"/payments/1", sign.token(t, "2", time.Minute), 200, ""},
		"not another's prefix":   {"/paymentsx", sign.token(t, "1", time.Minute), 200, ""},
		"an escaped slash":       {"/x%2f..%2fpayments", sign.token(t, "1", time.Minute), 400, ""},
		"a way around the floor": {"/x/../payments", sign.token(t, "1", time.Minute), 401, `acr_values="2"`},
	} {
		before := hits
		status, challenge := ask(p, v.path, v.token)
		if status != v.status || !strings.Contains(challenge, v.challenge) {
			t.Errorf("%s: %d %s; want %d %s", name, status, challenge, v.status, v.challenge)
		}
		if (hits > before) != (v.status == 200) {
			t.Errorf("%s: %d hits at the application", name, hits-before)
		}
	}
	misspelt := start(strings.Replace(manifests, "stepward-max-age", "stepward-maxage", 1))
	defer misspelt.Stop()
	if status, _ := ask(misspelt, "/payments", sign.token(t, "2", time.Minute)); status != 503 {
		t.Errorf("a misspelt floor: %d", status)
	}
	plain := start(strings.Replace(manifests, "{ group: \"\", kind: Service, name: stepward }",
		"{ group: \"\", kind: Service, name: steward }", 1))
	defer plain.Stop()
	before := hits
	if status, _ := ask(plain, "/x", sign.token(t, "1", time.Minute)); status != 503 || hits > before {
		t.Errorf("a call in plain text: %d", status)
	}
}
