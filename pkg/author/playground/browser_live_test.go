package playground_test

import (
	"context"
	"net"
	"path/filepath"
	"testing"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/stepward/stepward/pkg/author/explain"
	"github.com/stepward/stepward/pkg/author/playground"
	"github.com/stepward/stepward/pkg/config"
	"github.com/stepward/stepward/pkg/internal/testidp"
	"github.com/stepward/stepward/pkg/run/control"
	"github.com/stepward/stepward/pkg/run/server"
	"github.com/stepward/stepward/pkg/run/snapshot"
)

// service is a Stepward with a control socket.
type service struct {
	t     *testing.T
	idp   *testidp.IDP
	check authv3.AuthorizationClient
	stop  func()
}

func start(t *testing.T) (service, *control.Client, playground.Workspace) {
	t.Helper()
	idp, err := testidp.Start(testidp.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(idp.Close)
	decides := `issuers: [{ name: corp, issuer: "` + idp.URL + `", audiences: ["` + testidp.Audience + `"] }]
levels: [{ name: password, acr: ["loa:1"] }, { name: mfa, acr: ["loa:2"] }, { name: phishing-resistant, acr: [phr] }]
`
	socket := "unix://" + filepath.Join(t.TempDir(), "c.sock")
	c, err := config.Parse("stepward.yaml",
		[]byte(
			decides+
				"limits: { deadline: 5s }\npolicy: { default: true, timeout: 2s }\ndrain: { delay: 10ms }\nlog: { decisions: \"off\" }\ncontrol: "+socket+"\n"), config.Options{})
	if err != nil {
		t.Fatal(err)
	}
	o := server.Options{Snapshot: snapshot.Options{Client: idp.Client()}}
	for _, l := range []*net.Listener{&o.Listener, &o.AdminListener} {
		if *l, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			t.Fatal(err)
		}
	}
	s, err := server.New(t.Context(), c, o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	conn, err := grpc.NewClient(s.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	stopped := false
	stop := func() {
		if !stopped {
			stopped = true
			cancel()
			<-done
			conn.Close()
		}
	}
	t.Cleanup(stop)
	if err := s.WaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	client, err := control.NewClient(socket)
	if err != nil {
		t.Fatal(err)
	}
	w := workspace()
	w.Settings = decides
	w.Policy[0].Text += "\nrequire contains {\"level\": \"phishing-resistant\"} if input.request.segments[0] == \"admin\"\n"
	return service{t, idp, authv3.NewAuthorizationClient(conn), stop}, client, w
}

// ask makes a real Check call of who has these claims; nil is nobody.
func (s service) ask(method, path string, claims map[string]any, headers map[string]string) {
	s.t.Helper()
	all := map[string]string{"accept": "application/json"}
	for name, value := range headers {
		all[name] = value
	}
	if claims != nil {
		token, err := s.idp.Mint(testidp.Token{Claims: claims})
		if err != nil {
			s.t.Fatal(err)
		}
		all["authorization"] = "Bearer " + token
	}
	_, err := s.check.Check(s.t.Context(), &authv3.CheckRequest{Attributes: &authv3.AttributeContext{
		Request: &authv3.AttributeContext_Request{
			Http: &authv3.AttributeContext_HttpRequest{Method: method, Path: path, Host: "app.example.com",
				Scheme:  "https",
				Headers: all},
		}}})
	if err != nil {
		s.t.Fatal(err)
	}
}

// The decisions of a real service come into the page as they are made, are found by
// filters, explained, and opened in the playground.
func liveDecisions(t *testing.T, chrome context.Context) {
	s, client, w := start(t)
	s.ask("GET", "/orders/1?code=SECRET", nil, nil)
	b := open(t, chrome, serve(t, playground.Options{
		Workspace: w, Live: func(ctx context.Context, each func(explain.Explanation)) error {
			return client.Decisions(ctx, control.Filter{}, true, each)
		}}))
	b.says("link", "following")
	b.says("list", "/orders/1")
	s.ask("GET", "/orders/2", map[string]any{"acr": "loa:1"}, nil)
	b.is(
		"document.getElementById('list').children.length === 2 && document.getElementById('list').children[0].innerText.includes('/orders/2')")
	s.ask("POST", "/admin/keys", map[string]any{"acr": "loa:1", "auth_time": time.Now().Add(-90 * time.Second).Unix()},
		nil)
	s.ask("GET", "/%3Cscript%3Ealert(1)%3C/script%3E", map[string]any{
		"acr": "loa:2", "sub": "<img src=x onerror=alert(1)>"}, nil)
	s.ask("DELETE", "/admin/users/7", map[string]any{"acr": "phr", "sub": "bob"}, nil)
	s.ask("GET", "/a/../b", nil, nil)
	b.is("document.getElementById('list').children.length === 6")
	b.says("list", "<img src=x onerror=alert(1)>")
	b.is(
		"document.querySelectorAll('main img, main script').length === 0 && !document.body.innerText.includes('SECRET')")
	b.write("filter", "admin alice")
	b.is("document.getElementById('list').children.length === 1")
	b.click("#list button")
	b.says("explained", "401 insufficient_level")
	b.says("explained", `user "alice" of issuer corp`)
	b.says("explained", "authenticated 9") // 90 seconds ago, and the time that has passed since
	b.write("filter", "")
	b.run(choose("result", "deny"))
	b.is(
		"document.getElementById('list').children.length === 1 && document.getElementById('list').innerText.includes('deny 400')")
	b.run(choose("result", ""))
	b.picture("live.png", 1280, 800, "light")
	b.picture("", 390, 900, "dark")
	b.click("#pause")
	s.ask("GET", "/late", nil, nil)
	b.write("filter", "zzz")
	b.says("none", "No decision matches.")
	b.write("filter", "")
	b.click("#pause")
	b.says("list", "/late")
	b.click("#replay")
	b.says("answers", "401 insufficient_level")
	b.says("answers", "level phishing-resistant")
	b.is(
		`document.getElementById('path').value === '/admin/keys' && JSON.parse(document.getElementById('token').value).auth_age === '90s'`)
	b.click("#show-live")
	s.stop()
	b.is("!document.getElementById('link').classList.contains('up')")
}
