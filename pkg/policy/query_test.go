package policy_test

import (
	"testing"

	"github.com/stepward/stepward/pkg/policy"
)

func TestCheckQuery(t *testing.T) {
	r := policy.Result{SetQuery: map[string][]string{"role": {"guest"}}, RemoveQuery: []string{"secret"}}
	for raw, ok := range map[string]bool{
		"": true, "a=1": true, "role=admin&secret=1": true, "a=r%6Fle": true, "%61=1": true,
		"r%6Fle=admin": false, "a=1&secre%74": false, "rol%65": false, "%zz=1": false,
	} {
		if err := r.CheckQuery(raw); (err == nil) != ok {
			t.Errorf("%q: %v", raw, err)
		}
	}
	if err := (policy.Result{}).CheckQuery("r%6Fle=admin"); err != nil {
		t.Error(err)
	}
}
