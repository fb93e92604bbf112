package keyset

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/stepward/stepward/pkg/config/address"
	"github.com/stepward/stepward/pkg/internal/strictjson"
	"github.com/stepward/stepward/pkg/trust/outbound"
)

// Metadata holds what an issuer says about itself (OpenID Connect Discovery §3, RFC 8414
// §2). Members that it leaves out are empty or false.
type Metadata struct {
	Issuer                string
	JWKSURI               string
	AuthorizationEndpoint string
	TokenEndpoint         string
	IntrospectionEndpoint string
	PushedRequestEndpoint string   // RFC 9126 §5
	ACRValues             []string // acr_values_supported
	DPoPAlgorithms        []string // RFC 9449 §5.1
	ClaimsParameter       bool     // OpenID Connect Core §5.5
}

// Discover gets the metadata of an issuer by OpenID Connect Discovery §4, or otherwise by
// RFC 8414 §3. The metadata must name the issuer exactly (Discovery §4.3). Any error means
// that there is no metadata that we can believe.
func Discover(ctx context.Context, client *outbound.Client, issuer string) (Metadata, error) {
	u, err := url.Parse(issuer)
	if err != nil {
		return Metadata{}, errors.New("keyset: the issuer is not a URL")
	}
	res, err := getJSON(ctx, client, strings.TrimSuffix(issuer, "/")+"/.well-known/openid-configuration")
	if status := (*statusError)(nil); errors.As(err, &status) && (status.status == http.StatusNotFound ||
		status.status == http.StatusMethodNotAllowed) {
		oauth := url.URL{Scheme: u.Scheme, Host: u.Host, Path: "/.well-known/oauth-authorization-server" +
			strings.TrimSuffix(u.Path, "/")}
		var again error
		if res, again = getJSON(ctx, client, oauth.String()); again != nil {
			return Metadata{}, errors.Join(err, again)
		}
	} else if err != nil {
		return Metadata{}, err
	}
	return ParseMetadata(res.Body, issuer)
}

// ParseMetadata reads the metadata of an issuer, by the rules of [Discover].
func ParseMetadata(text []byte, issuer string) (Metadata, error) {
	o, err := strictjson.Object(text)
	if err != nil {
		return Metadata{}, fmt.Errorf("keyset: the metadata of %s: %w", issuer, err)
	}
	var m Metadata
	if m.Issuer, _ = o["issuer"].(string); m.Issuer != issuer {
		return Metadata{}, fmt.Errorf("keyset: the metadata of %s is of another issuer, %q", issuer, m.Issuer)
	}
	for name, into := range map[string]*string{
		"jwks_uri": &m.JWKSURI, "authorization_endpoint": &m.AuthorizationEndpoint, "token_endpoint": &m.TokenEndpoint,
		"introspection_endpoint":                &m.IntrospectionEndpoint,
		"pushed_authorization_request_endpoint": &m.PushedRequestEndpoint,
	} {
		value, there := o[name]
		if !there {
			continue
		}
		*into, _ = value.(string)
		if err := address.CheckURL(*into); err != nil {
			return Metadata{}, fmt.Errorf("keyset: %s of %s %w", name, issuer, err)
		}
	}
	if m.JWKSURI == "" {
		return Metadata{}, fmt.Errorf("keyset: the metadata of %s have no jwks_uri", issuer)
	}
	for name, into := range map[string]*[]string{
		"acr_values_supported": &m.ACRValues, "dpop_signing_alg_values_supported": &m.DPoPAlgorithms,
	} {
		*into = texts(o[name])
	}
	m.ClaimsParameter = o["claims_parameter_supported"] == true
	return m, nil
}

// texts returns the strings in a list.
func texts(list any) []string {
	values, _ := list.([]any)
	var out []string
	for _, v := range values {
		switch v := v.(type) {
		case string:
			out = append(out, v)
		case json.Number: // an acr is a string, but numbers are common
			out = append(out, v.String())
		}
	}
	return out
}
