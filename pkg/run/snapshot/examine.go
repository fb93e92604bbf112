package snapshot

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/stepward/stepward/pkg/config"
	"github.com/stepward/stepward/pkg/config/files"
	"github.com/stepward/stepward/pkg/stepup"
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

func ok(name, detail string) Point         { return Point{Name: name, Grade: "ok", Detail: detail} }
func warn(name, detail, hint string) Point { return Point{name, "warn", detail, hint} }
func fail(name, detail, hint string) Point { return Point{name, "fail", detail, hint} }

// Examine talks to the issuer i of c, as the service would, and says what it finds.
func Examine(ctx context.Context, c config.Config, i config.Issuer) []Point {
	o := Options{}.withDefaults()
	calls := reachable(c.Outbound, c.Issuers)
	out, err := newCaller(calls, o)
	if err != nil {
		return []Point{fail("outbound", err.Error(), "")}
	}
	defer out.client.Close()
	list, found, date := reach(ctx, out.client, i)
	if found.Count > 0 {
		list = append(list, algorithmPoint(i, found))
		list = append(list, MetadataPoints(c.Levels, i, found.Metadata)...)
	}
	if i.Introspection.Endpoint != "" {
		list = append(list, trust{options: o, calls: calls, caller: out}.introspectionPoint(ctx, i))
	}
	if !date.IsZero() {
		list = append(list, clockPoint(time.Since(date)))
	}
	return list
}

// published holds what an issuer publishes.
type published struct {
	keyset.Status
	set keyset.Set
}

// reach gets metadata and keys, and the provider's time.
func reach(ctx context.Context, client *outbound.Client, i config.Issuer) (list []Point, found published,
	date time.Time) {
	m, err := keyset.Discover(ctx, client, i.Issuer)
	switch {
	case err == nil:
		list = append(list, ok("discovery", "reachable, and names the issuer exactly"))
	case i.JWKSURI != "" || i.JWKSFile != "":
		list = append(list, warn("discovery", err.Error(),
			"not needed for keys, since the configuration says where they are; levels cannot be compared without"))
	default:
		return []Point{fail("discovery", err.Error(), hint(err))}, found, date
	}
	found.Metadata = m
	from, date, err := found.getKeys(ctx, client, i)
	if err != nil {
		return append(list, fail("keys", err.Error(), keyHint(i, err))), found, date
	}
	found.Count, found.Keys = found.set.Len(), found.set.Names()
	list = append(list, ok("keys", fmt.Sprintf("%d usable from %s: %s", found.Count, from,
		strings.Join(found.Keys, ", "))))
	for _, s := range found.Skipped {
		list = append(list, ok("keys", fmt.Sprintf("the one at place %d is not used: %s", s.Index,
			strings.TrimPrefix(s.Why.Error(), "keyset: "))))
	}
	return list, found, date
}

// getKeys gets the keys of i. It returns the file or address that they came from, and the
// provider's time, which is zero if unknown.
func (p *published) getKeys(ctx context.Context, client *outbound.Client, i config.Issuer) (from string,
	date time.Time, err error) {
	if i.JWKSFile != "" {
		text, err := files.NewLook().Read(i.JWKSFile, files.MaxFile)
		if err == nil {
			p.set, p.Skipped, err = keyset.Parse(text)
		}
		return i.JWKSFile, date, err
	}
	if from = i.JWKSURI; from == "" {
		from = p.Metadata.JWKSURI
	}
	var res outbound.Response
	if p.set, p.Skipped, res, err = keyset.Get(ctx, client, from); err == nil {
		date, _ = http.ParseTime(res.Header.Get("Date")) // zero without
	}
	return from, date, err
}

// keyHint returns the [hint] if the keys are fetched.
func keyHint(i config.Issuer, err error) string {
	if i.JWKSFile != "" {
		return ""
	}
	return hint(err)
}

// hint says what to do about a call that failed.
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

// algorithmPoint compares the configured algorithms with the keys.
func algorithmPoint(i config.Issuer, found published) Point {
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
	const remedy = "list under algorithms what the provider signs access tokens with"
	switch names := strings.Join(configured, ", "); {
	case len(used) == 0:
		return fail("algorithms", "no key is for any of "+names, remedy)
	case len(unused) > 0:
		return warn("algorithms", fmt.Sprintf("%s are for none of %s: tokens signed with them are refused",
			strings.Join(unused, ", "), names), remedy)
	default:
		return ok("algorithms", names)
	}
}

// introspectionPoint asks about a token that nobody has issued. The answer shows that we
// may ask, but is the same if we may ask and are never shown anything.
func (t trust) introspectionPoint(ctx context.Context, i config.Issuer) Point {
	in, err := t.introspection(i, jwt.Issuer{Name: i.Name, URL: i.Issuer}, stepup.Ladder{})
	if err != nil {
		return fail("introspection", err.Error(), "")
	}
	if i.Introspection.Response == "jwt" {
		return ok("introspection", "not tried: answers are signed, and keys are the service's")
	}
	answer, err := in.Client.Introspect(ctx, i.Introspection.Prefix+"stepward-doctor")
	switch {
	case err != nil:
		return fail("introspection", err.Error(),
			"client_id, auth_method and its secret or key; the provider's log says more")
	case answer.Active:
		return fail("introspection", "the issuer takes a token that nobody has issued for active",
			"is endpoint its introspection_endpoint?")
	}
	return ok("introspection", "answers us; if it says of every token that it is not active, "+
		"this client is not in its aud (Keycloak 26.6.2 and later)")
}

func clockPoint(off time.Duration) Point {
	if off.Abs() > 10*time.Second {
		return fail("clock", fmt.Sprintf("differs from the provider's by %s", off.Round(time.Second)),
			"leeway is for seconds; set the clock by NTP")
	}
	return ok("clock", "as the provider's")
}
