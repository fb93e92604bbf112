package rehearsal

import (
	"os"
	"path/filepath"
	"time"

	"github.com/stepward/stepward/pkg/config"
)

// Config is the default configuration of a rehearsal: three levels, one issuer, and a login
// application for browsers.
const Config = `issuers: [{ name: corp, issuer: "https://idp.example.com", audiences: ["https://api.example.com"] }]
levels:
- { name: password, acr: ["urn:example:loa:1"], amr: [[pwd]] }
- { name: mfa, acr: ["urn:example:loa:2"], amr: [[mfa], [pwd, otp]] }
- { name: phishing-resistant, acr: [phr, phrh] }
login_redirect: { url: "https://login.example.com/step-up", hosts: [app.example.com] }
policy: { default: true, timeout: 5s }
limits: { deadline: 10s }
`

// Default parses [Config].
func Default() (config.Config, error) {
	return config.Parse("built-in", []byte(Config), config.Options{})
}

// Beside returns the stepward.yaml next to a policy or in the folder above it, or nothing.
// path is a file or folder of the policy.
func Beside(path string) string {
	dir := path
	if info, err := os.Stat(path); err == nil && !info.IsDir() {
		dir = filepath.Dir(path)
	}
	for _, d := range []string{dir, filepath.Join(dir, "..")} {
		file := filepath.Join(d, "stepward.yaml")
		if _, err := os.Stat(file); err == nil {
			return file
		}
	}
	return ""
}

// patience is the minimum time that a policy gets in a rehearsal.
const patience = 10 * time.Second

// Patient returns c with more time for the policy than in a service.
func Patient(c config.Config) config.Config {
	c.Policy.Timeout = max(c.Policy.Timeout, config.Duration(patience))
	return c
}
