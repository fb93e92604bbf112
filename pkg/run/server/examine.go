package server

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/stepward/stepward/pkg/config"
	"github.com/stepward/stepward/pkg/config/files"
	"github.com/stepward/stepward/pkg/trust/jwt"
	"github.com/stepward/stepward/pkg/trust/keyset"
	"github.com/stepward/stepward/pkg/trust/outbound"
)

// Point is one thing about an issuer that a person may have to act on.
type Point struct {
	Name   string
	Grade  string // ok, warn or fail
	Detail string
	Hint   string
}

// Examine talks to the issuer i of c, as the service would, and says what it finds.
func Examine(ctx context.Context, c config.Config, i config.Issuer) []Point {
	out, err := newCaller(c, SnapshotOptions{Look: files.NewLook()})
	if err != nil {
		return []Point{{"outbound", "fail", err.Error(), ""}}
	}
	defer out.client.Close()
	list, status, date := reach(ctx, out.client, i)
	if status.Count > 0 {
		list = append(list, algorithms(i, status)...)
		list = append(list, compare(c, i, status.Status)...)
	}
	if i.Introspection.Endpoint != "" {
		list = append(list, askPoint(ctx, c, i, out))
	}
	if !date.IsZero() {
		list = append(list, clockPoint(time.Since(date)))
	}
	return list
}

// keysOf are the keys of an issuer as they were found.
type keysOf struct {
	keyset.Status
	set keyset.Set
}

// reach gets metadata and keys, and the provider's time.
func reach(ctx context.Context, client *outbound.Client, i config.Issuer) (list []Point, found keysOf, date time.Time) {
	m, err := keyset.Discover(ctx, client, i.Issuer)
	switch {
	case err == nil:
		list = append(list, Point{"discovery", "ok", "reachable, and names the issuer exactly", ""})
	case i.JWKSURI != "" || i.JWKSFile != "":
		list = append(list, Point{"discovery", "warn", err.Error(),
			"not needed for keys, since the configuration says where they are; levels cannot be compared without"})
	default:
		return []Point{{"discovery", "fail", err.Error(), hint(err)}}, found, date
	}
	found.Metadata = m
	uri := i.JWKSURI
	if uri == "" {
		uri = m.JWKSURI
	}
	if i.JWKSFile != "" {
		text, err := files.NewLook().Read(i.JWKSFile, files.MaxFile)
		if err == nil {
			found.set, found.Skipped, err = keyset.Parse(text)
		}
		if err != nil {
			return append(list, Point{"keys", "fail", err.Error(), ""}), found, date
		}
		uri = i.JWKSFile
	} else {
		var res outbound.Response
		if found.set, found.Skipped, res, err = keyset.Get(ctx, client, uri); err != nil {
			return append(list, Point{"keys", "fail", err.Error(), hint(err)}), found, date
		}
		date, _ = http.ParseTime(res.Header.Get("Date")) // zero without
	}
	found.Count, found.Keys = found.set.Len(), found.set.Names()
	list = append(list, Point{"keys", "ok", fmt.Sprintf("%d usable from %s: %s", found.Count, uri,
		strings.Join(found.Keys, ", ")), ""})
	for _, s := range found.Skipped {
		list = append(list, Point{"keys", "ok", fmt.Sprintf("the one at place %d is not used: %s", s.Index,
			strings.TrimPrefix(s.Why.Error(), "keyset: ")), ""})
	}
	return list, found, date
}

func hint(err error) string {
	text := err.Error()
	switch {
	case strings.Contains(text, "outbound.allow"):
		return ""
	case strings.Contains(text, "another issuer"):
		return "write issuer as the provider calls itself, byte for byte: a slash at the end counts"
	case strings.Contains(text, "certificate"):
		return "outbound.ca_file names the authority of a private certificate"
	}
	return "try the address from this machine; https_proxy is honoured"
}

// algorithms holds the configured algorithms against the keys.
func algorithms(i config.Issuer, found keysOf) []Point {
	configured := i.Algorithms
	if len(configured) == 0 {
		configured = jwt.Algorithms
	}
	var used, unused []string
	for _, k := range found.set.Keys() {
		if slices.ContainsFunc(configured, k.Verifies) {
			used = append(used, k.ID)
		} else {
			unused = append(unused, k.ID)
		}
	}
	if len(used) == 0 {
		return []Point{{"algorithms", "fail", "no key is for any of " + strings.Join(configured, ", "),
			"list under algorithms what the provider signs access tokens with"}}
	}
	if len(unused) > 0 {
		return []Point{{"algorithms", "warn", fmt.Sprintf("%s are for none of %s: tokens signed with them are refused",
			strings.Join(unused, ", "), strings.Join(configured, ", ")),
			"list under algorithms what the provider signs access tokens with"}}
	}
	return []Point{{"algorithms", "ok", strings.Join(configured, ", "), ""}}
}

// askPoint asks about a token that nobody has issued. The answer to that shows that we
// may ask, and is the same where we may ask and are shown nothing.
func askPoint(ctx context.Context, c config.Config, i config.Issuer, out caller) Point {
	in, err := newIntrospection(c, i, SnapshotOptions{}.withDefaults(), out, jwt.Issuer{Name: i.Name, URL: i.Issuer})
	if err != nil {
		return Point{"introspection", "fail", err.Error(), ""}
	}
	if i.Introspection.Response == "jwt" {
		return Point{"introspection", "ok", "not tried: answers are signed, and keys are the service's", ""}
	}
	answer, err := in.Client.Introspect(ctx, i.Introspection.Prefix+"stepward-doctor")
	switch {
	case err != nil:
		return Point{"introspection", "fail", err.Error(),
			"client_id, auth_method and its secret or key; the provider's log says more"}
	case answer.Active:
		return Point{"introspection", "fail", "the issuer takes a token that nobody has issued for active",
			"is endpoint its introspection_endpoint?"}
	}
	return Point{"introspection", "ok",
		"answers us; if it says of every token that it is not active, this client is not in its aud (Keycloak 26.6.2 and later)", ""}
}

func clockPoint(off time.Duration) Point {
	if off.Abs() > 10*time.Second {
		return Point{"clock", "fail", fmt.Sprintf("differs from the provider's by %s", off.Round(time.Second)),
			"leeway is for seconds; set the clock by NTP"}
	}
	return Point{"clock", "ok", "as the provider's", ""}
}

// compare holds what the configuration asks of an issuer against what its metadata
// say that it can. Without metadata there is nothing to compare.
func compare(c config.Config, i config.Issuer, k keyset.Status) []Point {
	m := k.Metadata
	if m.Issuer == "" {
		return nil
	}
	list := levels(c, i, m)
	can := func(name string, yes bool, detail, without string) {
		if yes {
			list = append(list, Point{name, "ok", detail, ""})
		} else {
			list = append(list, Point{name, "ok", without, ""})
		}
	}
	can("claims parameter", m.ClaimsParameter, "supported: acr can be asked for as essential",
		"not supported: acr is asked for by acr_values")
	can("pushed requests", m.PushedRequestEndpoint != "", "supported (RFC 9126)", "not supported (RFC 9126)")
	can("dpop", len(m.DPoPAlgorithms) > 0, "supported with "+strings.Join(m.DPoPAlgorithms, ", "),
		"not supported (RFC 9449)")
	if len(i.DPoP.Origins) > 0 && len(m.DPoPAlgorithms) == 0 {
		list = append(list, Point{"dpop", "warn", "dpop is configured, and the issuer's metadata do not name it",
			"its tokens will not be bound; see dpop_signing_alg_values_supported"})
	}
	switch at := i.Introspection.Endpoint; {
	case at != "" && m.IntrospectionEndpoint != "" && at != m.IntrospectionEndpoint:
		list = append(list, Point{"introspection", "warn", fmt.Sprintf("is configured at %s, and the metadata say %s",
			at, m.IntrospectionEndpoint), ""})
	case m.IntrospectionEndpoint != "":
		list = append(list, Point{"introspection", "ok", m.IntrospectionEndpoint, ""})
	}
	return list
}

// levels names the acr values of the ladder that the issuer does not say it can
// reach, which would be asked for in vain.
func levels(c config.Config, i config.Issuer, m keyset.Metadata) []Point {
	if i.Assurance.Claim != "acr" {
		return nil
	}
	if len(m.ACRValues) == 0 {
		return []Point{
			{
				"levels", "ok",
				"the issuer's metadata name no acr_values_supported; whether it reaches the levels shows only in its tokens", ""}}
	}
	var list []Point
	for _, l := range c.Levels {
		values := l.ACR
		if own, ok := i.Levels[l.Name]; ok {
			values = own.ACR
		}
		reached := slices.DeleteFunc(slices.Clone(values), func(a string) bool {
			return !slices.Contains(m.ACRValues, a)
		})
		switch {
		case len(values) == 0:
		case len(reached) == 0:
			list = append(list, Point{"levels", "warn",
				fmt.Sprintf("level %s is proven by %s, and acr_values_supported has none of them: %s", l.Name,
					strings.Join(values, ", "), strings.Join(m.ACRValues, ", ")),
				"issuers[].levels gives this issuer's own words for a level"})
		default:
			list = append(list, Point{"levels", "ok", fmt.Sprintf("level %s by %s", l.Name,
				strings.Join(reached, ", ")), ""})
		}
	}
	return list
}
