package bundle

import "testing"

func TestSetRevision(t *testing.T) {
	for name, v := range map[string]struct {
		set      Set
		revision string
		complete bool
	}{
		"none":                {Set{}, "", false},
		"one":                 {Set{Revisions: map[string]string{"a": "1"}}, "1", true},
		"one without":         {Set{Revisions: map[string]string{"a": ""}}, "", true},
		"two, in order":       {Set{Revisions: map[string]string{"b": "2", "a": "1"}}, "a=1,b=2", true},
		"two, one without":    {Set{Revisions: map[string]string{"b": "2", "a": ""}}, "", true},
		"one that never came": {Set{Revisions: map[string]string{"a": "1"}, Missing: []string{"b"}}, "1", false},
	} {
		if got := v.set.Revision(); got != v.revision || v.set.Complete() != v.complete {
			t.Errorf("%s: %q, complete %v; want %q, %v", name, got, v.set.Complete(), v.revision, v.complete)
		}
	}
}

// A member of data belongs to the bundle whose roots take it in.
func TestOwner(t *testing.T) {
	set := Set{roots: []owned{{"lists", []string{"lists/blocked", "stepward/policy"}}, {"risk", []string{"risk"}}}}
	for name, want := range map[string]string{"lists": "lists", "risk": "risk", "risky": "", "stepward": "lists",
		"blocked": "", "": ""} {
		if got := set.Owner(name); got != want {
			t.Errorf("%q belongs to %q; want %q", name, got, want)
		}
	}
	if got := (Set{roots: []owned{{"all", []string{""}}}}).Owner("anything"); got != "all" {
		t.Errorf("a bundle of everything does not own it: %q", got)
	}
}
