// Package stepup is the rule book of step-up authentication (RFC 9470), pure and
// free of input and output: a [Ladder] of levels, the [Requirement] of a rule,
// [Assess] for what a token lacks at a given second, [Decide] for what to answer,
// and the text of the challenge.
//
// Nothing here allows by default: the zero value of every type is refused, and
// only Decide makes an [Allow].
package stepup
