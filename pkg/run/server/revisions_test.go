package server_test

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/stepward/stepward/pkg/run/control"
	"github.com/stepward/stepward/pkg/run/server"
)

// The last five policies stay loaded, and a decision is explained by the one that made it.
func TestRevisions(t *testing.T) {
	t.Parallel()
	files := variant("a")
	socket := filepath.Join(t.TempDir(), "c.sock")
	files["stepward.yaml"] += "control: unix://" + socket + "\n"
	f := serveFolder(t, files, server.Options{})
	client, err := control.NewClient("unix://" + socket)
	if err != nil {
		t.Fatal(err)
	}
	first := f.Revision()
	id := f.check(t, "/public", nil).GetDynamicMetadata().GetFields()["decision_id"].GetStringValue()
	told := func() control.Told {
		x, err := client.Decision(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		return x
	}
	if x := told(); x.Again.State != "in force" || x.Again.Reason != "ok" || len(x.Again.Rules) != 1 {
		t.Errorf("%+v", x.Again)
	}
	next := func(n int) {
		was := f.Revision()
		write(t, f.dir, map[string]string{"policy/policy.rego": files["policy/policy.rego"] + fmt.Sprintf(
			"\n# %d\n", n)})
		f.Reload()
		eventually(t, "the next", func() bool { return f.Revision() != was })
	}
	for n := range 4 {
		next(n)
	}
	list, err := client.Revisions(t.Context())
	if err != nil || len(list) != 5 || !list[0].InForce || list[4].Revision != first || list[0].From != "files" {
		t.Errorf("%+v, %v", list, err)
	}
	if x := told(); x.Revision != first || x.Again.State != "loaded, and no longer in force" || x.Again.Reason != "ok" {
		t.Errorf("%+v", x.Again)
	}
	next(4)
	if x := told(); x.Again.State != "no longer loaded" || x.Again.Reason != "" {
		t.Errorf("%+v", x.Again)
	}
	write(t, f.dir, files) // back to the first
	f.Reload()
	eventually(t, "the first again", func() bool { return f.Revision() == first })
	if list, _ = client.Revisions(t.Context()); len(list) != 5 || list[0].Revision != first {
		t.Errorf("%+v", list)
	}
}
