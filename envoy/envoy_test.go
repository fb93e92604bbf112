package envoy_test

import (
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/file/v3"
	extauthzv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ext_authz/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	managerv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/resource_monitors/downstream_connections/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/retry/host/previous_hosts/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"
	"go.yaml.in/yaml/v4"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/stepward/stepward/envoy"
	"github.com/stepward/stepward/pkg/response"
)

// decode reads a bootstrap strictly: an unknown field is an error, inside of typed
// configurations too.
func decode(t *testing.T, text []byte) *bootstrapv3.Bootstrap {
	t.Helper()
	var document any
	if err := yaml.Unmarshal(text, &document); err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(document)
	if err != nil {
		t.Fatal(err)
	}
	var bootstrap bootstrapv3.Bootstrap
	if err := protojson.Unmarshal(b, &bootstrap); err != nil {
		t.Fatal(err)
	}
	if err := bootstrap.ValidateAll(); err != nil {
		t.Fatal(err)
	}
	return &bootstrap
}

func binary(t *testing.T) string {
	t.Helper()
	path, err := envoy.Get(t.Context(), "", os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// Every configuration in this folder is one that Envoy's own types and Envoy
// itself take.
func TestEveryConfiguration(t *testing.T) {
	found := 0
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && strings.HasPrefix(d.Name(), ".") && d.Name() != ".." {
			return filepath.SkipDir
		}
		// manifests are held against their CRDs in validate/
		if matched, _ := filepath.Match("envoy*.yaml", d.Name()); !matched {
			return nil
		}
		found++
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		t.Run(path, func(t *testing.T) {
			decode(t, text)
			if err := envoy.Validate(t.Context(), binary(t), text); err != nil {
				t.Error(err)
			}
		})
		return nil
	})
	if err != nil || found == 0 {
		t.Fatalf("%d configurations, %v", found, err)
	}
	broken := strings.Replace(string(envoy.Config), "failure_mode_allow:", "failure_mode_alow:", 1)
	if err := envoy.Validate(t.Context(), binary(t), []byte(broken)); err == nil {
		t.Error("Envoy takes a misspelt field")
	}
}

func parts(t *testing.T, text []byte) (*managerv3.HttpConnectionManager, *extauthzv3.ExtAuthz) {
	t.Helper()
	listeners := decode(t, text).GetStaticResources().GetListeners()
	var manager managerv3.HttpConnectionManager
	if err := listeners[0].GetFilterChains()[0].GetFilters()[0].GetTypedConfig().UnmarshalTo(&manager); err != nil {
		t.Fatal(err)
	}
	var filter extauthzv3.ExtAuthz
	if err := manager.GetHttpFilters()[0].GetTypedConfig().UnmarshalTo(&filter); err != nil {
		t.Fatal(err)
	}
	return &manager, &filter
}

// The settings that a deny depends on.
func TestHardened(t *testing.T) {
	manager, filter := parts(t, envoy.Config)
	for name, ok := range map[string]bool{
		"fails closed":            !filter.GetFailureModeAllow() && filter.GetStatusOnError().GetCode() == 503,
		"mutations are validated": filter.GetValidateMutations(),
		"raw headers":             filter.GetEncodeRawHeaders(),
		"always on": filter.GetFilterEnabled() == nil && filter.GetFilterEnabledMetadata() == nil &&
			!filter.GetShadowMode(),
		"no new route": !filter.GetClearRouteCache(),
		"mutations by list": filter.GetDecoderHeaderMutationRules().GetDisallowAll().GetValue() &&
			filter.GetDecoderHeaderMutationRules().GetDisallowIsError().GetValue(),
		"paths": manager.GetNormalizePath().GetValue() && manager.GetMergeSlashes() &&
			manager.GetPathWithEscapedSlashesAction() == managerv3.HttpConnectionManager_REJECT_REQUEST,
		"remote address": manager.GetUseRemoteAddress().GetValue(),
		"nobody is internal": len(manager.GetInternalAddressConfig().GetCidrRanges()) == 1 &&
			manager.GetInternalAddressConfig().GetCidrRanges()[0].GetAddressPrefix() == "255.255.255.255",
		"retries do something": filter.GetGrpcService().GetRetryPolicy().GetRetryOn() != "" &&
			filter.GetGrpcService().GetRetryPolicy().GetRetryBackOff() != nil,
		"ext_authz comes first": manager.GetHttpFilters()[0].GetName() == "envoy.filters.http.ext_authz" &&
			len(manager.GetHttpFilters()) == 2,
	} {
		if !ok {
			t.Errorf("not so: %s", name)
		}
	}
	hosts := manager.GetRouteConfig().GetVirtualHosts()
	for _, h := range hosts {
		routes := h.GetRoutes()
		if last := routes[len(routes)-1]; last.GetMatch().GetPrefix() != "/" {
			t.Errorf("virtual host %s has no route for everything", h.GetName())
		}
		for _, r := range routes {
			if len(r.GetTypedPerFilterConfig()) > 0 {
				t.Errorf("route %v changes a filter", r.GetMatch())
			}
		}
	}
	if len(hosts[len(hosts)-1].GetDomains()) != 1 || hosts[len(hosts)-1].GetDomains()[0] != "*" {
		t.Error("no virtual host for every domain")
	}
	for _, c := range decode(t, envoy.Config).GetStaticResources().GetClusters() {
		if len(c.GetLoadAssignment().GetEndpoints()[0].GetLbEndpoints()) != 2 {
			t.Errorf("cluster %s does not balance two replicas", c.GetName())
		}
	}
}

// A name that Stepward sets or removes and that the rule does not permit would
// fail every request.
func TestMutationRuleMatchesOurNames(t *testing.T) {
	_, filter := parts(t, envoy.Config)
	rule := regexp.MustCompile(filter.GetDecoderHeaderMutationRules().GetAllowExpression().GetRegex())
	for _, name := range append(response.IdentityHeaders(), "made-up") {
		for _, separator := range []string{"-", "_", "."} {
			if spelling := strings.ReplaceAll("x-stepward-"+name, "-", separator); !rule.MatchString(spelling) {
				t.Errorf("%s is not permitted", spelling)
			}
		}
	}
	for name, want := range map[string]bool{"authorization": true, "dpop": true, "x-tenant": true, "x_tenant": true,
		"x-forwarded-for": false, ":path": false, "host": false, "x-user": false} {
		if rule.MatchString(name) != want {
			t.Errorf("%s: %t", name, !want)
		}
	}
}

func TestRender(t *testing.T) {
	text, err := envoy.Render(envoy.Params{Ingress: "127.0.0.1:0", Apps: []string{"127.0.0.1:1", "127.0.0.1:2",
		"127.0.0.1:3"}, Stepwards: []string{"127.0.0.1:4"}, CheckTimeout: time.Second,
		Routes: []map[string]any{{"match": map[string]any{"prefix": "/x"}, "route": map[string]any{"cluster": "app"}}}})
	if err != nil {
		t.Fatal(err)
	}
	clusters := decode(t, text).GetStaticResources().GetClusters()
	if n := len(clusters[1].GetLoadAssignment().GetEndpoints()[0].GetLbEndpoints()); n != 3 ||
		clusters[1].GetName() != "app" {
		t.Errorf("%d replicas of %s", n, clusters[1].GetName())
	}
	manager, _ := parts(t, text)
	if routes := manager.GetRouteConfig().GetVirtualHosts()[0].GetRoutes(); len(routes) != 2 ||
		routes[0].GetMatch().GetPrefix() != "/x" {
		t.Errorf("%v", routes)
	}
	if _, err := envoy.Render(envoy.Params{Ingress: "nowhere"}); err == nil {
		t.Error("an address that is none is taken")
	}
}

func TestFind(t *testing.T) {
	if _, err := envoy.Find(filepath.Join(t.TempDir(), "missing")); err == nil {
		t.Error("a path that is named and not there is taken")
	}
	t.Setenv("ENVOY_PATH", os.Args[0])
	if path, err := envoy.Find(""); err != nil || path != os.Args[0] {
		t.Errorf("%s, %v", path, err)
	}
}

func TestStartReportsWhatIsWrong(t *testing.T) {
	if _, err := envoy.Start(t.Context(), binary(t), []byte("static_resources: {listners: []}")); err == nil ||
		!strings.Contains(err.Error(), "listners") {
		t.Errorf("%v", err)
	}
}

// The example for compose differs from the shipped configuration in nothing but
// addresses.
func TestComposeExample(t *testing.T) {
	theirs, err := os.ReadFile("../examples/compose/envoy.yaml")
	if err != nil {
		t.Fatal(err)
	}
	ours := strings.Split(string(envoy.Config), "\n")
	for _, line := range strings.Split(string(theirs), "\n") {
		if !slices.Contains(ours, line) && !strings.Contains(line, "socket_address: { address:") && !strings.Contains(
			line, "by compose") {
			t.Errorf("not in envoy.yaml: %s", line)
		}
	}
}
