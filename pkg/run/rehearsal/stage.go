package rehearsal

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/stepward/stepward/pkg/author/scenario"
	"github.com/stepward/stepward/pkg/authz"
	"github.com/stepward/stepward/pkg/config"
	"github.com/stepward/stepward/pkg/credential"
	"github.com/stepward/stepward/pkg/request"
	"github.com/stepward/stepward/pkg/run/snapshot"
	"github.com/stepward/stepward/pkg/token"
)

// nobody verifies no token. The tokens of scenarios never reach it.
type nobody struct{}

func (nobody) Verify(context.Context, request.Request, credential.Credential) (*token.Token, error) {
	return nil, errors.New("no token is verified in a rehearsal")
}

// Authorizer makes an authorizer that decides by c and a policy, and verifies no token.
func Authorizer(c config.Config, p authz.Policy) (*authz.Authorizer, error) {
	a, err := snapshot.NewAuthorizer(c, nobody{}, p)
	return a, refused(err)
}

// Stage makes a stage for scenarios with a policy under c.
func Stage[P authz.Policy](c config.Config, p P) (*scenario.Stage, error) {
	a, err := Authorizer(c, p)
	if err != nil {
		return nil, err
	}
	return scenario.NewStage(a, c), nil
}

// answerer returns the built-in function stepward.answer, which plays a scenario under c.
func answerer(c config.Config) func(context.Context, authz.Policy, any) (any, error) {
	return func(ctx context.Context, p authz.Policy, written any) (any, error) {
		text, err := json.Marshal(written)
		if err != nil {
			return nil, err
		}
		s, err := scenario.Parse(text)
		if err != nil {
			return nil, err
		}
		stage, err := Stage(c, p)
		if err != nil {
			return nil, err
		}
		r, err := stage.Decide(ctx, s)
		if err != nil {
			return nil, err
		}
		return scenario.AnswerOf(r), nil
	}
}
