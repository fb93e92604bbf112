package realidp

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
)

// NewKeycloak runs Keycloak in development mode with a realm in which alice has a
// password, the client web signs her in, and its tokens are for Audience and gateway.
// The client stranger is not in their aud.
func NewKeycloak(t testing.TB) *Provider {
	t.Helper()
	home, port, data := tools(t, "keycloak"), freePort(t), t.TempDir()
	root := "http://127.0.0.1:" + port
	issuer := root + "/realms/stepward"
	return start(t, &Provider{
		Issuer: issuer, IntrospectionEndpoint: issuer + "/protocol/openid-connect/token/introspect",
		health: issuer + "/.well-known/openid-configuration",
		kind:   keycloak{root},
		command: func() *exec.Cmd {
			realm, err := os.ReadFile(testdata("keycloak/realm.json"))
			if err == nil {
				err = os.MkdirAll(filepath.Join(home, "data", "import"), 0o755)
			}
			if err == nil {
				err = os.WriteFile(filepath.Join(home, "data", "import", "stepward-realm.json"), realm, 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
			c := exec.Command(filepath.Join(home, "bin", "kc.sh"), "start-dev", "--http-host=127.0.0.1",
				"--http-port="+port, "--http-management-port="+freePort(t),
				"--import-realm", "--log-level=WARN", "--db-url=jdbc:h2:file:"+data+
					"/h2/keycloak;NON_KEYWORDS=VALUE;DB_CLOSE_ON_EXIT=FALSE")
			c.Env = append(os.Environ(), "KC_BOOTSTRAP_ADMIN_USERNAME=admin",
				"KC_BOOTSTRAP_ADMIN_PASSWORD=TEST-admin-password", "JAVA_OPTS_KC_HEAP=-Xms128m -Xmx768m")
			return c
		},
	})
}

type keycloak struct{ root string }

func (k keycloak) token(t testing.TB, p *Provider, _ bool) string {
	return tokenOf(t, p.Issuer+"/protocol/openid-connect/token", url.Values{
		"grant_type": {"password"}, "client_id": {"web"}, "client_secret": {"TEST-web-secret"}, "username": {"alice"},
		"password": {"TEST-password"}, "scope": {"openid"},
	})
}

// Logout ends alice's sessions.
func (p *Provider) Logout() {
	k := p.kind.(keycloak)
	var users []struct {
		ID string `json:"id"`
	}
	call(p.t, http.MethodGet, k.root+"/admin/realms/stepward/users?username=alice", k.admin(p.t), nil, &users)
	call(p.t, http.MethodPost, k.root+"/admin/realms/stepward/users/"+users[0].ID+"/logout", k.admin(p.t), nil, nil)
}

func (k keycloak) admin(t testing.TB) string {
	return tokenOf(t, k.root+"/realms/master/protocol/openid-connect/token", url.Values{
		"grant_type": {"password"}, "client_id": {"admin-cli"}, "username": {"admin"},
		"password": {"TEST-admin-password"},
	})
}

// component is a key provider of the realm.
type component struct {
	ID           string              `json:"id,omitempty"`
	Name         string              `json:"name"`
	ProviderID   string              `json:"providerId"`
	ProviderType string              `json:"providerType"`
	Parent       string              `json:"parentId"`
	Config       map[string][]string `json:"config"`
}

func (k keycloak) keys(t testing.TB) []component {
	var all []component
	call(t, http.MethodGet, k.root+"/admin/realms/stepward/components?type=org.keycloak.keys.KeyProvider", k.admin(t),
		nil, &all)
	all = slices.DeleteFunc(all, func(c component) bool { return c.ProviderID != "rsa-generated" })
	slices.SortFunc(all, func(a, b component) int {
		return len(a.Config["priority"][0]) - len(
			b.Config["priority"][0])
	})
	return all
}

func (k keycloak) rotate(t testing.TB, _ *Provider) {
	old := k.keys(t)
	last := old[len(old)-1]
	call(t, http.MethodPost, k.root+"/admin/realms/stepward/components", k.admin(t), component{
		Name: fmt.Sprintf("rsa-%d", len(old)), ProviderID: "rsa-generated",
		ProviderType: "org.keycloak.keys.KeyProvider", Parent: last.Parent,
		// One digit more than the priority of the key that has signed so far.
		Config: map[string][]string{"priority": {last.Config["priority"][0] + "0"}, "keySize": {"2048"}, "algorithm": {
			"RS256"}, "active": {"true"}, "enabled": {"true"}},
	}, nil)
}

func (k keycloak) drop(t testing.TB, _ *Provider) {
	old := k.keys(t)
	for _, c := range old[:len(old)-1] {
		call(t, http.MethodDelete, k.root+"/admin/realms/stepward/components/"+c.ID, k.admin(t), nil, nil)
	}
}
