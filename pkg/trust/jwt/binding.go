package jwt

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"net/url"
	"strings"
	"time"

	"github.com/stepward/stepward/pkg/credential"
	"github.com/stepward/stepward/pkg/request"
	"github.com/stepward/stepward/pkg/token"
)

// confirmation is the cnf claim: the key that the token is bound to (RFC 7800 §3.1).
type confirmation struct {
	thumbprint  string // jkt: of the key that signs DPoP proofs (RFC 9449 §6.1)
	certificate string // x5t#S256: of the client certificate (RFC 8705 §3.1)
	// proof says that the token needs a proof because of its token_type or typ, whether or
	// not cnf names the key (RFC 9449 §5, §6.2).
	proof bool
}

// confirmationOf reads cnf. It ignores an unknown member, but a cnf without any known
// member cannot be checked.
func confirmationOf(claims map[string]any) (confirmation, error) {
	c := confirmation{proof: needsProof(claims)}
	raw, there := claims["cnf"]
	if !there {
		return c, nil
	}
	o, ok := raw.(map[string]any)
	if !ok {
		return confirmation{}, errors.New("cnf is not an object")
	}
	for name, into := range map[string]*string{"jkt": &c.thumbprint, "x5t#S256": &c.certificate} {
		if v, there := o[name]; there {
			s, ok := v.(string)
			if b, err := strict.DecodeString(s); !ok || err != nil || len(b) != sha256.Size {
				return confirmation{}, errors.New("cnf." + name + " is not the digest of a key")
			}
			*into = s
		}
	}
	if c.thumbprint == "" && c.certificate == "" {
		return confirmation{}, errors.New("cnf binds the token in no way that can be checked")
	}
	return c, nil
}

// needsProof reports whether claims, of a token or of an answer about one, say that the
// token is a DPoP token: as token_type (RFC 9449 §5) or as Keycloak's typ.
func needsProof(claims map[string]any) bool {
	for _, name := range []string{"token_type", "typ"} {
		if kind, _ := claims[name].(string); strings.EqualFold(kind, "DPoP") {
			return true
		}
	}
	return false
}

// bind checks every binding of the caller's token: a bound token never passes as a plain
// bearer (RFC 9449 §7.2, RFC 8705 §3), and a proof that comes with an unbound token proves
// nothing.
func (x *verified) bind(ctx context.Context, r request.Request, c credential.Credential, now time.Time) (
	*token.Token, *token.Error) {
	t, i := x.token, x.issuer
	t.Scheme = c.Scheme
	if x.confirmation.certificate != "" {
		got, err := r.ClientCertificate, error(nil)
		if got == "" {
			got, err = certificateThumbprint(r.Source.Certificate)
		}
		if err != nil {
			return nil, fail(token.BadBinding, i.Name, "the token is bound to a client certificate: %v", err)
		}
		if subtle.ConstantTimeCompare([]byte(got), []byte(x.confirmation.certificate)) != 1 {
			return nil, fail(token.BadBinding, i.Name, "the token is bound to another client certificate")
		}
		t.SenderConstrained = true
	}
	switch {
	case x.confirmation.thumbprint != "":
		if i.DPoP == nil || c.Scheme != credential.DPoP {
			return nil, fail(token.BadBinding, i.Name,
				"the token is bound to a key by DPoP, and was not presented so, or DPoP is not configured")
		}
		if err := i.DPoP.check(ctx, r, c, x.confirmation.thumbprint, i.Leeway, now); err != nil {
			err.IssuerName = i.Name
			return nil, err
		}
		t.SenderConstrained = true
	case x.confirmation.proof:
		return nil, fail(token.BadBinding, i.Name,
			"it is a DPoP token, and no cnf.jkt says by which key: the issuer must send cnf")
	case c.Scheme == credential.DPoP:
		return nil, fail(token.BadBinding, i.Name,
			"a token that is not bound to a key was presented with DPoP")
	}
	return &t, nil
}

// certificateThumbprint returns the x5t#S256 of a certificate as Envoy reports it: PEM,
// percent-encoded (RFC 8705 §3.1).
func certificateThumbprint(encoded string) (string, error) {
	if encoded == "" {
		return "", errors.New("the proxy reports none")
	}
	text, err := url.PathUnescape(encoded)
	if err != nil {
		return "", errors.New("the proxy's report is malformed")
	}
	block, _ := pem.Decode([]byte(text))
	if block == nil || block.Type != "CERTIFICATE" || len(block.Bytes) == 0 {
		return "", errors.New("the proxy's report is malformed")
	}
	digest := sha256.Sum256(block.Bytes)
	return base64.RawURLEncoding.EncodeToString(digest[:]), nil
}
