package authz

import (
	"time"

	"github.com/stepward/stepward/pkg/credential"
	"github.com/stepward/stepward/pkg/request"
	"github.com/stepward/stepward/pkg/response"
	"github.com/stepward/stepward/pkg/token"
)

// Record holds what every stage made of one request. It never holds a credential, but it
// does hold the claims of a token and a query string, which do not belong in a log.
//
// A Record is not changed after Authorize has returned it. Stages that were not
// reached are zero.
type Record struct {
	ID       string // decision id, random
	Time     time.Time
	Duration time.Duration
	Stages   Stages

	Request request.Request
	Scheme  credential.Scheme // of the credential presented; empty for none
	Token   *token.Token      // nil when nobody is known
	Failure *token.Error      // why the credential presented is not a Token

	Judgement
	Response response.Response
}

// Question is what the policy was asked about, if the request got that far.
func (r Record) Question() Question {
	return Question{Request: r.Request, Presented: r.Scheme != "", Token: r.Token, Failure: r.Failure, Time: r.Time}
}

// Stages holds the time at which each stage ended; zero if it was not reached.
type Stages struct {
	Normalized, Verified, Evaluated time.Time
}
