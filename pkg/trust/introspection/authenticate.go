package introspection

import (
	"encoding/base64"
	"net/http"
	"net/url"
)

// Basic authenticates by client_secret_basic (RFC 6749 §2.3.1): both halves are
// form-encoded before they are joined.
func Basic(clientID, secret string) func(http.Header, url.Values) error {
	return func(h http.Header, _ url.Values) error {
		h.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString(
			[]byte(url.QueryEscape(clientID)+":"+url.QueryEscape(secret))))
		return nil
	}
}

// Post authenticates by client_secret_post (RFC 6749 §2.3.1).
func Post(clientID, secret string) func(http.Header, url.Values) error {
	return func(_ http.Header, form url.Values) error {
		form.Set("client_id", clientID)
		form.Set("client_secret", secret)
		return nil
	}
}

// PrivateKeyJWT authenticates with a new assertion from assert for each call (RFC 7523
// §2.2).
func PrivateKeyJWT(clientID string, assert func() (string, error)) func(http.Header, url.Values) error {
	return func(_ http.Header, form url.Values) error {
		assertion, err := assert()
		if err != nil {
			return err
		}
		form.Set("client_id", clientID)
		form.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
		form.Set("client_assertion", assertion)
		return nil
	}
}

// TLS authenticates by the certificate of the connection (RFC 8705 §2): the HTTP client
// must have one.
func TLS(clientID string) func(http.Header, url.Values) error {
	return func(_ http.Header, form url.Values) error {
		form.Set("client_id", clientID)
		return nil
	}
}
