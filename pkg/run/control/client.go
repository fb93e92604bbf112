package control

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/stepward/stepward/pkg/author/explain"
	"github.com/stepward/stepward/pkg/rollout/divergence"
	"github.com/stepward/stepward/pkg/trust/revocation"
)

// Client asks the service behind a socket.
type Client struct {
	path string // of the socket
	http http.Client
}

// ErrNotFound means that the service has no such thing: it no longer keeps the decision, or
// never did, or there is no candidate policy.
var ErrNotFound = errors.New("control: not found")

// ErrUnreachable means that nobody answers at the socket, or that we may not ask there.
var ErrUnreachable = errors.New("control: no service answers")

// ErrRefused means that the service does not accept what it was told, such as an issuer
// that it does not have.
var ErrRefused = errors.New("control: refused")

// NewClient makes a client of the socket at unix:///path.
func NewClient(address string) (*Client, error) {
	path, ok := strings.CutPrefix(address, "unix://")
	if !ok {
		return nil, fmt.Errorf("control: %q is not unix:///path", address)
	}
	return &Client{path: path, http: http.Client{
		Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", path)
		}}}}, nil
}

// do returns the answer to req. If there is none, the error names the socket.
func (c *Client) do(req *http.Request) (*http.Response, error) {
	res, err := c.http.Do(req)
	if dial := (*net.OpError)(nil); errors.As(err, &dial) && dial.Op == "dial" {
		return nil, fmt.Errorf("%w at %s: %w; does it run, and with this control socket?", ErrUnreachable, c.path,
			errors.Unwrap(dial.Err))
	}
	if err != nil {
		return nil, fmt.Errorf("control: %w", err)
	}
	return res, nil
}

func (c *Client) get(ctx context.Context, path string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://stepward"+path, nil)
	if err != nil {
		return nil, fmt.Errorf("control: %w", err)
	}
	res, err := c.do(req)
	if err != nil {
		return nil, err
	}
	switch res.StatusCode {
	case http.StatusOK:
		return res, nil
	case http.StatusNotFound:
		err = ErrNotFound
	default:
		err = fmt.Errorf("control: %s", res.Status)
	}
	return nil, errors.Join(err, res.Body.Close())
}

// Decisions calls each with the kept decisions, the oldest first. If follow is set, it then
// calls each with new ones, until ctx ends or the service stops.
func (c *Client) Decisions(ctx context.Context, f Filter, follow bool, each func(explain.Explanation)) error {
	q := f.query()
	if follow {
		q.Set("follow", "true")
	}
	res, err := c.get(ctx, "/decisions?"+q.Encode())
	if err != nil {
		return err
	}
	defer res.Body.Close()
	lines := bufio.NewScanner(res.Body)
	lines.Buffer(nil, 4<<20)
	for lines.Scan() {
		var e explain.Explanation
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			return fmt.Errorf("control: %w", err)
		}
		each(e)
	}
	if ctx.Err() != nil {
		return nil
	}
	return lines.Err()
}

// Decision returns the decision with that id. The error is [ErrNotFound] if it is not kept.
func (c *Client) Decision(ctx context.Context, id string) (Told, error) {
	var e Told
	err := c.document(ctx, "/decisions/"+url.PathEscape(id), &e)
	return e, err
}

// Revisions lists the policies that are loaded, the newest first.
func (c *Client) Revisions(ctx context.Context) ([]Revision, error) {
	var list []Revision
	err := c.document(ctx, "/revisions", &list)
	return list, err
}

// SetLogLevel changes the level of the service's log, until a new configuration sets
// another.
func (c *Client) SetLogLevel(ctx context.Context, level string) error {
	_, err := c.send(ctx, http.MethodPut, "/log-level", map[string]string{"level": level})
	return err
}

// Revoke revokes by hand, and returns the entry as added. Its issuer is a short name or a
// URL from the service's configuration.
func (c *Client) Revoke(ctx context.Context, e revocation.Entry) (revocation.Entry, error) {
	text, err := c.send(ctx, http.MethodPost, "/revocations", e)
	if err != nil {
		return revocation.Entry{}, err
	}
	var taken revocation.Entry
	if err := json.Unmarshal(text, &taken); err != nil {
		return revocation.Entry{}, fmt.Errorf("control: %w", err)
	}
	return taken, nil
}

// Revocations lists the entries in force.
func (c *Client) Revocations(ctx context.Context) ([]revocation.Entry, error) {
	var list []revocation.Entry
	err := c.document(ctx, "/revocations", &list)
	return list, err
}

// Issuers returns the state of each issuer.
func (c *Client) Issuers(ctx context.Context) ([]Issuer, error) {
	var list []Issuer
	err := c.document(ctx, "/issuers", &list)
	return list, err
}

// Candidate returns what is known about the candidate policy. The error is [ErrNotFound] if
// there is none.
func (c *Client) Candidate(ctx context.Context) (divergence.Report, error) {
	var r divergence.Report
	err := c.document(ctx, "/candidate", &r)
	return r, err
}

// send sends a document. An answer other than 200 is an error with its text.
func (c *Client) send(ctx context.Context, method, path string, document any) ([]byte, error) {
	body, err := json.Marshal(document)
	if err != nil {
		return nil, fmt.Errorf("control: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://stepward"+path, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("control: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := c.do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, 64<<10))
	if err != nil {
		return nil, fmt.Errorf("control: %w", err)
	}
	switch {
	case res.StatusCode >= 400 && res.StatusCode < 500:
		return nil, fmt.Errorf("%w: %s", ErrRefused, bytes.TrimSpace(text))
	case res.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("control: %s", bytes.TrimSpace(text))
	}
	return text, nil
}

// Snapshot describes the snapshot in force, as JSON.
func (c *Client) Snapshot(ctx context.Context) (json.RawMessage, error) {
	var raw json.RawMessage
	err := c.document(ctx, "/snapshot", &raw)
	return raw, err
}

func (c *Client) document(ctx context.Context, path string, into any) error {
	res, err := c.get(ctx, path)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if err := json.NewDecoder(io.LimitReader(res.Body, 16<<20)).Decode(into); err != nil {
		return fmt.Errorf("control: %w", err)
	}
	return nil
}
