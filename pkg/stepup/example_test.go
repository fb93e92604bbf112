package stepup_test

import (
	"fmt"
	"time"

	"github.com/stepward/stepward/pkg/stepup"
	"github.com/stepward/stepward/pkg/token"
)

// A second factor of four minutes ago is enough for a payment; one of six minutes
// ago is challenged to come back.
func ExampleDecide() {
	ladder, err := stepup.NewLadder([]stepup.Level{
		{Name: "password", ACR: []string{"urn:example:loa:1"}},
		{Name: "mfa", ACR: []string{"urn:example:loa:2"}},
	})
	if err != nil {
		panic(err)
	}
	required := []stepup.Requirement{{Level: "mfa", MaxAge: stepup.AgeOf(5 * time.Minute), Rule: "payments"}}
	now := time.Unix(1_800_000_000, 0)
	for _, age := range []time.Duration{4 * time.Minute, 6 * time.Minute} {
		t := &token.Token{Subject: "alice", Principal: token.User,
			Proofs: []token.Proof{{ACR: "urn:example:loa:2", At: now.Add(-age)}}}
		decision := stepup.Decide(stepup.Case{Shortfall: stepup.Assess(required, ladder, t, now), Presented: true,
			Token: t})
		fmt.Println(stepup.ResultOf(decision), decision.Reason())
		if c, ok := decision.(stepup.Challenge); ok {
			fmt.Println(stepup.FormatChallenge("Bearer", c.Ask.Params()))
		}
	}
	// Output:
	// allow ok
	// challenge stale_authentication
	// Bearer acr_values="urn:example:loa:2", max_age="300"
}
