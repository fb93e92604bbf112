package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/stepward/stepward/pkg/config"
	"github.com/stepward/stepward/pkg/credential"
	"github.com/stepward/stepward/pkg/strictjson"
	"github.com/stepward/stepward/pkg/token"
)

// pretended is a verifier that takes every credential for the same token. It is
// for explanations only.
type pretended struct{ token token.Token }

func (p pretended) Verify(context.Context, credential.Credential) (token.Token, error) {
	return p.token, nil
}

// asVerified is a verifier for claims that nobody has signed. auth_age, a length
// of time, stands for auth_time.
func asVerified(text string, c config.Config, now time.Time) (pretended, error) {
	claims, err := strictjson.Object([]byte(text))
	if err != nil {
		return pretended{}, err
	}
	if len(c.Issuers) == 0 {
		return pretended{}, errors.New("the configuration trusts no issuer")
	}
	issuer := c.Issuers[0]
	if iss, ok := claims["iss"].(string); ok {
		issuer = config.Issuer{}
		for _, i := range c.Issuers {
			if i.Issuer == iss || i.Name == iss {
				issuer = i
			}
		}
		if issuer.Name == "" {
			return pretended{}, fmt.Errorf("iss %q is not a configured issuer", iss)
		}
	}
	t := token.Token{
		Issuer: issuer.Issuer, IssuerName: issuer.Name, Subject: "alice", Principal: token.User, Scheme: token.Bearer,
		Audience: issuer.Audiences, IssuedAt: now, ExpiresAt: now.Add(5 * time.Minute), Claims: claims,
	}
	for name, into := range map[string]*string{"sub": &t.Subject, "client_id": &t.ClientID, "acr": &t.ACR} {
		if v, there := claims[name]; there {
			s, ok := v.(string)
			if !ok {
				return pretended{}, fmt.Errorf("%s is not a string", name)
			}
			*into = s
		}
	}
	if t.Subject == "" || t.Subject == t.ClientID {
		t.Principal = token.Client
	}
	if scope, ok := claims["scope"].(string); ok {
		t.Scopes = strings.Fields(scope)
	}
	if list, ok := claims["amr"].([]any); ok {
		for _, m := range list {
			t.AMR = append(t.AMR, fmt.Sprint(m))
		}
	}
	t.AuthTime, err = authTime(claims, now)
	delete(claims, "auth_age")
	return pretended{t}, err
}

func authTime(claims map[string]any, now time.Time) (time.Time, error) {
	if age, there := claims["auth_age"]; there {
		d, err := time.ParseDuration(fmt.Sprint(age))
		if err != nil {
			return time.Time{}, errors.New("auth_age is not a length of time, such as \"301s\"")
		}
		return now.Truncate(time.Second).Add(-d), nil
	}
	if n, ok := claims["auth_time"].(json.Number); ok {
		seconds, err := n.Int64()
		return time.Unix(seconds, 0), err
	}
	return time.Time{}, nil
}
