package config

import (
	"runtime"
	"time"
)

// WithDefaults returns c with every default in place.
func (c Config) WithDefaults() Config {
	fill(&c.Listen, "127.0.0.1:9191")
	fill(&c.Admin, "127.0.0.1:9192")
	issuers := make([]Issuer, len(c.Issuers))
	for i, x := range c.Issuers {
		issuers[i] = x.withDefaults()
	}
	c.Issuers = issuers
	fill(&c.Policy.Timeout, Duration(50*time.Millisecond))
	fill(&c.Request.PathCase, "sensitive")
	fill(&c.Upstream.HeaderPrefix, "x-stepward-")
	fill(&c.Upstream.Authorization, "pass")
	fill(&c.Challenge.Realm, "api")
	fill(&c.Challenge.Disclose, "full")
	if len(c.CORS.AllowHeaders) == 0 {
		c.CORS.AllowHeaders = []string{"authorization", "content-type"}
	}
	fill(&c.Errors.Status, 503)
	c.Limits = c.Limits.withDefaults()
	fill(&c.Outbound.Timeout, Duration(10*time.Second))
	fill(&c.Log.Level, "info")
	fill(&c.Log.Decisions, "stdout")
	fill(&c.Log.MaxSize, 100<<20)
	fill(&c.Log.MaxFiles, 5)
	fill(&c.Drain.Delay, Duration(5*time.Second))
	fill(&c.Drain.Cap, Duration(30*time.Second))
	return c
}

func (x Issuer) withDefaults() Issuer {
	fill(&x.Profile, "rfc9068")
	fill(&x.Assurance.Claim, "acr")
	fill(&x.Leeway, Duration(30*time.Second))
	fill(&x.DPoP.IATWindow, Duration(time.Minute))
	fill(&x.DPoP.Nonce, "off")
	fill(&x.Keys.RefreshMin, Duration(time.Minute))
	fill(&x.Keys.RefreshMax, Duration(time.Hour))
	fill(&x.Keys.UnknownKidCooldown, Duration(10*time.Second))
	fill(&x.Keys.RemovedAfter, Duration(5*time.Minute))
	fill(&x.Keys.StaleIfError, Duration(24*time.Hour))
	fill(&x.Introspection.Tokens, "opaque")
	fill(&x.Introspection.AuthMethod, "client_secret_basic")
	fill(&x.Introspection.Response, "json")
	fill(&x.Introspection.CacheMax, Duration(30*time.Second))
	return x
}

func (l Limits) withDefaults() Limits {
	fill(&l.Deadline, Duration(150*time.Millisecond))
	fill(&l.Token, 16<<10)
	fill(&l.Path, 4<<10)
	fill(&l.Query, 32<<10)
	fill(&l.Headers, 96<<10)
	fill(&l.Segments, 256)
	fill(&l.QueryParameters, 1000)
	fill(&l.HeaderLines, 256)
	fill(&l.Message, 4<<20)
	fill(&l.InFlight, 256*runtime.GOMAXPROCS(0))
	return l
}

// fill sets a field that was left out.
func fill[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}
