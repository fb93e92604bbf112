// Package opaenvoy holds the contract of another product, OPA with opa-envoy-plugin, whose
// policies and configurations run here as they are.
//
// [Migration] writes a stepward.yaml from the configuration of such an OPA.
package opaenvoy
