package finding_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stepward/stepward/pkg/finding"
)

var found = finding.List{
	{File: "a,b:c.rego", Line: 3, Column: 7, Code: "rego_type_error", Message: "100% wrong\nhere", Hint: "mend\rit"},
	{File: "stepward.yaml", Line: 1, Column: 1, Message: "unknown key"},
	{File: "stepward.yaml", Line: 2, Column: 2, Code: "config", Message: "m", Severity: finding.Warning},
	{File: "p.rego", Line: 4, Column: 4, Code: "stepward/keeps_acr", Message: "m", Severity: finding.Note},
}

// What a line is made of cannot end the line, or begin another command.
func TestGitHub(t *testing.T) {
	var out strings.Builder
	if err := found.GitHub(&out); err != nil {
		t.Fatal(err)
	}
	const want = `::error file=a%2Cb%3Ac.rego,line=3,col=7,title=rego_type_error::100%25 wrong%0Ahere%0Amend%0Dit
::error file=stepward.yaml,line=1,col=1,title=::unknown key
::warning file=stepward.yaml,line=2,col=2,title=config::m
::notice file=p.rego,line=4,col=4,title=stepward/keeps_acr::m
`
	if out.String() != want {
		t.Errorf("%s\nwant\n%s", out.String(), want)
	}
	if err := found.GitHub(broken{}); err == nil {
		t.Error("nothing was written, and that is no error")
	}
}

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errBroken }

var errBroken = finding.List{{Message: "nobody reads"}}

func TestSARIF(t *testing.T) {
	var out strings.Builder
	if err := found.SARIF(&out); err != nil {
		t.Fatal(err)
	}
	var report struct {
		Version string
		Runs    []struct {
			Tool struct {
				Driver struct{ Rules []struct{ ID string } }
			}
			Results []struct {
				RuleID, Level string
				Message       struct{ Text string }
				Locations     []struct {
					PhysicalLocation struct {
						ArtifactLocation struct{ URI string }
						Region           struct{ StartLine, StartColumn int }
					}
				}
			}
		}
	}
	if err := json.Unmarshal([]byte(out.String()), &report); err != nil || report.Version != "2.1.0" ||
		len(report.Runs) != 1 {
		t.Fatalf("%v\n%s", err, out.String())
	}
	run := report.Runs[0]
	if len(run.Tool.Driver.Rules) != 3 || len(run.Results) != len(found) { // two findings share config
		t.Fatalf("%+v", run)
	}
	for i, level := range []string{"error", "error", "warning", "note"} {
		r := run.Results[i]
		place := r.Locations[0].PhysicalLocation
		if r.Level != level || place.ArtifactLocation.URI != found[i].File || place.Region.StartLine != found[i].Line ||
			place.Region.StartColumn != found[i].Column {
			t.Errorf("%+v; want %s of %+v", r, level, found[i])
		}
	}
	if first := run.Results[0]; first.Message.Text != "100% wrong\nhere. mend\rit" ||
		first.RuleID != "rego_type_error" {
		t.Errorf("%+v", first)
	}
	out.Reset()
	if err := (finding.List{}).SARIF(&out); err != nil || !strings.Contains(out.String(), `"results": []`) {
		t.Errorf("%s, %v", out.String(), err)
	}
}

// A fix is made where its text stands, from the end of the file, and nowhere else.
func TestApply(t *testing.T) {
	fix := &finding.Fix{Old: "lvl", New: "level"}
	l := finding.List{
		{File: "p.rego", Line: 1, Column: 4, Fix: fix}, {File: "p.rego", Line: 1, Column: 11, Fix: fix},
		{File: "p.rego", Line: 2, Column: 1, Fix: fix}, {File: "p.rego", Line: 9, Column: 1, Fix: fix},
		{File: "q.rego", Line: 1, Column: 4, Fix: fix}, {File: "p.rego", Line: 1, Column: 5},
	}
	text, made := l.Apply("p.rego", []byte("a {\"lvl\", \"lvl\"}\nother lvl\n"))
	if want := "a {\"level\", \"level\"}\nother lvl\n"; string(text) != want || made != 2 {
		t.Errorf("%q, %d; want %q", text, made, want)
	}
}
