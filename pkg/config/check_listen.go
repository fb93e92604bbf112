package config

import (
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"strings"
	"time"
)

// longestSocket limits the path of a socket, in bytes. The kernel's own limit is only
// slightly higher.
const longestSocket = 100

// listener permits plain text only where nobody else can listen, on a socket or on
// loopback, or if the operator says so.
func (d *decoder) listener(listen string, t TLS, insecure bool) {
	if path, ok := strings.CutPrefix(listen, "unix://"); ok {
		if !isSocket(path) {
			d.failAt("listen", "must name an absolute path of at most 100 bytes", "such as unix:///run/stepward.sock")
		}
		return
	}
	host, _, err := net.SplitHostPort(listen)
	if err != nil {
		d.failAt("listen", "must be host:port or unix:///path", "such as 127.0.0.1:9191")
		return
	}
	if insecure || t.CertFile != "" || host == "localhost" {
		return
	}
	if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
		d.failAt("listen", "is not on loopback, and the listener has no TLS",
			"listen on 127.0.0.1, set tls, or pass --insecure-plaintext-listener where the network is trusted")
	}
}

func isSocket(path string) bool { return filepath.IsAbs(path) && len(path) <= longestSocket }

func (d *decoder) tls(t TLS) {
	d.pair("tls", t.CertFile, t.KeyFile, "needs cert_file and key_file")
	if t.CertFile == "" && t.ClientCAFile != "" {
		d.failAt("tls.client_ca_file", "needs cert_file and key_file", "")
	}
	if t.ClientCAFile == "" && len(t.ClientIDs) > 0 {
		d.failAt("tls.client_ids", "needs client_ca_file", "without it a certificate proves nothing")
	}
	for i, id := range t.ClientIDs {
		if !isSPIFFE(id) {
			d.failAt(fmt.Sprintf("tls.client_ids[%d]", i), "must be a SPIFFE ID", "such as spiffe://example.com/envoy")
		}
	}
}

func isSPIFFE(id string) bool {
	u, err := url.Parse(id)
	return err == nil && u.Scheme == "spiffe" && u.Host != "" && u.RawQuery == "" && u.Fragment == "" &&
		u.User == nil && u.String() == id
}

func (d *decoder) admin(address string) {
	if _, _, err := net.SplitHostPort(address); err != nil {
		d.failAt("admin", "must be host:port", "such as 127.0.0.1:9192")
	}
}

func (d *decoder) control(address string) {
	if address == "" {
		return
	}
	if path, ok := strings.CutPrefix(address, "unix://"); !ok || !isSocket(path) {
		d.failAt("control", "must be unix:// and an absolute path of at most 100 bytes",
			"such as unix:///run/stepward-control.sock; it is never served over TCP")
	}
}

func (d *decoder) limits(l Limits, policyTimeout Duration) {
	if time.Duration(l.Deadline) > 10*time.Second {
		d.failAt("limits.deadline", "is more than 10s", "Envoy gives up first, and its own answer tells nobody why")
	}
	if policyTimeout > l.Deadline {
		d.failAt("policy.timeout", "is more than limits.deadline", "a policy cannot use more time than there is")
	}
	for path, v := range map[string]Size{"limits.token": l.Token, "limits.path": l.Path, "limits.query": l.Query,
		"limits.headers": l.Headers} {
		if v > 1<<20 {
			d.failAt(path, "is more than 1MiB", "")
		}
	}
	if l.Message > 64<<20 {
		d.failAt("limits.message", "is more than 64MiB", "")
	}
	for path, v := range map[string]int{"limits.segments": l.Segments, "limits.query_parameters": l.QueryParameters,
		"limits.header_lines": l.HeaderLines} {
		if v < 1 || v > 10000 {
			d.failAt(path, "must be 1 to 10000", "")
		}
	}
	if l.InFlight < 1 || l.InFlight > 1<<20 {
		d.failAt("limits.in_flight", "must be 1 to 1048576", "")
	}
}

func (d *decoder) log(l Log, bundles Bundles) {
	d.oneOf("log.level", l.Level)
	d.oneOf("log.decisions", l.Decisions)
	if (l.Decisions == "file") != (l.File != "") {
		d.failAt("log.file", "belongs to decisions: file: set both, or neither",
			"such as log: { decisions: file, file: decisions.log }")
	}
	if l.MaxFiles < 1 || l.MaxFiles > 1000 {
		d.failAt("log.max_files", "must be 1 to 1000", "")
	}
	keepsInput := l.Input || bundles.ConfigFile != ""
	d.pointers("log.mask", l.Mask, keepsInput)
	d.pointers("log.keep", l.Keep, keepsInput)
}

// pointers requires JSON pointers (RFC 6901) into the input, and requires that an input be
// kept.
func (d *decoder) pointers(path string, list []string, keepsInput bool) {
	for i, p := range list {
		if !strings.HasPrefix(p, "/input/") || strings.HasSuffix(p, "/") {
			d.failAt(fmt.Sprintf("%s[%d]", path, i),
				fmt.Sprintf("%q is not a JSON pointer that begins with /input/", p),
				"such as /input/token/claims/email")
		}
	}
	if len(list) > 0 && !keepsInput {
		d.failAt(path, "needs input: true, or decision logs of OPA", "nothing else keeps an input")
	}
}
