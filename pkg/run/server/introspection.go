package server

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
	"github.com/stepward/stepward/pkg/trust/introspection"
	"github.com/stepward/stepward/pkg/trust/jwt"
	"github.com/stepward/stepward/pkg/trust/outbound"
	"github.com/stepward/stepward/pkg/trust/statuslist"
)

// newIntrospection are the terms on which an issuer is asked about tokens, or nil where
// it is not.
func newIntrospection(c config.Config, i config.Issuer, o SnapshotOptions, out caller, x jwt.Issuer) (
	*jwt.Introspection, error) {
	in := i.Introspection
	if in.Endpoint == "" {
		return nil, nil
	}
	client, authenticate, err := introspectionClient(c, i, o, out)
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
	ladder, err := c.LadderOf(i.Name)
	if err != nil {
		return nil, err
	}
	return &jwt.Introspection{Client: introspection.New(settings), Prefix: in.Prefix, All: in.Tokens == "all",
		Rank: ladder.Rank}, nil
}

// introspectionClient is what an issuer is asked with, and what proves to it who asks.
func introspectionClient(c config.Config, i config.Issuer, o SnapshotOptions, out caller) (*outbound.Client,
	func(http.Header, url.Values) error, error) {
	in := i.Introspection
	switch in.AuthMethod {
	case "client_secret_basic", "client_secret_post":
		text, err := o.Look.Read(in.ClientSecretFile, files.MaxFile)
		if err != nil {
			return nil, nil, err
		}
		secret := strings.TrimRight(string(text), "\r\n")
		if secret == "" {
			return nil, nil, fmt.Errorf("%s is empty", in.ClientSecretFile)
		}
		if in.AuthMethod == "client_secret_post" {
			return out.client, introspection.Post(in.ClientID, secret), nil
		}
		return out.client, introspection.Basic(in.ClientID, secret), nil
	case "private_key_jwt":
		text, err := o.Look.Read(in.KeyFile, files.MaxFile)
		if err != nil {
			return nil, nil, err
		}
		key, err := jwt.ParseSigner(text)
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %w", in.KeyFile, err)
		}
		a := jwt.Assertion{Key: key, KeyID: in.KeyID, ClientID: in.ClientID, Audience: i.Issuer, Now: o.Now,
			Rand: rand.Reader}
		return out.client, introspection.PrivateKeyJWT(in.ClientID, a.Sign), nil
	case "tls_client_auth":
		settings, _, err := outboundOf(c, in.CertFile, in.KeyFile, o.Look)
		if err != nil {
			return nil, nil, err
		}
		return outbound.New(settings), introspection.TLS(in.ClientID), nil
	}
	return nil, nil, fmt.Errorf("auth_method %q is not known", in.AuthMethod)
}

// newLists are the status lists of an issuer, at its own host and at those that are
// configured.
func newLists(i config.Issuer, o SnapshotOptions, out caller, x jwt.Issuer) *statuslist.Lists {
	hosts := append([]string(nil), i.StatusLists.Hosts...)
	if u, err := url.Parse(i.Issuer); err == nil {
		hosts = append(hosts, u.Hostname())
	}
	signed := jwt.NewSigned(x, o.Now)
	return statuslist.New(statuslist.Config{
		Client: out.client, Hosts: hosts, Now: o.Now,
		Verify: func(ctx context.Context, raw string) (map[string]any, error) {
			return signed.Claims(ctx, raw, statuslist.Type)
		},
	})
}
