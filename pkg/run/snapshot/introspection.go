package snapshot

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/stepward/stepward/pkg/config"
	"github.com/stepward/stepward/pkg/config/files"
	"github.com/stepward/stepward/pkg/stepup"
	"github.com/stepward/stepward/pkg/trust/introspection"
	"github.com/stepward/stepward/pkg/trust/jwt"
	"github.com/stepward/stepward/pkg/trust/outbound"
	"github.com/stepward/stepward/pkg/trust/statuslist"
)

// introspection sets the terms on which issuer i is asked about tokens. x is i as the
// verifier knows it, and ladder is in its words.
func (t trust) introspection(i config.Issuer, x jwt.Issuer, ladder stepup.Ladder) (*jwt.Introspection, error) {
	in, o := i.Introspection, t.options
	client, authenticate, err := t.introspectionClient(i)
	if err != nil {
		return nil, err
	}
	settings := introspection.Config{
		Endpoint: in.Endpoint, Client: client, Authenticate: authenticate, CacheMax: time.Duration(in.CacheMax),
		Now: o.Now,
		OnAnswer: func(active bool, err error) {
			if o.OnAnswer != nil {
				o.OnAnswer(i.Name, active, err)
			}
		},
	}
	if in.Response == "jwt" {
		signed := jwt.NewSigned(x, o.Now)
		settings.Signed = func(ctx context.Context, raw string) (map[string]any, error) {
			return signed.Introspection(ctx, raw, in.ClientID)
		}
	}
	return &jwt.Introspection{Client: introspection.New(settings), Prefix: in.Prefix, All: in.Tokens == "all",
		Rank: ladder.Rank}, nil
}

// introspectionClient returns the HTTP client for asking issuer i, and how we authenticate
// to it.
func (t trust) introspectionClient(i config.Issuer) (*outbound.Client, func(http.Header, url.Values) error, error) {
	in := i.Introspection
	switch in.AuthMethod {
	case "client_secret_basic", "client_secret_post":
		secret, err := readSecret(in.ClientSecretFile, t.options.Look)
		if err != nil {
			return nil, nil, err
		}
		if in.AuthMethod == "client_secret_post" {
			return t.caller.client, introspection.Post(in.ClientID, secret), nil
		}
		return t.caller.client, introspection.Basic(in.ClientID, secret), nil
	case "private_key_jwt":
		text, err := t.options.Look.Read(in.KeyFile, files.MaxFile)
		if err != nil {
			return nil, nil, err
		}
		key, err := jwt.ParseSigner(text)
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %w", in.KeyFile, err)
		}
		a := jwt.Assertion{Key: key, KeyID: in.KeyID, ClientID: in.ClientID, Audience: i.Issuer, Now: t.options.Now,
			Rand: rand.Reader}
		return t.caller.client, introspection.PrivateKeyJWT(in.ClientID, a.Sign), nil
	case "tls_client_auth":
		calls := t.calls
		calls.CertFile, calls.KeyFile = in.CertFile, in.KeyFile
		settings, _, err := outboundOf(calls, t.options.Look)
		if err != nil {
			return nil, nil, err
		}
		return outbound.New(settings), introspection.TLS(in.ClientID), nil
	}
	return nil, nil, fmt.Errorf("auth_method %q is not known", in.AuthMethod)
}

// readSecret reads a client secret, without the line feed at its end.
func readSecret(name string, look *files.Look) (string, error) {
	text, err := look.Read(name, files.MaxFile)
	if err != nil {
		return "", err
	}
	secret := strings.TrimRight(string(text), "\r\n")
	if secret == "" {
		return "", fmt.Errorf("%s is empty; it must hold the client secret", name)
	}
	return secret, nil
}

// lists makes the status lists of issuer i, on its own host and the configured ones. x is i
// as the verifier knows it.
func (t trust) lists(i config.Issuer, x jwt.Issuer) *statuslist.Lists {
	hosts := append([]string(nil), i.StatusLists.Hosts...)
	if u, err := url.Parse(i.Issuer); err == nil {
		hosts = append(hosts, u.Hostname())
	}
	signed := jwt.NewSigned(x, t.options.Now)
	return statuslist.New(statuslist.Config{
		Client: t.caller.client, Hosts: hosts, Now: t.options.Now,
		Verify: func(ctx context.Context, raw string) (map[string]any, error) {
			return signed.Claims(ctx, raw, statuslist.Type)
		},
	})
}
